"""Synthesize pairs of images from label maps, new for every step (Hoffmann et al., TMI 2022; Billot et al., MedIA 2023).

    two label maps (or one, twice)  →  random motion of each  →  random contrast, texture, artifacts  →  moving, fixed, labels

Each image shows only what its label map knows. There are no lesions, no tumors, no resections or implants; within a label there
is texture but no structure (layers of the cortex, tracts, trabeculae); artifacts of motion, of susceptibility and of folding
over are missing, and so is partial volume of structures thinner than a voxel of the label map.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..fields.sampling import sample_nearest
from ..geometry.grid import Grid
from ..geometry.volume import Volume
from ..images.preparation import prepare_intensity
from ..zoo.training_grid import TrainingGrid
from .draws import Draws
from .synthesis_image import LabelTable, painted, random_contrast, random_rim, scanned, twin
from .synthesis_motion import random_affine, random_positions
from .synthesis_settings import SynthesisSettings

INTENSITY = "percentile"
"""How synthesized images, and then those that the network registers, are prepared."""


@dataclass(frozen=True)
class SynthesizedPair:
    """Tensors (1, 1, *s) of both sides, each a tuple (moving, fixed).

    Args:
        images: float32 in [0, 1].
        labels: int64; labels that do not count are 0.
        twins: the same anatomy in one contrast without artifacts, in [0, 1].
    """

    images: tuple[Tensor, Tensor]
    labels: tuple[Tensor, Tensor]
    twins: tuple[Tensor, Tensor]


class Synthesizer:
    """Makes pairs from label maps on one grid.

    Args:
        settings: of the synthesis.
        trained: of the maps and of the images.
        labels: all labels that occur in the maps.

    Raises:
        ValueError: labels that the anatomy does not list.
    """

    def __init__(self, settings: SynthesisSettings, trained: TrainingGrid, labels: Sequence[int]) -> None:
        anatomy = settings.anatomy
        unlisted = [] if anatomy is None else anatomy.unlisted(labels)
        if unlisted:
            words = ", ".join(map(str, unlisted[:10])) + (", …" if len(unlisted) > 10 else "")
            raise ValueError(
                f"The label maps hold labels {words}, which the anatomy does not list: add them to its tissues, or remove them "
                "from the maps."
            )
        self.settings = settings
        self.spacing = trained.spacing_mm
        self.grid = plain_grid(trained)
        self.table = LabelTable.of(tuple(labels), anatomy)

    def pair(self, moving: Tensor, fixed: Tensor, draws: Draws) -> SynthesizedPair:
        """A pair of two label maps.

        Args:
            moving, fixed: (1, 1, *s) int64, on the device of the draws.
            draws: where randomness comes from.
        """
        settings = self.settings
        affine = random_affine(settings, self.spacing, draws)
        strips = bool(settings.anatomy and settings.anatomy.stays) and draws.chance(settings.stripped)
        contrasts = [random_contrast(self.table, settings, draws) for _ in range(2)]
        if draws.chance(settings.equal_contrast):
            contrasts[1] = contrasts[0]
        twins_contrast = random_contrast(self.table, settings, draws)
        counted = settings.anatomy.counted if settings.anatomy else ()
        sides = []
        for labels, contrast in zip((moving, fixed), contrasts, strict=True):
            places = self._moved(self.table.places(labels), affine, draws)
            image = scanned(painted(places, contrast, draws), settings, draws)
            if strips and bool((inner := self.table.among(places, settings.anatomy.stays)).any()):
                kept = random_rim(inner, draws)
                image, places = torch.where(kept, image, 0.0), torch.where(kept, places, 0)
            sides.append((self._prepared(image), self.table.labels(places, counted), twin(places, twins_contrast)))
        return SynthesizedPair(*zip(*sides, strict=True))

    def _moved(self, places: Tensor, affine: Tensor, draws: Draws) -> Tensor:
        """The map after random motion; what comes from outside of it is air, or repeats its border."""
        positions = random_positions(affine, self.settings, self.spacing, tuple(places.shape[2:]), draws)
        bounded = self.table.air and self.settings.source == "labels"
        return sample_nearest(places, positions, fill=0 if bounded else None)

    def _prepared(self, image: Tensor) -> Tensor:
        return prepare_intensity(Volume(image[0], self.grid), INTENSITY).data[None]


def plain_grid(trained: TrainingGrid) -> Grid:
    """The lattice along the patient's axes at the origin, for images that are of nobody."""
    return Grid(trained.shape, trained.spacing_mm, (0.0, 0.0, 0.0), ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)))
