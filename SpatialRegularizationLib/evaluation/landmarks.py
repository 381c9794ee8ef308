"""Target registration error: which landmarks belong together, and how far carried ones end from where they belong."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from ..geometry.grid import Grid
from ..io.points import Landmarks

NAMED = 5
"""So many labels are named in a note."""


@dataclass(frozen=True)
class Tre:
    """Distances ‖φ(x_fixed) - x_moving‖ in mm; φ is the whole chain from fixed to moving, affine included.

    Args:
        mean, median, p95, max: over the landmarks; p95 with linear interpolation between ranks.
        share_outside: share of the mapped landmarks that lie outside the moving image, 0 to 1.
    """

    mean: float
    median: float
    p95: float
    max: float
    share_outside: float

    def to_dict(self) -> dict[str, float]:
        """The fields by name."""
        return asdict(self)


def target_registration_error(mapped: np.ndarray, moving: np.ndarray, *, field: Grid | None = None) -> Tre:
    """Summary of the distances between mapped fixed landmarks and their moving counterparts.

    Args:
        mapped: (n, 3) φ of the fixed landmarks, mm LPS; the fixed landmarks themselves give the initial error.
        moving: (n, 3) mm LPS.
        field: grid of the moving image; mapped landmarks outside of it count in `share_outside`. None: none do.

    Raises:
        ValueError: no landmarks, different numbers, or positions that are not finite.
    """
    first, second = np.asarray(mapped, dtype=np.float64), np.asarray(moving, dtype=np.float64)
    if first.shape != second.shape or first.ndim != 2 or first.shape[-1] != 3:
        raise ValueError(
            f"Fixed and moving landmarks must be two (n, 3) lists of corresponding points, got {first.shape} and "
            f"{second.shape}; give the same landmarks in the same order."
        )
    if not len(first):
        raise ValueError("The landmark lists are empty: the error is undefined; leave them out.")
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise ValueError("Landmarks must be finite; the lists hold NaN or infinite positions.")
    distances = np.linalg.norm(first - second, axis=1)
    return Tre(
        mean=float(distances.mean()),
        median=float(np.median(distances)),
        p95=float(np.percentile(distances, 95)),
        max=float(distances.max()),
        share_outside=0.0 if field is None else float(1 - field.contains(first).mean()),
    )


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
