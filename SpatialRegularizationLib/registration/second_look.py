"""Look at a pair a second time, on lattices so small that whole registrations take a second: images, comparisons, registrations.

Local correlation is squared and windows are small, so that neighboring tissues may be brighter in one image and darker in the
other: it says something for any two contrasts, and so does what intensities tell of each other.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ..fields.resize import box_mean, resize_displacement, shrink
from ..fields.sampling import sample_linear
from ..geometry.displacement import DisplacementField
from ..geometry.grid import Grid
from ..geometry.transform import SpatialTransform
from ..geometry.volume import Volume
from ..images.preparation import prepare_intensity
from ..models.free import Free
from ..objective import Objective
from ..priors.beta import BetaPrior
from ..regularizers.diffusion import WeightedDiffusion
from ..similarity.lncc import Lncc
from ..similarity.mind import MindSsc
from ..similarity.mse import Mse
from ..similarity.similarity import Similarity
from ..transforms.diffeomorphism import displacement_of
from ..transforms.mapping import GridMap
from .choices import threads
from .optimize import Descent, descend
from .working_pair import TensorPair, working_pair

SMALL = 56
"""Most voxels along an axis of the lattices on which images are compared."""
SMALLER = 40
"""The same of the second registrations."""
SMALLER_DESCRIBED = 32
"""The same where descriptors are compared, which have twelve numbers for each voxel."""
DESCRIPTORS, DESCRIBED_PRIOR = MindSsc(radius=1, dilation=1), BetaPrior(lambda_max=0.8, alpha_prime=0.012)
"""Of those; the prior of the preset multi-modal."""
WINDOW = 5
"""Side of the windows of the local correlation, voxels."""
LEVELS = ((2, 4.0, 30), (1, 2.0, 10))
"""Of the second registrations: image shrink, velocity shrink, steps."""
FEW = 50
"""Voxels of content below which nothing is said."""
BINS = 24
"""Of the joint histogram, for each image."""


@dataclass(frozen=True)
class Seen:
    """Both images on small lattices of their own, (1, 1, *s), in [0, 1], and their masks there (or None)."""

    fixed: Tensor
    moving: Tensor
    grid: Grid
    moving_grid: Grid
    masks: tuple[Tensor | None, Tensor | None]
    described: bool
    """Whether second registrations compare descriptors of the structure."""

    @classmethod
    def of(
        cls, images: tuple[Volume, Volume], masks: tuple[Volume | None, Volume | None], intensity: str, *, described: bool
    ) -> Seen:
        """Shrunk, intensities as for the registration."""
        small = [_small(image, intensity) for image in images]
        seen = [None if m is None else shrink(m.data[None].float(), v.grid.shape) for m, v in zip(masks, small, strict=True)]
        return cls(small[0].data[None], small[1].data[None], small[0].grid, small[1].grid, tuple(seen), described)

    def through(self, transform: SpatialTransform) -> tuple[Tensor, Tensor]:
        """moving∘φ on the fixed lattice, and where it has data (bool), inside of the moving mask."""
        pull = GridMap.of(transform, self.grid, np.linalg.inv(self.moving_grid.affine))
        where = pull.coordinates(slice(0, self.grid.shape[0])).float()[None]
        inside = inside_of(where, self.moving_grid.shape)
        if self.masks[1] is not None:
            inside &= sample_linear(self.masks[1], where) > 0.5
        return sample_linear(self.moving, where), inside


def _small(image: Volume, intensity: str) -> Volume:
    grid = coarse(image.grid, SMALL)
    data = prepare_intensity(Volume(shrink(image.data[None].float(), grid.shape)[0], grid), intensity).data
    low, high = data.aminmax()
    return Volume((data - low) / (high - low), grid)


def coarse(grid: Grid, most: int) -> Grid:
    """The same field of view in nearly cubic voxels, at most so many along an axis; none finer than they were."""
    edge = max(*grid.spacing, max(grid.extent) / (most - 1))
    shape = (min(n, max(2, 1 + round(e / edge))) for n, e in zip(grid.shape, grid.extent, strict=True))
    return grid.resized(tuple(shape))


def inside_of(where: Tensor, shape: tuple[int, ...]) -> Tensor:
    """(1, 1, *t) bool: positions (1, 3, *t), voxels, within half a voxel of a lattice."""
    inside = torch.ones_like(where[:, :1], dtype=torch.bool)
    for axis, n in enumerate(shape):
        inside &= (where[:, axis : axis + 1] >= -0.5) & (where[:, axis : axis + 1] <= n - 0.5)
    return inside


def correlation_map(fixed: Tensor, warped: Tensor, width: int = WINDOW) -> tuple[Tensor, Tensor]:
    """Squared local correlation at every voxel, (N, 1, *s) in [0, 1], and the local variance of the fixed image."""
    means = box_mean(fixed, width), box_mean(warped, width)
    variance = (box_mean(fixed.square(), width) - means[0].square()).clamp(min=0)
    other = (box_mean(warped.square(), width) - means[1].square()).clamp(min=0)
    cross = box_mean(fixed * warped, width) - means[0] * means[1]
    return cross.square() / (variance * other + 1e-6), variance


def shared_information(fixed: Tensor, warped: Tensor, where: Tensor) -> float:
    """Mutual information of intensities in [0, 1] over the smaller of the two entropies: 0 unrelated, 1 one follows the other."""
    bins = [(image[where] * (BINS - 1) + 0.5).long().clamp(0, BINS - 1) for image in (fixed, warped)]
    if len(bins[0]) < FEW:
        return 0.0
    joint = torch.bincount(bins[0] * BINS + bins[1], minlength=BINS * BINS).double().view(BINS, BINS) / len(bins[0])
    entropies = [_entropy(p) for p in (joint.sum(1), joint.sum(0), joint.flatten())]
    return (entropies[0] + entropies[1] - entropies[2]) / max(1e-9, min(entropies[:2]))


def _entropy(p: Tensor) -> float:
    p = p[p > 0]
    return -float((p * p.log()).sum())


def registered(seen: Seen, start: np.ndarray, *, back: bool = False) -> SpatialTransform:
    """A coarse registration from a 4x4 start, fixed → moving, or the other way round; λ in closed form.

    It compares local correlation, or descriptors where the registration has compared descriptors.
    """
    images = (seen.fixed, seen.grid), (seen.moving, seen.moving_grid)
    fixed, moving = (Volume(data[0], grid) for data, grid in (images[::-1] if back else images))
    grid = coarse(fixed.grid, SMALLER_DESCRIBED if seen.described else SMALLER)
    prior, similarity = (DESCRIBED_PRIOR, Mse()) if seen.described else (BetaPrior(), Lncc(WINDOW))
    pair = working_pair((fixed, moving), (None, None), grid, start, device=torch.device("cpu"), dtype=torch.float32)
    with threads(1):  # threads would wait for one another longer than they work
        velocity = _descended(pair, grid, prior, similarity, described=seen.described)
    return SpatialTransform(start, DisplacementField.from_voxels(displacement_of(velocity, grid.shape)[0], grid))


def _descended(pair: TensorPair, grid: Grid, prior: BetaPrior, similarity: Similarity, *, described: bool) -> Tensor:
    """The velocity after all levels."""
    velocity = None
    for shrink_by, coarser, steps in LEVELS:
        lattice = tuple(min(n, max(4, round((n - 1) / coarser) + 1)) for n in grid.shape)
        velocity = torch.zeros(1, 3, *lattice) if velocity is None else resize_displacement(velocity, lattice)
        spacing = tuple(e / (n - 1) for e, n in zip(grid.extent, lattice, strict=True))
        free = Free(velocity, prior.optimal_lambda, lambda_pooling=1, spacing=spacing)
        objective = Objective(similarity, WeightedDiffusion(spacing=spacing), prior)
        level = pair.at_level(shrink_by)
        if described:
            level = replace(level, fixed=DESCRIPTORS.features(level.fixed), moving=DESCRIPTORS.features(level.moving))
        descend(free, level, objective, Descent(steps, tolerance=1e-3))
        velocity = free.velocity.detach()
    return velocity
