"""Put the figures of a registration into words: what each means, what is good, and lengths in a unit that suits the voxels."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ..similarity import SIMILARITIES

SIMILARITY_NAMES = {similarity.name: (similarity.title, similarity.good) for similarity in SIMILARITIES}
"""Name, and what is good; larger is more alike for each."""
UNITS = (("m", 1e3, 1e3), ("mm", 1.0, 1e-2), ("µm", 1e-3, 1e-5), ("nm", 1e-6, 0.0))
"""Name, length in mm, and the smallest voxel in mm for which it is taken."""


@dataclass(frozen=True)
class LengthUnit:
    """How lengths in an image are written.

    Args:
        name: as it is printed.
        mm: its length.
        finer: digits beyond those that suit voxels of one unit.
    """

    name: str
    mm: float
    finer: int

    @classmethod
    def of(cls, voxel_mm: float) -> LengthUnit:
        """The unit for images whose smallest voxel spacing is this, in mm."""
        name, mm, _ = next(unit for unit in UNITS if voxel_mm >= unit[2])
        return cls(name, mm, max(0, round(-math.log10(voxel_mm / mm))))

    def number(self, length_mm: float, digits: int) -> str:
        """A length without its unit.

        Args:
            length_mm: in mm.
            digits: after the point where voxels have one unit; finer voxels get more.
        """
        return f"{length_mm / self.mm:.{digits + self.finer}f}"

    def words(self, length_mm: float) -> str:
        """A length with its unit, three significant digits or all before the point."""
        value = length_mm / self.mm
        return f"{value:.3g} {self.name}" if abs(value) < 1000 else f"{value:.0f} {self.name}"


@dataclass(frozen=True)
class Figure:
    """One line of the table of figures.

    Args:
        name: what it is called.
        before, after: formatted values, "" where there is none.
        help: what it means and what is good, in plain words.
        level: "good", "caution", "bad" or "" (no judgment).
        hint: a few words for the card.
        headline: shown as a card on top.
    """

    name: str
    before: str
    after: str
    help: str
    level: str = ""
    hint: str = ""
    headline: bool = False


def figures_of(content: dict[str, Any], voxel_mm: float) -> list[Figure]:
    """The lines of the table from the content of report.json.

    Args:
        content: see `summary`; a figure that is missing gives no line.
        voxel_mm: smallest voxel spacing of the fixed image, mm.
    """
    unit = LengthUnit.of(voxel_mm)
    landmarks = f"Distance between corresponding points; one voxel is {unit.words(voxel_mm)}."
    surfaces = "95 % of the label surfaces are nearer than this."
    lines = [
        _similarity(content),
        _pair(content, "dice", "Dice, mean of labels", "Overlap of the label maps: 1 is full, 0 is none.", None),
        _pair(content, "tre", "Landmark error, mean", landmarks, unit),
        _pair(content, "hd95", "Surface distance (HD95), mean", surfaces, unit),
        *_regularity(content),
        *_displacement(content, unit),
        _inverse(content, voxel_mm, unit),
        *_cost(content),
    ]
    return [line for line in lines if line is not None]


def verdict_of(figures: Iterable[Figure]) -> tuple[str, str]:
    """("good" | "caution" | "bad", one or two sentences on the whole)."""
    figures = list(figures)
    bad = [f for f in figures if f.level == "bad"]
    caution = [f for f in figures if f.level == "caution"]
    if bad:
        return "bad", f"Do not trust this result before looking closer: {_list(bad)}."
    if caution:
        return "caution", f"Look closer: {_list(caution)}."
    return "good", (
        "The figures raise no alarm: the deformation is free of folds and the images agree better than before. "
        "Figures cannot prove that the right structures were matched; the pictures below are for that."
    )


def _list(figures: list[Figure]) -> str:
    return "; ".join(
        f"{f.name.lower()} {f.after} ({f.hint})" if f.hint else f"{f.name.lower()} {f.after}" for f in figures
    )


def _similarity(content: dict[str, Any]) -> Figure | None:
    before, after = content.get("similarity_before"), content.get("similarity_after")
    if after is None:
        return None
    name, good = SIMILARITY_NAMES[content["settings"]["similarity"]]
    better = before is None or after >= before
    return Figure(
        name,
        "" if before is None else f"{before:.3f}",
        f"{after:.3f}",
        f"Similarity of the two images. {good}",
        "good" if better else "bad",
        "better than before" if better else "worse than before",
        True,
    )


def _pair(content: dict[str, Any], key: str, name: str, text: str, unit: LengthUnit | None) -> Figure | None:
    """Before and after of a dictionary with a mean: of lengths, where smaller is better, or of shares, where larger is."""
    suffix = "_mm" if unit else ""
    before, after = (content.get(f"{key}_{when}{suffix}") for when in ("before", "after"))
    if not after or after.get("mean") is None:
        return None
    first, last = (before or {}).get("mean"), after["mean"]
    better = first is None or (last <= first if unit else last >= first)
    outside = after.get("share_outside") or 0
    note = f" {100 * outside:.0f} % of the points lie outside the field." if outside else ""

    def number(value: float) -> str:
        return unit.number(value, 2) if unit else f"{value:.3f}"

    return Figure(
        name,
        "" if first is None else number(first),
        f"{number(last)} {unit.name}" if unit else number(last),
        text + note,
        "good" if better else "bad",
        "better than before" if better else "worse than before",
        key != "hd95",
    )


def _regularity(content: dict[str, Any]) -> list[Figure]:
    lines = []
    folds, one_sided, ndv = (content.get(k) for k in ("folding_percent", "folding_one_sided_percent", "ndv_percent"))
    if folds is not None:
        lines.append(
            Figure(
                "Folded voxels",
                "",
                f"{folds:.3g} %",
                "Voxels where the deformation turns space inside out (Jacobian "
                "determinant not positive, central differences). Tissue cannot do that: 0 is required.",
                "good" if folds == 0 else "bad",
                "no tissue is turned inside out" if folds == 0 else "should be 0",
                True,
            )
        )
    if one_sided is not None:
        lines.append(
            Figure(
                "Folded voxels, strict",
                "",
                f"{one_sided:.3g} %",
                "The same with any of the eight one-sided differences.",
                "good" if one_sided == 0 else "caution",
                "" if one_sided == 0 else "should be 0",
            )
        )
    if ndv is not None:
        lines.append(
            Figure(
                "Non-diffeomorphic volume",
                "",
                f"{ndv:.2f} %",
                "Volume that is folded when the deformation is read as linear between voxels: 0.00 is good.",
                "good" if ndv < 0.005 else "caution",
            )
        )
    if content.get("sd_log_j") is not None:
        lines.append(
            Figure(
                "Roughness (SDlogJ)",
                "",
                f"{content['sd_log_j']:.3f}",
                "Spread of the logarithm of local volume change; "
                "smaller is smoother. Between people 0.05 to 0.15 is usual, breathing may need more.",
                hint="spread of volume change",
                headline=True,
            )
        )
    return lines


def _displacement(content: dict[str, Any], unit: LengthUnit) -> list[Figure]:
    d = content.get("displacement_mm")
    if d is None:
        return []
    return [
        Figure(
            "Displacement, mean / max",
            "",
            f"{unit.number(d['mean'], 1)} / {unit.number(d['max'], 1)} {unit.name}",
            "Length of the nonlinear displacement (the affine part apart). Is it plausible for this anatomy?",
            hint="without the affine part",
            headline=True,
        )
    ]


def _inverse(content: dict[str, Any], voxel_mm: float, unit: LengthUnit) -> Figure | None:
    most, largest = content.get("inverse_residual_p99_mm"), content.get("inverse_residual_mm")
    if most is None or largest is None:
        return None
    fine = most <= 0.1 * voxel_mm
    return Figure(
        "Inverse, error at 99 % / largest",
        "",
        f"{most / unit.mm:.2g} / {largest / unit.mm:.2g} {unit.name}",
        "How far voxel centers of the fixed image land from themselves after the transform and its inverse; below a tenth of a "
        f"voxel ({unit.words(0.1 * voxel_mm)}) at 99 % of them is good.",
        "good" if fine else "caution",
        "" if fine else "above a tenth of a voxel",
    )


def _cost(content: dict[str, Any]) -> list[Figure]:
    lines, memory = [], content.get("peak_memory_mb")
    if content.get("seconds") is not None:
        lines.append(Figure("Time", "", f"{content['seconds']:.1f} s", f"Wall time of the registration on {content['device']}."))
    if memory is not None:
        lines.append(Figure("Peak memory", "", f"{memory:.0f} MB", "Largest memory of the process."))
    return lines
