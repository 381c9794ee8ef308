"""study.html: what the methods of a study are worth, in one file without anything outside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from html import escape
from typing import Any

from ..report.box_plots import COLORS, box_plot
from ..report.page import Card, Page, Section, pairs
from .methods import Method
from .results import StudyResults
from .tables import COLUMNS, aims_table, comparison_table, conventions, digits_of, label_table, main_table

DRAWN = ("dice", "hd95_mm", "tre_mm", "lncc", "mind", "sd_log_j", "ndv_percent", "seconds")
MOST_LABELS = 60
"""Boxes of more labels would be too small to read; their table stays."""
STYLE = """<style>
.boxes { display: block; width: 100%; max-width: 820px; height: auto; margin: 6px 0 18px; }
.boxes .tick { stroke: var(--line); } .boxes .small { font-size: 12px; fill: var(--soft); stroke: none; }
.boxes .middle { text-anchor: middle; } .boxes .end { text-anchor: end; }
.numbers sup { color: var(--soft); } .wide { overflow-x: auto; }
.colors { display: flex; flex-wrap: wrap; gap: 2px 18px; font-size: 13px; color: var(--soft); }
.colors i { display: inline-block; width: 11px; height: 11px; border-radius: 2px; margin-right: 5px; }
.aims td:nth-child(2) { white-space: normal; }
h3.method { margin-top: 22px; } h3.pair { margin-top: 30px; font-size: 17px; }
</style>"""


def study_html(
    results: StudyResults,
    *,
    command: str = "",
    pictures: Callable[[str, str], tuple[str, str]] = lambda pair, method: ("", ""),
    more: Sequence[Section] = (),
) -> str:
    """The report as one HTML page.

    Args:
        results: finished or not.
        command: the exact command.
        pictures: (pair, method) → HTML of the pair's own pictures, and of the method's; empty where there are none.
        more: further sections, such as sweeps.
    """
    settings = results.settings
    page = Page(
        kind="Study",
        title=settings.title or "Study",
        subtitle=f"{len(settings.methods)} methods on {len(results.pairs)} pairs.",
        verdict=_verdict(results),
        cards=_cards(results),
        sections=[
            *_table_sections(results),
            *_box_sections(results),
            *_label_sections(results),
            *_weight_sections(results),
            *more,
            *_picture_sections(results, pictures),
            *_failure_sections(results),
            _convention_section(results),
        ],
        command=command,
        settings=_settings(results),
    )
    return page.html().replace("</head>", f"{STYLE}\n</head>", 1)


def _verdict(results: StudyResults) -> tuple[str, str]:
    wanted = len(results.pairs) * len(results.methods)
    verdicts = results.verdicts()
    missed = [v for v in verdicts if v.reached is False]
    parts = []
    if verdicts:
        reached = sum(v.reached is True for v in verdicts)
        parts.append(f"{reached} of {len(verdicts)} aims are reached.")
    if results.failures:
        parts.append(f"{len(results.failures)} of {wanted} measurements failed; their reasons are at the end.")
    if len(results.measured) < wanted:
        parts.append(f"{wanted - len(results.measured)} measurements are still to come; the same command goes on.")
    return "caution" if missed or results.failures or len(results.measured) < wanted else "good", " ".join(
        parts or ["All measurements are there."]
    )


def _cards(results: StudyResults) -> list[Card]:
    cards = []
    for name in ("dice", "tre_mm", "folding_percent", "seconds"):
        word, _, sign = COLUMNS[name]
        found = {m.name: s for m in results.settings.methods if (s := results.spread(m.name, name))}
        if not found:
            continue
        if name == "folding_percent":
            clean = sum(s.high == 0 for s in found.values())
            cards.append(Card("Without any fold", f"{clean} of {len(found)}", "methods, on all pairs"))
            continue
        typical = {m: s.typical(name) for m, s in found.items()}
        best = max(typical, key=lambda m: sign * typical[m])
        cards.append(Card(f"Best {word}", f"{typical[best]:.{digits_of(name, typical[best])}f}", best))
    return cards


def _table_sections(results: StudyResults) -> list[Section]:
    lead = (
        f"Mean ± standard deviation over the pairs (time and memory: median); the best method is bold. Marks: p < 0.05 (*), "
        f"0.01 (**), 0.001 (***) against {results.settings.compared_with}, Wilcoxon signed-rank test with Holm's correction."
    )
    sections = [Section("Methods", lead, f'<div class="wide">{main_table(results)}</div>')]
    if results.settings.aims:
        sections.append(Section("Aims", "What this study was to show.", aims_table(results)))
    table = comparison_table(results)
    if table:
        words = "Over the pairs where both worked. A small p-value says that a difference is no chance, not that it is large."
        details = f'<details><summary>All comparisons</summary><div class="wide">{table}</div></details>'
        sections.append(Section(f"Compared with {results.settings.compared_with}", words, details))
    return sections


def _box_sections(results: StudyResults) -> list[Section]:
    drawn = []
    for name in DRAWN:
        series = {m: list(results.values(m, name).values()) for m in results.methods}
        drawn.append(box_plot({"": series}, _colors(results), COLUMNS[name][0]))
    lead = "Box: quartiles and median; whiskers: up to 1.5 times the box; diamond: mean; dots: pairs beyond the whiskers."
    return [Section("Spread over the pairs", lead, "".join(drawn))] if any(drawn) else []


def _label_sections(results: StudyResults) -> list[Section]:
    names = _ends(results, "dice_")
    if len(names) < 2:
        return []
    groups = {n: {m: list(results.values(m, f"dice_{n}").values()) for m in results.methods} for n in names}
    plot = box_plot(groups, _colors(results), "Dice") if len(names) <= MOST_LABELS else ""
    tables = f'<div class="wide">{label_table(results, "dice", names)}</div>'
    distances = f'<div class="wide">{label_table(results, "hd95_mm", names)}</div>'
    content = (
        _color_key(results, results.methods) + plot + f"<details><summary>Dice of each label</summary>{tables}</details>"
        f"<details><summary>HD95 of each label, mm</summary>{distances}</details>"
    )
    return [Section("Labels", "Dice of each label over the pairs.", content)]


def _weight_sections(results: StudyResults) -> list[Section]:
    names = _ends(results, "lambda_mean_")
    series = {m: list(results.values(m, "lambda_gradient_correlation").values()) for m in results.methods}
    plot = box_plot({"": series}, _colors(results), "rank correlation of λ and |∇d|²")
    if not plot:
        return []
    lead = (
        "Mean weight in parts of the anatomy, and how it goes with the gradient energy of the displacement: the model expects "
        "little weight where the deformation is strong, so a negative correlation."
    )
    table = f'<div class="wide">{label_table(results, "lambda_mean", names)}</div>' if names else ""
    whole = ["mean", "p5", "p50", "p95", "gradient_correlation"]
    overall = f'<div class="wide">{label_table(results, "lambda", whole)}</div>'
    regions = {n: {m: list(results.values(m, f"lambda_mean_{n}").values()) for m in results.methods} for n in names}
    regions = {n.replace("_", " "): series for n, series in regions.items()}
    shown = [m for m, values in series.items() if values]
    boxes = _color_key(results, shown) + box_plot(regions, _colors(results), "mean λ") if len(names) > 1 else ""
    return [Section("Regularization weight λ", lead, table + boxes + overall + plot)]


def _picture_sections(results: StudyResults, pictures: Callable[[str, str], tuple[str, str]]) -> list[Section]:
    parts = []
    for pair in results.pairs[: results.settings.pictures]:
        found = {m: pictures(pair, m) for m in results.methods}
        found = {m: html for m, html in found.items() if html[1]}
        if found:
            own = next(subject for subject, _ in found.values())
            parts.append(f'<h3 class="pair">{escape(pair)}</h3>{own}')
            parts += [f'<h3 class="method">{escape(m)}</h3>{html}' for m, (_, html) in found.items()]
    lead = "Cuts through the middle of the fixed image, in radiological convention; baselines are not drawn."
    return [Section("Pictures", lead, "".join(parts))] if parts else []


def _failure_sections(results: StudyResults) -> list[Section]:
    if not results.failures:
        return []
    rows = "".join(
        f'<tr><th scope="row">{escape(m.pair)}</th><td>{escape(m.method)}</td><td>{escape(m.error)}</td></tr>'
        for m in results.failures
    )
    table = f"<table><thead><tr><th>Pair</th><th>Method</th><th>Reason</th></tr></thead><tbody>{rows}</tbody></table>"
    return [Section("What failed", "Not part of any mean; the same command tries it again.", table)]


def _convention_section(results: StudyResults) -> Section:
    rows = pairs(conventions(results))
    return Section("How each figure is defined", "", f'<table class="pairs"><tbody>{rows}</tbody></table>')


def _settings(results: StudyResults) -> Mapping[str, Any]:
    settings = results.settings
    found: dict[str, Any] = {}
    for f in fields(settings):
        value = getattr(settings, f.name)
        if f.name not in ("methods", "aims", "regions", "baseline_python") and value not in (None, (), {}):
            found[f.name] = value
    found |= {f"method {m.name}": _words(m) for m in settings.methods}
    return found | {f"region {r.name}": f"{r.part} of {list(r.labels)}, {r.width_mm:g} mm" for r in settings.regions}


def _words(method: Method) -> str:
    parts = [f"{method.kind} {method.what}"]
    parts += [f"{name} = {value}" for name, value in {**method.settings, **method.condition}.items()]
    if method.refine:
        parts.append(f"{method.refine} steps of refinement ({method.preset})")
    return ", ".join(parts)


def _ends(results: StudyResults, start: str) -> list[str]:
    """What follows after `start` in the names of figures."""
    return [name.removeprefix(start) for name in results.figures if name.startswith(start)]


def _colors(results: StudyResults) -> dict[str, str]:
    return {m: COLORS[n % len(COLORS)] for n, m in enumerate(results.methods)}


def _color_key(results: StudyResults, methods: Sequence[str]) -> str:
    colors = _colors(results)
    entries = "".join(f'<span><i style="background:{colors[m]}"></i>{escape(m)}</span>' for m in methods)
    return f'<p class="colors">{entries}</p>'
