"""Write one page about several registrations of the same pair: their figures in columns, their pictures side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from .cuts import Cuts
from .page import page
from .pictures import Row, deformation_rows, match_rows
from .summary import summary
from .verdicts import Figure, figures_of, verdict_of

if TYPE_CHECKING:
    from ..geometry.companions import Companions
    from ..registration.result import Registration

MATCH = ("Warped (moving, after)", "Checkerboard after", "Difference after", "Label outlines")
"""Rows of the single report that are shown side by side; what comes before registration is the same for all."""


def side_by_side_html(
    registrations: Mapping[str, Registration],
    *,
    companions: Companions | None = None,
    title: str = "",
    links: Mapping[str, str] | None = None,
    command: str = "",
) -> str:
    """The page.

    Args:
        registrations: by the name of the method, of the same fixed and moving image.
        companions: label maps, drawn as outlines.
        title: of the page.
        links: from the name of a method to its own report, relative to the page.
        command: that made them.

    Raises:
        ValueError: fewer than two registrations.
    """
    if len(registrations) < 2:
        raise ValueError(f"Side by side needs at least two registrations, got {len(registrations)}; write the single report.")
    figures = {name: figures_of(summary(r, ""), min(r.fixed.grid.spacing)) for name, r in registrations.items()}
    cuts = {name: Cuts(registration, companions) for name, registration in registrations.items()}
    known: dict[str, Figure] = {}
    for figure in (figure for found in figures.values() for figure in found):
        known.setdefault(figure.name, figure)
    return page(
        "side_by_side",
        title=title or "Side by side",
        subtitle=f"The same two images, registered in {len(registrations)} ways: {', '.join(registrations)}.",
        verdict=_verdict(figures),
        cards=[(name, f"{r.seconds:.1f} s", _headline(figures[name])) for name, r in registrations.items()],
        figures=known,
        columns={method: {figure.name: figure.after for figure in found} for method, found in figures.items()},
        links=links or {},
        planes=next(iter(cuts.values())).planes,
        match=_rows(cuts, lambda own: [row for row in match_rows(own) if row.title in MATCH]),
        deformation=_rows(cuts, deformation_rows),
        command=command,
        settings={name: _how(registration) for name, registration in registrations.items()},
    )


def _verdict(figures: Mapping[str, list[Figure]]) -> tuple[str, str]:
    """That of the worst method, with its name; the common one where all are good."""
    verdicts = {method: verdict_of(found) for method, found in figures.items()}
    worst = min(verdicts, key=lambda method: ("bad", "caution", "good").index(verdicts[method][0]))
    level, sentence = verdicts[worst]
    return level, sentence if level == "good" else f"{worst}: {sentence}"


def _headline(figures: list[Figure]) -> str:
    """The first figures of a card."""
    return ", ".join(f"{figure.name} {figure.after}" for figure in figures[:2])


def _rows(cuts: Mapping[str, Cuts], rows_of: Callable[[Cuts], list[Row]]) -> dict[str, dict[str, Row]]:
    """{title: {method: row}}, each kind of picture once."""
    found = {method: {row.title: row for row in rows_of(own)} for method, own in cuts.items()}
    titles = dict.fromkeys(title for rows in found.values() for title in rows)
    return {title: {method: rows[title] for method, rows in found.items() if title in rows} for title in titles}


def _how(registration: Registration) -> str:
    if registration.model:
        return f"network {registration.model['name']} ({registration.model['system']})"
    settings = registration.settings
    if registration.displacement is None:
        return f"linear transform alone: {settings.affine}"
    return f"optimized for this pair: {settings.similarity}, prior {settings.prior}"
