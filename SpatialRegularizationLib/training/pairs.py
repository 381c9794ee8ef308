"""Choose which images meet, and in which order."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .draws import stream
from .preparation import Prepared
from .settings import TrainingSettings


@dataclass(frozen=True)
class Batch:
    """Pairs as tensors on one device and lattice.

    Args:
        moving, fixed: (N, 1, *s) float32 in [0, 1].
        moving_labels, fixed_labels: (N, 1, *s) integers, or None where an image of the batch has none.
        moving_inside, fixed_inside: (N, 1, *s) float, 1 where the similarity counts; None where that is everywhere.
        names: "moving to fixed" of each pair.
        moving_compared, fixed_compared: (N, 1, *s) what the similarity sees in place of moving and fixed; None: those.
    """

    moving: Tensor
    fixed: Tensor
    moving_labels: Tensor | None
    fixed_labels: Tensor | None
    moving_inside: Tensor | None
    fixed_inside: Tensor | None
    names: tuple[str, ...]
    moving_compared: Tensor | None = None
    fixed_compared: Tensor | None = None

    @classmethod
    def of(cls, pairs: Sequence[tuple[Prepared, Prepared]], device: torch.device) -> Batch:
        """A batch of (moving, fixed) images."""
        sides = list(zip(*pairs, strict=True))
        return cls(
            *(_stack([image.image for image in side], device, torch.float32) for side in sides),
            *(_stack([image.labels for image in side], device, torch.int64) for side in sides),
            *(_inside(side, device) for side in sides),
            tuple(f"{moving.entry.name} to {fixed.entry.name}" for moving, fixed in pairs),
        )


@dataclass(frozen=True)
class PairOrder:
    """The pairs of a list, in random orders without repetition.

    Args:
        images: each is fixed in its turn, with any other one moving; empty where `candidates` are given.
        candidates: all (moving, fixed) pairs, where the kind of pairs names them.
        seed: of the order.
    """

    images: tuple[Prepared, ...]
    candidates: tuple[tuple[Prepared, Prepared], ...]
    seed: int

    @classmethod
    def of(
        cls, settings: TrainingSettings, images: Sequence[Prepared], atlas: Prepared | None, *, kind: str | None = None
    ) -> PairOrder:
        """The pairs that the settings ask for.

        Args:
            settings: pairs, seed.
            images: of a list.
            atlas: as `find_atlas`.
            kind: of pairs, instead of that of the settings.

        Raises:
            ValueError: the list makes no such pair.
        """
        remedies = {
            "inter-subject": "list at least two images",
            "atlas-to-subject": "list images besides the atlas",
            "intra-subject": "give images of one person the same group",
            "warped": "list a label map",
        }
        kind = kind or settings.pairs
        order = cls(tuple(images), (), settings.seed)
        if kind == "intra-subject":
            order = cls((), _within_groups(images), settings.seed)
        elif kind == "warped":
            order = cls((), tuple((image, image) for image in images), settings.seed)
        elif atlas is not None:
            others = [image for image in images if image.entry.name != atlas.entry.name]
            order = cls((), tuple((atlas, fixed) for fixed in others), settings.seed)
        if len(order.images) < 2 and not order.candidates:
            raise ValueError(f"The list of {len(images)} images makes no {kind} pair: {remedies[kind]}.")
        return order

    @property
    def size(self) -> int:
        """Pairs after which every image has been fixed once (of groups: every ordered pair was used)."""
        return len(self.images) or len(self.candidates)

    def pair(self, epoch: int, number: int) -> tuple[Prepared, Prepared]:
        """The (moving, fixed) images of one place; a new order begins when one is used up."""
        turn, place = divmod(number, self.size)
        chosen = int(torch.randperm(self.size, generator=stream(self.seed, "order", epoch, turn))[place])
        if self.candidates:
            return self.candidates[chosen]
        other = int(torch.randint(self.size - 1, (), generator=stream(self.seed, "partner", epoch, number)))
        return self.images[other + (other >= chosen)], self.images[chosen]


def _within_groups(images: Sequence[Prepared]) -> tuple[tuple[Prepared, Prepared], ...]:
    """All ordered pairs of two images of one group."""
    groups: dict[str, list[Prepared]] = {}
    for image in images:
        if image.entry.group:
            groups.setdefault(image.entry.group, []).append(image)
    return tuple(pair for group in groups.values() for pair in itertools.permutations(group, 2))


def find_atlas(settings: TrainingSettings, images: Sequence[Prepared]) -> Prepared | None:
    """The image that the settings name as the atlas; None where they name none.

    Raises:
        ValueError: no image of that name.
    """
    if settings.atlas is None:
        return None
    found = next((image for image in images if image.entry.name == settings.atlas), None)
    if found is None:
        raise ValueError(f"The atlas {settings.atlas!r} is not in the list {settings.train}: name one of its images.")
    return found


def validation_pairs(
    settings: TrainingSettings, images: Sequence[Prepared], atlas: Prepared | None, *, kind: str | None = None
) -> list:
    """The (moving, fixed) pairs of every validation, the same each time; arguments as `PairOrder.of`."""
    if not images:
        return []
    order = PairOrder.of(settings, images, atlas, kind=kind)
    return [order.pair(-1, number) for number in range(settings.validation_pairs or order.size)]


def _stack(arrays: list[np.ndarray | None], device: torch.device, dtype: torch.dtype) -> Tensor | None:
    """Copies of memory maps as one tensor; None where one is missing."""
    if any(array is None for array in arrays):
        return None
    return torch.from_numpy(np.stack(arrays)).to(device=device, dtype=dtype)


def _inside(side: Sequence[Prepared], device: torch.device) -> Tensor | None:
    if all(image.inside is None for image in side):
        return None
    arrays = [np.ones_like(image.image, dtype=np.uint8) if image.inside is None else image.inside for image in side]
    return _stack(arrays, device, torch.float32)
