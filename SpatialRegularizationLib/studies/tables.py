"""The tables of a study: for the page (HTML), for spreadsheets (CSV), and for programs (plain values)."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import asdict
from html import escape
from typing import Any

import numpy as np

from ..report.summary import plain, versions
from .results import MEDIANS, Comparison, Spread, StudyResults

FORMAT = 1
"""Version of study.json."""
COLUMNS = {
    "dice": ("Dice", 3, 1),
    "hd95_mm": ("HD95 (mm)", 2, -1),
    "tre_mm": ("TRE (mm)", 2, -1),
    "lncc": ("LNCC", 3, 1),
    "mind": ("MIND", 4, 1),
    "folding_percent": ("%|J|≤0", 3, -1),
    "ndv_percent": ("%NDV", 3, -1),
    "sd_log_j": ("SDlogJ", 3, 0),
    "seconds": ("Time (s)", 2, -1),
    "peak_memory_mb": ("Memory (MB)", 0, -1),
}
"""Figure → heading, digits, and whether more (1) or less (-1) is better, 0 for neither."""


def digits_of(name: str, value: float) -> int:
    """Digits after the point of a figure: those of its column, and two that count of a length that is far below a millimeter."""
    digits = COLUMNS.get(name, ("", 3, 0))[1]
    small = name.endswith("_mm") and 0 < abs(value) < 1
    return max(digits, 1 - math.floor(math.log10(abs(value)))) if small else digits


def main_table(results: StudyResults) -> str:
    """One line for each method, mean ± standard deviation over the pairs, the best one bold, marks for p < 0.05."""
    columns = [name for name in COLUMNS if any(results.spread(m, name) for m in results.methods)]
    best = {name: _best(results, name) for name in columns}
    marks = {(c.method, c.figure): c for c in results.comparisons}
    head = "".join(f"<th>{escape(COLUMNS[name][0])}</th>" for name in columns)
    rows = []
    for method in results.methods:
        cells = "".join(
            f"<td>{_cell(results, method, name, method in best[name], marks.get((method, name)))}</td>" for name in columns
        )
        count, failed = results.count(method, failed=False), results.count(method, failed=True)
        rows.append(
            f'<tr><th scope="row">{escape(method)}</th>{cells}<td>{count}{f" ({failed} failed)" if failed else ""}</td></tr>'
        )
    return _table(f"<th>Method</th>{head}<th>Pairs</th>", "".join(rows))


def comparison_table(results: StudyResults) -> str:
    """Mean difference to the reference, how often more, W, p and corrected p."""
    rows = []
    for c in results.comparisons:
        kind = "exact" if c.test.exact else "normal approximation"
        cells = (COLUMNS[c.figure][0], c.method, f"{c.difference:+.4g}", f"{c.higher} of {c.count}")
        cells += (f"{min(c.test.w_plus, c.test.w_minus):g}", _p(c.test.p_value), _p(c.p_holm), kind)
        rows.append("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>")
    words = ("Figure", "Method", f"Minus {results.settings.compared_with}", "Higher on", "W", "p", "p (Holm)", "Test")
    head = "".join(f"<th>{escape(word)}</th>" for word in words)
    return _table(head, "".join(rows)) if rows else ""


def label_table(results: StudyResults, figure: str, names: list[str]) -> str:
    """Mean ± standard deviation of each label (or region), one column for each method.

    Args:
        results: of the study.
        figure: e.g. "dice".
        names: of the labels, the ends of the names of their figures.
    """
    methods = [m for m in results.methods if any(results.spread(m, f"{figure}_{name}") for name in names)]
    head = "".join(f"<th>{escape(method)}</th>" for method in methods)
    rows = "".join(
        f'<tr><th scope="row">{escape(name.replace("_", " "))}</th>'
        + "".join(f"<td>{_shown(results.spread(m, f'{figure}_{name}'), figure)}</td>" for m in methods)
        + "</tr>"
        for name in names
    )
    return _table(f"<th></th>{head}", rows)


def aims_table(results: StudyResults) -> str:
    """What was asked for, and what was found."""
    words = {True: ("good", "reached"), False: ("bad", "missed"), None: ("caution", "not known")}
    rows = []
    for verdict in results.verdicts():
        level, state = words[verdict.reached]
        aim = verdict.aim
        name = COLUMNS.get(aim.figure, (aim.figure,))[0]
        rows.append(
            f'<tr class="{level}"><th scope="row">{escape(name)} of {escape(aim.method)}</th>'
            f"<td>{escape(verdict.words)}</td><td>{state}</td></tr>"
        )
    return (
        '<table class="figures aims"><thead><tr><th>Aim</th><th>Found</th><th></th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


def measurements_csv(results: StudyResults) -> str:
    """One line for each method and pair, with everything that was measured."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["pair", "method", *results.figures, "error"])
    for pair in results.pairs:
        for method in results.methods:
            measured = results.measured.get((pair, method))
            if measured is not None:
                cells = [_plain_cell(measured.figures.get(name)) for name in results.figures]
                writer.writerow([pair, method, *cells, measured.error])
    return stream.getvalue()


