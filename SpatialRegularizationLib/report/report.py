"""report.html: one file without anything outside it, for the eyes of a colleague."""

from __future__ import annotations

import json
from collections.abc import Iterable
from html import escape
from importlib import resources
from string import Template
from typing import TYPE_CHECKING, Any

from .cuts import Cuts
from .drawings import energy_chart
from .frames import row_html, three_frames
from .lengths import LengthUnit
from .page import pairs
from .pictures import comparison, deformation_rows, match_rows
from .summary import summary
from .verdicts import Figure, figures_of, verdict_of

if TYPE_CHECKING:
    from ..geometry.companions import Companions
    from ..registration.result import Registration

MM = "_mm"
"""How the names of lengths end."""
STATES = {"before": "Before", "affine": "Affine part", "after": "After"}


def report_html(
    registration: Registration, command: str = "", *, companions: Companions | None = None, title: str = ""
) -> str:
    """The report as one HTML page.

    Args:
        registration: the finished registration.
        command: the exact command, shown as it is.
        companions: label maps, drawn as outlines.
        title: names of the two images, "fixed ← moving".
    """
    content = summary(registration, command)
    cuts = Cuts(registration, companions)
    figures = figures_of(content, min(registration.fixed.grid.spacing))
    return _template().substitute(
        style=resources.files(__package__).joinpath("report.css").read_text(encoding="utf-8"),
        title=escape(title or "Registration"),
        subtitle=escape(_subtitle(content)),
        verdict=_verdict(figures),
        cards="".join(_card(figure) for figure in figures if figure.headline),
        figures="".join(_figure_row(figure) for figure in figures),
        labels=_label_table(content),
        viewers=_viewers(cuts),
        states=_state_buttons(cuts),
        comparison=json.dumps(comparison(cuts), separators=(",", ":")),
        match="".join(row_html(cuts, row) for row in match_rows(cuts)),
        deformation=_uniform_note(content)
        + _fold_note(cuts)
        + "".join(row_html(cuts, row) for row in deformation_rows(cuts)),
        curves=_curves(registration),
        notes="".join(f"<li>{escape(note)}</li>" for note in registration.notes) or "<li>None.</li>",
        command=escape(command or "(called from Python)"),
        settings=pairs(_model_line(content) | content["settings"]),
        geometry=pairs({"fixed": _words(content["fixed"]), "moving": _words(content["moving"])}),
        conventions=pairs(content["conventions"]),
        versions=pairs(content["versions"]),
    )


def _template() -> Template:
    return Template(resources.files(__package__).joinpath("report.html").read_text(encoding="utf-8"))


def _subtitle(content: dict[str, Any]) -> str:
    return f"Fixed image {_words(content['fixed'])}. Done in {content['seconds']:.1f} s on {content['device']}."


def _verdict(figures: Iterable[Figure]) -> str:
    level, sentence = verdict_of(figures)
    return f'<p class="verdict {level}">{escape(sentence)}</p>'


def _card(figure: Figure) -> str:
    before = f'<span class="before">{escape(figure.before)} →</span> ' if figure.before else ""
    return (
        f'<div class="card {figure.level}" title="{escape(figure.help)}"><h3>{escape(figure.name)}</h3>'
        f'<p class="value">{before}{escape(figure.after)}</p><p class="hint">{escape(figure.hint)}</p></div>'
    )


def _figure_row(figure: Figure) -> str:
    return (
        f'<tr class="{figure.level}"><th scope="row">{escape(figure.name)}</th><td>{escape(figure.before or "–")}</td>'
        f"<td>{escape(figure.after)}</td><td>{escape(figure.help)}</td></tr>"
    )


def _label_table(content: dict[str, Any]) -> str:
    """Dice and HD95 of each label, when there are labels."""
    columns = [(key, content.get(key)) for key in ("dice_before", "dice_after", "hd95_before_mm", "hd95_after_mm")]
    columns = [(key, values) for key, values in columns if values]
    if not columns:
        return ""
    names = sorted({name for _, values in columns for name in values}, key=lambda n: (n == "mean", len(n), n))
    words = {"dice_before": "Dice before", "dice_after": "Dice after"}
    unit = LengthUnit.of(min(content["fixed"]["spacing_mm"]))
    words |= {f"hd95_{when}_mm": f"HD95 {when} ({unit.name})" for when in ("before", "after")}
    head = "".join(f"<th>{words[key]}</th>" for key, _ in columns)
    lines = "".join(
        f'<tr><th scope="row">{escape(name)}</th>'
        + "".join(f"<td>{_number(values.get(name), unit if key.endswith(MM) else None)}</td>" for key, values in columns)
        + "</tr>"
        for name in names
    )
    return (
        f"<details><summary>Overlap of each label ({len(names) - ('mean' in names)})</summary>"
        f'<table class="numbers"><thead><tr><th>Label</th>{head}</tr></thead><tbody>{lines}</tbody></table></details>'
    )


def _viewers(cuts: Cuts) -> str:
    return three_frames(
        cuts,
        (
            f'<img class="below" data-plane="{p}" alt="Fixed, {plane.name.lower()}">'
            f'<img class="above" data-plane="{p}" alt="Moving, {plane.name.lower()}">'
            for p, plane in enumerate(cuts.planes)
        ),
    )


def _state_buttons(cuts: Cuts) -> str:
    states = ["before", *(["affine"] if cuts.has_affine else []), "after"]
    return "".join(
        f'<label><input type="radio" name="state" value="{state}"{" checked" if state == "after" else ""}> '
        f"{STATES[state]}</label>"
        for state in states
    )


def _model_line(content: dict[str, Any]) -> dict[str, str]:
    """The network that answered, among the settings."""
    model = content["model"]
    if model is None:
        return {}
    values = "".join(f", {name} = {value:g}" for name, value in model["condition"].items())
    return {"model": f"{model['name']} ({model['system']}{values})"}


def _uniform_note(content: dict[str, Any]) -> str:
    if content["settings"]["prior"] != "uniform" or content["model"] is not None:
        return ""
    return f"<p>The regularization weight is one constant, λ = {content['settings']['lambda_max']:g}.</p>"


def _fold_note(cuts: Cuts) -> str:
    fold = cuts.worst_fold()
    if fold is None:
        return ""
    unit = LengthUnit.of(min(cuts.grid.spacing))
    position = ", ".join(unit.number(x, 1) for x in cuts.grid.index_to_point(fold))
    index = ", ".join(str(n) for n in fold)
    return f"<p>The cuts below run through the worst fold, at voxel ({index}), LPS ({position}) {unit.name}.</p>"


def _curves(registration: Registration) -> str:
    charts = [
        energy_chart(registration.history, ("total", "similarity"), "Total energy and similarity term"),
        energy_chart(registration.history, ("regularization", "prior"), "Regularization and prior terms"),
    ]
    drawn = "".join(f"<figure>{chart}</figure>" for chart in charts if chart)
    return f'<div class="charts">{drawn}</div>' if drawn else "<p>No steps were taken.</p>"


def _words(geometry: dict[str, Any]) -> str:
    shape = " × ".join(str(n) for n in geometry["shape"])
    unit = LengthUnit.of(min(geometry["spacing_mm"]))
    spacing = " × ".join(f"{s / unit.mm:.4g}" for s in geometry["spacing_mm"])
    return f"{shape} voxels of {spacing} {unit.name}"


def _number(value: float | None, unit: LengthUnit | None = None) -> str:
    if value is None:
        return "–"
    return unit.number(value, 3) if unit else f"{value:.3f}"
