"""Derive from a range how far one step of a slider goes, and how many decimals its number has. No qt."""

from __future__ import annotations

import math
from decimal import Decimal

STEPS = 200
"""A range has at least as many steps."""


def step_of(low: float, high: float) -> float:
    """The largest step of which `STEPS` fit into the range; 1 for a range without extent."""
    return round_step((high - low) / STEPS)


def round_step(most: float) -> float:
    """The largest of 1, 2 and 5 times a power of ten that is at most this; 1 where that is 0."""
    if not most > 0:
        return 1.0
    power = math.floor(math.log10(most))
    return next((step for step in (float(f"{n}e{power}") for n in (5, 2)) if step <= most), float(f"1e{power}"))


def decimals_of(step: float, *shown: float) -> int:
    """So many that a tenth of a step can be typed, and that these values are shown as they are."""
    return max(_places(step) + 1, *map(_places, shown), 0)


def _places(value: float) -> int:
    """Decimals of a number of six digits: 0.0125 has 4, 200 none."""
    return max(0, -int(Decimal(f"{value:.6g}").normalize().as_tuple().exponent))
