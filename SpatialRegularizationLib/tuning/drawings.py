"""Lay out the charts of studies, sweeps and trainings: a frame with two axes, colors, lines and marks at places of their values.

Optuna's own plots do not serve here: they need plotly (megabytes of script in a page that stands alone) or matplotlib, and their
contours leave out pruned trials and the top of the surface.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..registration.settings import RULES
from ..report.box_plots import round_ticks
from ..report.pixels import WEIGHT, Bar, data_uri, indices
from .ranges import Range

SYMBOLS = {"eta": "η", "lambda": "λ"}
"""How the conditions of networks are written; parameters of priors declare it themselves."""


def word(name: str) -> str:
    """A parameter as it is written, e.g. α′ for alpha_prime."""
    return RULES.get(name, {}).get("symbol") or SYMBOLS.get(name, name.replace("_", " "))


def shown(values: Mapping[str, float]) -> str:
    """Parameters and their values in one line."""
    return ", ".join(f"{word(name)} = {value:.4g}" for name, value in values.items())


@dataclass(frozen=True)
class Axis:
    """One side of a chart: what it holds, and from where to where."""

    name: str
    span: Range

    def ticks(self) -> list[float]:
        """Round values inside the span, three to seven of them where they exist."""
        low, high = self.span.low, self.span.high
        if self.span.log:
            exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
            found = [m * 10.0**e for e in exponents for m in (1, 2, 5)]
            inside = [value for value in found if low * 0.999 <= value <= high * 1.001]
            decades = [value for value in inside if math.isclose(math.log10(value) % 1, 0, abs_tol=1e-9)]
            return decades if len(inside) > 7 and len(decades) > 2 else inside
        return round_ticks(low, high)


@dataclass(frozen=True)
class Mark:
    """A symbol at a place of a chart ("completed", "pruned", "best", "top"), with what is said when the pointer rests on it."""

    x: float
    y: float
    kind: str
    title: str


@dataclass(frozen=True)
class Line:
    """A line through places of a chart: its class in the style sheet; with `stairs` level until the next place."""

    points: Sequence[tuple[float, float]]
    kind: str = "so-far"
    stairs: bool = False


@dataclass(frozen=True)
class Heat:
    """Colors behind everything, as a PNG address, and their bar."""

    uri: str
    smooth: bool
    bar: Bar

    @classmethod
    def of(cls, values: np.ndarray, ends: tuple[str, str], *, digits: str, smooth: bool) -> Heat:
        """From values (up, across), first row at the lower end; ends: what the lowest and the highest value mean."""
        low, high = float(values.min()), float(values.max())
        return cls(data_uri(indices(values[::-1], low, high), WEIGHT), smooth, Bar.over(WEIGHT, low, high, digits, ends))


@dataclass(frozen=True)
class Chart:
    """A frame with two axes; places inside it are values of the axes.

    Args:
        across, up: the axes.
        label: what it shows, for who cannot see it.
        lines, marks: later ones above earlier ones; places beyond the frame are drawn at its border.
        heat: colors behind them.
        size: width and height of the whole drawing.
    """

    across: Axis
    up: Axis
    label: str
    lines: Sequence[Line] = ()
    marks: Sequence[Mark] = ()
    heat: Heat | None = None
    size: tuple[int, int] = (620, 300)
    left, top = 62, 14

    @property
    def width(self) -> int:
        """Of the frame."""
        return self.size[0] - self.left - 14

    @property
    def height(self) -> int:
        """Of the frame."""
        return self.size[1] - self.top - 46

    def x(self, value: float) -> float:
        """Place of a value from the left end of the drawing."""
        return self.left + min(1.0, max(0.0, self.across.span.share(value))) * self.width

    def y(self, value: float) -> float:
        """Place of a value from the top of the drawing."""
        return self.top + (1 - min(1.0, max(0.0, self.up.span.share(value)))) * self.height

    def path(self, line: Line) -> str:
        """A line in SVG commands."""
        (x, y), *rest = ((f"{self.x(x):.1f}", f"{self.y(y):.1f}") for x, y in line.points)
        return f"M{x} {y}" + "".join(f"H{x}V{y}" if line.stairs else f"L{x} {y}" for x, y in rest)


def score_span(scores: Sequence[float]) -> Range:
    """Where to draw scores: from the lowest, but no farther below the best than four times the median is, to the best."""
    best, median, lowest = max(scores), float(np.median(scores)), min(scores)
    low = max(lowest, best - 4 * (best - median)) if best > median else lowest
    return span_around(low, best)


def span_around(low: float, high: float) -> Range:
    """A range with some room beyond two values."""
    room = 0.06 * (high - low) or max(abs(high), 1.0) * 0.01
    return Range(low - room, high + room)
