"""Drawings of a study as SVG: score over two parameters, over one, over the trials, over the steps; importance bars."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from ..report.box_plots import round_ticks
from ..report.pixels import WEIGHT, data_uri, indices
from .ranges import Range

LEFT, RIGHT, TOP, BOTTOM = 62, 14, 14, 46
"""Margins of a chart around its frame."""
STAR = "".join(
    f"{'L' if n else 'M'}{r * math.sin(n * math.pi / 5):.2f} {-r * math.cos(n * math.pi / 5):.2f}"
    for n in range(10)
    for r in ((9.0, 3.8)[n % 2],)
)
SYMBOLS = {
    "completed": '<circle r="3.6" class="completed"/>',
    "pruned": '<path d="M-3.4 -3.4L3.4 3.4M-3.4 3.4L3.4 -3.4" class="pruned-halo"/>'
    '<path d="M-3.4 -3.4L3.4 3.4M-3.4 3.4L3.4 -3.4" class="pruned"/>',
    "best": f'<path d="{STAR}Z" class="best"/>',
    "top": '<path d="M-6 0H6M0 -6V6" class="top-halo"/><path d="M-6 0H6M0 -6V6" class="top"/>',
}
"""What stands for a completed trial, a pruned one, the best one, and the top of the surface."""


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
    """A symbol at a place of a chart, with what is said when the pointer rests on it."""

    x: float
    y: float
    kind: str
    title: str


@dataclass(frozen=True)
class Chart:
    """A frame with two axes; places inside it are values of the axes.

    Args:
        across, up: the axes.
        size: width and height of the whole drawing.
    """

    across: Axis
    up: Axis
    size: tuple[int, int] = (620, 300)

    def drawn(self, inside: str, label: str) -> str:
        """The SVG with frame, axes and what stands inside."""
        width, height = self.size
        frame = f'<rect x="{LEFT}" y="{TOP}" width="{self._width}" height="{self._height}" class="tick"/>'
        return (
            f'<svg class="chart" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(label)}">'
            f"{inside}{frame}{self._axes()}</svg>"
        )

    def heat(self, values: np.ndarray, *, low: float, high: float, smooth: bool) -> str:
        """Colors behind everything; values (up, across), first row at the lower end."""
        style = "" if smooth else ' style="image-rendering:pixelated"'
        uri = data_uri(indices(values[::-1], low, high), WEIGHT)
        return (
            f'<image x="{LEFT}" y="{TOP}" width="{self._width}" height="{self._height}" preserveAspectRatio="none"'
            f'{style} href="{uri}"/>'
        )

    def marks(self, marks: Sequence[Mark]) -> str:
        """Symbols, later ones above earlier ones; places beyond the frame are drawn at its border."""
        return "".join(
            f'<g transform="translate({self._x(m.x):.1f} {self._y(m.y):.1f})">{SYMBOLS[m.kind]}'
            f"<title>{escape(m.title)}</title></g>"
            for m in marks
        )

    def line(self, points: Sequence[tuple[float, float]], css_class: str, *, stairs: bool = False) -> str:
        """A line through places, level until the next place with `stairs`."""
        if not points:
            return ""
        path = f"M{self._x(points[0][0]):.1f} {self._y(points[0][1]):.1f}"
        for x, y in points[1:]:
            path += f"H{self._x(x):.1f}V{self._y(y):.1f}" if stairs else f"L{self._x(x):.1f} {self._y(y):.1f}"
        return f'<path d="{path}" class="{css_class}"/>'

    @property
    def _width(self) -> int:
        return self.size[0] - LEFT - RIGHT

    @property
    def _height(self) -> int:
        return self.size[1] - TOP - BOTTOM

    def _x(self, value: float) -> float:
        return LEFT + min(1.0, max(0.0, self.across.span.share(value))) * self._width

    def _y(self, value: float) -> float:
        return TOP + (1 - min(1.0, max(0.0, self.up.span.share(value)))) * self._height

    def _axes(self) -> str:
        bottom, middle = TOP + self._height, TOP + self._height / 2
        parts = []
        for value in self.across.ticks():
            x = self._x(value)
            parts.append(f'<path class="tick" d="M{x:.1f} {bottom}v5"/>')
            parts.append(f'<text x="{x:.1f}" y="{bottom + 18}" class="small middle">{value:g}</text>')
        for value in self.up.ticks():
            y = self._y(value)
            parts.append(f'<path class="tick" d="M{LEFT} {y:.1f}h-5"/>')
            parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" class="small end">{value:.4g}</text>')
        center, foot = LEFT + self._width / 2, self.size[1] - 8
        parts.append(f'<text x="{center:.0f}" y="{foot}" class="small middle">{escape(self.across.name)}</text>')
        parts.append(
            f'<text transform="translate(13 {middle:.0f}) rotate(-90)" class="small middle">{escape(self.up.name)}</text>'
        )
        return "".join(parts)


def score_span(scores: Sequence[float]) -> Range:
    """Where to draw scores: from the lowest, but no farther below the best than four times the median is, to the best."""
    best, median, lowest = max(scores), float(np.median(scores)), min(scores)
    low = max(lowest, best - 4 * (best - median)) if best > median else lowest
    room = 0.06 * (best - low) or max(abs(best), 1.0) * 0.01
    return Range(low - room, best + room)


def bars(shares: Mapping[str, float], label: str) -> str:
    """Horizontal bars of shares 0 to 1, with their percentages."""
    width, line = 620, 30
    parts = []
    for number, (name, share) in enumerate(shares.items()):
        y = 6 + number * line
        length = max(0.0, share) * (width - 190)
        parts.append(f'<text x="112" y="{y + 14}" class="small end">{escape(name)}</text>')
        parts.append(f'<rect x="120" y="{y}" width="{length:.1f}" height="19" rx="2" class="share"/>')
        parts.append(f'<text x="{126 + length:.1f}" y="{y + 14}" class="small">{100 * share:.0f} %</text>')
    height = 12 + line * len(shares)
    return f'<svg class="chart" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>'
