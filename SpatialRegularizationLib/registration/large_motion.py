"""Find where the velocity starts: a search for large motion, an initial transform, or rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..fields.derivatives import jacobian_determinant
from ..fields.resize import box_mean, gaussian_smooth, resize, resize_displacement
from ..fields.sampling import compose, warp
from ..fields.vectors import largest_length, lengths
from ..geometry.displacement import DisplacementField
from ..geometry.grid import Grid
from ..geometry.transform import SpatialTransform
from ..integrators.scaling_and_squaring import integrate_velocity, steps_for
from ..models.free import Adam
from ..similarity.mind import mind_ssc
from ..similarity.mse import Mse
from ..transforms.resample import total_displacement
from .working_pair import TensorPair

WORTH_VOXELS = 1.5
"""A found motion counts as large from this 95th percentile on, in voxels of the search's last lattice (1/60 of the image)."""
WORTH_GAIN = 0.02
"""Smallest relative fall of the descriptors' distance that makes a search worth taking."""


def search_if_wanted(
    pair: TensorPair, wish: str, *, tell: Callable[[float], None] | None = None
) -> tuple[Tensor | None, tuple[str, ...]]:
    """A velocity from the discrete search, or None; and what to say about it.

    Args:
        wish: "on": take the search's answer; "off": do not search; "auto": search, and take the answer where the motion is
            large and brings the images together.
    """
    if wish == "off":
        return None, ()
    u = search_displacement(pair, STAGES, tell=tell)
    before, after = mind_distance(pair, torch.zeros_like(u)), mind_distance(pair, u)
    gain = (before - after) / max(before, 1e-12)
    reach = float(lengths(u).flatten().kthvalue(int(0.95 * u[0, 0].numel())).values)
    if wish == "auto" and (reach < WORTH_VOXELS or gain < WORTH_GAIN):
        return None, ()
    note = (
        f"A search for large motion came first: it moves by up to {largest_length(u):.1f} voxels of a "
        f"{' x '.join(map(str, u.shape[2:]))} lattice and lowers the distance of the descriptors by {100 * gain:.0f} %."
    )
    with torch.enable_grad():
        return velocity_of(u), (note,)


def initial_velocity(
    initial: SpatialTransform | None, affine: np.ndarray, grid: Grid, like: Tensor
) -> Tensor | None:
    """The velocity of an initial transform's bending part, d(x) = B⁻¹ φ(x) - x, or None where there is none.

    Args:
        initial: φ.
        affine: B, 4x4.
        grid: whose field of view counts.
        like: of the device and type of the result.
    """
    if initial is None or initial.displacement is None:
        return None
    longest = max(grid.shape)
    coarse = grid.resized(tuple(max(2, round(1 + (n - 1) * min(1.0, 63 / (longest - 1)))) for n in grid.shape))
    back = SpatialTransform(np.linalg.inv(affine))
    total = total_displacement(initial, coarse)
    index = np.stack(np.meshgrid(*[np.arange(n) for n in coarse.shape], indexing="ij"), axis=-1)
    points = coarse.index_to_point(index)
    mapped = points + total.vectors.movedim(0, -1).double().numpy()
    bent = mapped @ back.affine_matrix[:3, :3].T + back.affine_matrix[:3, 3] - points
    field = DisplacementField(torch.from_numpy(bent).movedim(-1, 0).float().contiguous(), coarse)
    return velocity_of(unfolded(field.to_voxels()[None].to(like)))


COUPLINGS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
"""θ in units of the standard deviation of C, per squared lattice voxel."""


SMALLEST_JACOBIAN = 0.1


@dataclass(frozen=True)
class SearchStage:
    """One lattice of the search.

    Args:
        size: voxels along the longest axis.
        radius: candidates lie within ± radius lattice voxels along every axis.
    """

    size: int
    radius: int


STAGES = (SearchStage(30, 5), SearchStage(44, 3), SearchStage(60, 2))


