"""A page with cards and sections: one HTML file without anything outside it, in the style of the reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib import resources
from string import Template
from typing import Any

from .summary import versions


@dataclass(frozen=True)
class Card:
    """One figure at the head of the page."""

    name: str
    value: str
    hint: str


@dataclass(frozen=True)
class Section:
    """A heading, one sentence or two, and drawings or tables as HTML."""

    title: str
    lead: str
    content: str


@dataclass(frozen=True)
class Page:
    """What stands on a page.

    Args:
        kind, title, subtitle: the head.
        verdict: "good" or "caution", and the sentence that counts.
        cards, sections: in order.
        command: that made it.
        settings: names and values, for the end of the page.
    """

    kind: str
    title: str
    subtitle: str
    verdict: tuple[str, str]
    cards: Sequence[Card]
    sections: Sequence[Section]
    command: str
    settings: Mapping[str, Any]

    def html(self) -> str:
        """The page."""
        level, sentence = self.verdict
        template = Template(resources.files(__package__).joinpath("page.html").read_text(encoding="utf-8"))
        return template.substitute(
            style=resources.files(__package__).joinpath("report.css").read_text(encoding="utf-8"),
            kind=escape(self.kind),
            title=escape(self.title),
            subtitle=escape(self.subtitle),
            verdict=f'<p class="verdict {level}">{escape(sentence)}</p>',
            cards="".join(
                f'<div class="card"><h3>{escape(c.name)}</h3><p class="value">{escape(c.value)}</p>'
                f'<p class="hint">{escape(c.hint)}</p></div>'
                for c in self.cards
            ),
            sections="".join(
                f'<section><h2>{escape(s.title)}</h2><p class="lead">{escape(s.lead)}</p>{s.content}</section>'
                for s in self.sections
            ),
            command=escape(self.command or "(called from Python)"),
            settings=pairs(self.settings),
            versions=pairs(versions()),
        )


def pairs(values: Mapping[str, Any]) -> str:
    """Rows of a table with a name and a value each."""
    return "".join(
        f'<tr><th scope="row">{escape(str(key))}</th><td>{escape("–" if value is None else str(value))}</td></tr>'
        for key, value in values.items()
    )
