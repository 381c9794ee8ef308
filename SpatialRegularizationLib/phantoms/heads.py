"""Paint a synthetic pair of heads with everything known: two "subjects", or one before and after a known deformation.

Nothing here comes from a person. The images are procedural (see `phantom_anatomy`): T1-like contrast, label maps, bias
field, noise, and headers that differ in orientation and field of view. They serve the demo and the tests; figures on
them say nothing about accuracy on patients.

    fixed(x) = head(T_f(x))          moving(x) = head'(T_m(x))                      two subjects
    fixed(x) = head(T(φ(x)))         moving(x) = head(T(x))                         known φ = id + d:  fixed = moving∘φ

Both sides are painted from their own coordinates: nothing is interpolated, so φ is the truth and not its resampling.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..fields.sampling import voxel_coordinates
from ..geometry.displacement import DisplacementField
from ..geometry.grid import Grid
from ..geometry.volume import Volume
from ..integrators.scaling_and_squaring import integrate_velocity
from .anatomy import LABELS as LABELS
from .anatomy import Folding, at, head_layers, noise, paint

SHARED_FOLDING = 0.85
"""Correlation of the two subjects' folding patterns before their own deformation."""


@dataclass(frozen=True)
class PhantomPair:
    """Two images, their label maps, and the truth where there is one.

    Args:
        fixed, moving: (1, i, j, k) float32, white matter near 1000.
        fixed_labels, moving_labels: (1, i, j, k) int32, numbers of `LABELS`, on the grids of the images.
        displacement: true d(x) on the fixed grid (fixed = moving∘(id + d)); None for two subjects.
    """

    fixed: Volume
    moving: Volume
    fixed_labels: Volume
    moving_labels: Volume
    displacement: DisplacementField | None


@dataclass(frozen=True)
class _Subject:
    folding: Folding
    ventricles: float
    gap_mm: float
    size: tuple[float, float, float]
    warp: Tensor


def two_subjects(shape: tuple[int, int, int] = (96, 112, 96), *, seed: int = 0) -> PhantomPair:
    """Two different synthetic heads: other size, ventricles, atrophy, and partly other folds.

    Args:
        shape: voxels of the fixed image; the field of view is 192 x 224 x 192 mm, so (96, 112, 96) has 2 mm voxels.
        seed: everything random follows from it.
    """
    fixed_grid, moving_grid = _grids(shape)
    fixed = _subject(seed, 0, ventricles=1.0, gap_mm=2.5, size=(1.0, 1.0, 1.0))
    moving = _subject(seed, 1, ventricles=2.0, gap_mm=3.5, size=(1.04, 0.97, 1.02))
    fixed_image, fixed_labels = _scan(fixed, fixed_grid, _centers(fixed_grid), seed=seed + 11)
    moving_image, moving_labels = _scan(moving, moving_grid, _centers(moving_grid), seed=seed + 12)
    return PhantomPair(fixed_image, moving_image, fixed_labels, moving_labels, None)


def known_deformation(
    shape: tuple[int, int, int] = (96, 112, 96), *, seed: int = 0, largest_mm: float = 10.0
) -> PhantomPair:
    """One synthetic head before and after a known diffeomorphism (scanned twice: other noise, bias field and header).

    Args:
        shape: as `two_subjects`.
        largest_mm: length of the largest displacement, mm; 0 < largest_mm ≤ 20.

    Raises:
        ValueError: largest_mm outside its range.
    """
    if not 0 < largest_mm <= 20:
        raise ValueError(f"largest_mm must be in (0, 20], got {largest_mm}: larger deformations would tear the head.")
    fixed_grid, moving_grid = _grids(shape)
    subject = _subject(seed, 0, ventricles=1.3, gap_mm=3.0, size=(1.0, 1.0, 1.0))
    truth = _smooth_diffeomorphism(fixed_grid, seed=seed + 21, largest_mm=largest_mm)
    fixed_image, fixed_labels = _scan(subject, fixed_grid, _centers(fixed_grid) + truth.vectors, seed=seed + 11)
    moving_image, moving_labels = _scan(subject, moving_grid, _centers(moving_grid), seed=seed + 12)
    return PhantomPair(fixed_image, moving_image, fixed_labels, moving_labels, truth)


