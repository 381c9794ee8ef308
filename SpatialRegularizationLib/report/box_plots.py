"""Box plots as SVG: the spread of a figure over the pairs, one box for each method, in one group or many."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape

import numpy as np

COLORS = ("#8a95a3", "#1f5fa8", "#c2571a", "#2a9d8f", "#8e44ad", "#b8860b", "#b3261e", "#4d6a2d", "#d45087", "#3a3a8c")
"""Of the methods in order, the first one gray: it is the start."""
WIDTH, LEFT, RIGHT, TOP, FOOT = 760, 190, 20, 8, 34
BOX, GAP = 13, 9
WHISKER = 1.5
"""Whiskers reach to the outermost values within this many interquartile ranges of the box (J. W. Tukey, 1977)."""


def box_plot(groups: Mapping[str, Mapping[str, Sequence[float]]], colors: Mapping[str, str], title: str) -> str:
    """Horizontal boxes: median, quartiles, whiskers, outliers as dots, the mean as a diamond.

    Args:
        groups: {group: {series: values}}; the names of the series stand beside the boxes where there is one group, the names
            of the groups otherwise.
        colors: of the series.
        title: of the horizontal axis.

    Returns:
        An <svg>; "" where there are no values.
    """
    groups = {name: {s: _finite(v) for s, v in series.items() if len(_finite(v))} for name, series in groups.items()}
    groups = {name: series for name, series in groups.items() if series}
    values = [value for series in groups.values() for v in series.values() for value in v]
    if not values:
        return ""
    low, high = min(values), max(values)
    room = 0.03 * (high - low) or 0.01 * max(abs(high), 1.0)
    low, high = low - room, high + room
    scale = (WIDTH - LEFT - RIGHT) / (high - low)
    parts, y = [], float(TOP)
    for name, series in groups.items():
        if len(groups) > 1:
            middle = y + len(series) * BOX / 2
            parts.append(f'<text x="{LEFT - 10}" y="{middle + 4:.1f}" class="small end">{escape(name)}</text>')
        for word, v in series.items():
            if len(groups) == 1:
                parts.append(f'<text x="{LEFT - 10}" y="{y + BOX / 2 + 4:.1f}" class="small end">{escape(word)}</text>')
            parts.append(_box(np.sort(v), y, lambda x: LEFT + (x - low) * scale, (colors[word], word)))
            y += BOX + (GAP if len(groups) == 1 else 0)
        y += GAP
    height = y + FOOT
    axis = _axis(low, high, scale, (y, title))
    return (
        f'<svg class="boxes" viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(title)}">{axis}'
        f"{''.join(parts)}</svg>"
    )


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


def _box(values: np.ndarray, y: float, x: Callable[[float], float], look: tuple[str, str]) -> str:
    color, word = look
    low, lower, median, upper, high = five_numbers(values)
    top, bottom, middle = y + 1.5, y + BOX - 1.5, y + BOX / 2
    outliers = values[(values < low) | (values > high)]
    mean = float(values.mean())
    said = f"{word}: median {median:.4g}, quartiles {lower:.4g} to {upper:.4g}, mean {mean:.4g}, n = {len(values)}"
    dots = "".join(f'<circle cx="{x(v):.1f}" cy="{middle:.1f}" r="1.7"/>' for v in outliers)
    return (
        f'<g stroke="{color}" fill="{color}"><title>{escape(said)}</title>'
        f'<path d="M{x(low):.1f} {middle:.1f}H{x(lower):.1f}M{x(upper):.1f} {middle:.1f}H{x(high):.1f}'
        f'M{x(low):.1f} {top + 2:.1f}V{bottom - 2:.1f}M{x(high):.1f} {top + 2:.1f}V{bottom - 2:.1f}" fill="none"/>'
        f'<rect x="{x(lower):.1f}" y="{top:.1f}" width="{max(x(upper) - x(lower), 0.5):.1f}" height="{bottom - top:.1f}" '
        f'fill-opacity=".28"/><path d="M{x(median):.1f} {top:.1f}V{bottom:.1f}" stroke-width="2.2"/>'
        f'<path d="M{x(mean):.1f} {middle - 3:.1f}l3 3l-3 3l-3 -3z" stroke="#fff" stroke-width=".8"/>{dots}</g>'
    )


def _axis(low: float, high: float, scale: float, foot: tuple[float, str]) -> str:
    y, title = foot
    parts = []
    for value in round_ticks(low, high):
        x = LEFT + (value - low) * scale
        parts.append(f'<path class="tick" d="M{x:.1f} {TOP}V{y:.1f}"/>')
        parts.append(f'<text x="{x:.1f}" y="{y + 14:.1f}" class="small middle">{value:.6g}</text>')
    parts.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2:.0f}" y="{y + 30:.1f}" class="small middle">{escape(title)}</text>')
    return "".join(parts)


def _finite(values: Sequence[float]) -> np.ndarray:
    array = np.asarray(values, dtype=np.float64)
    return array[np.isfinite(array)]
