"""Line drawings as SVG: deformation grid, outlines of labels, folds, energy curves, color bars."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..geometry.displacement import DisplacementField
from .pixels import ColorMap
from .planes import Plane

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..registration.result import LevelHistory

GRID_LINES = 34
"""Lines along the longest side of a picture of the deformation grid."""
LINE_POINTS = 140
"""Largest number of points of one line."""


def deformation_lines(plane: Plane, inverse: DisplacementField, number: int) -> str:
    """The grid y ↦ y + d_inv(y) of one slice, seen along its normal.

    Args:
        plane: the cut.
        inverse: d_inv, mm LPS, on the fixed grid or on one with the same end voxels.
        number: slice number of that grid.

    Returns:
        An <svg> in millimeters of the picture.
    """
    height, width = plane.size_mm
    direction = np.array(inverse.grid.direction)
    vectors = np.stack([plane.cut(inverse.vectors[c], number) for c in range(3)])
    down, right = (direction[:, plane.axes[a]] * (-1 if plane.flips[a] else 1) for a in (0, 1))
    rows, columns = vectors.shape[1:]
    spacing = [inverse.grid.spacing[a] for a in plane.axes[:2]]
    y = _centers(rows, height, spacing[0])[:, None] + np.tensordot(down, vectors, 1)
    x = _centers(columns, width, spacing[1])[None, :] + np.tensordot(right, vectors, 1)
    step = max(height, width) / GRID_LINES
    lines = [_polyline(x[r, :], y[r, :]) for r in _positions(rows, height, step)]
    lines += [_polyline(x[:, c], y[:, c]) for c in _positions(columns, width, step)]
    view = f'viewBox="0 0 {width:.1f} {height:.1f}" preserveAspectRatio="none"'
    return f'<svg {view}><path class="grid" d="{"".join(lines)}"/></svg>'


def label_outlines(labels: np.ndarray, css_class: str) -> str:
    """The borders between different labels of a picture (rows, columns), as one <svg> in pixels."""
    rows, columns = labels.shape
    vertical = labels[:, 1:] != labels[:, :-1]  # between column c and c + 1
    horizontal = labels[1:, :] != labels[:-1, :]
    path = [f"M{c + 1} {start}v{n}" for c in range(columns - 1) for start, n in _runs(vertical[:, c])]
    path += [f"M{start} {r + 1}h{n}" for r in range(rows - 1) for start, n in _runs(horizontal[r, :])]
    view = f'viewBox="0 0 {columns} {rows}" preserveAspectRatio="none"'
    return f'<svg {view}><path class="{css_class}" d="{"".join(path)}"/></svg>'


def fold_marks(jacobian: np.ndarray) -> str:
    """Red squares where the Jacobian determinant (rows, columns) is not positive; "" without folds."""
    folded = np.argwhere(jacobian <= 0)
    if not len(folded):
        return ""
    path = "".join(f"M{c} {r}h1v1h-1z" for r, c in folded)
    view = f'viewBox="0 0 {jacobian.shape[1]} {jacobian.shape[0]}" preserveAspectRatio="none"'
    return f'<svg {view}><path class="fold" d="{path}"/></svg>'


def energy_chart(history: Sequence[LevelHistory], terms: Sequence[str], title: str) -> str:
    """Energies over all steps of all levels; each level is a band with its name, as its energies have their own scale.

    Args:
        history: the levels in order.
        terms: attributes of `LevelHistory` to draw, in the order of their colors.
        title: what the vertical axis holds.
    """
    levels = [level for level in history if len(level.total)]
    values = np.array([v for level in levels for term in terms for v in getattr(level, term)], dtype=np.float64)
    values = values[np.isfinite(values)]
    if not values.size:
        return ""
    width, height, left, bottom, top = 640, 240, 56, 26, 24
    low, high = float(values.min()), float(values.max())
    high = high if high > low else low + 1
    steps = sum(len(level.total) for level in levels)
    scale_x, scale_y = (width - left - 8) / max(steps - 1, 1), (height - top - bottom) / (high - low)
    parts = [_axis(low, high, left, width, top, height - bottom)]
    start = 0
    for level in levels:
        x = left + start * scale_x
        parts.append(f'<path class="tick" d="M{x:.1f} {top}V{height - bottom}"/>')
        parts.append(f'<text x="{x + 4:.1f}" y="{height - 8}" class="small">{_escaped(level.stage)}</text>')
        for number, term in enumerate(terms):
            series = getattr(level, term)
            points = [
                f"{x + n * scale_x:.1f},{top + (high - v) * scale_y:.1f}"
                for n, v in enumerate(series)
                if np.isfinite(v)
            ]
            parts.append(f'<polyline class="curve curve-{number}" points="{" ".join(points)}"/>')
        start += len(level.total)
    legend = "".join(
        f'<text x="{left + 8 + 130 * n}" y="14" class="small legend-{n}">{term}</text>' for n, term in enumerate(terms)
    )
    return (
        f'<svg class="chart" viewBox="0 0 {width} {height}" role="img" aria-label="{_escaped(title)}">'
        f"{''.join(parts)}{legend}</svg>"
    )


def color_bar(color_map: ColorMap, ticks: Sequence[tuple[float, str]], low: str, high: str) -> str:
    """A horizontal bar as an HTML fragment, with tick texts at shares 0 to 1 and words for its two ends."""
    stops = ", ".join(color_map.points)
    marks = "".join(f'<span style="left:{100 * share:.0f}%">{_escaped(text)}</span>' for share, text in ticks)
    return (
        f'<div class="bar"><span class="end">{_escaped(low)}</span><span class="scale">'
        f'<i style="background:linear-gradient(to right, {stops})"></i>{marks}</span>'
        f'<span class="end">{_escaped(high)}</span></div>'
    )


def _axis(low: float, high: float, left: int, right: int, top: int, bottom: int) -> str:
    parts = []
    for share in (0.0, 0.5, 1.0):
        y = bottom - share * (bottom - top)
        parts.append(f'<path class="tick" d="M{left} {y:.1f}H{right - 8}"/>')
        parts.append(f'<text x="{left - 6}" y="{y + 4:.1f}" class="small end">{low + share * (high - low):.3g}</text>')
    return "".join(parts)


def _positions(count: int, size: float, step: float) -> np.ndarray:
    """Voxel rows (or columns) about `step` mm apart, the last one included."""
    stride = max(1, round(step / (size / count)))
    return np.unique(np.append(np.arange(0, count, stride), count - 1))


def _centers(count: int, size: float, spacing: float) -> np.ndarray:
    """Where voxel centers lie along an edge of `size` mm, when the first and last are equally far from its ends."""
    return (size - (count - 1) * spacing) / 2 + np.arange(count) * spacing


def _polyline(x: np.ndarray, y: np.ndarray) -> str:
    keep = np.unique(np.linspace(0, len(x) - 1, min(len(x), LINE_POINTS)).round().astype(int))
    return "M" + "L".join(f"{x[n]:.1f} {y[n]:.1f}" for n in keep)


def _runs(flags: np.ndarray) -> list[tuple[int, int]]:
    """(start, length) of the runs of True."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], flags.astype(np.int8), [0]))))
    return [(int(a), int(b - a)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
