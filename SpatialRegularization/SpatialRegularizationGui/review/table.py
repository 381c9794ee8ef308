"""Write the figures of a registration as rows of the panel's table: those of the report, and some that only the panel shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from SpatialRegularizationLib.report.verdicts import Figure, LengthUnit, figures_of


def rows_of(figures: Mapping[str, Any], similarity: str, voxel_mm: float, names: Mapping[int, str] | None = None) -> list[Figure]:
    """Rows of the figures that there are.

    Args:
        figures: of report.json or of a live answer; what is missing or None gives no row.
        similarity: of the settings ("lncc", "mse", "mind"), for its name.
        voxel_mm: smallest voxel spacing of the fixed image, mm.
        names: value in the label maps → name of the segment.
    """
    rows = figures_of({**figures, "settings": {"similarity": similarity}}, voxel_mm)
    place = next((n for n, row in enumerate(rows) if row.name.startswith("Dice")), 0) + 1
    return [*rows[:place], *_labels(figures, names or {}), *rows[place:], *_extremes(figures, LengthUnit.of(voxel_mm))]


def _labels(figures: Mapping[str, Any], names: Mapping[int, str]) -> Iterator[Figure]:
    after, before = figures.get("dice_after") or {}, figures.get("dice_before") or {}
    for label in sorted((label for label in after if label != "mean"), key=lambda label: (len(str(label)), str(label))):
        start = "" if before.get(label) is None else f"{before[label]:.3f}"
        name = names.get(int(label), f"label {label}")
        yield Figure(f"Dice, {name}", start, f"{after[label]:.3f}", "Overlap of this label: 1 is full, 0 is none.")


def _extremes(figures: Mapping[str, Any], unit: LengthUnit) -> Iterator[Figure]:
    before, after = ((figures.get(f"tre_{when}_mm") or {}).get("max") for when in ("before", "after"))
    if after is not None:
        start = "" if before is None else unit.number(before, 2)
        text = "Largest distance between corresponding landmarks."
        yield Figure("Landmark error, largest", start, f"{unit.number(after, 2)} {unit.name}", text)
    if figures.get("jacobian_min") is not None:
        yield Figure("Smallest Jacobian", "", f"{figures['jacobian_min']:.3g}", "Below 0 tissue is turned inside out.")
