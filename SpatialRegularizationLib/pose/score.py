"""Score a pose by the tensors of both images, with its gradient, and climb to the best pose nearby.

    S(B) = -n/(2N) · log(1 - ρ²) - (stretch of B)² / (2 σ²) · w,      ρ: correlation of T_f(x) and Rᵀ T_m(B x) R

over N positions x of the fixed image, n of which B carries into the moving one (R: the rotation of B). The second term is the
prior on stretch and shear: two people differ by some percent, so a change of size has to be paid for by structure that agrees.

Whether one pose is better than another is a question of chance as well: the gain is compared with its standard error, which comes
from leaving out one block of the image after the other (jackknife; Efron and Stein 1981). Where only a few blocks gain, it is
chance.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from .structure import ENTRIES, Structure, turning, turning_by

RIGID, AFFINE = 6, 12
"""Numbers that describe a change of pose: rotation, shift; and stretch with shear."""
STRETCH = 0.1
"""σ: usual logarithm of the change of size between people."""
PRIOR_WEIGHT = 0.02
"""w, in units of S (a mean over positions)."""
SCATTER = 0.1
"""Standard deviation of the poses around one, radii of the structure: 6 degrees, and 6 mm in a head."""
BLOCKS = 4
"""Blocks along every axis that are left out in turn."""


@dataclass(frozen=True)
class Climb:
    """How far a climb goes: most steps, its first step and the smallest one in voxels of the lattice."""

    steps: int
    first: float = 0.7
    least: float = 0.02


class PoseScore:
    """S(B) on one lattice.

    Args:
        fixed, moving: tensors on lattices of about the same spacing.
        samples: most positions that are compared; fewer where the lattice has fewer.
        seed: decides which, and where beside the voxel centers: on the lattice of two equal grids rest would win, which alone
            needs no interpolation.
    """

    def __init__(self, fixed: Structure, moving: Structure, *, samples: int, seed: int) -> None:
        self._to_index = np.linalg.inv(moving.grid.affine)
        self._read = _Table(moving)
        index = _scattered(fixed, samples, seed)
        self._fixed = _Table(fixed)(torch.from_numpy(index.T).float()).values
        weight = self._fixed[:, :3].sum(1).double().numpy() + 1e-9
        points = fixed.grid.affine[:3, :3] @ index + fixed.grid.affine[:3, 3:]
        self.center = (points * weight).sum(1) / weight.sum()
        offset = (points - self.center[:, None]).T
        self.radius = float(np.sqrt(((offset**2).sum(1) * weight).sum() / weight.sum())) or 1.0
        self._offset = torch.from_numpy(offset / self.radius).float()
        self._voxel = max(fixed.grid.spacing) / self.radius
        self._block = _block_of(index)

    def __call__(self, matrix: np.ndarray) -> float:
        """S of a 4x4 matrix, fixed → moving, mm LPS."""
        values, seen = self._turned(matrix)
        sums = _summed(self._fixed * seen.held[:, None], values, seen.held).sum(0)
        return float(_informations(sums)) - _prior(matrix[:3, :3], AFFINE)[0]

    @property
    def points(self) -> np.ndarray:
        """(n, 3) positions that are compared, mm LPS of the fixed image."""
        return self.radius * self._offset.double().numpy() + self.center

    def gain(self, matrix: np.ndarray, over: np.ndarray) -> float:
        """How much better one pose is than another, in standard errors of the difference of S (without the prior)."""
        return _gain(self._sums(matrix), self._sums(over))

    def gain_by_bending(self, matrix: np.ndarray, displacement: np.ndarray) -> float:
        """The same of B(x + d(x)) over B alone; d (n, 3) in mm at `points`. Its local rotation is not accounted for."""
        bent = torch.from_numpy(displacement / self.radius).float()
        return _gain(self._sums(matrix, bent), self._sums(matrix))

    def moved(self, matrix: np.ndarray, other: np.ndarray) -> float:
        """How far apart two poses carry the structure, root mean square, voxels of the lattice."""
        apart = self.points @ (matrix - other)[:3, :3].T + (matrix - other)[:3, 3]
        return float(np.sqrt((apart**2).sum(1).mean())) / (self._voxel * self.radius)

    def scattered(self, matrix: np.ndarray, count: int, seed: int) -> list[np.ndarray]:
        """That many poses around one, turned and shifted by normally distributed numbers of `SCATTER` radii."""
        random = np.random.default_rng(seed)
        return [self._moved(matrix, SCATTER * random.normal(size=RIGID)) for _ in range(count)]

    def turned(self, matrix: np.ndarray) -> list[np.ndarray]:
        """Nine poses turned from one by a quarter, half and three quarters of a turn about each axis."""
        return [self._moved(matrix, quarter * np.pi / 2 * axis) for quarter in (1, 2, 3) for axis in np.eye(RIGID)[:3]]

    def climbed(self, matrix: np.ndarray, numbers: int, how: Climb) -> np.ndarray:
        """The best pose near a matrix, by quasi-Newton steps (BFGS) in rotation, shift and, with 12 numbers, stretch.

        Lengths are in radii of the structure, so that a rotation and a shift by one number move it about equally far.
        """
        value, slope = self._with_slope(matrix, numbers)
        inverse = np.eye(numbers) * how.first * self._voxel / max(np.linalg.norm(slope), 1e-12)
        for step in range(how.steps):
            change = inverse @ slope
            length = np.linalg.norm(change)
            change *= min(1.0, 3 * how.first * self._voxel / max(length, 1e-12))
            if length < how.least * self._voxel or (ahead := self._ahead(matrix, value, slope, change)) is None:
                break
            share, matrix, value, new_slope = ahead
            inverse = _updated(inverse, share * change, slope - new_slope, first=step == 0)
            slope = new_slope
        return matrix

    def _ahead(self, matrix: np.ndarray, value: float, slope: np.ndarray, change: np.ndarray) -> tuple | None:
        """The first of four shorter and shorter steps that raises S enough: share, matrix, S and slope there."""
        for share in (1.0, 0.35, 0.12, 0.04):
            there = self._moved(matrix, share * change)
            new_value, new_slope = self._with_slope(there, len(change))
            if new_value > value + 1e-4 * share * float(slope @ change):
                return share, there, new_value, new_slope
        return None

    def _moved(self, matrix: np.ndarray, change: np.ndarray) -> np.ndarray:
        """B after a change about the center: B · (rotation · stretch, shift)."""
        local = np.eye(4)
        local[:3, :3] = _exponential(np.tensordot(change[:3], _GENERATORS[:3], 1))
        if len(change) > RIGID:
            local[:3, :3] = local[:3, :3] @ _exponential(np.tensordot(change[6:], _GENERATORS[3:], 1))
        local[:3, 3] = self.center + self.radius * change[3:6] - local[:3, :3] @ self.center
        return matrix @ local

    def _sums(self, matrix: np.ndarray, bent: torch.Tensor | None = None) -> torch.Tensor:
        """(blocks, 7): the sums of `_summed` over each block."""
        values, seen = self._turned(matrix, bent)
        each = _summed(self._fixed * seen.held[:, None], values, seen.held)
        return each.new_zeros(BLOCKS**3, 7).index_add(0, self._block, each)

    def _turned(self, matrix: np.ndarray, bent: torch.Tensor | None = None) -> tuple[torch.Tensor, _Seen]:
        """Moving tensors (n, 6) in the fixed frame at B(x + bent), 0 where there are none, and as they were read."""
        begin = (self._to_index @ matrix @ np.append(self.center, 1))[:3]
        offset = self._offset if bent is None else self._offset + bent
        where = torch.addmm(torch.from_numpy(begin).float(), offset, torch.from_numpy(self._step_to(matrix).T).float())
        seen = self._read(where)
        return seen.values @ _turn_of(matrix).T, seen

    def _step_to(self, matrix: np.ndarray) -> np.ndarray:
        """3x3: a step of one radius in the fixed image, in voxels of the moving lattice."""
        return self.radius * self._to_index[:3, :3] @ matrix[:3, :3]

    def _with_slope(self, matrix: np.ndarray, numbers: int) -> tuple[float, np.ndarray]:
        """S at a matrix and its slope for a small change of 6 or 12 numbers: B · (rotation · stretch, shift).

        With unit vectors f, g of the centered tensors dρ/dg = (f - ρ g)/|g|; g changes with the place it is read at, and turns.
        """
        values, seen = self._turned(matrix)
        fixed, moving = (_centered(x, seen.held) for x in (self._fixed * seen.held[:, None], values))
        lengths = [max(float(x.square().sum()), 1e-9) ** 0.5 for x in (fixed, moving)]
        rho = float((fixed * moving).sum()) / (lengths[0] * lengths[1])
        share, inner = float(seen.held.mean()), min(max(rho, 0.0), 0.9999)
        cost, uphill = _prior(matrix[:3, :3], numbers)
        value = -0.5 * share * math.log1p(-(inner**2)) - cost
        by_value = fixed / (lengths[0] * lengths[1]) - moving * (rho / lengths[1] ** 2)
        by_place = seen.by_place(by_value @ _turn_of(matrix)) @ torch.from_numpy(self._step_to(matrix)).float()
        outer = (by_place.T @ self._offset).double().numpy()
        turned = ((by_value.T @ values).double() * _TURNS).sum((1, 2)).numpy()
        turns = np.tensordot(_GENERATORS[:3], outer, 2) + turned
        stretches = np.tensordot(_GENERATORS[3:], outer, 2)[: numbers - RIGID]
        slope = np.concatenate([turns, by_place.sum(0).double().numpy(), stretches])
        return value, share * inner / (1 - inner**2) * slope - uphill


@dataclass(frozen=True)
class _Seen:
    """What is read at n positions.

    Args:
        values: (n, 6), 0 where nothing is there.
        held: (n) 1 where something is there, else 0.
        corners: the eight (n, 8) around each position, the last axis of the image the fastest.
        part: (n, 3) how far each position lies from the first to the last of them; 0 to 1.
        inner: (n, 3) 0 beyond the border, where nothing changes.
    """

    values: torch.Tensor
    held: torch.Tensor
    corners: list[torch.Tensor]
    part: torch.Tensor
    inner: torch.Tensor

    def by_place(self, weights: torch.Tensor) -> torch.Tensor:
        """(n, 3): derivative by the position, voxels, of the weighted (n, 6) sum of the values."""
        weights = F.pad(weights * self.held[:, None], (0, 2))
        sums = torch.stack([torch.einsum("nc,nc->n", corner, weights) for corner in self.corners]).view(2, 2, 2, -1)
        x, y, z = self.part.T
        along = [
            torch.lerp(*torch.lerp(*(sums[1] - sums[0]), y), z),
            torch.lerp(*torch.lerp(*(sums[:, 1] - sums[:, 0]), x), z),
            torch.lerp(*torch.lerp(*(sums[:, :, 1] - sums[:, :, 0]), x), y),
        ]
        return torch.stack(along, 1) * self.inner


class _Table:
    """Tensors of a lattice, read linearly; beyond its border as at it."""

    def __init__(self, structure: Structure) -> None:
        self._shape = structure.grid.shape
        rows = torch.cat([structure.values, structure.inside[None], torch.zeros_like(structure.inside)[None]])
        self._rows = rows.flatten(1).T.contiguous()

    def __call__(self, where: torch.Tensor) -> _Seen:
        """At positions (n, 3), voxels."""
        last = torch.tensor(self._shape, dtype=where.dtype) - 1
        within = ((where >= -0.5) & (where <= last + 0.5)).all(1)
        clamped = where.clamp_min(0).minimum(last)
        low = clamped.floor().minimum((last - 1).clamp_min(0))
        part = clamped - low
        _, j, k = self._shape
        strides = (j * k, k, 1)
        begin = (low.long() * torch.tensor(strides)).sum(1)
        steps = [(0, stride if n > 1 else 0) for n, stride in zip(self._shape, strides, strict=True)]
        corners = [self._rows.index_select(0, begin + sum(step)) for step in itertools.product(*steps)]
        x, y, z = (part[:, a : a + 1] for a in range(3))
        sides = [torch.lerp(*corners[n : n + 2], z) for n in (0, 2, 4, 6)]
        found = torch.lerp(torch.lerp(*sides[:2], y), torch.lerp(*sides[2:], y), x)
        held = ((found[:, 6] > 0.5) & within).to(found.dtype)
        return _Seen(found[:, :6] * held[:, None], held, corners, part, (where == clamped).to(where.dtype))


def _generators() -> np.ndarray:
    """(9, 3, 3): of the rotations about the three axes, and of the six stretches (three along axes, three shears)."""
    made = np.zeros((9, 3, 3))
    for n, (a, b) in enumerate(((2, 1), (0, 2), (1, 0))):
        made[n, a, b], made[n, b, a] = 1, -1
    for n, (a, b) in enumerate(ENTRIES):
        made[3 + n, a, b] = made[3 + n, b, a] = 1
    return made


_GENERATORS = _generators()
_TURNS = turning_by(torch.from_numpy(_GENERATORS[:3])).float()


def _turn_of(matrix: np.ndarray) -> torch.Tensor:
    """(6, 6): what brings stored tensors of the moving image into the fixed frame."""
    left, _, right = np.linalg.svd(matrix[:3, :3])
    return turning(torch.from_numpy(left @ right)).float()


def _centered(tensors: torch.Tensor, held: torch.Tensor) -> torch.Tensor:
    """Tensors (n, 6), 0 where there are none, less their mean, which is taken to be isotropic."""
    mean = float(tensors[:, :3].sum()) / (3 * float(held.sum().clamp_min(1)))
    return torch.cat([tensors[:, :3] - mean * held[:, None], tensors[:, 3:]], 1)


def _exponential(generator: np.ndarray) -> np.ndarray:
    return torch.matrix_exp(torch.from_numpy(generator)).numpy()


def _gain(ahead: torch.Tensor, behind: torch.Tensor) -> float:
    """Difference of S over its standard error, of sums over blocks (blocks, 7)."""
    used = (ahead[:, 6] > 0) & ((ahead[:, 5] > 0) | (behind[:, 5] > 0))
    whole = float(_informations(ahead.sum(0)) - _informations(behind.sum(0)))
    if whole == 0 or not bool(used.any()):
        return 0.0
    without = _informations(ahead.sum(0) - ahead[used]) - _informations(behind.sum(0) - behind[used])
    count = len(without)
    error = float(((count - 1) / count * (without - without.mean()).square().sum()).sqrt())
    return whole / error if error > 1e-9 else math.copysign(math.inf, whole)


def _scattered(structure: Structure, samples: int, seed: int) -> np.ndarray:
    """Positions (3, n) in voxels, off the lattice, evenly spread over what is inside."""
    random = np.random.default_rng(seed)
    index = (structure.inside.flatten() > 0.5).nonzero()[:, 0].numpy()
    if len(index) > samples:
        index = random.permutation(index)[:samples]
    lattice = np.stack(np.unravel_index(index, structure.grid.shape)).astype(np.float64)
    last = np.array(structure.grid.shape)[:, None] - 1
    return np.clip(lattice + random.uniform(-0.5, 0.5, lattice.shape), 0, last)


def _block_of(index: np.ndarray) -> torch.Tensor:
    """In which block each position (3, n) lies."""
    low, width = index.min(1, keepdims=True), np.ptp(index, axis=1)[:, None] + 1e-9
    part = np.minimum((BLOCKS * (index - low) / width).astype(int), BLOCKS - 1)
    return torch.from_numpy((part[0] * BLOCKS + part[1]) * BLOCKS + part[2])


def _summed(fixed: torch.Tensor, moving: torch.Tensor, held: torch.Tensor) -> torch.Tensor:
    """(N, 7) float64: product, both traces, both squares, whether held, and 1, of tensors (N, 6) that are 0 where not held."""
    traces = [x[:, :3].sum(1) for x in (fixed, moving)]
    squares = [x.square().sum(1) for x in (fixed, moving)]
    common = (fixed * moving).sum(1)
    return torch.stack([common, *traces, *squares, held, torch.ones_like(common)], 1).double()


def _informations(sums: torch.Tensor) -> torch.Tensor:
    """-n/(2N) log(1 - ρ²) of sums (…, 7) over positions, as `_summed` gives them; the mean tensor is taken to be isotropic."""
    common, first, second, first_square, second_square, held, count = sums.unbind(-1)
    held = held.clamp_min(1)
    covariance = common - first * second / (3 * held)
    variances = [(s - t.square() / (3 * held)).clamp_min(1e-9) for s, t in ((first_square, first), (second_square, second))]
    rho = (covariance / (variances[0] * variances[1]).sqrt()).clamp(0, 0.9999)
    return -0.5 * torch.log1p(-rho.square()) * held / count.clamp_min(1)


def _prior(linear: np.ndarray, numbers: int) -> tuple[float, np.ndarray]:
    """w · |log stretch|² / (2 σ²) and its slope, with |BᵀB - 1|²/4 for |log stretch|²: equal where that is small."""
    square = linear.T @ linear
    excess = square - np.eye(3)
    slope, scale = np.zeros(numbers), PRIOR_WEIGHT / (8 * STRETCH**2)
    for number, generator in zip((0, 1, 2, *range(RIGID, numbers)), _GENERATORS, strict=False):
        slope[number] = 4 * scale * (excess * (square @ generator)).sum()
    return scale * float((excess**2).sum()), slope


def _updated(inverse: np.ndarray, step: np.ndarray, fall: np.ndarray, *, first: bool) -> np.ndarray:
    """The BFGS update of the inverse curvature; `fall` is how much the slope has fallen along the step."""
    product = float(step @ fall)
    if product <= 1e-12:
        return inverse
    if first:
        inverse = np.eye(len(step)) * product / float(fall @ fall)
    left = np.eye(len(step)) - np.outer(step, fall) / product
    return left @ inverse @ left.T + np.outer(step, step) / product
