"""Search all rotations and shifts of one image against another on a lattice so coarse that this takes a second.

For each of `ROTATIONS` rotations, evenly spread over all, the tensors of the turned moving image are correlated with those of the
fixed one at every shift at once, by Fourier transforms, with sums over what both fields of view share (Padfield, IEEE TIP 2012):

    S(R, t) = -n/2 · log(1 - ρ²),     ρ: correlation of the tensors over the n positions that both images see

which is how much more likely the tensors are if they are related: a small overlap has to agree better than a large one. The best
shift of each rotation is kept, and of those the best poses that differ. What follows climbs from them (`score.py`).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from ..geometry.grid import Grid
from ..geometry.transform import degrees_apart
from .structure import Structure, turning

ROTATIONS = 350
"""Every rotation is at most about 28 degrees from one of so many (super-Fibonacci spiral), 17 on average."""
ACROSS = 8
"""Voxels of the search's lattice across the content."""
AT_ONCE = 32
"""Rotations in one batch of transforms."""
LEAST_STRUCTURE = 0.15
"""Least share of either image's structure that an overlap holds: fewer edges correlate by chance."""
APART_DEGREES = 25.0
"""Poses that differ by less are one."""


FAR_SHARE = 0.75
"""Ends are brought together along axes where one field of view is shorter than this share of the other."""


@dataclass(frozen=True)
class Found:
    """A pose of the search: 4x4 fixed → moving, mm LPS, and its S."""

    matrix: np.ndarray
    score: float


def search(fixed: Structure, moving: Structure, *, wanted: int) -> list[Found]:
    """The most promising rigid poses, best first, mutually at least `APART_DEGREES` apart.

    Args:
        fixed, moving: on lattices of the same spacing.
        wanted: how many at most.
    """
    turned = _Turned(fixed, moving)
    rotations = spread_rotations(ROTATIONS)
    score, matrices = [], []
    for begin in range(0, len(rotations), AT_ONCE):
        part = rotations[begin : begin + AT_ONCE]
        best, shift = turned.best_shifts(part)
        score += best
        matrices += [turned.matrix(rotation, s) for rotation, s in zip(part, shift, strict=True)]
    order = np.argsort(-np.array(score), kind="stable")
    return list(_apart([Found(matrices[n], score[n]) for n in order if score[n] > 0], wanted))


def spread_rotations(count: int) -> np.ndarray:
    """(count, 3, 3): rotations evenly spread over all (super-Fibonacci spirals; Alexa, CVPR 2022)."""
    step = np.arange(count) + 0.5
    inner, outer = np.sqrt(step / count), np.sqrt(1 - step / count)
    first, second = 2 * np.pi * step / math.sqrt(2), 2 * np.pi * step / 1.533751168755204
    x, y, z, w = inner * np.sin(first), inner * np.cos(first), outer * np.sin(second), outer * np.cos(second)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    return np.moveaxis(np.array(rows), -1, 0)


def end_shifts(fixed: Grid, moving: Grid, centered: np.ndarray) -> list[np.ndarray]:
    """Starts that bring the ends of the two fields of view together where one is much shorter (a slab of a body)."""
    corners = np.array(list(itertools.product(*[(0, n - 1) for n in fixed.shape])))
    seen = moving.point_to_index(fixed.index_to_point(corners) @ centered[:3, :3].T + centered[:3, 3])
    starts = []
    for axis, width in enumerate(np.ptp(seen, axis=0)):
        surplus = (moving.shape[axis] - 1) - width
        if abs(surplus) < (1 - FAR_SHARE) * max(moving.shape[axis] - 1, width):
            continue
        for sign in (-0.5, 0.5):
            matrix = centered.copy()
            matrix[:3, 3] += sign * surplus * moving.affine[:3, axis]
            starts.append(matrix)
    return starts


def _apart(poses: list[Found], wanted: int) -> Iterator[Found]:
    kept: list[Found] = []
    for pose in poses:
        if len(kept) < wanted and all(degrees_apart(pose.matrix, other.matrix) > APART_DEGREES for other in kept):
            kept.append(pose)
            yield pose


