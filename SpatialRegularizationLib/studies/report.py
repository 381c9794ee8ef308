"""Write study.html: what the methods of a study are worth, in one file without anything outside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any

from markupsafe import Markup

from ..registration.verdict import LEVELS
from ..report.box_plots import COLORS, box_plot
from ..report.page import Section, page
from .methods import Method
from .results import MEDIANS, Spread, StudyResults
from .tables import COLUMNS, conventions, digits_of

DRAWN = ("dice", "hd95_mm", "tre_mm", "lncc", "mind", "sd_log_j", "ndv_percent", "seconds")
MOST_LABELS = 60
"""Boxes of more labels would be too small to read; their table stays."""
OVERALL = ("mean", "p5", "p50", "p95", "gradient_correlation")
"""Ends of the figures of λ over all labels."""
STATES = {True: ("good", "reached"), False: ("bad", "missed"), None: ("caution", "not known")}
"""Whether an aim is reached → its level, and in words."""
COLORED = dict(zip(LEVELS, ("good", "caution", "bad"), strict=True))
"""Verdict → its level on the page."""


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
        pictures: (pair, method) → HTML of the pair's own pictures, and of the method's; empty where there are none. It is shown
            as it is: only what `report.page` has written may come from here.
        more: further sections, such as sweeps.
    """
    settings = results.settings
    colors = {m: COLORS[n % len(COLORS)] for n, m in enumerate(results.methods)}
    plots = [box_plot({"": _series(results, name)}, colors, COLUMNS[name][0]) for name in DRAWN]
    return page(
        "study",
        title=settings.title or "Study",
        subtitle=f"{len(settings.methods)} methods on {len(results.pairs)} pairs.",
        verdict=_verdict(results),
        cards=_cards(results),
        command=command,
        settings=_settings(results),
        reference=settings.compared_with,
        colors=colors,
        main=_main_table(results),
        verdicts=_verdicts(results),
        aims=_aims(results),
        comparisons=_comparisons(results),
        plots=[plot for plot in plots if plot],
        labels=_labels(results, colors),
        weights=_weights(results, colors),
        more=more,
        pictures=_pictures(results, pictures),
        failures=results.failures,
        conventions=conventions(results),
    )


def _verdict(results: StudyResults) -> tuple[str, str]:
    wanted = len(results.pairs) * len(results.methods)
    aims = results.aim_results()
    missed = [v for v in aims if v.reached is False]
    parts = []
    if aims:
        reached = sum(v.reached is True for v in aims)
        parts.append(f"{reached} of {len(aims)} aims are reached.")
    if results.failures:
        parts.append(f"{len(results.failures)} of {wanted} measurements failed; their reasons are at the end.")
    if len(results.measured) < wanted:
        parts.append(f"{wanted - len(results.measured)} measurements are still to come; the same command goes on.")
    return "caution" if missed or results.failures or len(results.measured) < wanted else "good", " ".join(
        parts or ["All measurements are there."]
    )


def _cards(results: StudyResults) -> list[tuple[str, str, str]]:
    cards = []
    for name in ("dice", "tre_mm", "folding_percent", "seconds"):
        word, _, sign = COLUMNS[name]
        found = {m.name: s for m in results.settings.methods if (s := results.spread(m.name, name))}
        if not found:
            continue
        if name == "folding_percent":
            clean = sum(s.high == 0 for s in found.values())
            cards.append(("Without any fold", f"{clean} of {len(found)}", "methods, on all pairs"))
            continue
        typical = {m: s.typical(name) for m, s in found.items()}
        best = max(typical, key=lambda m: sign * typical[m])
        cards.append((f"Best {word}", f"{typical[best]:.{digits_of(name, typical[best])}f}", best))
    return cards


def _main_table(results: StudyResults) -> dict[str, Any]:
    """Headings, and for each method its cells (text, whether it is best, stars of its p-value), verdicts and number of pairs."""
    columns = [name for name in COLUMNS if any(results.spread(m, name) for m in results.methods)]
    best = {name: _best(results, name) for name in columns}
    p_values = {(c.method, c.figure): c.p_holm for c in results.comparisons}
    rows = []
    for method in results.methods:
        cells = [
            (_typical(results, method, name), method in best[name], _stars(p_values.get((method, name), 1.0)))
            for name in columns
        ]
        count, failed = results.count(method, failed=False), results.count(method, failed=True)
        verdicts = " / ".join(map(str, results.verdict_counts(method).values())) or "–"
        rows.append((method, cells, verdicts, f"{count}{f' ({failed} failed)' if failed else ''}"))
    judged = any(results.verdict_counts(method) for method in results.methods)
    return {"columns": [COLUMNS[name][0] for name in columns], "rows": rows, "judged": " / ".join(LEVELS) if judged else ""}


