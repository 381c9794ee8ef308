"""Check and prepare the images of a training before the first step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from ..geometry.grid import Grid
from ..io.lists import ListedImage, missing_files, read_images
from ..io.volumes import read_grid
from ..zoo.training_grid import TrainingGrid, letters_of
from .distributed import Workers
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
        label_values: labels of the training images (of random shapes), without 0.
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
    training = read_images(settings.train) if settings.train else ()
    validation = read_images(settings.validation) if settings.validation else ()
    if _from_labels(settings):
        training = tuple(replace(entry, image=None) for entry in training)
    entries = (*training, *validation)
    if not entries:
        return _without_lists(settings)
    tell(f"Checking {len(training)} training and {len(validation)} validation images")
    problems = missing_files(entries) + _missing_labels(settings, training) + _missing_images(settings, training, validation)
    present = [entry for entry in entries if entry.files and all(path.exists() for path in entry.files.values())]
    trained = _training_grid(settings, present, len(entries), problems)
    preparation = Preparation(trained, settings.intensity)
    cache = ImageCache(settings.cache or Path(settings.out) / "cache", preparation)
    prepared, unusable = _each(present, cache.get)
    _refuse(problems + unusable, len(entries))
    first, second = prepared[: len(training)], prepared[len(training) :]
    _refuse_unlisted(settings, (*first, *(second if validates_synthesized(settings, validation) else ())))
    if not training:
        return replace(_without_lists(settings), validation=second, preparation=preparation)
    values = sorted({value for image in first for value in image.label_values})
    return Data(first, second, preparation, tuple(values))


def _without_lists(settings: TrainingSettings) -> Data:
    """For random shapes: there is nothing to read."""
    trained = TrainingGrid(settings.shape, settings.spacing_mm, settings.orientation or "")
    return Data((), (), Preparation(trained, settings.intensity), tuple(range(1, 1 + settings.synthesis.shapes)))


def _refuse_unlisted(settings: TrainingSettings, maps: Sequence[Prepared]) -> None:
    """Refuses label maps with labels that the anatomy does not list, all maps named at once."""
    anatomy = settings.synthesis and settings.synthesis.anatomy
    if anatomy is None:
        return
    found = [(image.entry.name, ", ".join(map(str, anatomy.unlisted(image.label_values)))) for image in maps]
    _refuse([f"{name}: has the labels {labels}, which the anatomy does not list" for name, labels in found if labels], len(maps))


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


def _missing_labels(settings: TrainingSettings, training: Sequence[ListedImage]) -> list[str]:
    if not settings.dice_weight:
        return []
    return [f"{entry.name}: has no labels, which the Dice term needs" for entry in training if entry.labels is None]


def validates_synthesized(settings: TrainingSettings, validation: Sequence[ListedImage]) -> bool:
    """True where the pairs of the validation are synthesized from its label maps: one of them, or the atlas, has no image."""
    return _from_labels(settings) and (settings.atlas is not None or any(entry.image is None for entry in validation))


def _from_labels(settings: TrainingSettings) -> bool:
    return settings.synthesis is not None and settings.synthesis.source == "labels"


def _missing_images(settings: TrainingSettings, training: Sequence[ListedImage], validation: Sequence[ListedImage]) -> list[str]:
    if _from_labels(settings):
        maps = (*training, *(validation if validates_synthesized(settings, validation) else ()))
        return [f"{entry.name}: has no labels, from which images are synthesized" for entry in maps if entry.labels is None]
    return [
        f"{entry.name}: has labels but no image, which only a synthesis from labels can use"
        for entry in (*training, *validation)
        if entry.image is None
    ]


def _training_grid(settings: TrainingSettings, entries: Sequence[ListedImage], images: int, problems: list[str]) -> TrainingGrid:
    """The asked-for grid; what was not asked for follows from the images that can be read."""
    grids, unreadable = _each(entries, lambda entry: read_grid(entry.main))
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
    return TrainingGrid(shape, spacing, orientation)


def _turned(grid: Grid, orientation: str) -> tuple[tuple[int, ...], tuple[float, ...]] | None:
    """Shape and spacing along the axes of an orientation; None where the grid lies across all of them."""
    opposite = dict(zip("LRPASI", "RLAPIS", strict=True))
    letters = letters_of(grid)
    axes = [a for letter in orientation for a in range(3) if letters[a] in (letter, opposite[letter])]
    if sorted(axes) != [0, 1, 2]:
        return None
    return tuple(grid.shape[a] for a in axes), tuple(grid.spacing[a] for a in axes)


def _each(entries: Sequence[ListedImage], work: Callable) -> tuple[tuple, list[str]]:
    """`work` on every entry, on several threads: what came out, and one line for each that failed."""

    def attempt(entry: ListedImage) -> tuple:
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
