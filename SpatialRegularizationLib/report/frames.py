"""Rows of pictures as HTML: three frames side by side, with their patient directions and a color bar."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from .cuts import Cuts
from .drawings import color_bar
from .pictures import Picture, Row


def row_html(cuts: Cuts, row: Row) -> str:
    """The row as HTML: title, caption, three frames, color bar."""
    bar = color_bar(row.bar.color_map, row.bar.ticks, row.bar.low, row.bar.high) if row.bar else ""
    images = three_frames(cuts, map(_image, row.pictures))
    kind = "row light" if row.light else "row"
    return f'<section class="{kind}"><h3>{escape(row.title)}</h3><p>{escape(row.caption)}</p>{images}{bar}</section>'


def _image(picture: Picture) -> str:
    return f'<img src="{picture.uri}" alt="{escape(picture.alt)}">{picture.overlay}'


def three_frames(cuts: Cuts, contents: Iterable[str]) -> str:
    """Three frames side by side in one scale of millimeters, with patient directions at their edges."""
    widths = " ".join(f"{plane.size_mm[1]:.1f}fr" for plane in cuts.planes)
    frames = []
    for plane, content in zip(cuts.planes, contents, strict=True):
        height, width = plane.size_mm
        left, right, top, bottom = plane.letters
        name = f"{plane.name} (oblique)" if plane.oblique else plane.name
        frames.append(
            f'<figure><div class="frame" style="aspect-ratio:{width:.1f}/{height:.1f}">{content}'
            f'<b class="l">{left}</b><b class="r">{right}</b><b class="t">{top}</b><b class="d">{bottom}</b></div>'
            f"<figcaption>{name}</figcaption></figure>"
        )
    return f'<div class="three" style="grid-template-columns:{widths}">{"".join(frames)}</div>'
