"""Score a pose by the tensors of both images, with its gradient, and climb to the best pose nearby.

    S(B) = -n/(2N) · log(1 - ρ²) - (stretch of B)² / (2 σ²) · w,      ρ: correlation of T_f(x) and Rᵀ T_m(B x) R

over N positions x of the fixed image, n of which B carries into the moving one (R: the rotation of B). The second term is the
prior on stretch and shear: two people differ by some percent, so a change of size has to be paid for by structure that agrees.

Whether one pose is better than another is a question of chance as well: the gain is compared with its standard error, which comes
from leaving out one block of the image after the other (jackknife; Efron and Stein 1981). Where only a few blocks gain, it is
chance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from ..fields.sampling import sample_linear
from .structure import Structure, turning

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
        self._moving, self._to_index = moving, np.linalg.inv(moving.grid.affine)
        self._read = torch.cat([moving.values, moving.inside[None]])[None]
        index = _scattered(fixed, samples, seed)
        place = torch.from_numpy(index).float()[None, ..., None, None]
        self._fixed = sample_linear(torch.cat([fixed.values, fixed.inside[None]])[None], place)[0, :6, :, 0, 0]
        weight = self._fixed[:3].sum(0).double().numpy() + 1e-9
        points = fixed.grid.affine[:3, :3] @ index + fixed.grid.affine[:3, 3:]
        self.center = (points * weight).sum(1) / weight.sum()
        offset = points - self.center[:, None]
        self.radius = float(np.sqrt(((offset**2).sum(0) * weight).sum() / weight.sum())) or 1.0
        self._offset = torch.from_numpy(offset / self.radius).float()
        self._voxel = max(fixed.grid.spacing) / self.radius
        self._block = _block_of(index)

    def __call__(self, matrix: np.ndarray) -> float:
        """S of a 4x4 matrix, fixed → moving, mm LPS."""
        with torch.no_grad():
            return float(self._score(matrix, torch.zeros(RIGID, dtype=torch.float64)))

    @property
    def points(self) -> np.ndarray:
        """(n, 3) positions that are compared, mm LPS of the fixed image."""
        return (self.radius * self._offset.double().numpy() + self.center[:, None]).T

    def gain(self, matrix: np.ndarray, over: np.ndarray) -> float:
        """How much better one pose is than another, in standard errors of the difference of S (without the prior)."""
        return _gain(self._sums(matrix), self._sums(over))

    def gain_by_bending(self, matrix: np.ndarray, displacement: np.ndarray) -> float:
        """The same of B(x + d(x)) over B alone; d (n, 3) in mm at `points`. Its local rotation is not accounted for."""
        bent = torch.from_numpy(displacement.T / self.radius).float()
        return _gain(self._sums(matrix, bent), self._sums(matrix))

    def moved(self, matrix: np.ndarray, other: np.ndarray) -> float:
        """How far apart two poses carry the structure, root mean square, voxels of the lattice."""
        points = self.radius * self._offset.double().numpy() + self.center[:, None]
        apart = (matrix - other)[:3, :3] @ points + (matrix - other)[:3, 3:]
        return float(np.sqrt((apart**2).sum(0).mean())) / (self._voxel * self.radius)

    def scattered(self, matrix: np.ndarray, count: int, seed: int) -> list[np.ndarray]:
        """That many poses around one, turned and shifted by normally distributed numbers of `SCATTER` radii."""
        random = np.random.default_rng(seed)
        return [self._moved(matrix, SCATTER * random.normal(size=RIGID)) for _ in range(count)]

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

    def _with_slope(self, matrix: np.ndarray, numbers: int) -> tuple[float, np.ndarray]:
        with torch.enable_grad():
            change = torch.zeros(numbers, dtype=torch.float64, requires_grad=True)
            value = self._score(matrix, change)
            (slope,) = torch.autograd.grad(value, change)
        return float(value.detach()), slope.numpy()

    def _moved(self, matrix: np.ndarray, change: np.ndarray) -> np.ndarray:
        """B after a change about the center: B · (rotation · stretch, shift)."""
        rotation, stretch, shift = _parts(torch.from_numpy(change))
        local = np.eye(4)
        local[:3, :3] = (rotation @ stretch).numpy()
        local[:3, 3] = self.center + self.radius * shift.numpy() - local[:3, :3] @ self.center
        return matrix @ local

    def _score(self, matrix: np.ndarray, change: torch.Tensor) -> torch.Tensor:
        """S of B · change, differentiable for the change."""
        linear, values, held = self._seen(matrix, change)
        return _informations(_summed(self._fixed * held, values, held).sum(1)) - _prior(linear)

    def _sums(self, matrix: np.ndarray, bent: torch.Tensor | None = None) -> torch.Tensor:
        """(blocks, 7): the sums of `_summed` over each block."""
        with torch.no_grad():
            _, values, held = self._seen(matrix, torch.zeros(RIGID, dtype=torch.float64), bent)
            each = _summed(self._fixed * held, values, held)
        return each.new_zeros(BLOCKS**3, 7).index_add(0, self._block, each.T)

    def _seen(
        self, matrix: np.ndarray, change: torch.Tensor, bent: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Linear part of B · change, the moving tensors in the fixed frame at all positions, and where there are any."""
        rotation, stretch, shift = _parts(change)
        linear = torch.from_numpy(matrix[:3, :3]) @ rotation @ stretch
        middle = torch.from_numpy(matrix[:3, :3] @ self.center + matrix[:3, 3])
        middle = middle + self.radius * torch.from_numpy(matrix[:3, :3]) @ shift
        to_index = torch.from_numpy(self._to_index)
        begin = to_index[:3, :3] @ middle + to_index[:3, 3]
        offset = self._offset if bent is None else self._offset + bent
        where = (self.radius * to_index[:3, :3] @ linear).float() @ offset + begin.float()[:, None]
        where = where[None, ..., None, None]
        seen = sample_linear(self._read, where)[0, :, :, 0, 0]
        held = (seen[6] > 0.5) & self._within(where[0, :, :, 0, 0])
        left, _, right = np.linalg.svd(matrix[:3, :3])
        return linear, turning(torch.from_numpy(left @ right) @ rotation).float() @ (seen[:6] * held), held

    def _within(self, where: torch.Tensor) -> torch.Tensor:
        inside = torch.ones_like(where[0], dtype=torch.bool)
        for axis, n in enumerate(self._moving.grid.shape):
            inside &= (where[axis] >= -0.5) & (where[axis] <= n - 0.5)
        return inside


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


