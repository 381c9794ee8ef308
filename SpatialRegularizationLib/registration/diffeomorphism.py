"""No folds: smooth the velocity where its exponential folds on the lattice, and nowhere else.

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
from ..fields.resize import resize_displacement
from ..fields.smoothing import gaussian_smooth
from ..integrators.scaling_and_squaring import integrate_velocity, steps_for

ROUNDS = 40
LARGEST_STEP = 0.25


def displacement_of(velocity: Tensor, shape: tuple[int, ...]) -> Tensor:
    """u of exp(velocity) on a lattice of another shape, voxels of that lattice; small squaring steps."""
    u = integrate_velocity(velocity, steps=steps_for(velocity, largest_step=LARGEST_STEP))
    return resize_displacement(u, shape)


@torch.no_grad()
def without_folds(
    velocity: Tensor, shape: tuple[int, ...], *, on_round: Callable[[int], None] | None = None
) -> tuple[Tensor, Tensor, int]:
    """The velocity, changed where exp(velocity) folds on the lattice `shape`.

    Args:
        velocity: (1, 3, *s).
        shape: lattice on which the displacement is used.
        on_round: called with the number of each round.

    Returns:
        (velocity, u on `shape`, number of voxels that folded at first). After `ROUNDS` rounds the smoothing covers the whole
        lattice, so the loop ends.
    """
    lattice = tuple(velocity.shape[2:])
    folded_at_first = 0
    u = displacement_of(velocity, shape)
    for number in range(ROUNDS):
        folds = fold_map(u)
        count = int(folds.sum())
        if number == 0:
            folded_at_first = count
        if count == 0:
            break
        if on_round is not None:
            on_round(number)
        radius = 1 + number // 3
        near = F.adaptive_max_pool3d(folds.to(velocity.dtype), lattice) if lattice != shape else folds.to(velocity)
        near = F.max_pool3d(near, 2 * radius + 1, stride=1, padding=radius)
        blend = gaussian_smooth(near, (1.0,) * 3).clamp(0, 1)
        smooth = gaussian_smooth(velocity, (1.0 + 0.1 * number,) * 3)
        velocity = velocity + blend * (smooth - velocity)
        u = displacement_of(velocity, shape)
    return velocity, u, folded_at_first


def fold_map(u: Tensor) -> Tensor:
    """(1, 1, *s) True where any of the ten determinants of the lattice map p + u(p) is not positive; u (1, 3, *s)."""
    folds = torch.empty(u.shape[2:], dtype=torch.bool, device=u.device)
    for part in determinant_slabs(u[0]):
        folds[part.planes] = (part.smallest_corner <= 0) | (part.negative_volume > 0)
    return folds[None, None]