class _Turned:
    """The moving image, turned about the center of its structure, seen on the fixed lattice at all shifts."""

    def __init__(self, fixed: Structure, moving: Structure) -> None:
        self._fixed, self._moving = fixed, moving
        self._size = self._lattice_size()
        self._lengths = [_fast(n + self._size - 1) for n in fixed.grid.shape]
        axis = (np.arange(self._size) - self._size // 2) * fixed.grid.spacing[0]
        offsets = np.stack(np.meshgrid(axis, axis, axis, indexing="ij")).reshape(3, -1)
        self._offsets = np.array(fixed.grid.direction) @ offsets
        spectra = [self._spectrum(x) for x in (fixed.values, *_sums(fixed.values[None]), fixed.inside[None])]
        self._values, self._trace, self._energy, self._inside = spectra
        self._least = [LEAST_STRUCTURE * float(x.values.square().sum()) for x in (fixed, moving)]

    def _lattice_size(self) -> int:
        """Odd number of voxels along each axis that hold the moving structure however it is turned."""
        strength = self._moving.strength
        strong = (strength > 0.1 * strength.max()).nonzero().numpy()
        distance = np.linalg.norm(self._moving.grid.index_to_point(strong) - self._moving.center, axis=1)
        radius = float(np.quantile(distance, 0.98)) if len(distance) else 1.0
        return 2 * max(1, math.ceil(radius / self._fixed.grid.spacing[0])) + 1

    def _spectrum(self, x: torch.Tensor) -> torch.Tensor:
        return torch.fft.rfftn(x, s=self._lengths, dim=(-3, -2, -1))

    def _correlated(self, fixed: torch.Tensor, moving: torch.Tensor) -> torch.Tensor:
        return torch.fft.irfftn(fixed * moving.conj(), s=self._lengths, dim=(-3, -2, -1))

    def best_shifts(self, rotations: np.ndarray) -> tuple[list[float], list[np.ndarray]]:
        """S at the best shift of each rotation (n, 3, 3), and that shift: the voxel at which the moving lattice begins."""
        values, inside = self._seen(rotations)
        trace, energy = _sums(values)
        count = self._correlated(self._inside, (inside_spectrum := self._spectrum(inside))).clamp_min(0)
        enough = count.clamp_min(1)
        products = torch.fft.irfftn((self._values * self._spectrum(values).conj()).sum(1), s=self._lengths, dim=(-3, -2, -1))
        traces = [self._correlated(self._trace, inside_spectrum), self._correlated(self._inside, self._spectrum(trace))]
        energies = [self._correlated(self._energy, inside_spectrum), self._correlated(self._inside, self._spectrum(energy))]
        common = products - traces[0] * traces[1] / (3 * enough)
        spread = [e - t.square() / (3 * enough) for e, t in zip(energies, traces, strict=True)]
        rho = (common / (spread[0].clamp_min(1e-6) * spread[1].clamp_min(1e-6)).sqrt()).clamp(0, 0.999)
        told = (energies[0] > self._least[0]) & (energies[1] > self._least[1])
        score = torch.where(told, -0.5 * count * torch.log1p(-rho.square()), 0)
        best, place = score.flatten(1).max(1)
        return best.tolist(), [self._unwrapped(n) for n in place.tolist()]

    def _seen(self, rotations: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """(n, 6, s, s, s) tensors and (n, s, s, s) positions inside of the turned moving image, in the fixed frame."""
        grid, size = self._moving.grid, self._size
        points = rotations @ self._offsets + self._moving.center[:, None]
        inverse = np.linalg.inv(grid.affine)
        index = torch.from_numpy(inverse[:3, :3] @ points + inverse[:3, 3:]).float()
        last = torch.tensor([n + 1 for n in grid.shape])[:, None]
        where = (2 * (index + 1) / last - 1).flip(1).movedim(1, -1).view(-1, size, size, size, 3)
        both = F.pad(torch.cat([self._moving.values, self._moving.inside[None]]), (1,) * 6)
        seen = F.grid_sample(both.expand(len(rotations), -1, -1, -1, -1), where, align_corners=True, padding_mode="zeros")
        inside = (seen[:, 6] > 0.5).float()
        matrices = turning(torch.from_numpy(rotations)).float()
        return torch.einsum("nab,nbijk->naijk", matrices, seen[:, :6] * inside[:, None]), inside

    def _unwrapped(self, place: int) -> np.ndarray:
        shift = np.array(np.unravel_index(place, self._lengths))
        return np.where(shift >= np.array(self._fixed.grid.shape), shift - np.array(self._lengths), shift)

    def matrix(self, rotation: np.ndarray, shift: np.ndarray) -> np.ndarray:
        """4x4 of a rotation and the voxel at which the moving lattice begins."""
        matrix = np.eye(4)
        matrix[:3, :3] = rotation
        matrix[:3, 3] = self._moving.center - rotation @ self._fixed.grid.index_to_point(shift + self._size // 2)
        return matrix


def _sums(values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Trace and squared length of tensors (n, 6, …): (n, …) each."""
    return values[:, :3].sum(1), values.square().sum(1)


def _fast(length: int) -> int:
    """The next length without prime factors above 5."""
    while True:
        rest = length
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return length
        length += 1
