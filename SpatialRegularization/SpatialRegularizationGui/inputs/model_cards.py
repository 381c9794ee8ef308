"""Read the catalogue of models for the panel: names, cards, ranges of sliders, whether a pair fits. Without torch."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from SpatialRegularizationLib.zoo.folder import BUNDLED, CARD, installed
from SpatialRegularizationLib.zoo.manifest import read_manifest

from ..parameters import LIVE, PARAMETER_OF

SHIPPED, INSTALLED, OFFERED = "shipped", "installed", "to download"
LONGEST_HEADER = 100_000_000
"""Bytes; a longer header of a .safetensors file is damage."""
TUNED, MIDDLE, DEFAULT = "the tuned values", "the middle of the range", "the model's default values"
"""Where the values of sliders come from that nobody has moved."""
SMALLEST_SHARE, LARGEST_SHARE = 0.6, 1.7
"""A field of view beyond these shares of the training images' is worth a warning."""
COARSEST_SHARE = 1.6


@dataclass(frozen=True)
class Range:
    """A hyperparameter of a model: name, trained range, value where none is chosen.

    Args:
        origin: of that value: `TUNED` (the best of a sweep), `MIDDLE` (nobody has tuned it) or `DEFAULT` (the card gives it).
    """

    name: str
    low: float
    high: float
    default: float
    origin: str = DEFAULT


@dataclass(frozen=True)
class Card:
    """One model of the catalogue.

    Args:
        name: in the zoo.
        state: `SHIPPED`, `INSTALLED` or `OFFERED`.
        purpose, license, citation: from the card.
        size_bytes: of the file.
        shape, spacing_mm: of the training images; () where unknown.
        intensity: preparation; "ct" means Hounsfield units.
        ranges: of its hyperparameters.
        regularization: what it was trained with, where nothing can be chosen.
        figures: name → value.
        notes: limits and notices, sentences.
        problem: why it cannot be used; "" where it can.
    """

    name: str
    state: str
    purpose: str = ""
    license: str = ""
    citation: str = ""
    size_bytes: int = 0
    shape: tuple[int, ...] = ()
    spacing_mm: tuple[float, ...] = ()
    intensity: str = ""
    ranges: tuple[Range, ...] = ()
    regularization: Mapping[str, float] = field(default_factory=dict)
    figures: Mapping[str, float | None] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    problem: str = ""

    @property
    def start(self) -> str:
        """What a reset brings: `TUNED` only where every slider was tuned."""
        origins = {r.origin for r in self.ranges}
        return next((origin for origin in (MIDDLE, DEFAULT) if origin in origins), TUNED)

    @property
    def removable(self) -> bool:
        """Only what the user brought can be removed."""
        return self.state == INSTALLED

    @property
    def _untuned(self) -> str:
        return "; not tuned, they start in the middle" if self.ranges and self.start == MIDDLE else ""

    def html(self) -> str:
        """A few lines for the panel."""
        lattice = ""
        if self.shape:
            lattice = f"{' × '.join(map(str, self.shape))} voxels of {' × '.join(f'{s:.3g}' for s in self.spacing_mm)} mm"
        rows = {
            "For": self.purpose,
            "State": f"{self.state}, {self.size_bytes / 1e6:.1f} MB",
            "Trained on": lattice,
            "Regularization": ", ".join(f"{name} {value:g}" for name, value in self.regularization.items()),
            "Sliders": ", ".join(f"{r.name} {r.low:g} to {r.high:g}" for r in self.ranges) + self._untuned,
            "Measured": ", ".join(f"{name} {value:.4g}" for name, value in self.figures.items() if value is not None),
            "License": self.license,
            "Cite": self.citation,
        }
        lines = [f"<b>{html.escape(self.name)}</b>"]
        lines += [f"<b>{title}:</b> {html.escape(text)}" for title, text in rows.items() if text]
        lines += map(html.escape, self.notes)
        return "<br>".join(lines + ([f"<b>{html.escape(self.problem)}</b>"] if self.problem else []))


def catalogue() -> dict[str, Card]:
    """Name → card: the models on this machine, then those that can be downloaded."""
    cards = {name: read_card(name, path) for name, path in sorted(installed().items())}
    for name, entry in sorted(read_manifest().items()):
        if name not in cards:
            cards[name] = Card(
                name, OFFERED, entry.purpose, entry.license, entry.citation, entry.size_bytes,
                notes=("Download it before use; nothing is sent from this computer.",),
            )  # fmt: skip
    return cards


