"""Write the tables of a study: for spreadsheets (CSV) and for programs (plain values); and say how each figure is defined."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import asdict
from typing import Any

import numpy as np

from ..report.summary import plain, versions
from .results import Spread, StudyResults

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


def measurements_csv(results: StudyResults) -> str:
    """One line for each method and pair, with everything that was measured."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["pair", "method", "verdict", *results.figures, "reasons", "error"])
    for pair in results.pairs:
        for method in results.methods:
            measured = results.measured.get((pair, method))
            if measured is not None:
                cells = [_plain_cell(measured.figures.get(name)) for name in results.figures]
                writer.writerow([pair, method, measured.verdict, *cells, " ".join(measured.reasons), measured.error])
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
        | ({"verdicts": counts} if (counts := results.verdict_counts(name)) else {})
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
            "aims": [asdict(v) for v in results.aim_results()],
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
        "start": f"affine part: {s.affine}, found once for each pair by the structure of both images and shared by all methods",
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
        "Verdict": "what our own methods say of their result, without labels and landmarks: good, look here or failed; the "
        "start, the methods of others and what an earlier version measured have none",
        "λ": "mean over the fixed labels (whole volume without labels), over regions for each pair, then over pairs",
        "λ and |∇d|²": "Spearman's rank correlation over the same voxels, d in mm per mm",
    }


def _with_pooled(results: StudyResults, method: str, name: str, spread: Spread) -> dict[str, Any]:
    pooled = results.pooled_sd(method, name)
    return asdict(spread) | ({} if pooled is None else {"pooled_sd": pooled})


def _plain_cell(value: float | None) -> str:
    return "" if value is None or not np.isfinite(value) else f"{value:.6g}"
