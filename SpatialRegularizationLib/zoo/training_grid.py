"""Lay the grid of a network's training over the fixed image: its orientation, spacing and size; refuse what cannot fit.

A network knows voxels only. Brought to another orientation, scale or field of view than it was trained on, it answers
without complaint and wrongly; so the grid is made to fit, and what cannot be made to fit is refused with the reason.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
import torch

from ..geometry.grid import Grid
from ..geometry.volume import Volume

LARGEST_TILT_DEGREES = 10.0
"""Up to here the fixed image's own axes are permuted and flipped; beyond, the lattice follows the patient's axes."""
COARSEST = 4.0
"""Refused where the fixed image's voxels are this many times longer than the training's along an axis."""
LARGEST = 1.75
"""Refused where the anatomy is this many times longer than the training's field of view along an axis."""
SMALLEST = 0.3
"""Refused where the field of view is shorter than this share of the training's along an axis."""
CONTENT = 0.05
"""Share of the intensity range above which a voxel counts as anatomy."""
_AXES = {"L": (0, 1), "R": (0, -1), "P": (1, 1), "A": (1, -1), "S": (2, 1), "I": (2, -1)}


@dataclass(frozen=True)
class TrainingGrid:
    """What the images of a model's training had in common.

    Args:
        shape: voxels along each axis.
        spacing_mm: voxel spacing along each axis, mm.
        orientation: three letters, the direction in which each axis runs ("LIA": to the Left, Inferior, Anterior); "" where
            images were taken with their axes as stored.
    """

    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    orientation: str = ""

    def __post_init__(self) -> None:
        letters = [_AXES.get(letter) for letter in self.orientation]
        if self.orientation and (None in letters or sorted(axis for axis, _ in letters) != [0, 1, 2]):
            raise ValueError(
                f"An orientation is three letters, one each of L/R, P/A and S/I, such as LIA, got {self.orientation!r}."
            )


def model_grid(fixed: Volume, trained: TrainingGrid) -> tuple[Grid, tuple[str, ...]]:
    """The lattice for a network, and what to say about it.

    Spacing is the training's. An axis shorter than the training's is padded to its size at both ends; a longer one is cut
    to it around the anatomy, or kept as long as the anatomy is (networks take any size).

    Args:
        fixed: the fixed image, intensities prepared, (1, i, j, k).
        trained: where the images of the training lay.

    Raises:
        ValueError: voxels too coarse, the anatomy too large, or the field of view too small for this model.
    """
    turned, notes = _turned(fixed.grid, trained.orientation)
    _check_spacing(fixed.grid, turned, trained)
    content = _content(fixed, turned)
    ratio = np.array(trained.spacing_mm) / np.array(turned.spacing)
    starts, shape = [], []
    for axis in range(3):
        start, count = _window(turned, trained, axis, content[axis])
        starts.append(start)
        shape.append(count)
    origin = turned.index_to_point(np.array(starts) * ratio)
    grid = Grid(tuple(shape), trained.spacing_mm, tuple(origin), turned.direction)
    return grid, (*notes, f"The network saw {grid.describe()}, axes {letters_of(grid)}.")


def letters_of(grid: Grid) -> str:
    """The direction in which each axis runs, nearest letters."""
    words = []
    for axis in range(3):
        column = np.array(grid.direction)[:, axis]
        along = int(np.abs(column).argmax())
        words.append("LPS"[along] if column[along] > 0 else "RAI"[along])
    return "".join(words)


def _turned(grid: Grid, orientation: str) -> tuple[Grid, list[str]]:
    """The fixed grid with axes in the training's order and direction."""
    if not orientation:
        return grid, []
    wanted = [_AXES[letter] for letter in orientation]
    exact = np.zeros((3, 3))
    for axis, (along, sign) in enumerate(wanted):
        exact[along, axis] = sign
    direction = np.array(grid.direction)
    options = list(itertools.permutations(range(3)))
    axes = max(options, key=lambda p: sum(abs(direction[along, p[a]]) for a, (along, _) in enumerate(wanted)))
    flips = tuple(bool(direction[along, axes[a]] * sign < 0) for a, (along, sign) in enumerate(wanted))
    turned = grid.reoriented(axes, flips)
    tilt = _tilt_degrees(np.array(turned.direction), exact)
    if tilt <= LARGEST_TILT_DEGREES:
        return turned, []
    note = f"The fixed image is tilted by {tilt:.0f} degrees; the network saw it along the patient's axes."
    return _upright(grid, turned, exact), [note]


