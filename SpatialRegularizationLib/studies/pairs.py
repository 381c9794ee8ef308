"""The pairs of a study: read from a list of pairs, or drawn from a list of images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..geometry.companions import Companions
from ..geometry.volume import Volume
from ..io.stamps import stamp_of


@dataclass(frozen=True)
class StudyPair:
    """Two images and what goes with them.

    Args:
        name: unique in its study, also the name of a file.
        fixed, moving: image files or DICOM folders.
        inputs: files by `io.companions.KINDS`, and "initial".
        preset: for methods that take the preset of the pair; "" where the list names none.
    """

    name: str
    fixed: Path
    moving: Path
    inputs: Mapping[str, Path] = field(default_factory=dict)
    preset: str = ""

    def identity(self) -> dict[str, Any]:
        """The files as they are now: what must be the same for a figure to be kept."""
        files = {"fixed": self.fixed, "moving": self.moving} | dict(self.inputs)
        return {name: stamp_of(path) for name, path in files.items()} | {"preset": self.preset}


@dataclass(frozen=True)
class ReadPair:
    """A pair in memory.

    Args:
        name: of the pair.
        fixed, moving: the images.
        companions: masks on the grids of their images, label maps, points.
        start: B, 4x4 mm LPS, from which all methods start.
        preset: of its line in the list, or "".
    """

    name: str
    fixed: Volume
    moving: Volume
    companions: Companions
    start: np.ndarray
    preset: str = ""


@dataclass(frozen=True)
class StudyImage:
    """One image of a list, of which any two make a pair.

    Args:
        name: unique in its list.
        image: the file.
        companions: "labels", "mask" and "points", those that there are.
        group: images of one person have one group and are not paired; "" where it does not matter.
    """

    name: str
    image: Path
    companions: Mapping[str, Path] = field(default_factory=dict)
    group: str = ""


def random_pairs(images: Sequence[StudyImage], count: int, seed: int) -> tuple[StudyPair, ...]:
    """Random ordered pairs of different images of different groups, no pair twice; the first n do not depend on `count`.

    Args:
        images: of a list.
        count: how many pairs.
        seed: of the choice.

    Raises:
        ValueError: fewer ordered pairs than asked for.
    """
    groups = [image.group or f"\0{n}" for n, image in enumerate(images)]
    most = len(images) ** 2 - sum(groups.count(group) ** 2 for group in set(groups))
    if count > most:
        raise ValueError(
            f"{count} pairs were asked for, and {len(images)} images make {most} ordered pairs of different people: ask for "
            "fewer (random_pairs), or list more images."
        )
    generator = np.random.default_rng(seed)
    found: dict[tuple[int, int], None] = {}
    while len(found) < count:
        fixed, moving = (int(n) for n in generator.integers(len(images), size=2))
        if groups[fixed] != groups[moving]:
            found.setdefault((fixed, moving))
    return tuple(_pair(images[fixed], images[moving]) for fixed, moving in found)


def _pair(fixed: StudyImage, moving: StudyImage) -> StudyPair:
    inputs = {
        f"{side}_{kind}": path
        for side, image in (("fixed", fixed), ("moving", moving))
        for kind, path in image.companions.items()
    }
    if not ("fixed_points" in inputs and "moving_points" in inputs):  # labels of one side alone still name regions
        inputs = {name: path for name, path in inputs.items() if not name.endswith("points")}
    return StudyPair(f"{moving.name}_to_{fixed.name}", fixed.image, moving.image, inputs)
