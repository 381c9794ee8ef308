"""Write report.html of a registration: one file without anything outside it, for the eyes of a colleague."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..registration.settings import RULES, obstacle_of
from .cuts import Cuts
from .page import page
from .pictures import comparison, deformation_rows, match_rows
from .verdicts import LengthUnit, figures_of, headline_of

if TYPE_CHECKING:
    from ..geometry.companions import Companions
    from ..registration.result import LevelHistory, Registration

COURSES = {
    "Total energy and similarity term": ("total", "similarity"),
    "Regularization and prior terms": ("regularization", "prior"),
}
"""Title of a drawing of the course → attributes of `LevelHistory`."""


def report_html(registration: Registration, content: dict[str, Any], *, companions: Companions | None = None) -> str:
    """The report as one HTML page.

    Args:
        registration: the finished registration.
        content: of its report.json (`summary`), with "title" where it has one.
        companions: label maps, drawn as outlines.
    """
    cuts = Cuts(registration, companions)
    unit = LengthUnit.of(min(registration.fixed.grid.spacing))
    figures = figures_of(content, min(registration.fixed.grid.spacing))
    courses = [Course.of(registration.history, terms, title) for title, terms in COURSES.items()]
    images = {name: _words(content[name]) for name in ("fixed", "moving")}
    return page(
        "registration",
        title=content.get("title") or "Registration",
        subtitle=f"Fixed image {images['fixed']}. Done in {content['seconds']:.1f} s on {content['device']}.",
        command=content["command"],
        settings=_model_line(content) | _in_effect(content["settings"]),
        content=content,
        images=images,
        figures=figures,
        verdict=headline_of(content, figures),
        labels=_labels(content, unit),
        cuts=cuts,
        comparison=comparison(cuts),
        match=match_rows(cuts),
        constant_weight=cuts.constant_weight(),
        fold=_worst_fold(cuts, unit),
        deformation=deformation_rows(cuts),
        courses=[course for course in courses if course],
    )


@dataclass(frozen=True)
class Course:
    """Energies over all steps of all levels, as places of a drawing; each level is a band, as its energies have their own scale.

    Args:
        title: what the vertical axis holds.
        terms: their names, in the order of their colors.
        ticks: (height, value).
        levels: (left end, name of the stage, the points of each term).
    """

    title: str
    terms: Sequence[str]
    ticks: Sequence[tuple[float, float]]
    levels: Sequence[tuple[float, str, Sequence[str]]]
    left, right, top, bottom = 56, 632, 24, 214

    @classmethod
    def of(cls, history: Sequence[LevelHistory], terms: Sequence[str], title: str) -> Course | None:
        """From the levels in order; None where no step was taken."""
        values = [v for level in history for term in terms for v in getattr(level, term) if math.isfinite(v)]
        if not values:
            return None
        low, high = min(values), max(values)
        high = high if high > low else low + 1
        step = (cls.right - cls.left) / max(sum(len(level.total) for level in history) - 1, 1)
        rise = (cls.bottom - cls.top) / (high - low)
        levels, start = [], 0
        for level in (level for level in history if level.total):
            x = cls.left + start * step
            series = [[(x + n * step, cls.top + (high - v) * rise) for n, v in enumerate(getattr(level, t))] for t in terms]
            curves = [" ".join(f"{a:.1f},{b:.1f}" for a, b in points if math.isfinite(b)) for points in series]
            levels.append((x, level.stage, curves))
            start += len(level.total)
        ticks = [(cls.bottom - share * (cls.bottom - cls.top), low + share * (high - low)) for share in (0.0, 0.5, 1.0)]
        return cls(title, terms, ticks, levels)


def _labels(content: dict[str, Any], unit: LengthUnit) -> dict[str, Any]:
    """Dice and HD95 of each label: their names, and {heading: {name: text}}."""
    columns = {
        f"{word} {when}{'' if word == 'Dice' else f' ({unit.name})'}": {name: _number(v, own) for name, v in values.items()}
        for word, ending, own in (("Dice", "", None), ("HD95", "_mm", unit))
        for when in ("before", "after")
        if (values := content.get(f"{word.lower()}_{when}{ending}"))
    }
    names = sorted({name for values in columns.values() for name in values}, key=lambda n: (n == "mean", len(n), n))
    return {"names": names, "columns": columns}


def _number(value: float | None, unit: LengthUnit | None) -> str:
    if value is None:
        return "–"
    return unit.number(value, 3) if unit else f"{value:.3f}"


def _model_line(content: dict[str, Any]) -> dict[str, str]:
    """The network that answered, among the settings."""
    model = content["model"]
    if model is None:
        return {}
    values = "".join(f", {name} = {value:g}" for name, value in model["condition"].items())
    return {"model": f"{model['name']} ({model['system']}{values})"}


def _in_effect(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings that had an effect."""
    return {name: value for name, value in settings.items() if name not in RULES or obstacle_of(name, settings) is None}


def _worst_fold(cuts: Cuts, unit: LengthUnit) -> dict[str, str]:
    """Where the worst fold is; empty without folds."""
    fold = cuts.worst_fold()
    if fold is None:
        return {}
    position = ", ".join(unit.number(x, 1) for x in cuts.grid.index_to_point(fold))
    return {"index": ", ".join(map(str, fold)), "position": position, "unit": unit.name}


def _words(geometry: dict[str, Any]) -> str:
    shape = " × ".join(map(str, geometry["shape"]))
    unit = LengthUnit.of(min(geometry["spacing_mm"]))
    return f"{shape} voxels of {' × '.join(f'{s / unit.mm:.4g}' for s in geometry['spacing_mm'])} {unit.name}"
