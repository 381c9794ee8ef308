"""Small pairs of images with everything known: an anatomy and a deformation in closed form, drawn on any grid.

    fixed(x) = anatomy(φ(x)),    moving(x) = anatomy(x),    φ(x) = x + d(x)                 positions in mm, LPS

Nothing is interpolated, so the same anatomy can be drawn on grids of any spacing and direction.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import physical
import torch

from SpatialRegularizationLib.geometry import Grid, SpatialTransform, Volume
from SpatialRegularizationLib.registration.settings import RegistrationSettings
from SpatialRegularizationLib.transforms.mapping import transform_points

BODY_MM = 40.0
FAST = RegistrationSettings(
    affine="none", global_search="off", levels=((4, 4, 30), (2, 2, 20), (1, 2, 10)), lambda_max=0.3, device="cpu"
)
"""Half a second for 32³ voxels."""
_RANDOM = np.random.default_rng(3)
BLOBS = [
    (_RANDOM.uniform(-32, 32, 3), _RANDOM.uniform(4, 8), _RANDOM.uniform(0.4, 1.0) * _RANDOM.choice([-1, 1])) for _ in range(70)
]


@dataclass(frozen=True)
class Bend:
    """d(x) = height · exp(-|x - center|² / 2 width²) along a slanted direction, plus a constant shift; mm."""

    height: float = 7.0
    width: float = 22.0
    shift: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def __call__(self, points: np.ndarray) -> np.ndarray:
        along = np.array([0.7, -0.55, 0.45])
        distance = ((points - physical.CENTER - np.array([4.0, -3.0, 2.0])) ** 2).sum(-1, keepdims=True)
        return self.height * along * np.exp(-distance / (2 * self.width**2)) + np.array(self.shift)


REST = Bend(height=0.0)


def cube(size: int = 32, spacing: float = 3.0, orientation: str = "LPS") -> Grid:
    """A cubic grid about the center of the anatomy."""
    return physical.grid(orientation, shape=(size,) * 3, spacing=(spacing,) * 3)


def anatomy(points: np.ndarray) -> np.ndarray:
    """A body of 40 mm radius full of blobs, 100 to 900, on a background of 0."""
    relative = points - physical.CENTER
    values = np.full(points.shape[:-1], 500.0)
    for center, width, height in BLOBS:
        values += 300 * height * np.exp(-((relative - center) ** 2).sum(-1) / (2 * width**2))
    return values / (1 + np.exp((np.linalg.norm(relative, axis=-1) - BODY_MM) / 1.5))


def image(grid: Grid, bend: Bend = REST) -> Volume:
    """anatomy(x + d(x)), float32."""
    points = physical.voxel_centers(grid)
    return Volume(torch.from_numpy(anatomy(points + bend(points))).float()[None], grid)


def labels(grid: Grid, bend: Bend = REST) -> Volume:
    """1: a ball of 18 mm off the middle; 2: the rest of the body."""
    points = physical.voxel_centers(grid)
    at = points + bend(points) - physical.CENTER
    ball = np.linalg.norm(at - np.array([6.0, -5.0, 4.0]), axis=-1) < 18
    body = np.linalg.norm(at, axis=-1) < BODY_MM
    return Volume(torch.from_numpy(np.where(ball, 1, 2 * body).astype(np.int32))[None], grid)


def points_of(count: int = 150, radius: float = 32.0) -> np.ndarray:
    """Random positions (n, 3) in the body, mm LPS."""
    generator = np.random.default_rng(5)
    found = generator.uniform(-radius, radius, (4 * count, 3))
    return found[np.linalg.norm(found, axis=1) < radius][:count] + physical.CENTER


def error_mm(transform: SpatialTransform, bend: Bend) -> float:
    """Mean distance in the body of the fixed image between where a transform and the truth carry a point."""
    points = points_of() - np.array(bend.shift)
    return float(np.linalg.norm(transform_points(transform, points) - points - bend(points), axis=1).mean())


def apart_mm(one: SpatialTransform, other: SpatialTransform) -> tuple[float, float]:
    """Mean and largest distance in the body between two transforms."""
    points = points_of(400)
    distances = np.linalg.norm(transform_points(one, points) - transform_points(other, points), axis=1)
    return float(distances.mean()), float(distances.max())


def reoriented(volume: Volume, axes: tuple[int, int, int], flips: tuple[bool, bool, bool]) -> Volume:
    """The same voxels at the same places, stored with permuted and flipped axes."""
    data = volume.data.permute(0, *[a + 1 for a in axes])
    data = data.flip([a + 1 for a, flip in enumerate(flips) if flip]).contiguous()
    return Volume(data, volume.grid.reoriented(axes, flips))
