"""report.html: one file without anything outside it, for the eyes of a colleague."""

from __future__ import annotations

import json
from collections.abc import Iterable
from html import escape
from importlib import resources
from string import Template
from typing import TYPE_CHECKING, Any

from .cuts import Cuts
from .drawings import color_bar, energy_chart
from .pictures import Picture, Row, comparison, deformation_rows, match_rows
from .summary import summary
from .verdicts import Figure, figures_of, verdict_of

if TYPE_CHECKING:
    from ..registration.result import Companions, Registration

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
        match="".join(_row(cuts, row) for row in match_rows(cuts)),
        deformation=_uniform_note(content)
        + _fold_note(cuts)
        + "".join(_row(cuts, row) for row in deformation_rows(cuts)),
        curves=_curves(registration),
        notes="".join(f"<li>{escape(note)}</li>" for note in registration.notes) or "<li>None.</li>",
        command=escape(command or "(called from Python)"),
        settings=_pairs(_model_line(content) | content["settings"]),
        geometry=_pairs({"fixed": _words(content["fixed"]), "moving": _words(content["moving"])}),
        conventions=_pairs(content["conventions"]),
        versions=_pairs(content["versions"]),
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
    words |= {"hd95_before_mm": "HD95 before (mm)", "hd95_after_mm": "HD95 after (mm)"}
    head = "".join(f"<th>{words[key]}</th>" for key, _ in columns)
    lines = "".join(
        f'<tr><th scope="row">{escape(name)}</th>'
        + "".join(f"<td>{_number(values.get(name))}</td>" for _, values in columns)
        + "</tr>"
        for name in names
    )
    return (
        f"<details><summary>Overlap of each label ({len(names) - ('mean' in names)})</summary>"
        f'<table class="numbers"><thead><tr><th>Label</th>{head}</tr></thead><tbody>{lines}</tbody></table></details>'
    )


def _viewers(cuts: Cuts) -> str:
    return _three(
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


def _row(cuts: Cuts, row: Row) -> str:
    bar = color_bar(row.bar.color_map, row.bar.ticks, row.bar.low, row.bar.high) if row.bar else ""
    images = _three(cuts, map(_image, row.pictures))
    kind = "row light" if row.light else "row"
    return f'<section class="{kind}"><h3>{escape(row.title)}</h3><p>{escape(row.caption)}</p>{images}{bar}</section>'


def _image(picture: Picture) -> str:
    return f'<img src="{picture.uri}" alt="{escape(picture.alt)}">{picture.overlay}'


def _three(cuts: Cuts, contents: Iterable[str]) -> str:
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
    position = ", ".join(f"{x:.1f}" for x in cuts.grid.index_to_point(fold))
    index = ", ".join(str(n) for n in fold)
    return f"<p>The cuts below run through the worst fold, at voxel ({index}), LPS ({position}) mm.</p>"


def _curves(registration: Registration) -> str:
    charts = [
        energy_chart(registration.history, ("total", "similarity"), "Total energy and similarity term"),
        energy_chart(registration.history, ("regularization", "prior"), "Regularization and prior terms"),
    ]
    drawn = "".join(f"<figure>{chart}</figure>" for chart in charts if chart)
    return f'<div class="charts">{drawn}</div>' if drawn else "<p>No steps were taken.</p>"


def _pairs(values: dict[str, Any]) -> str:
    return "".join(
        f'<tr><th scope="row">{escape(str(key))}</th><td>{escape(_text(value))}</td></tr>'
        for key, value in values.items()
    )


def _text(value: Any) -> str:
    return "–" if value is None else str(value)


def _words(geometry: dict[str, Any]) -> str:
    shape = " × ".join(str(n) for n in geometry["shape"])
    spacing = " × ".join(f"{s:.4g}" for s in geometry["spacing_mm"])
    return f"{shape} voxels of {spacing} mm"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
