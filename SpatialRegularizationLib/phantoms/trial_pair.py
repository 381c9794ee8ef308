"""Make two synthetic images on the grid of a model's training, for trials of a network whose own images are not at hand.

The anatomy is that of the procedural heads (`heads.py`), squeezed into the model's field of view whatever its size. No
network was trained on it; the pair shows whether an answer is finite, free of folds and the same as another one, not how
good a model is.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ..geometry.grid import Grid
from ..geometry.volume import Volume
from ..transforms.resample import resample
from ..zoo.training_grid import TrainingGrid, letters_of
from .heads import two_subjects

AIR_HU = -1000.0
"""Value of an empty voxel where a model wants Hounsfield units; white matter (1000 in the phantom) becomes 0."""
_AXIS = {"L": 0, "R": 0, "P": 1, "A": 1, "S": 2, "I": 2}


@lru_cache(maxsize=2)
def trial_pair(trained: TrainingGrid, intensity: str = "percentile", *, seed: int = 0) -> tuple[Volume, Volume]:
    """Two different synthetic heads on one grid of the model's shape, spacing and orientation.

    Args:
        trained: of the model's training images.
        intensity: preparation that the model wants, a kind of `prepare_intensity`; for "ct" and "ct-soft" values are HU.
        seed: everything random follows from it.

    Returns:
        fixed, moving: (1, i, j, k) float32.
    """
    letters = trained.orientation or "LPS"
    along = [_AXIS[letter] for letter in letters]
    pair = two_subjects(tuple(trained.shape[along.index(axis)] for axis in range(3)), seed=seed)
    images = (pair.fixed, resample(pair.moving, None, pair.fixed.grid))
    if intensity in ("ct", "ct-soft"):
        images = tuple(image.with_data(image.data + AIR_HU) for image in images)
    fixed, moving = (_placed(image, letters, trained) for image in images)
    return fixed, moving


def _placed(image: Volume, letters: str, trained: TrainingGrid) -> Volume:
    """The image with its axes along `letters`, and the model's spacing instead of its own."""
    own = letters_of(image.grid)
    axes = [next(a for a in range(3) if _AXIS[own[a]] == _AXIS[letter]) for letter in letters]
    flips = [n for n, letter in enumerate(letters) if own[axes[n]] != letter]
    data = image.data.permute(0, *[a + 1 for a in axes]).flip([n + 1 for n in flips]).contiguous()
    turned = image.grid.reoriented(tuple(axes), tuple(n in flips for n in range(3)))
    middle = (np.array(trained.shape) - 1) / 2 * np.array(trained.spacing_mm)
    origin = -np.array(turned.direction) @ middle
    return Volume(data, Grid(trained.shape, trained.spacing_mm, tuple(origin), turned.direction))