def summary_csv(results: StudyResults) -> str:
    """One line for each method and figure: mean, standard deviations, median, range, number of pairs."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["method", "figure", "mean", "sd", "pooled_sd", "median", "min", "max", "pairs"])
    for method in results.methods:
        for name in results.figures:
            s = results.spread(method, name)
            if s is not None:
                numbers = (s.mean, s.sd, results.pooled_sd(method, name), s.median, s.low, s.high)
                writer.writerow([method, name, *map(_plain_cell, numbers), s.count])
    return stream.getvalue()


def plain_values(results: StudyResults, command: str) -> dict[str, Any]:
    """The content of study.json."""
    known = {method.name: method.identity() for method in results.settings.methods}
    methods = {
        name: known.get(name, {"kind": name})
        | {"pairs": results.count(name, failed=False), "failed": results.count(name, failed=True)}
        | {"figures": {f: _with_pooled(results, name, f, s) for f in results.figures if (s := results.spread(name, f))}}
        for name in results.methods
    }
    return plain(
        {
            "format": FORMAT,
            "title": results.settings.title,
            "command": command,
            "pairs": len(results.pairs),
            "reference": results.settings.compared_with,
            "methods": methods,
            "comparisons": [asdict(c) for c in results.comparisons],
            "aims": [asdict(v) for v in results.verdicts()],
            "failures": [{"pair": m.pair, "method": m.method, "error": m.error} for m in results.failures],
            "conventions": conventions(results),
            "versions": versions(),
        }
    )


def conventions(results: StudyResults) -> dict[str, str]:
    """How each figure is defined."""
    s = results.settings
    carried = {
        "linear": "the label with the largest linearly interpolated indicator (ties: lowest)",
        "nearest": "the label of the nearest voxel",
    }
    return {
        "start": f"affine part: {s.affine}, found once for each pair by mutual information and shared by all methods",
        "Dice": f"2|A and B| / (|A| + |B|) on the fixed grid, warped moving labels A by {carried[s.label_warping]}; mean over "
        "the labels of a pair (absent from both: left out; from one: 0), then over pairs; ± over pairs",
        "HD95": "larger of the two directed 95th percentiles between voxel surfaces, unweighted, mm; a label that is empty in "
        "one image has none: hd95_undefined_labels counts them",
        "TRE": "distance between phi(fixed point) and moving point, mm",
        "LNCC": "mean squared local correlation, window 9 voxels, on the fixed grid (inside the fixed mask where there is one)",
        "MIND": "1 - mean squared difference of MIND-SSC descriptors, on at most 2 million voxels",
        "%|J|≤0": "central differences of the nonlinear part on the fixed grid, border repeated, whole volume",
        "%NDV": "non-diffeomorphic volume (Liu et al., IJCV 2024), same voxels",
        "SDlogJ": "standard deviation of log max(J, 1e-9), same voxels",
        "…_inside": "the same inside the fixed mask, else the fixed labels",
        "Time": "median seconds of the registration call; reading, affine start and model loading excluded",
        "Memory": "median of the largest resident memory of the process during the call (of the device on CUDA)",
        "p": "two-sided Wilcoxon signed-rank test over the pairs where both methods worked, corrected by Holm for the "
        "methods of one figure; exact up to 50 differences, else a normal approximation with ties and continuity",
        "λ": "mean over the fixed labels (whole volume without labels), over regions for each pair, then over pairs",
        "λ and |∇d|²": "Spearman's rank correlation over the same voxels, d in mm per mm",
    }


def _table(head: str, rows: str) -> str:
    return f'<table class="numbers"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'


def _best(results: StudyResults, name: str) -> set[str]:
    sign = COLUMNS[name][2]
    found = {m: s.typical(name) for m in results.methods[1:] if (s := results.spread(m, name))}
    if not sign or len(found) < 2:
        return set()
    top = max(sign * value for value in found.values())
    return {m for m, value in found.items() if sign * value == top} if len(set(found.values())) > 1 else set()


def _cell(results: StudyResults, method: str, name: str, best: bool, comparison: Comparison | None) -> str:
    spread = results.spread(method, name)
    middle = spread.typical(name) if spread and name in MEDIANS else None
    text = _shown(spread, name) if middle is None else f"{middle:.{digits_of(name, middle)}f}"
    text = f"<b>{text}</b>" if best else text
    p = 1.0 if comparison is None else comparison.p_holm
    return text + ("<sup>***</sup>" if p < 0.001 else "<sup>**</sup>" if p < 0.01 else "<sup>*</sup>" if p < 0.05 else "")


def _shown(spread: Spread | None, name: str) -> str:
    if spread is None:
        return "–"
    digits = digits_of(name, spread.mean)
    return f"{spread.mean:.{digits}f} ± {spread.sd:.{digits}f}"


def _with_pooled(results: StudyResults, method: str, name: str, spread: Spread) -> dict[str, Any]:
    pooled = results.pooled_sd(method, name)
    return asdict(spread) | ({} if pooled is None else {"pooled_sd": pooled})


def _p(value: float) -> str:
    return f"{value:.2g}" if value >= 1e-4 else f"{value:.0e}"


def _plain_cell(value: float | None) -> str:
    return "" if value is None or not np.isfinite(value) else f"{value:.6g}"
