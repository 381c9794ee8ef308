"""Remove folds: smooth the velocity where its exponential folds on the lattice, and nowhere else.

exp(v) is invertible for any smooth v; what folds is its sampling, where v changes by more than about a voxel between voxels.
There the regularizer is given the last word: with λ → ∞ near a fold the minimiser of the weighted diffusion is the diffused
velocity, so v is replaced there by its Gaussian mean, in rounds, over a region that grows until every one of the ten
determinants of the digital diffeomorphism (Liu et al., IJCV 2024) is positive everywhere.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ..fields.derivatives import determinant_slabs
from ..fields.resize import gaussian_smooth, resize_displacement
from ..fields.sampling import sample_linear, warp
from ..fields.vectors import squared_lengths
from ..integrators.scaling_and_squaring import integrate_velocity, steps_for

ROUNDS = 40
LARGEST_STEP = 0.25
PLAIN_STEPS = 6
NEWTON_STEPS = 24


def displacement_of(velocity: Tensor, shape: tuple[int, ...]) -> Tensor:
    """u of exp(velocity) on a lattice of another shape, voxels of that lattice; small squaring steps."""
    u = integrate_velocity(velocity, steps=steps_for(velocity, largest_step=LARGEST_STEP))
    return resize_displacement(u, shape)


@torch.no_grad()
def without_folds(
    velocity: Tensor, shape: tuple[int, ...], *, on_round: Callable[[int], None] | None = None
) -> tuple[Tensor, Tensor, int, int]:
    """The velocity, changed where exp(velocity) folds on the lattice `shape`.

    Args:
        velocity: (1, 3, *s).
        shape: lattice on which the displacement is used.
        on_round: called with the number of each round.

    Returns:
        (velocity, u on `shape`, number of voxels that folded at first, number that still fold after `ROUNDS` rounds).
    """
    return _smoothed_until_unfolded(velocity, lambda v: displacement_of(v, shape), on_round)


@torch.no_grad()
def displacement_without_folds(
    u: Tensor, *, on_round: Callable[[int], None] | None = None
) -> tuple[Tensor, int, int]:
    """`without_folds` of a displacement (1, 3, *s) that has no velocity: (u, voxels that folded at first, that still fold)."""
    _, u, at_first, left = _smoothed_until_unfolded(u, lambda field: field, on_round)
    return u, at_first, left


def _smoothed_until_unfolded(
    field: Tensor, displacement: Callable[[Tensor], Tensor], on_round: Callable[[int], None] | None
) -> tuple[Tensor, Tensor, int, int]:
    """(field, its displacement, voxels that folded at first, that still fold) after rounds of smoothing near folds."""
    u = displacement(field)
    folds = fold_map(u)
    at_first = left = int(folds.sum())
    for number in range(ROUNDS):
        if left == 0:
            break
        if on_round is not None:
            on_round(number)
        field = _smoothed_near(field, folds, number)
        u = displacement(field)
        folds = fold_map(u)
        left = int(folds.sum())
    return field, u, at_first, left


def _smoothed_near(velocity: Tensor, folds: Tensor, number: int) -> Tensor:
    """The velocity blended into its Gaussian mean around folds; region and width grow with the number of the round."""
    lattice = tuple(velocity.shape[2:])
    radius = 1 + number // 3
    near = F.adaptive_max_pool3d(folds.to(velocity.dtype), lattice)
    near = F.max_pool3d(near, 2 * radius + 1, stride=1, padding=radius)
    blend = gaussian_smooth(near, (1.0,) * 3).clamp(0, 1)
    return velocity + blend * (gaussian_smooth(velocity, (1.0 + 0.1 * number,) * 3) - velocity)


@torch.no_grad()
def corrected_inverse(u: Tensor, start: Tensor | None = None, *, tolerance: float = 0.05) -> Tensor:
    """e (1, 3, *s) with (id + u)∘(id + e) ≈ id on u's lattice.

    Voxels whose residual r(y) = e(y) + u(y + e(y)) is longer than `tolerance`, and whose origin lies in the lattice, take a few
    steps e ← e - r, then Newton steps e ← e - (I + ∇u)⁻¹ r; each step counts only if it lowers |r|, and is halved until it does.

    Args:
        u: (1, 3, *s), voxels.
        start: (1, 3, *s), such as exp(-v), changed in place; None: a few steps e ← -u(y + e(y)) everywhere.
        tolerance: voxels.
    """
    e = -u if start is None else start
    for _ in range(PLAIN_STEPS if start is None else 0):
        e = warp(u, e).neg_()
    residual = warp(u, e).add_(e)
    open_ = squared_lengths(residual[0], 0) > tolerance**2
    at = open_.nonzero().T
    position = at.to(e.dtype)
    inside = _inside_rows(position + e[0][(slice(None), *at)], u.shape[2:])
    at, position = at[:, inside], position[:, inside]
    if at.shape[1] == 0:
        return e
    where = (slice(None), *at)
    e[0][where] = _solved(u, position, e[0][where], residual[0][where], tolerance)
    return e


def _solved(u: Tensor, y: Tensor, e: Tensor, residual: Tensor, tolerance: float) -> Tensor:
    """Steps at positions y (3, n) from e, whose residual is given; converged ones are set aside."""
    solved = e.clone()
    active = torch.arange(y.shape[1], device=y.device)
    damping = torch.ones_like(residual[:1])
    for number in range(PLAIN_STEPS + NEWTON_STEPS):
        step = residual if number < PLAIN_STEPS else _newton_step(u, y + e, residual)
        trial = e - damping * step
        moved = _read(u, y + trial) + trial
        better = squared_lengths(moved, 0) < squared_lengths(residual, 0)
        e, residual = torch.where(better, trial, e), torch.where(better, moved, residual)
        damping = torch.where(better, (2 * damping).clamp(max=1.0), 0.5 * damping)
        if number == PLAIN_STEPS - 1:
            damping.fill_(1.0)
        solved[:, active] = e
        left = squared_lengths(residual, 0) > tolerance**2
        if not bool(left.any()):
            break
        y, e, residual, damping, active = y[:, left], e[:, left], residual[:, left], damping[:, left], active[left]
    return solved


def _read(u: Tensor, position: Tensor) -> Tensor:
    """u (1, 3, *s) at positions (3, n)."""
    return sample_linear(u, position[None, :, None, None])[0, :, 0, 0]


def _newton_step(u: Tensor, position: Tensor, residual: Tensor, step: float = 0.05) -> Tensor:
    """(I + ∇u)⁻¹ r at positions (3, n), ∇u by central differences of u's linear interpolation."""
    columns = []
    for axis in range(3):
        shift = torch.zeros(3, 1, dtype=u.dtype, device=u.device)
        shift[axis] = step
        columns.append((_read(u, position + shift) - _read(u, position - shift)) / (2 * step))
    matrix = torch.stack(columns, dim=1).permute(2, 0, 1) + torch.eye(3, dtype=u.dtype, device=u.device)
    flat = torch.linalg.det(matrix).abs() < 1e-3
    matrix[flat] = torch.eye(3, dtype=u.dtype, device=u.device)
    return torch.linalg.solve(matrix, residual.T[..., None])[..., 0].T


def _inside_rows(position: Tensor, shape: torch.Size) -> Tensor:
    """True where a position (3, n) in voxels lies within the lattice of centres `shape`."""
    last = torch.tensor(shape, dtype=position.dtype, device=position.device)[:, None] - 1
    return ((position >= 0) & (position <= last)).all(0)


def fold_map(u: Tensor) -> Tensor:
    """(1, 1, *s) True where any of the ten determinants of the lattice map p + u(p) is not positive; u (1, 3, *s)."""
    folds = torch.empty(u.shape[2:], dtype=torch.bool, device=u.device)
    for part in determinant_slabs(u[0]):
        folds[part.planes] = (part.smallest_corner <= 0) | (part.negative_volume > 0)
    return folds[None, None]