def _verdicts(results: StudyResults) -> dict[str, Any]:
    """Methods that have a verdict, and for each pair their (level on the page, word, reasons), None where there is none."""
    found = {m: verdicts for m in results.methods if (verdicts := results.verdicts(m))}
    rows = []
    for pair in results.pairs:
        cells = [verdicts.get(pair) for verdicts in found.values()]
        rows.append((pair, [m and (COLORED.get(m.verdict, ""), m.verdict, m.reasons) for m in cells]))
    return {"methods": list(found), "rows": [row for row in rows if any(row[1])]}


def _best(results: StudyResults, name: str) -> set[str]:
    sign = COLUMNS[name][2]
    found = {m: s.typical(name) for m in results.methods[1:] if (s := results.spread(m, name))}
    if not sign or len(set(found.values())) < 2:
        return set()
    top = max(sign * value for value in found.values())
    return {m for m, value in found.items() if sign * value == top}


def _typical(results: StudyResults, method: str, name: str) -> str:
    spread = results.spread(method, name)
    if spread is None or name not in MEDIANS:
        return _shown(spread, name)
    return f"{spread.median:.{digits_of(name, spread.median)}f}"


def _stars(p: float) -> str:
    return "*" * sum(p < bound for bound in (0.05, 0.01, 0.001))


def _shown(spread: Spread | None, name: str) -> str:
    if spread is None:
        return "–"
    digits = digits_of(name, spread.mean)
    return f"{spread.mean:.{digits}f} ± {spread.sd:.{digits}f}"


def _aims(results: StudyResults) -> list[tuple[str, str, str, str]]:
    """Level, what was asked for, what was found, and whether that is enough."""
    rows = []
    for found in results.aim_results():
        level, state = STATES[found.reached]
        name = COLUMNS.get(found.aim.figure, (found.aim.figure,))[0]
        rows.append((level, f"{name} of {found.aim.method}", found.words, state))
    return rows


def _comparisons(results: StudyResults) -> list[tuple[str, ...]]:
    """Mean difference to the reference, how often more, W, p, corrected p, and how p was found."""
    return [
        (
            COLUMNS[c.figure][0], c.method, f"{c.difference:+.4g}", f"{c.higher} of {c.count}",
            f"{min(c.test.w_plus, c.test.w_minus):g}", _p(c.test.p_value), _p(c.p_holm),
            "exact" if c.test.exact else "normal approximation",
        )
        for c in results.comparisons
    ]  # fmt: skip


def _p(value: float) -> str:
    return f"{value:.2g}" if value >= 1e-4 else f"{value:.0e}"


def _table(results: StudyResults, figure: str, names: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """Head and rows: mean ± standard deviation of each label (or region), one column for each method."""
    methods = [m for m in results.methods if any(results.spread(m, f"{figure}_{name}") for name in names)]
    rows = [
        [name.replace("_", " "), *(_shown(results.spread(m, f"{figure}_{name}"), figure) for m in methods)] for name in names
    ]
    return ["", *methods], rows


def _labels(results: StudyResults, colors: Mapping[str, str]) -> dict[str, Any]:
    names = _ends(results, "dice_")
    if len(names) < 2:
        return {}
    groups = {n: _series(results, f"dice_{n}") for n in names}
    return {
        "plot": box_plot(groups, colors, "Dice") if len(names) <= MOST_LABELS else None,
        "dice": _table(results, "dice", names),
        "hd95": _table(results, "hd95_mm", names),
    }


def _weights(results: StudyResults, colors: Mapping[str, str]) -> dict[str, Any]:
    """Of λ over all labels and in each region; empty where no method has one."""
    series = _series(results, "lambda_gradient_correlation")
    plot = box_plot({"": series}, colors, "rank correlation of λ and |∇d|²")
    if plot is None:
        return {}
    names = _ends(results, "lambda_mean_")
    regions = {name.replace("_", " "): _series(results, f"lambda_mean_{name}") for name in names}
    return {
        "regions": _table(results, "lambda_mean", names) if names else None,
        "shown": [m for m, values in series.items() if values] if len(names) > 1 else [],
        "boxes": box_plot(regions, colors, "mean λ"),
        "overall": _table(results, "lambda", OVERALL),
        "plot": plot,
    }


def _pictures(results: StudyResults, pictures: Callable[[str, str], tuple[str, str]]) -> list[tuple[str, Markup, dict]]:
    """Each pair that is shown, its own pictures, and those of each method."""
    shown = []
    for pair in results.pairs[: results.settings.pictures]:
        found = {m: tuple(map(Markup, pictures(pair, m))) for m in results.methods}
        found = {m: html for m, html in found.items() if html[1]}
        if found:
            shown.append((pair, next(iter(found.values()))[0], {m: own for m, (_, own) in found.items()}))
    return shown


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


def _series(results: StudyResults, name: str) -> dict[str, list[float]]:
    """A figure of each method over the pairs."""
    return {m: list(results.values(m, name).values()) for m in results.methods}


def _ends(results: StudyResults, start: str) -> list[str]:
    """What follows after `start` in the names of figures."""
    return [name.removeprefix(start) for name in results.figures if name.startswith(start)]
