"""Read what goes with a pair of images: masks, label maps and landmarks, which are paired by label or order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from ..geometry.companions import Companions
from ..geometry.volume import Volume
from .points import Landmarks, read_landmarks
from .volumes import read_volume

KINDS = tuple(f.name for f in fields(Companions) if f.name != "notes")
"""fixed_mask, moving_mask, fixed_labels, …"""


def read_companions(inputs: Mapping[str, Path], fixed: Volume, moving: Volume) -> Companions:
    """Masks, label maps and points of a pair; "index" points count the voxels of their image.

    Points come in pairs, by label or by order as `pair_landmarks` decides; its notes go along.

    Args:
        inputs: files by `KINDS`; other names are left to the caller.
        fixed, moving: the two images.

    Raises:
        FileNotFoundError, ValueError: a file is missing or not readable, or points do not correspond.
    """
    found, landmarks = {}, {}
    for name in KINDS:
        if name not in inputs:
            continue
        if name.endswith("points"):
            grid = fixed.grid if name.startswith("fixed") else moving.grid
            landmarks[name] = read_landmarks(inputs[name], grid=grid)
            found[name] = landmarks[name].positions
        else:
            found[name] = read_volume(inputs[name], labels=name.endswith("labels"))
    if len(landmarks) == 2:
        pairs = pair_landmarks(landmarks["fixed_points"], landmarks["moving_points"])
        found |= {"fixed_points": pairs.fixed, "moving_points": pairs.moving, "notes": pairs.notes}
    return Companions(**found)


NAMED = 5
"""So many labels are named in a note."""


@dataclass(frozen=True)
class PairedLandmarks:
    """Landmarks that belong together.

    Args:
        fixed, moving: (n, 3) mm LPS, n at least 1.
        notes: sentences about points that were left out; none where all have a partner.
    """

    fixed: np.ndarray
    moving: np.ndarray
    notes: tuple[str, ...] = ()


def pair_landmarks(fixed: Landmarks, moving: Landmarks) -> PairedLandmarks:
    """By label where both lists name every point differently and have labels in common, else by the order in the lists.

    Labels 1, 2, 3, … on both sides are that order and nothing more.

    Points that were never placed, and labels of one list only, are left out and noted. In the order of a list, points that
    were never placed count; at its end they need no partner.

    Raises:
        ValueError: neither labels nor order say what belongs together, or no pair is placed on both sides.
    """
    sides = [{name.strip(): n for n, name in enumerate(side.names)} for side in (fixed, moving)]
    unplaced = [{name.strip() for name in side.unplaced} for side in (fixed, moving)]
    everyone = [set(names) | out for names, out in zip(sides, unplaced, strict=True)]
    unique = all(
        side.labeled and len(names) == len(side.names) + len(side.unplaced)
        for side, names in zip((fixed, moving), everyone, strict=True)
    )
    numbered = all(_is_numbered(side) for side in (fixed, moving))
    if unique and everyone[0] & everyone[1] and not numbered:
        pairs = [(n, sides[1][name]) for name, n in sides[0].items() if name in sides[1]]
        left = sorted((everyone[0] | everyone[1]) - {name for name in sides[0] if name in sides[1]})
    else:
        _check_order(fixed, moving)
        partner = {place: n for n, place in enumerate(moving.places)}
        pairs = [(n, partner[place]) for n, place in enumerate(fixed.places) if place in partner]
        gone = set(fixed.places) ^ set(moving.places)
        left = [f"number {place + 1}" for place in sorted(gone)]
    if not pairs:
        raise ValueError("No landmark is placed on both sides: place at least one that both lists have.")
    first, second = (list(numbers) for numbers in zip(*pairs, strict=True))
    return PairedLandmarks(fixed.positions[first], moving.positions[second], _left_out(left, len(pairs)))


def _is_numbered(side: Landmarks) -> bool:
    return all(name == str(place + 1) for name, place in zip(side.names, side.places, strict=True))


def _check_order(fixed: Landmarks, moving: Landmarks) -> None:
    """Refuses lists whose order says nothing: of different lengths, whether or not points at the end were never placed."""
    totals = [len(side.places) + len(side.unplaced) for side in (fixed, moving)]
    if totals[0] != totals[1] and max(fixed.places) != max(moving.places):
        raise ValueError(
            f"Fixed and moving points must correspond one to one, got {totals[0]} and {totals[1]}, and their labels do not say "
            "which belong together: give every point a label of its own, the same on both sides, or remove the ones without "
            "a partner."
        )


def _left_out(names: list[str], paired: int) -> tuple[str, ...]:
    if not names:
        return ()
    named = ", ".join(names[:NAMED]) + (", …" if len(names) > NAMED else "")
    return (
        f"{len(names)} landmark{'s were' if len(names) > 1 else ' was'} left out, not placed on both sides ({named}); "
        f"{paired} are scored.",
    )