def _grids(shape: tuple[int, int, int]) -> tuple[Grid, Grid]:
    """Fixed: axes along R, A, S. Moving: axes along L, I, A, a little oblique, another field of view."""
    spacing = tuple(fov / n for fov, n in zip((192.0, 224.0, 192.0), shape, strict=True))
    fixed = _centered(shape, spacing, np.diag([-1.0, -1.0, 1.0]), (0.0, 4.0, -8.0))
    permuted = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, -1.0, 0.0]])
    turn = _rotation(0.05, 0) @ _rotation(-0.04, 2)
    other = (shape[0], shape[2] + 4, shape[1] - 4)
    moving = _centered(other, (spacing[0], spacing[2], spacing[1]), turn @ permuted, (3.0, 8.0, -12.0))
    return fixed, moving


def _centered(shape: tuple[int, ...], spacing: tuple[float, ...], direction: np.ndarray, center: tuple) -> Grid:
    middle = (np.array(shape) - 1) / 2 * np.array(spacing)
    return Grid(shape, spacing, tuple(np.array(center) - direction @ middle), tuple(map(tuple, direction)))


def _rotation(angle: float, axis: int) -> np.ndarray:
    matrix = np.eye(3)
    a, b = [n for n in range(3) if n != axis]
    matrix[[a, b], [a, b]] = math.cos(angle)
    matrix[a, b], matrix[b, a] = -math.sin(angle), math.sin(angle)
    return matrix


def _subject(seed: int, number: int, *, ventricles: float, gap_mm: float, size: tuple[float, float, float]) -> _Subject:
    """Anatomy number `number` of the population `seed`: a part of the folds is shared, the rest its own."""
    shared = torch.Generator().manual_seed(1000 * seed + 1)
    own = torch.Generator().manual_seed(1000 * seed + 2 + number)
    rest = math.sqrt(1 - SHARED_FOLDING**2)

    def mixed(wavelength_mm: float, band: float = 0.0) -> Tensor:
        common = noise(shared, wavelength_mm=wavelength_mm, band=band)
        return SHARED_FOLDING * common + rest * noise(own, wavelength_mm=wavelength_mm, band=band)

    folding = Folding(
        pattern=mixed(19.5, 0.2),
        depth=mixed(60.0),
        lean=torch.cat([mixed(75.0) for _ in range(3)], dim=1),
        texture=noise(own, wavelength_mm=14.0),
    )
    warp = torch.cat([noise(own, wavelength_mm=150.0) for _ in range(3)], dim=1)
    return _Subject(folding, ventricles, gap_mm, size, 2.2 * warp)


def _scan(subject: _Subject, grid: Grid, points: Tensor, *, seed: int) -> tuple[Volume, Volume]:
    """Image and label map of a subject, seen at LPS points (3, i, j, k): anatomy, bias field, Rician noise."""
    generator = torch.Generator().manual_seed(seed)
    spacing = float(np.prod(grid.spacing)) ** (1 / 3)
    head = (points + at(subject.warp, points)) / torch.tensor(subject.size).view(3, 1, 1, 1)
    layers = head_layers(head, spacing, subject.folding, ventricles=subject.ventricles, gap_mm=subject.gap_mm)
    image, labels = paint(layers, spacing)
    bias = 1 + 0.08 * at(noise(generator, wavelength_mm=280.0), _centers(grid))[0]
    real, imaginary = (0.02 * torch.randn(grid.shape, generator=generator) for _ in range(2))
    image = ((image * bias + real) ** 2 + imaginary**2).sqrt()
    return Volume(1000 * image[None], grid), Volume(labels[None], grid)


def _smooth_diffeomorphism(grid: Grid, *, seed: int, largest_mm: float) -> DisplacementField:
    """exp of a band-limited random velocity, scaled to the largest displacement asked for."""
    generator = torch.Generator().manual_seed(seed)
    velocity = torch.cat([noise(generator, wavelength_mm=110.0) for _ in range(3)], dim=1)
    field = at(velocity, _centers(grid))
    v = DisplacementField(field * (largest_mm / float(field.norm(dim=0).max())), grid).to_voxels()
    return DisplacementField.from_voxels(integrate_velocity(v[None], steps=7)[0], grid)


def _centers(grid: Grid) -> Tensor:
    """LPS positions (3, i, j, k) of the voxel centers, mm, float32."""
    index = voxel_coordinates(grid.shape).movedim(0, -1).numpy()
    return torch.from_numpy(grid.index_to_point(index)).movedim(-1, 0).float().contiguous()
