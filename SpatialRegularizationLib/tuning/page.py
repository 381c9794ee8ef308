"""Words and symbols of the pages of `tune` and `sweep`."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from .drawings import SYMBOLS

WORDS = {
    "alpha_prime": "α′",
    "lambda_max": "λmax",
    "sigma_prime": "σ′",
    "lambda_mean": "λmean",
    "eta": "η",
    "lambda": "λ",
    "lambda_floor": "λ floor",
}
"""How the parameters are written."""


def word(name: str) -> str:
    """A parameter as it is written, e.g. α′ for alpha_prime."""
    return WORDS.get(name, name.replace("_", " "))


def shown(values: Mapping[str, float]) -> str:
    """Parameters and their values in one line."""
    return ", ".join(f"{word(name)} = {value:.4g}" for name, value in values.items())


def key(*entries: tuple[str, str]) -> str:
    """What the symbols of a chart mean: (kind, words)."""
    drawn = "".join(
        f'<span><svg class="chart" viewBox="-10 -10 20 20">{SYMBOLS[kind]}</svg> {escape(words)}</span>'
        for kind, words in entries
    )
    return f'<p class="key">{drawn}</p>'
