"""Draw where a synthesized image shows what: random affine maps and random diffeomorphisms.

    image(p) shows the label at  A_pair A_own (p + u(p)),     u = exp(v),  v random at three scales
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..fields.resize import resize_displacement
from ..fields.sampling import voxel_coordinates
from ..integrators.scaling_and_squaring import integrate_velocity
from .draws import Draws
from .synthesis_settings import SynthesisSettings

INTEGRATION_STEPS = 5
SCALES = (1, 2, 4)
"""Distances of the control points in units of the smallest; wider ones move more, in proportion."""


def random_affine(settings: SynthesisSettings, spacing: tuple[float, ...], draws: Draws, *, share: float = 1.0) -> Tensor:
    """A 3 x 4 map of voxel positions relative to the middle of the image: rotations in patient space, scalings, shift.

    Args:
        settings: rotation_degrees, scaling, shift_voxels: the largest.
        spacing: of the voxels, any length unit.
        draws: where randomness comes from.
        share: of those amounts.
    """
    matrix = torch.eye(3, dtype=torch.float64)
    for axis in range(3):
        angle = math.radians(share * settings.rotation_degrees * draws.uniform(-1, 1))
        turn = torch.eye(3, dtype=torch.float64)
        a, b = [n for n in range(3) if n != axis]
        turn[a, a] = turn[b, b] = math.cos(angle)
        turn[a, b], turn[b, a] = -math.sin(angle), math.sin(angle)
        matrix = matrix @ turn
    scales = [math.exp(share * settings.scaling * draws.uniform(-1, 1)) for _ in range(3)]
    lengths = torch.tensor(spacing, dtype=torch.float64)
    matrix = matrix * torch.tensor(scales, dtype=torch.float64) * lengths / lengths[:, None]
    shift = [share * settings.shift_voxels * draws.uniform(-1, 1) for _ in range(3)]
    return torch.cat([matrix, torch.tensor(shift, dtype=torch.float64)[:, None]], dim=1)


def composed(outer: Tensor, inner: Tensor) -> Tensor:
    """The 3 x 4 map p ↦ outer(inner(p))."""
    return torch.cat([outer[:, :3] @ inner[:, :3], outer[:, :3] @ inner[:, 3:] + outer[:, 3:]], dim=1)


def random_displacement(shape: tuple[int, ...], settings: SynthesisSettings, draws: Draws) -> Tensor:
    """u of a random diffeomorphism, (1, 3, *shape) voxels; integrated on half the lattice."""
    half = tuple(-(-n // 2) for n in shape)
    velocity = torch.zeros(1, 3, *half, device=draws.device)
    for scale in SCALES:
        deviation = settings.warp_voxels * draws.uniform(0, 1) * scale / SCALES[-1]
        velocity += 0.5 * deviation * draws.smooth(3, half, settings.warp_scale * scale / 2)
    return resize_displacement(integrate_velocity(velocity, steps=INTEGRATION_STEPS), shape)


def random_positions(pair_affine: Tensor, settings: SynthesisSettings, spacing: tuple[float, ...], shape, draws: Draws) -> Tensor:
    """Positions in a label map for every voxel of an image made from it: (1, 3, *shape) voxels.

    Args:
        pair_affine: the part of the affine map that both images share.
        settings: of the synthesis.
        spacing: as `random_affine`.
        shape: voxels of the image and of the label map.
        draws: where randomness comes from.
    """
    affine = composed(pair_affine, random_affine(settings, spacing, draws, share=settings.own_affine))
    middle = torch.tensor([(n - 1) / 2 for n in shape], dtype=torch.float64)[:, None]
    matrix, shift = affine[:, :3], affine[:, 3:] + middle - affine[:, :3] @ middle
    points = random_displacement(shape, settings, draws)[0] + voxel_coordinates(shape, device=draws.device)
    moved = torch.addmm(shift.to(points), matrix.to(points), points.flatten(1))
    return moved.view(1, 3, *shape)
