"""Write the figures of a registration as rows of a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from SpatialRegularizationLib.report.verdicts import SIMILARITY_NAMES, LengthUnit


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Args:
        name: what it is.
        before, after: formatted; "" where there is none.
        help: what it means and what is good.
    """

    name: str
    before: str
    after: str
    help: str


def rows_of(figures: Mapping[str, Any], similarity: str = "", names: Mapping[int, str] | None = None) -> list[Row]:
    """Rows of the figures that there are.

    Args:
        figures: of report.json or of a live answer; what is missing or None gives no row.
        similarity: of the settings ("lncc", "mse", "mind"), for its name.
        names: value in the label maps → name of the segment.
    """
    unit = LengthUnit.of(min(figures["fixed"]["spacing_mm"]) if "fixed" in figures else 1.0)
    return [
        *_similarity(figures, similarity),
        *_dice(figures, names or {}),
        *_landmarks(figures, unit),
        *_regularity(figures, unit),
        *_cost(figures),
    ]


def _similarity(figures: Mapping[str, Any], similarity: str) -> Iterator[Row]:
    after, before = figures.get("similarity_after"), figures.get("similarity_before")
    if after is not None:
        name, good = SIMILARITY_NAMES.get(similarity, ("Similarity", "Larger is more alike."))
        yield Row(name, _number(before, 3), _number(after, 3), f"Likeness of the two images. {good}")


def _dice(figures: Mapping[str, Any], names: Mapping[int, str]) -> Iterator[Row]:
    after, before = figures.get("dice_after") or {}, figures.get("dice_before") or {}
    text = "Overlap of the label maps on the fixed grid: 1 is full, 0 is none."
    labels = sorted((label for label in after if label != "mean"), key=lambda label: (len(str(label)), str(label)))
    for label in ["mean", *labels] if "mean" in after else labels:
        name = "mean" if label == "mean" else names.get(int(label), f"label {label}")
        yield Row(f"Dice, {name}", _number(before.get(label), 3), _number(after[label], 3), text)


def _landmarks(figures: Mapping[str, Any], unit: LengthUnit) -> Iterator[Row]:
    after, before = figures.get("tre_after_mm") or {}, figures.get("tre_before_mm") or {}
    for key, words in (("mean", "mean"), ("max", "largest")):
        if after.get(key) is not None:
            text = "Distance between corresponding landmarks."
            start = "" if before.get(key) is None else unit.number(before[key], 2)
            yield Row(f"Landmark error, {words}", start, f"{unit.number(after[key], 2)} {unit.name}", text)


def _regularity(figures: Mapping[str, Any], unit: LengthUnit) -> Iterator[Row]:
    lines = (
        ("folding_percent", "Folded voxels", "{:.3g} %", "Voxels turned inside out (Jacobian determinant ≤ 0); 0 is right."),
        ("ndv_percent", "Non-diffeomorphic volume", "{:.2f} %", "Volume folded between voxels, too; 0.00 is good."),
        ("sd_log_j", "Roughness (SDlogJ)", "{:.3f}", "Spread of the logarithm of local volume change; smaller is smoother."),
        ("jacobian_min", "Smallest Jacobian", "{:.3g}", "Below 0 tissue is turned inside out."),
    )
    for key, name, form, text in lines:
        if figures.get(key) is not None:
            yield Row(name, "", form.format(figures[key]), text)
    residual = figures.get("inverse_residual_mm")
    if residual is not None:
        text = "Largest distance after going there and back."
        yield Row("Error of the inverse", "", f"{unit.number(residual, 3)} {unit.name}", text)


def _cost(figures: Mapping[str, Any]) -> Iterator[Row]:
    if figures.get("seconds") is not None:
        yield Row("Time", "", f"{figures['seconds']:.1f} s", f"Of the computation, on {figures.get('device') or 'the device'}.")
    if figures.get("peak_memory_mb") is not None:
        yield Row("Peak memory", "", f"{figures['peak_memory_mb']:.0f} MB", "Largest memory of the process that computed.")


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"
