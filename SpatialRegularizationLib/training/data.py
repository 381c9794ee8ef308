"""The images of a training, checked and prepared before the first step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ..geometry.grid import Grid
from ..io.volumes import read_grid
from ..registration.model_grid import TrainingLattice, letters_of
from .distributed import Workers
from .lists import Entry, missing_files, read_list
from .preparation import ImageCache, Preparation, Prepared
from .settings import TrainingSettings

SHOWN_PROBLEMS = 50
"""Bad images named in one message, at most."""


@dataclass(frozen=True)
class Data:
    """Prepared images.

    Args:
        training, validation: the images of the two lists.
        preparation: what they have in common.
        label_values: labels of the training images, without 0.
    """

    training: tuple[Prepared, ...]
    validation: tuple[Prepared, ...]
    preparation: Preparation
    label_values: tuple[int, ...]


def load_data(settings: TrainingSettings, *, tell: Callable[[str], None] = lambda text: None) -> Data:
    """Read both lists, check every image, prepare those that are new.

    Args:
        settings: which lists and how to prepare.
        tell: is told what is being done.

    Raises:
        FileNotFoundError: no such list.
        ValueError: images that cannot be used, all of them named in one message.
    """
    training = read_list(settings.train)
    validation = read_list(settings.validation) if settings.validation else ()
    entries = (*training, *validation)
    tell(f"Checking {len(training)} training and {len(validation)} validation images")
    problems = missing_files(entries) + _missing_labels(settings, training)
    present = [entry for entry in entries if all(path.exists() for path in entry.files.values())]
    lattice = _lattice(settings, present, len(entries), problems)
    preparation = Preparation(lattice, settings.intensity)
    cache = ImageCache(settings.cache or Path(settings.out) / "cache", preparation)
    prepared, unusable = _each(present, cache.get)
    _refuse(problems + unusable, len(entries))
    first = prepared[: len(training)]
    values = sorted({value for image in first for value in image.label_values})
    return Data(first, prepared[len(training) :], preparation, tuple(values))


def load_together(settings: TrainingSettings, team: Workers, *, tell: Callable[[str], None]) -> Data:
    """`load_data` in every process: the leading one prepares the images, the others then find them prepared.

    Raises:
        ValueError, FileNotFoundError: as `load_data`, in all processes.
    """
    if not team.leads:
        problem = team.gather(None)[0]
        if problem is not None:
            raise ValueError(problem)
        return load_data(settings)
    try:
        data = load_data(settings, tell=tell)
    except Exception as error:
        team.gather(str(error))
        raise
    team.gather(None)
    return data


def _missing_labels(settings: TrainingSettings, training: Sequence[Entry]) -> list[str]:
    if not settings.dice_weight:
        return []
    return [f"{entry.name}: has no labels, which the Dice term needs" for entry in training if entry.labels is None]


def _lattice(settings: TrainingSettings, entries: Sequence[Entry], images: int, problems: list[str]) -> TrainingLattice:
    """The asked-for lattice; what was not asked for follows from the images that can be read."""
    grids, unreadable = _each(entries, lambda entry: read_grid(entry.image))
    if not grids:
        _refuse(problems + unreadable, images)
    orientation = settings.orientation or letters_of(grids[0])
    turned = [turns for grid in grids if (turns := _turned(grid, orientation)) is not None]
    if not turned:
        raise ValueError(f"No image has axes near the orientation {orientation}: resample them along the patient's axes.")
    spacing = settings.spacing_mm
    if spacing is None:
        spacing = tuple(round(float(s), 4) for s in np.median([spacings for _, spacings in turned], axis=0))
    shape = settings.shape
    if shape is None:
        fields = [np.ceil((np.array(n) - 1) * np.array(s) / spacing + 1 - 1e-3) for n, s in turned]
        shape = tuple(int(n) * settings.multiple for n in np.ceil(np.max(fields, axis=0) / settings.multiple))
    return TrainingLattice(shape, spacing, orientation)


def _turned(grid: Grid, orientation: str) -> tuple[tuple[int, ...], tuple[float, ...]] | None:
    """Shape and spacing along the axes of an orientation; None where the grid lies across all of them."""
    opposite = dict(zip("LRPASI", "RLAPIS", strict=True))
    letters = letters_of(grid)
    axes = [a for letter in orientation for a in range(3) if letters[a] in (letter, opposite[letter])]
    if sorted(axes) != [0, 1, 2]:
        return None
    return tuple(grid.shape[a] for a in axes), tuple(grid.spacing[a] for a in axes)


def _each(entries: Sequence[Entry], work: Callable) -> tuple[tuple, list[str]]:
    """`work` on every entry, on several threads: what came out, and one line for each that failed."""

    def attempt(entry: Entry) -> tuple:
        try:
            return work(entry), ""
        except (OSError, ValueError, RuntimeError) as error:
            return None, f"{entry.name}: {' '.join(str(error).split()).rstrip('.')}"

    with ThreadPoolExecutor(max(1, torch.get_num_threads())) as pool:
        results = list(pool.map(attempt, entries))
    failed = [problem for _, problem in results if problem]
    return tuple(result for result, problem in results if not problem), failed


def _refuse(problems: list[str], images: int) -> None:
    if not problems:
        return
    more = f"; and {len(problems) - SHOWN_PROBLEMS} more" if len(problems) > SHOWN_PROBLEMS else ""
    raise ValueError(
        f"{len(problems)} problem{'s' * (len(problems) > 1)} with the {images} images; repair or remove them: "
        + "; ".join(problems[:SHOWN_PROBLEMS]) + more + "."
    )  # fmt: skip
