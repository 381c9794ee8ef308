"""Change a batch at random, on its device: mirroring, smooth deformations, intensities.

Both images of a pair are mirrored alike; deformations and intensities are drawn for each image.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ..fields.resize import resize
from ..fields.sampling import sample_nearest, voxel_coordinates, warp
from ..integrators.scaling_and_squaring import integrate_velocity
from .draws import control_points
from .pairs import Batch
from .settings import FLIPS, TrainingSettings

INTEGRATION_STEPS = 5


def augmented(batch: Batch, settings: TrainingSettings, orientation: str, generators: list[torch.Generator]) -> Batch:
    """The batch after the changes that the settings ask for.

    Args:
        batch: the pairs.
        settings: flips, deform_voxels, deform_scale, intensity_jitter.
        orientation: letters of the lattice's axes, to know which axis a flip mirrors.
        generators: one on the CPU for each pair, so that a pair is changed alike in whichever batch it stands.
    """
    if settings.flips:
        batch = _mirrored(batch, _axes(settings.flips, orientation), generators)
    if settings.deform_voxels:
        batch = _deformed(batch, settings, generators)
    if settings.intensity_jitter:
        batch = replace(
            batch,
            moving=_jittered(batch.moving, settings.intensity_jitter, generators),
            fixed=_jittered(batch.fixed, settings.intensity_jitter, generators),
        )
    return batch


def _axes(flips: tuple[str, ...], orientation: str) -> list[int]:
    letters = {flip: pair for flip, pair in zip(FLIPS, ("LR", "AP", "SI"), strict=True) if flip in flips}
    return [axis for axis, letter in enumerate(orientation) if any(letter in pair for pair in letters.values())]


def _mirrored(batch: Batch, axes: list[int], generators: list[torch.Generator]) -> Batch:
    """Each axis with probability 1/2."""
    chosen = [[1 + a for a in axes if torch.rand((), generator=g) < 0.5] for g in generators]

    def mirror(x: Tensor | None) -> Tensor | None:
        return None if x is None else torch.stack([part.flip(flips) for part, flips in zip(x, chosen, strict=True)])

    return replace(batch, **{name: mirror(value) for name, value in vars(batch).items() if name != "names"})


def _deformed(batch: Batch, settings: TrainingSettings, generators: list[torch.Generator]) -> Batch:
    shape = tuple(batch.fixed.shape[2:])
    changes = {}
    for side in ("moving", "fixed"):
        velocity = torch.cat([_random_velocity(shape, settings, g) for g in generators]).to(batch.fixed.device)
        u = integrate_velocity(velocity, steps=INTEGRATION_STEPS)
        changes[side] = warp(getattr(batch, side), u)
        positions = u + voxel_coordinates(shape, device=u.device)
        for name in (f"{side}_labels", f"{side}_inside"):
            values = getattr(batch, name)
            changes[name] = None if values is None else sample_nearest(values, positions)
    return replace(batch, **changes)


def _random_velocity(shape: tuple[int, ...], settings: TrainingSettings, generator: torch.Generator) -> Tensor:
    """Normal velocities at control points, linear between them, of the asked-for standard deviation."""
    points = control_points(shape, settings.deform_scale)
    return resize(settings.deform_voxels * torch.randn(1, 3, *points, generator=generator), shape)


def _jittered(image: Tensor, deviation: float, generators: list[torch.Generator]) -> Tensor:
    """x ↦ c·x^γ with log γ, log c ~ N(0, deviation²), in [0, 1]."""
    changed = []
    for part, generator in zip(image, generators, strict=True):
        gamma, contrast = (deviation * torch.randn(2, generator=generator)).exp().tolist()
        changed.append((contrast * part.clamp(0, 1) ** gamma).clamp(0, 1))
    return torch.stack(changed)
