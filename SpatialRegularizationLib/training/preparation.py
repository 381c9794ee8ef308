"""Prepare image files for the network: the common grid, the common intensities; prepared once and kept.

Kept arrays are named by the content of the files and by how they were prepared, and read through memory maps: another run, a
moved folder or another list finds them again, a changed image or setting does not.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..geometry.grid import Grid
from ..geometry.volume import Volume
from ..images.preparation import prepare_intensity
from ..images.usable import check_labels, fit_mask, usable_image
from ..io.atomic import atomic_path, write_text
from ..io.lists import ListedImage
from ..io.points import Landmarks, read_landmarks
from ..io.volumes import read_volume
from ..transforms.resample import regrid, resample, resample_labels
from ..zoo.training_grid import TrainingGrid, model_grid

VERSION = 2
"""Raised when prepared arrays change; older ones are then made anew."""
ONE_AT_A_TIME = threading.Lock()
"""Held while the header of an array is read: `ast` of Python 3.11 fails at times when two threads parse at once."""


@dataclass(frozen=True)
class Preparation:
    """How images are prepared.

    Args:
        training_grid: of the network; every image is brought onto it, its field of view in the middle.
        intensity: as in `RegistrationSettings`.
    """

    training_grid: TrainingGrid
    intensity: str = "percentile"


@dataclass(frozen=True)
class Prepared:
    """One image on the network's grid, as memory maps.

    Args:
        entry: where it comes from.
        grid: the lattice, laid over this image.
        image: (1, *s) float32 in [0, 1]; beyond the field of view the border value is repeated. Of a label map alone: 1 in its
            labels, 0 elsewhere.
        labels: (1, *s) integers, or None.
        inside: (1, *s) uint8, 1 where the similarity counts: field of view and mask; None where that is everywhere.
        landmarks: points with what says which is which, or None.
        label_values: labels that occur, without 0.
    """

    entry: ListedImage
    grid: Grid
    image: np.ndarray
    labels: np.ndarray | None
    inside: np.ndarray | None
    landmarks: Landmarks | None
    label_values: tuple[int, ...]


class ImageCache:
    """Prepared images in a folder.

    Args:
        folder: made if needed.
        preparation: how they are prepared.
    """

    def __init__(self, folder: str | os.PathLike, preparation: Preparation) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.preparation = preparation

    def get(self, entry: ListedImage) -> Prepared:
        """The prepared image, made now if it is not there yet.

        Raises:
            FileNotFoundError, ValueError: its files are missing, unreadable or unusable.
        """
        key = self._key(entry)
        about = self.folder / f"{key}.json"
        if not about.is_file():
            self._make(entry, key)
        return self._open(entry, key, json.loads(about.read_text(encoding="utf-8")))

    def _key(self, entry: ListedImage) -> str:
        how = {"lattice": asdict(self.preparation.training_grid), "intensity": self.preparation.intensity}
        content = hashlib.sha256(json.dumps([VERSION, how]).encode())
        for column, path in entry.files.items():
            content.update(column.encode())
            for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
                if file.is_file():
                    content.update(_digest(file))
        return content.hexdigest()[:32]

    def _make(self, entry: ListedImage, key: str) -> None:
        arrays, about = _prepared(entry, self.preparation)
        for name, array in arrays.items():
            with atomic_path(self.folder / f"{key}-{name}.npy", ".npy", needed_bytes=array.nbytes) as temporary:
                np.save(temporary, array)
        write_text(self.folder / f"{key}.json", json.dumps(about | {"arrays": list(arrays)}))  # last: it says "complete"

    def _open(self, entry: ListedImage, key: str, about: dict) -> Prepared:
        with ONE_AT_A_TIME:
            arrays = {name: np.load(self.folder / f"{key}-{name}.npy", mmap_mode="r") for name in about["arrays"]}
        return Prepared(
            entry=entry,
            grid=Grid(**about["grid"]),
            image=arrays["image"],
            labels=arrays.get("labels"),
            inside=arrays.get("inside"),
            landmarks=None if "points" not in arrays else _landmarks(arrays["points"], about["landmarks"]),
            label_values=tuple(about["label_values"]),
        )


def _digest(file: Path) -> bytes:
    content = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(1 << 20):
            content.update(block)
    return content.digest()


def _prepared(entry: ListedImage, preparation: Preparation) -> tuple[dict[str, np.ndarray], dict]:
    """The arrays of `Prepared`, and what else to know."""
    labels = None if entry.labels is None else read_volume(entry.labels, labels=True)
    volume = labels.with_data((labels.data != 0).float()) if entry.image is None else read_volume(entry.image)
    mask = None if entry.mask is None else fit_mask(read_volume(entry.mask), volume.grid, "mask")
    image, mask, _ = usable_image(volume, mask, "label map" if entry.image is None else "image")
    if entry.image is not None:
        image = prepare_intensity(image, preparation.intensity)
    grid = _laid_over(image, preparation.training_grid)
    arrays = {"image": regrid(image.data[None], image.grid, grid)[0].contiguous().numpy()}
    values: list[int] = []
    if labels is not None:
        check_labels(labels, image.grid, "labels")
        values = [value for value in labels.data.unique().tolist() if value != 0]
        arrays["labels"] = _smallest(resample_labels(labels, None, grid).data)
    inside = _inside(mask, image, grid)
    if not bool(inside.all()):
        arrays["inside"] = inside.numpy()
    about = {"grid": asdict(grid), "label_values": values}
    if entry.points is not None:
        found = read_landmarks(entry.points, grid=image.grid)
        arrays["points"] = found.positions
        about["landmarks"] = {name: value for name, value in vars(found).items() if name != "positions"}
    return arrays, about


def _landmarks(positions: np.ndarray, about: dict) -> Landmarks:
    return Landmarks(np.asarray(positions), **{name: tuple(v) if isinstance(v, list) else v for name, v in about.items()})


def _laid_over(image: Volume, trained: TrainingGrid) -> Grid:
    """The common lattice, laid over an image as it is laid over a fixed image at prediction."""
    problem = (
        f"it does not fit a grid of {_times(trained.shape)} voxels of {_times(trained.spacing_mm)} mm (axes "
        f"{trained.orientation}): set another shape or spacing_mm, crop it, or leave it out"
    )
    try:
        grid, _ = model_grid(image, trained)
    except ValueError as error:
        raise ValueError(problem) from error
    if grid.shape != trained.shape:
        raise ValueError(problem)
    return grid


def _times(numbers: tuple) -> str:
    return " x ".join(f"{n:g}" for n in numbers)


def _inside(mask: Volume | None, image: Volume, grid: Grid) -> Tensor:
    """1 where the lattice lies in the image's field of view and mask."""
    if mask is None:
        mask = Volume(torch.ones(1, *image.grid.shape, dtype=torch.uint8), image.grid)
    return resample(mask, None, grid, nearest=True, fill=0).data


def _smallest(labels: Tensor) -> np.ndarray:
    array = labels.numpy()
    return array.astype(np.min_scalar_type(array.max())) if array.min() >= 0 else array
