"""The pictures of one pair in a study, as HTML."""

from __future__ import annotations

from collections.abc import Callable

from ..geometry.companions import Companions
from ..registration.result import Registration
from ..report.cuts import Cuts
from ..report.frames import row_html
from ..report.pictures import Row, method_rows, subject_rows

SUBJECT = "<!-- subject -->"
"""Ends the pictures of the pair itself, which are the same for every method."""


def subject_pictures(registration: Registration, companions: Companions) -> str:
    """The two images."""
    return _html(Cuts(registration, companions), subject_rows) + SUBJECT


def method_pictures(registration: Registration, companions: Companions) -> str:
    """Warped image, λ over the fixed image, volume change and deformation grid."""
    return _html(Cuts(registration, companions), method_rows)


def _html(cuts: Cuts, rows: Callable[[Cuts], list[Row]]) -> str:
    return "".join(row_html(cuts, row) for row in rows(cuts))
