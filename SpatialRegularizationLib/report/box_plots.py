"""Lay out box plots: the spread of a figure over the pairs, one box for each method, in one group or many."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

COLORS = ("#8a95a3", "#1f5fa8", "#c2571a", "#2a9d8f", "#8e44ad", "#b8860b", "#b3261e", "#4d6a2d", "#d45087", "#3a3a8c")
"""Of the methods in order, the first one gray: it is the start."""
WIDTH, LEFT, RIGHT, TOP = 760, 190, 20, 8
BOX, GAP = 13, 9
WHISKER = 1.5
"""Whiskers reach to the outermost values within this many interquartile ranges of the box (J. W. Tukey, 1977)."""


def box_plot(
    groups: Mapping[str, Mapping[str, Sequence[float]]], colors: Mapping[str, str], title: str
) -> dict[str, Any] | None:
    """Horizontal boxes below one another: median, quartiles, whiskers, outliers as dots, the mean as a diamond.

    Args:
        groups: {group: {series: values}}; the names of the series stand beside the boxes where there is one group, the names
            of the groups otherwise.
        colors: of the series.
        title: of the horizontal axis.

    Returns:
        What the macro `boxes` draws, places in pixels from the upper left corner; None where there are no values.
    """
    found = {name: {s: _finite(v) for s, v in series.items() if len(_finite(v))} for name, series in groups.items()}
    found = {name: series for name, series in found.items() if series}
    values = [value for series in found.values() for v in series.values() for value in v]
    if not values:
        return None
    low, high = min(values), max(values)
    room = 0.03 * (high - low) or 0.01 * max(abs(high), 1.0)
    low, high = low - room, high + room
    scale = (WIDTH - LEFT - RIGHT) / (high - low)
    boxes, names, y, single = [], [], float(TOP), len(found) == 1
    for group, series in found.items():
        if not single:
            names.append((y + len(series) * BOX / 2, group))
        for word, v in series.items():
            if single:
                names.append((y + BOX / 2, word))
            boxes.append(_box(np.sort(v), lambda x: LEFT + (x - low) * scale, y + BOX / 2, word) | {"color": colors[word]})
            y += BOX + (GAP if single else 0)
        y += GAP
    ticks = [(LEFT + (value - low) * scale, value) for value in round_ticks(low, high)]
    frame = {"width": WIDTH, "left": LEFT, "right": WIDTH - RIGHT, "top": TOP, "foot": y}
    return frame | {"title": title, "ticks": ticks, "names": names, "boxes": boxes}


def five_numbers(values: np.ndarray) -> tuple[float, float, float, float, float]:
    """Lower whisker, lower quartile, median, upper quartile, upper whisker of sorted values."""
    lower, median, upper = (float(q) for q in np.percentile(values, (25, 50, 75)))
    reach = WHISKER * (upper - lower)
    inside = values[(values >= lower - reach) & (values <= upper + reach)]
    return min(float(inside[0]), lower), lower, median, upper, max(float(inside[-1]), upper)


def round_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round values inside [low, high], three to `most` of them."""
    step = 10.0 ** math.floor(math.log10((high - low) / 3))
    step = next((m * step for m in (1, 2, 5) if (high - low) / (m * step) <= most), 10 * step)
    first = math.ceil(low / step - 1e-9)
    return [n * step for n in range(first, math.floor(high / step + 1e-9) + 1)]


def _box(values: np.ndarray, x: Callable[[float], float], middle: float, word: str) -> dict[str, Any]:
    numbers, mean = five_numbers(values), float(values.mean())
    low, lower, median, upper, high = numbers
    names = ("low", "lower", "median", "upper", "high", "mean")
    return {name: x(value) for name, value in zip(names, (*numbers, mean), strict=True)} | {
        "outliers": [x(v) for v in values[(values < low) | (values > high)]],
        "middle": middle,
        "title": f"{word}: median {median:.4g}, quartiles {lower:.4g} to {upper:.4g}, mean {mean:.4g}, n = {len(values)}",
    }


def _finite(values: Sequence[float]) -> np.ndarray:
    array = np.asarray(values, dtype=np.float64)
    return array[np.isfinite(array)]
