"""Compute the mutual information of an affine pose at one resolution, with its gradient: what the affine start climbs.

    S(B) = share(B) · MI( f(x), m(B x) ),      MI = Σ_ab p_ab log( p_ab / (p_a p_b) )

p is the joint histogram of `BINS` × `BINS` intensities over those fixed positions x that B carries into the moving
image, `share` their number over the number of all fixed positions: a position outside tells nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ..fields.sampling import sample_linear, sample_nearest
from ..geometry.grid import Grid
from ..geometry.volume import Volume

BINS = 32
"""Intensity bins of each image."""
MASK_MARGIN = 10.0
"""Width by which masks grow, mm: what a boundary looks like from both sides says most about the pose."""


@dataclass(frozen=True)
class Pair:
    """Both images and masks at one resolution, intensities clipped to the bulk and scaled to [0, 1].

    Args:
        fixed, moving: pooled copies.
        fixed_mask, moving_mask: 1 where a voxel counts, on the same grids, or None.
        samples: number of fixed positions, about, at which mutual information is taken.
        seed: decides which.
    """

    fixed: Volume
    moving: Volume
    fixed_mask: Volume | None
    moving_mask: Volume | None
    samples: int
    seed: int


class MutualInformation:
    """S(B) of the module docstring for 4x4 matrices B, fixed → moving, mm LPS; remembers what it has computed."""

    def __init__(self, pair: Pair) -> None:
        self._moving, self._moving_mask = pair.moving, pair.moving_mask
        position = _scattered(pair)
        self._points = pair.fixed.grid.affine @ np.concatenate([position, np.ones((1, position.shape[1]))])
        place = torch.as_tensor(position, dtype=torch.float32)[None, ..., None, None]
        self._bins = _to_bins(sample_linear(pair.fixed.data[None], place)[0, 0, :, 0, 0])
        self._known: dict[bytes, float] = {}

    def __call__(self, matrix: np.ndarray) -> float:
        key = matrix.tobytes()
        if key not in self._known:
            self._known[key] = self._compute(matrix)
        return self._known[key]

    def _compute(self, matrix: np.ndarray) -> float:
        to_index = np.linalg.inv(self._moving.grid.affine) @ matrix
        position = torch.as_tensor((to_index @ self._points)[None, :3], dtype=torch.float32)[..., None, None]
        inside = torch.ones(position.shape[2], dtype=torch.bool)
        for axis, n in enumerate(self._moving.grid.shape):
            inside &= (position[0, axis, :, 0, 0] >= -0.5) & (position[0, axis, :, 0, 0] <= n - 0.5)
        if self._moving_mask is not None:
            inside &= sample_nearest(self._moving_mask.data[None], position)[0, 0, :, 0, 0] > 0
        count = int(inside.sum())
        if count < BINS:
            return 0.0
        values = sample_linear(self._moving.data[None], position[:, :, inside])[0, 0, :, 0, 0]
        joint = torch.bincount(self._bins[inside] * BINS + _to_bins(values), minlength=BINS * BINS)
        return _information(joint.double().view(BINS, BINS) / count) * count / len(self._bins)


def _information(joint: torch.Tensor) -> float:
    """MI of a joint distribution (a, b), nats."""
    product = joint.sum(1, keepdim=True) * joint.sum(0, keepdim=True)
    occupied = joint > 0
    return float((joint[occupied] * (joint[occupied] / product[occupied]).log()).sum())


def _scattered(pair: Pair) -> np.ndarray:
    """About `samples` positions (3, n) in voxels, evenly spread over the fixed mask and off the lattice.

    On the lattice of two equal grids the identity would win: it alone needs no interpolation.
    """
    fixed, mask = pair.fixed, pair.fixed_mask
    inside = torch.ones_like(fixed.data[0], dtype=torch.bool) if mask is None else mask.data[0] > 0
    index = inside.flatten().nonzero()[:, 0].numpy()
    index = index[:: max(1, len(index) // pair.samples)]
    lattice = np.stack(np.unravel_index(index, fixed.grid.shape)).astype(np.float64)
    return lattice + np.random.default_rng(pair.seed).uniform(-0.5, 0.5, lattice.shape)


def _to_bins(values: torch.Tensor) -> torch.Tensor:
    return (values * (BINS - 1) + 0.5).long().clamp(0, BINS - 1)


def pair_at(
    images: tuple[Volume, Volume], masks: tuple[Volume | None, Volume | None], *, voxels: int, samples: int, seed: int
) -> Pair:
    """Copies of both images with the voxel size that leaves the fixed one about `voxels` voxels."""
    grid = images[0].grid
    size = float(np.prod(np.array(grid.shape) * np.array(grid.spacing)) / voxels) ** (1 / 3)
    fixed, moving = (_clipped(_pooled(image, size)) for image in images)
    fixed_mask, moving_mask = (
        None if mask is None else _grown(_pooled(mask.with_data(mask.data > 0), size)) for mask in masks
    )
    return Pair(fixed, moving, fixed_mask, moving_mask, samples, seed)


def _grown(mask: Volume) -> Volume:
    """A pooled mask made binary (any share of a box counts) and wider by `MASK_MARGIN`."""
    margins = [round(MASK_MARGIN / s) for s in mask.grid.spacing]
    kernel = [2 * margin + 1 for margin in margins]
    data = (mask.data > 0).float()
    return mask.with_data(torch.nn.functional.max_pool3d(data, kernel, stride=1, padding=margins))


def _pooled(volume: Volume, size: float) -> Volume:
    """Mean over boxes of whole voxels, about `size` mm wide."""
    factors = [max(1, min(n, round(size / s))) for n, s in zip(volume.grid.shape, volume.grid.spacing, strict=True)]
    shape = tuple(n // f for n, f in zip(volume.grid.shape, factors, strict=True))
    data = torch.empty(1, *shape)
    for i in range(shape[0]):
        box = volume.data[None, :1, i * factors[0] : (i + 1) * factors[0]].float()
        data[:, i] = torch.nn.functional.avg_pool3d(box, factors)[0, :, 0]
    affine = volume.grid.affine
    affine[:3, 3] = volume.grid.index_to_point((np.array(factors) - 1) / 2)
    affine[:3, :3] *= factors
    return Volume(data, Grid.from_affine(affine, shape))


def _clipped(volume: Volume) -> Volume:
    """Intensities between the 0.5th and the 99.5th percentile, scaled to [0, 1]."""
    values = volume.data.flatten().sort().values
    low, high = values[int(0.005 * (len(values) - 1))], values[int(0.995 * (len(values) - 1))]
    if high <= low:
        low, high = values[0], values[-1]
    return volume.with_data(((volume.data - low) / (high - low).clamp_min(1e-20)).clamp(0, 1))


def mass_center(volume: Volume, mask: Volume | None) -> np.ndarray:
    """LPS center of the mask, or of the intensity above the border's; mm."""
    weight = volume.data[0] if mask is None else mask.data[0]
    weight = weight.double()
    if mask is None:
        weight = (weight - _border_median(weight)).abs()
    total = weight.sum()
    if total <= 0:
        return np.array(volume.grid.center)
    index = [
        float((weight.sum(dim=[b for b in range(3) if b != a]) * torch.arange(n, dtype=torch.float64)).sum() / total)
        for a, n in enumerate(volume.grid.shape)
    ]
    return volume.grid.index_to_point(np.array(index))


def _border_median(data: torch.Tensor) -> torch.Tensor:
    faces = [data.select(axis, end).flatten() for axis in range(3) for end in (0, -1)]
    return torch.cat(faces).median()