def read_card(name: str, path: Path) -> Card:
    """The card of a .safetensors file; a damaged one says so in `problem`."""
    state, size = SHIPPED if path.parent == BUNDLED else INSTALLED, 0
    try:
        size = path.stat().st_size
        values = _values(path)
        description = values["description"]
        prior = {**description, **(description.get("prior") or {})}
        ranges = ranges_of(description)
        return Card(
            name, state, values.get("purpose", ""), values.get("license", ""), values.get("citation", ""), size,
            tuple(values["shape"]), tuple(values["spacing_mm"]), values.get("intensity", ""), ranges,
            {} if ranges else {n: prior[n] for n in (*LIVE, "uniform_lambda") if prior.get(n) is not None},
            values.get("figures", {}),
            tuple(text for text in (*values.get("limits", ()), values.get("intended_use"), values.get("notice")) if text),
        )  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return Card(name, state, size_bytes=size, problem=f"{path.name} holds no readable card ({error}): import it again.")


def ranges_of(description: Mapping[str, Any]) -> tuple[Range, ...]:
    """The hyperparameters of a described model, as `models.catalogue.build_model(description).hyperparameters` has them.

    A description has, for the hyperparameter h, default_h and either h_range, or largest_h of a range that begins at 0, or
    neither of them where the range is 0 to 1.
    """
    keys = [key for key in description if key.startswith("default_") or key.endswith("_range")]
    names = dict.fromkeys(key.removeprefix("default_").removesuffix("_range") for key in keys)
    return tuple(_range(description, name) for name in names if name in PARAMETER_OF)


def misfit(card: Card, volumes: Mapping[str, tuple[tuple[int, ...], tuple[float, ...], tuple[float, float]]]) -> str:
    """What speaks against using the model on these images, one sentence; "" where nothing does.

    Args:
        card: of the model.
        volumes: what to call it → (voxels along each axis, spacing mm, smallest and largest value).
    """
    if not card.shape:
        return ""
    trained = sorted(n * s for n, s in zip(card.shape, card.spacing_mm, strict=True))
    for name, (shape, spacing, values) in volumes.items():
        extent = sorted(n * s for n, s in zip(shape, spacing, strict=True))
        shares = [a / b for a, b in zip(extent, trained, strict=True)]
        if min(shares) < SMALLEST_SHARE or max(shares) > LARGEST_SHARE:
            return (
                f"The {name} covers {_lengths(extent)} mm, the images that {card.name} was trained on {_lengths(trained)} mm: "
                "crop it, or optimize this pair without a model."
            )
        if max(spacing) > COARSEST_SHARE * max(card.spacing_mm):
            return (
                f"The {name} has voxels of {max(spacing):.3g} mm, {card.name} was trained on {max(card.spacing_mm):.3g} mm: "
                "expect less, or optimize this pair without a model."
            )
        if card.intensity.startswith("ct") and values[0] >= 0:
            return f"{card.name} takes CT in Hounsfield units, the {name} has no value below 0: choose another model."
    return ""


def _values(path: Path) -> dict[str, Any]:
    """Plain values of the card: the file beside the parameters, else their header."""
    beside = path.with_suffix(CARD)
    return json.loads(beside.read_text(encoding="utf-8") if beside.is_file() else _header_card(path))


def _header_card(path: Path) -> str:
    """The card in the header of a .safetensors file: eight bytes of length, then JSON (format of the safetensors project)."""
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if not 0 < length < LONGEST_HEADER:
            raise ValueError("damaged header")
        return json.loads(stream.read(length))["__metadata__"]["card"]


def _range(description: Mapping[str, Any], name: str) -> Range:
    ends, default = description.get(f"{name}_range"), description.get(f"default_{name}")
    low, high = map(float, ends or (0.0, description.get(f"largest_{name}", 1.0)))
    if default is None:
        return Range(name, low, high, (low + high) / 2, MIDDLE)
    return Range(name, low, high, float(default), TUNED if ends else DEFAULT)


def _lengths(extent: list[float]) -> str:
    return " × ".join(f"{length:.0f}" for length in extent)
