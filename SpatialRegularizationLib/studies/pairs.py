"""Draw random pairs from a list of images, and hold a pair that was read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..geometry.companions import Companions
from ..geometry.volume import Volume
from ..io.lists import ListedImage, ListedPair


@dataclass(frozen=True)
class ReadPair:
    """A pair in memory.

    Args:
        name: of the pair.
        fixed, moving: the images.
        companions: masks on the grids of their images, label maps, points.
        start: B, 4x4 mm LPS, from which all methods start that deform.
        given: B of the list's initial transform, from which rigid and affine methods start; the identity where it names none.
        preset: of its line in the list, or "".
    """

    name: str
    fixed: Volume
    moving: Volume
    companions: Companions
    start: np.ndarray
    given: np.ndarray
    preset: str = ""


def random_pairs(images: Sequence[ListedImage], count: int, seed: int) -> tuple[ListedPair, ...]:
    """Random ordered pairs of different images of different groups, no pair twice; the first n do not depend on `count`.

    Args:
        images: of a list.
        count: how many pairs.
        seed: of the choice.

    Raises:
        ValueError: a label map without an image, or fewer ordered pairs than asked for.
    """
    bare = next((image.name for image in images if image.image is None), None)
    if bare is not None:
        raise ValueError(f"{bare} has labels but no image: name one in the column image, or leave the line out.")
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


def _pair(fixed: ListedImage, moving: ListedImage) -> ListedPair:
    inputs = {
        f"{side}_{kind}": path
        for side, image in (("fixed", fixed), ("moving", moving))
        for kind, path in image.files.items()
        if kind != "image"
    }
    if not ("fixed_points" in inputs and "moving_points" in inputs):  # labels of one side alone still name regions
        inputs = {name: path for name, path in inputs.items() if not name.endswith("points")}
    return ListedPair(f"{moving.name}_to_{fixed.name}", fixed.image, moving.image, inputs)