def _tilt_degrees(direction: np.ndarray, exact: np.ndarray) -> float:
    """Largest angle between an axis and the one it should run along."""
    cosines = np.clip((direction * exact).sum(0), -1, 1)
    return float(np.degrees(np.arccos(cosines.min())))


def _upright(grid: Grid, turned: Grid, exact: np.ndarray) -> Grid:
    """The smallest lattice along exact axes that holds the whole field of view, voxels about as large as the image's."""
    corners = np.array(list(itertools.product(*[(0, n - 1) for n in grid.shape])))
    along = grid.index_to_point(corners) @ exact
    low, high = along.min(0), along.max(0)
    shape = tuple(int(n) for n in np.ceil((high - low) / np.array(turned.spacing) - 1e-6) + 1)
    return Grid(shape, turned.spacing, tuple(exact @ low), tuple(map(tuple, exact)))


def _check_spacing(fixed: Grid, turned: Grid, trained: TrainingGrid) -> None:
    ratios = np.array(turned.spacing) / np.array(trained.spacing_mm)
    if ratios.max() > COARSEST:
        raise ValueError(
            f"The fixed image has voxels of {_lengths(fixed.spacing)} mm, more than {COARSEST:g} times those of "
            f"{_lengths(trained.spacing_mm)} mm (axes {trained.orientation or 'as stored'}) that this model was trained on: use "
            "an image of thinner slices, another model, or register without one."
        )


def _content(fixed: Volume, turned: Grid) -> list[tuple[float, float]]:
    """First and last index of the anatomy along each axis of the turned grid."""
    data = fixed.data[0]
    low, high = (float(v) for v in data.aminmax())
    inside = data > low + CONTENT * (high - low)
    ends = []
    for axis in range(3):
        rest = [a for a in range(3) if a != axis]
        where = torch.nonzero(inside.any(rest[1]).any(rest[0]))
        ends.append((int(where.min()), int(where.max())))
    corners = np.array(list(itertools.product(*ends)))
    index = turned.point_to_index(fixed.grid.index_to_point(corners))
    return list(zip(index.min(0).tolist(), index.max(0).tolist(), strict=True))


def _window(turned: Grid, trained: TrainingGrid, axis: int, content: tuple[float, float]) -> tuple[int, int]:
    """First voxel (in the training's voxels, from the first of the turned lattice) and number of voxels along an axis."""
    ratio = turned.spacing[axis] / trained.spacing_mm[axis]
    size = trained.shape[axis]
    field = (turned.shape[axis] - 1) * ratio + 1
    first, last = (end * ratio for end in content)
    needed = last - first + 1
    if field < SMALLEST * size:
        raise _misfit(turned, trained, axis, "shows only", field)
    if needed > LARGEST * size:
        raise _misfit(turned, trained, axis, "holds anatomy over", needed)
    count = size if max(needed, min(field, size)) <= size else math.ceil(needed)
    whole = math.floor(field + 1e-6)
    if whole <= count:
        return -((count - whole) // 2), count
    start = math.floor((first + last) / 2 - (count - 1) / 2 + 0.5)
    return min(max(start, 0), whole - count), count


def _misfit(turned: Grid, trained: TrainingGrid, axis: int, verb: str, voxels: float) -> ValueError:
    letters = letters_of(turned)
    seen = trained.shape[axis] * trained.spacing_mm[axis]
    return ValueError(
        f"The fixed image {verb} {voxels * trained.spacing_mm[axis]:.0f} mm along its {letters[axis]} axis, and this model was "
        f"trained on fields of view of {seen:.0f} mm there: crop or extend the image to that anatomy, choose another model, "
        "or register without one."
    )


def _lengths(spacing: tuple[float, ...]) -> str:
    return " x ".join(f"{s:.3g}" for s in spacing)
