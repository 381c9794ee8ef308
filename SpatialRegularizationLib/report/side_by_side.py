"""Several registrations of one pair on one page: their figures in columns, their pictures side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from html import escape
from typing import TYPE_CHECKING

from .cuts import Cuts
from .frames import row_html
from .page import Card, Page, Section
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
    figures = {name: _figures(registration) for name, registration in registrations.items()}
    cuts = {name: Cuts(registration, companions) for name, registration in registrations.items()}
    page = Page(
        kind="Registrations side by side",
        title=title or "Side by side",
        subtitle=f"The same two images, registered in {len(registrations)} ways: {', '.join(registrations)}.",
        verdict=_verdict(figures),
        cards=[Card(name, f"{r.seconds:.1f} s", _headline(figures[name])) for name, r in registrations.items()],
        sections=[
            Section("Figures", "Of the whole registration; small differences mean little on one pair.", _table(figures, links)),
            Section("Does it match?", "The moving image in the places of the fixed one.", _rows(cuts, _match)),
            Section("Is the deformation plausible?", "The nonlinear part of each transform.", _rows(cuts, deformation_rows)),
        ],
        command=command,
        settings={name: _how(registration) for name, registration in registrations.items()},
    )
    return page.html()


def _figures(registration: Registration) -> list[Figure]:
    return figures_of(summary(registration, ""), min(registration.fixed.grid.spacing))


def _verdict(figures: Mapping[str, list[Figure]]) -> tuple[str, str]:
    """That of the worst method, with its name; the common one where all are good."""
    verdicts = {method: verdict_of(found) for method, found in figures.items()}
    worst = min(verdicts, key=lambda method: ("bad", "caution", "good").index(verdicts[method][0]))
    level, sentence = verdicts[worst]
    return level, sentence if level == "good" else f"{worst}: {sentence}"


def _headline(figures: list[Figure]) -> str:
    """The first figures of a card."""
    return ", ".join(f"{figure.name} {figure.after}" for figure in figures[:2])


def _table(figures: Mapping[str, list[Figure]], links: Mapping[str, str] | None) -> str:
    """One line for each figure, one column for each method, and the value before where there is one."""
    names = list(dict.fromkeys(figure.name for found in figures.values() for figure in found))
    columns = {method: {figure.name: figure for figure in found} for method, found in figures.items()}
    head = "".join(f"<th>{_linked(method, (links or {}).get(method))}</th>" for method in figures)
    lines = []
    for name in names:
        found = [column.get(name) for column in columns.values()]
        known = next(figure for figure in found if figure is not None)
        cells = "".join(f"<td>{escape(figure.after) if figure else '–'}</td>" for figure in found)
        before = f"<td>{escape(known.before or '–')}</td>"
        lines.append(f'<tr title="{escape(known.help)}"><th scope="row">{escape(name)}</th>{before}{cells}</tr>')
    return (
        f'<table class="numbers"><thead><tr><th>Figure</th><th>Before</th>{head}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table>"
    )


def _linked(method: str, link: str | None) -> str:
    return escape(method) if link is None else f'<a href="{escape(link)}">{escape(method)}</a>'


def _match(cuts: Cuts) -> list[Row]:
    return [row for row in match_rows(cuts) if row.title in MATCH]


def _rows(cuts: Mapping[str, Cuts], rows_of: Callable[[Cuts], list[Row]]) -> str:
    """Each kind of picture once, the methods in columns."""
    found = {method: {row.title: row for row in rows_of(own)} for method, own in cuts.items()}
    titles = list(dict.fromkeys(title for rows in found.values() for title in rows))
    parts = []
    for title in titles:
        shown = {method: replace(rows[title], title=f"{title}: {method}") for method, rows in found.items() if title in rows}
        parts.append('<div class="maps">' + "".join(row_html(cuts[method], row) for method, row in shown.items()) + "</div>")
    return "".join(parts)


def _how(registration: Registration) -> str:
    if registration.model:
        return f"network {registration.model['name']} ({registration.model['system']})"
    settings = registration.settings
    return f"optimized for this pair: {settings.similarity}, prior {settings.prior}"
