"""Get the pairs of a step and of a validation: from listed images, or synthesized from label maps or from nothing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..geometry.grid import Grid
from ..io.lists import ListedImage
from .data import Data, validates_synthesized
from .draws import Draws
from .pairs import Batch, PairOrder, find_atlas, validation_pairs
from .preparation import Prepared
from .settings import TrainingSettings
from .shapes import random_shapes
from .synthesis import SynthesizedPair, Synthesizer, plain_grid

SHAPE_PAIRS = 8
"""Validation pairs of random shapes where the settings give no number."""


class PairSource(ABC):
    """Gives the pairs of a training; what it gives follows from the seed of the settings and the place."""

    size: int
    """Pairs of an epoch whose number of steps is not given."""

    @abstractmethod
    def batch(self, epoch: int, places: Sequence[int], device: torch.device) -> Batch:
        """The pairs at some places of an epoch, on a device."""

    @abstractmethod
    def validation(self) -> list[tuple[Prepared, Prepared]]:
        """The (moving, fixed) pairs of every validation, the same each time."""


def source_of(settings: TrainingSettings, data: Data) -> PairSource:
    """What the settings ask for.

    Raises:
        ValueError: the list makes no such pair, or has no such atlas.
    """
    if settings.synthesis is None:
        return ListedPairs(settings, data)
    return SynthesizedPairs(settings, data)


class ListedPairs(PairSource):
    """Images of the lists.

    Args:
        settings, data: of the training.
    """

    def __init__(self, settings: TrainingSettings, data: Data) -> None:
        self._settings, self._data = settings, data
        self._atlas = find_atlas(settings, data.training)
        self._order = PairOrder.of(settings, data.training, self._atlas)
        self.size = self._order.size

    def batch(self, epoch: int, places: Sequence[int], device: torch.device) -> Batch:
        return Batch.of([self._order.pair(epoch, place) for place in places], device)

    def validation(self) -> list[tuple[Prepared, Prepared]]:
        return validation_pairs(self._settings, self._data.validation, self._atlas)


class SynthesizedPairs(PairSource):
    """Images synthesized for each place from the label maps of the lists, or from random shapes.

    Args:
        settings, data: of the training.
    """

    def __init__(self, settings: TrainingSettings, data: Data) -> None:
        self._settings, self._data = settings, data
        self._grid = data.preparation.training_grid
        self._maps: PairOrder | None = None
        self._atlas = None
        if settings.synthesis.source == "labels":
            self._atlas = find_atlas(settings, data.training)
            self._maps = PairOrder.of(settings, data.training, self._atlas)
        self.size = self._maps.size if self._maps else settings.steps_per_epoch * settings.batch * settings.accumulate
        self._synthesizes_validation = validates_synthesized(settings, [image.entry for image in data.validation])
        maps = (*data.training, *(data.validation if self._synthesizes_validation else ()))
        labels = {value for image in maps for value in image.label_values} | set(data.label_values)
        self._synthesizer = Synthesizer(settings.synthesis, self._grid, sorted(labels))

    def batch(self, epoch: int, places: Sequence[int], device: torch.device) -> Batch:
        pairs, names = [], []
        for place in places:
            draws = Draws(device, self._settings.seed, "synthesis", epoch, place)
            maps = None if self._maps is None else self._maps.pair(epoch, place)
            pairs.append(self._pair(maps, draws))
            names.append(self._name(maps, place))
        images, labels, twins = (
            [torch.cat([getattr(pair, kind)[side] for pair in pairs]) for side in range(2)]
            for kind in ("images", "labels", "twins")
        )
        compared = twins if self._settings.synthesis.compared == "twins" else (None, None)
        return Batch(*images, *labels, None, None, tuple(names), *compared)

    def validation(self) -> list[tuple[Prepared, Prepared]]:
        """Images of the validation list where it has images; else synthesized from its label maps, or from random shapes."""
        settings, listed = self._settings, self._data.validation
        if listed and not self._synthesizes_validation:
            kind = "inter-subject" if settings.pairs == "warped" else None
            return validation_pairs(settings, listed, None, kind=kind)
        if self._maps is None:
            return [self._fixed(None, number) for number in range(settings.validation_pairs or SHAPE_PAIRS)]
        pairs = validation_pairs(settings, listed, self._atlas)
        return [self._fixed(maps, number) for number, maps in enumerate(pairs)]

    def _pair(self, maps: tuple[Prepared, Prepared] | None, draws: Draws) -> SynthesizedPair:
        if maps is None:
            synthesis = self._settings.synthesis
            moving = fixed = random_shapes(self._grid.shape, synthesis.shapes, synthesis.shape_scale, draws)
        else:
            moving, fixed = (_labels(image, draws.device) for image in maps)
        return self._synthesizer.pair(moving, fixed, draws)

    def _fixed(self, maps: tuple[Prepared, Prepared] | None, number: int) -> tuple[Prepared, Prepared]:
        """A pair of the validation, made on the CPU: the same on every machine and device."""
        pair = self._pair(maps, Draws(torch.device("cpu"), self._settings.seed, "synthesis", "validation", number))
        names = ("shapes", "shapes") if maps is None else [image.entry.name for image in maps]
        grid = plain_grid(self._grid)
        grids = (grid, grid) if maps is None else [image.grid for image in maps]
        return tuple(
            _held(f"{name} ({number + 1})", grid, image, labels)
            for name, grid, image, labels in zip(names, grids, pair.images, pair.labels, strict=True)
        )

    def _name(self, maps: tuple[Prepared, Prepared] | None, place: int) -> str:
        return f"random shapes {place}" if maps is None else f"{maps[0].entry.name} to {maps[1].entry.name} (synthesized)"


def _labels(image: Prepared, device: torch.device) -> Tensor:
    return torch.from_numpy(np.array(image.labels)).to(device=device, dtype=torch.int64)[None]


def _held(name: str, grid: Grid, image: Tensor, labels: Tensor) -> Prepared:
    """A synthesized image in memory, as one that was read."""
    values = tuple(value for value in labels.unique().tolist() if value != 0)
    kind = np.min_scalar_type(max(values, default=0))
    entry = ListedImage(name=name, image=None)
    return Prepared(entry, grid, image[0].numpy(), labels[0].numpy().astype(kind), None, None, values)
