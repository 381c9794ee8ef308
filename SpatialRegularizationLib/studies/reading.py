"""Read a pair of a study: images, label maps that can be compared, and the start that all methods share."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from ..geometry.companions import Companions
from ..geometry.transform import SpatialTransform
from ..geometry.volume import Volume
from ..images.preparation import prepare_intensity
from ..images.usable import check_companions, fit_mask, usable_pair
from ..io.companions import read_companions
from ..io.lists import ListedPair
from ..io.transforms import read_transform
from ..io.volumes import read_volume
from ..pose.start import StartKind, find_start
from ..registration.choices import threads
from ..registration.presets import preset_settings
from .pairs import ReadPair
from .settings import StudySettings


def read_pair(pair: ListedPair, settings: StudySettings) -> ReadPair:
    """The images of a pair, what goes with them, and their common start.

    Raises:
        FileNotFoundError, ValueError: something is missing, unreadable or does not fit; see `check_label_maps`, too.
    """
    fixed, moving = read_volume(pair.fixed), read_volume(pair.moving)
    companions = read_companions(pair.inputs, fixed, moving)
    check_companions(companions, fixed.grid, moving.grid)
    usable = usable_pair(fixed, moving, companions)
    fixed, moving = usable.fixed, usable.moving
    companions = replace(usable.companions, notes=(*usable.notes, *companions.notes))
    check_label_maps(companions, settings.scored_labels, refuse_others=settings.other_labels == "refuse")
    masks = {
        name: fit_mask(mask, image.grid, name.replace("_", " "))
        for name, mask, image in (
            ("fixed_mask", companions.fixed_mask, fixed),
            ("moving_mask", companions.moving_mask, moving),
        )
        if mask is not None
    }
    companions = replace(companions, **masks)
    given = _given(pair)
    start = _start(pair, given, (fixed, moving), companions, settings)
    return ReadPair(pair.name, fixed, moving, companions, start, given, pair.preset)


def check_label_maps(companions: Companions, scored: Iterable[int] | None, *, refuse_others: bool) -> None:
    """Refuses label maps that cannot be compared.

    Args:
        companions: of a pair.
        scored: the labels that count; None for all.
        refuse_others: whether a map may hold no others.

    Raises:
        ValueError: no common label, or one that the study does not name.
    """
    found = {}
    for side in ("fixed", "moving"):
        labels = getattr(companions, f"{side}_labels")
        if labels is not None:
            found[side] = set(torch.unique(labels.data).tolist()) - {0}
    if scored is not None and refuse_others:
        for side, values in found.items():
            unknown = sorted(values - set(scored))
            if unknown:
                raise ValueError(
                    f"The {side} label map holds the label {unknown[0]}, which the study does not name "
                    f"({_listed(scored)}): add it to labels, or set other_labels: ignore."
                )
    if len(found) == 2 and not found["fixed"] & found["moving"] & (set(scored) if scored else found["fixed"]):
        raise ValueError(
            f"The label maps have no common label to score: the fixed one holds {_listed(found['fixed'])}, the moving one "
            f"{_listed(found['moving'])}{f', scored are {_listed(scored)}' if scored else ''}; check that they belong together."
        )


def _listed(values: Iterable[Any]) -> str:
    values = sorted(values)
    return (", ".join(map(str, values[:8])) + (", …" if len(values) > 8 else "")) or "none"


def _given(pair: ListedPair) -> np.ndarray:
    """B of what the list names as the initial transform of the pair."""
    initial = read_transform(pair.inputs["initial"]) if "initial" in pair.inputs else SpatialTransform()
    if initial.displacement is not None:
        raise ValueError("The initial transform bends, and all methods of a study start from an affine map: give that part only.")
    return initial.affine_matrix


def _start(
    pair: ListedPair, given: np.ndarray, images: tuple[Volume, Volume], companions: Companions, settings: StudySettings
) -> np.ndarray:
    """B of the pair: what the list names, then what the study's `affine` finds."""
    kind = preset_settings(pair.preset).intensity if pair.preset else "percentile"
    prepared = [prepare_intensity(image, kind, f"{side} image") for image, side in zip(images, ("fixed", "moving"), strict=True)]
    masks = (companions.fixed_mask, companions.moving_mask)
    with threads(1):
        return find_start(*prepared, StartKind(settings.affine), initial=given, masks=masks).matrix
