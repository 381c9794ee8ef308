"""Write HTML pages from the templates beside this file: reports, studies, tunings, sweeps, cards of models.

All HTML and SVG is in the templates. Jinja escapes every text that is put into them; a value that a template lacks is an error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from .summary import versions


@dataclass(frozen=True)
class Section:
    """A part of a page: a heading, one sentence or two, charts, and what their symbols mean: {kind: words}."""

    title: str
    lead: str
    charts: Sequence[Any]
    key: Mapping[str, str] = field(default_factory=dict)


def page(template: str, **values: Any) -> str:
    """A page.

    Args:
        template: name of its file in templates/, without ending.
        values: what it shows; texts are escaped.
    """
    return _environment().get_template(f"{template}.html").render(versions=versions(), **values)


def part(template: str, macro: str, *values: Any) -> Markup:
    """A part of a page, as one macro of a template writes it."""
    return getattr(_environment().get_template(f"{template}.html").module, macro)(*values)


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader(__package__), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