def _parts(change: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Rotation, stretch (3x3 each) and shift of 6 or 12 numbers."""
    none = change.new_zeros(())
    a, b, c = change[:3]
    rotation = torch.matrix_exp(torch.stack([none, -c, b, c, none, -a, -b, a, none]).view(3, 3))
    if len(change) == RIGID:
        return rotation, torch.eye(3, dtype=change.dtype), change[3:6]
    x, y, z, p, q, r = change[6:]
    return rotation, torch.matrix_exp(torch.stack([x, p, q, p, y, r, q, r, z]).view(3, 3)), change[3:6]


def _block_of(index: np.ndarray) -> torch.Tensor:
    """In which block each position (3, n) lies."""
    low, width = index.min(1, keepdims=True), np.ptp(index, axis=1)[:, None] + 1e-9
    part = np.minimum((BLOCKS * (index - low) / width).astype(int), BLOCKS - 1)
    return torch.from_numpy((part[0] * BLOCKS + part[1]) * BLOCKS + part[2])


def _summed(fixed: torch.Tensor, moving: torch.Tensor, held: torch.Tensor) -> torch.Tensor:
    """(7, N) float64: product, both traces, both squares, whether held, and 1, of tensors (6, N) that are 0 where not held."""
    traces = [x[:3].sum(0) for x in (fixed, moving)]
    squares = [x.square().sum(0) for x in (fixed, moving)]
    common = (fixed * moving).sum(0)
    return torch.stack([common, *traces, *squares, held.to(common.dtype), torch.ones_like(common)]).double()


def _informations(sums: torch.Tensor) -> torch.Tensor:
    """-n/(2N) log(1 - ρ²) of sums (…, 7) over positions, as `_summed` gives them; the mean tensor is taken to be isotropic."""
    common, first, second, first_square, second_square, held, count = sums.unbind(-1)
    held = held.clamp_min(1)
    covariance = common - first * second / (3 * held)
    variances = [(s - t.square() / (3 * held)).clamp_min(1e-9) for s, t in ((first_square, first), (second_square, second))]
    rho = (covariance / (variances[0] * variances[1]).sqrt()).clamp(0, 0.9999)
    return -0.5 * torch.log1p(-rho.square()) * held / count.clamp_min(1)


def _prior(linear: torch.Tensor) -> torch.Tensor:
    """w · |log stretch|² / (2 σ²) with |BᵀB - 1|²/4 for |log stretch|²: equal where the stretch is small."""
    excess = linear.T @ linear - torch.eye(3, dtype=linear.dtype)
    return PRIOR_WEIGHT * excess.square().sum() / (8 * STRETCH**2)


def _updated(inverse: np.ndarray, step: np.ndarray, fall: np.ndarray, *, first: bool) -> np.ndarray:
    """The BFGS update of the inverse curvature; `fall` is how much the slope has fallen along the step."""
    product = float(step @ fall)
    if product <= 1e-12:
        return inverse
    if first:
        inverse = np.eye(len(step)) * product / float(fall @ fall)
    left = np.eye(len(step)) - np.outer(step, fall) / product
    return left @ inverse @ left.T + np.outer(step, step) / product