@torch.no_grad()
def search_displacement(
    pair: TensorPair, stages: tuple[SearchStage, ...] = STAGES, *, tell: Callable[[float], None] | None = None
) -> Tensor:
    """Displacement (1, 3, *s) in voxels of the last stage's lattice, smooth, with J > `SMALLEST_JACOBIAN`."""
    u = None
    longest = max(pair.fixed.shape[2:])
    stages = tuple(stage for stage in stages if stage.size <= max(stages[0].size, longest // 2))
    pair = pair.at_level(_factor(pair, 2 * max(stage.size for stage in stages)))
    for number, stage in enumerate(stages):
        at = _described(pair, stage.size)
        shape = tuple(at.fixed.shape[2:])
        u = at.fixed.new_zeros(1, 3, *shape) if u is None else resize_displacement(u, shape)
        cost = _cost_volume(at.fixed, _read(at.moving, u, at.offset, stage.radius), stage.radius, at.weight(u))
        step = _couple(cost, shape, stage.radius)
        u = unfolded(compose(step, u) if number else step)
        if tell is not None:
            tell((number + 1) / len(stages))
    return u


def mind_distance(pair: TensorPair, u: Tensor) -> float:
    """Mean squared difference of the descriptors on u's lattice after moving by u; tells whether a search has helped."""
    pair = pair.at_level(_factor(pair, 2 * max(u.shape[2:])))
    at = _described(pair, max(u.shape[2:]))
    u = resize_displacement(u, tuple(at.fixed.shape[2:]))
    return float(Mse()(warp(at.moving, u, offset=at.offset), at.fixed, at.weight(u)))


def velocity_of(u: Tensor, *, size: int = 40, iterations: int = 30) -> Tensor:
    """A stationary velocity v with exp(v) ≈ id + u, by descent on the mean squared difference from v = u.

    The lattice is made coarser where its longest axis has more than `size` voxels: what a search finds is smooth.
    """
    factor = max(1.0, max(u.shape[2:]) / size)
    u = resize_displacement(u, tuple(max(2, round(n / factor)) for n in u.shape[2:]))
    velocity = u.clone().requires_grad_()
    optimizer = Adam(velocity, 0.1)
    for _ in range(iterations):
        residual = integrate_velocity(velocity, steps=steps_for(velocity, largest_step=0.5)) - u
        (gradient,) = torch.autograd.grad(residual.square().sum(1).mean(), velocity)
        optimizer.step(gradient)
    return velocity.detach()


def _factor(pair: TensorPair, size: int) -> float:
    longest = max(pair.fixed.shape[2:])
    return max(1.0, (longest - 1) / (size - 1))


def _described(pair: TensorPair, size: int) -> TensorPair:
    """Descriptors taken on a lattice twice as fine and averaged onto that of `size` voxels along the longest axis."""
    fine = pair.at_level(_factor(pair, 2 * size))
    described = replace(fine, fixed=mind_ssc(fine.fixed, dilation=1), moving=mind_ssc(fine.moving, dilation=1))
    return described.at_level(_factor(fine, size))


def _read(moving: Tensor, u: Tensor, offset: tuple[float, ...], radius: int) -> Tensor:
    """M(p + u(p)) on the fixed grid grown by `radius` voxels on every side."""
    grown = F.pad(u, (radius,) * 6, mode="replicate")
    return warp(moving, grown, offset=tuple(o - radius for o in offset))


def _cost_volume(fixed: Tensor, moving: Tensor, radius: int, mask: Tensor | None) -> Tensor:
    """C as (candidates, 1, *s); where the mask is 0 every candidate costs the same."""
    width = 2 * radius + 1
    cost = fixed.new_empty(width**3, 1, *fixed.shape[2:])
    for number, (a, b, c) in enumerate(torch.cartesian_prod(*[torch.arange(width)] * 3).tolist()):
        part = moving[:, :, a : a + fixed.shape[2], b : b + fixed.shape[3], c : c + fixed.shape[4]]
        torch.mean((fixed - part).square_(), dim=1, out=cost[number])
    if mask is not None:
        cost *= mask
    return box_mean(cost, 3)


def _couple(cost: Tensor, shape: tuple[int, ...], radius: int) -> Tensor:
    """Coupled convex regularisation of argmin C: (1, 3, *shape), lattice voxels."""
    axis = torch.arange(-radius, radius + 1, device=cost.device)
    candidates = torch.cartesian_prod(axis, axis, axis).to(cost.dtype)
    flat = cost.flatten(1)
    scale = float(flat.std()) or 1.0  # where all candidates cost the same the nearest one wins: no motion
    u = flat.new_zeros(3, flat.shape[1])
    for coupling in COUPLINGS:
        best = _argmin(flat, candidates, u, coupling * scale)
        field = candidates[best].T.reshape(1, 3, *shape)
        u = gaussian_smooth(box_mean(field, 3), (1.0,) * 3)[0].flatten(1)
    return u.view(1, 3, *shape)


def _argmin(cost: Tensor, candidates: Tensor, u: Tensor, theta: float, block: int = 4096) -> Tensor:
    """argmin_d C(p, d) + θ |d - u(p)|², a block of voxels at a time."""
    best = torch.empty(cost.shape[1], dtype=torch.long, device=cost.device)
    squared = candidates.square().sum(1, keepdim=True)
    for start in range(0, cost.shape[1], block):
        part = slice(start, start + block)
        best[part] = (cost[:, part] + theta * (squared - 2 * candidates @ u[:, part])).argmin(0)  # |u|² is the same for all d
    return best


def unfolded(u: Tensor) -> Tensor:
    """u, smoothed as often as it takes for its Jacobian determinant to stay above `SMALLEST_JACOBIAN`."""
    for _ in range(12):
        if float(jacobian_determinant(u).min()) > SMALLEST_JACOBIAN:
            return u
        u = gaussian_smooth(u, (1.0,) * 3)
    return resize(resize(u, tuple(max(2, n // 8) for n in u.shape[2:])), tuple(u.shape[2:]))
