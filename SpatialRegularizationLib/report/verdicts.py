"""Put the figures of a registration into words: what each means, what is good, and lengths in a unit that suits the voxels."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..registration.verdict import LEVELS
from ..similarity import SIMILARITIES

SIMILARITY_NAMES = {similarity.name: (similarity.title, similarity.good) for similarity in SIMILARITIES}
"""Name, and what is good; larger is more alike for each."""
UNITS = (("m", 1e3, 1e3), ("mm", 1.0, 1e-2), ("µm", 1e-3, 1e-5), ("nm", 1e-6, 0.0))
"""Name, length in mm, and the smallest voxel in mm for which it is taken."""

FOLDS = "Folded voxels"
SETTLED = "about as before"
AS_BEFORE = 0.05
"""Of what two images lack in similarity: a linear map that changes less of it has neither gained nor lost."""


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
    return [
        *_agreement(content, voxel_mm, unit),
        *_affine_part(content, unit),
        *_regularity(content),
        *_displacement(content, voxel_mm, unit),
        *_cost(content),
    ]


@dataclass(frozen=True)
class Judgment:
    """The verdict on a registration, as pages, panel and command line show it.

    Args:
        level: "good", "caution" or "bad", as of figures.
        word: "Good", "Look here" or "Failed": color alone says nothing to many.
        reasons: sentences, the gravest first.
    """

    level: str
    word: str
    reasons: tuple[str, ...]


def judgment_of(content: Mapping[str, Any]) -> Judgment | None:
    """From the content of report.json; None where an earlier version wrote it, without a verdict."""
    verdict = content.get("verdict")
    if not isinstance(verdict, Mapping) or verdict.get("level") not in LEVELS:
        return None
    word = str(verdict["level"])
    level = ("good", "caution", "bad")[LEVELS.index(word)]
    return Judgment(level, word.capitalize(), tuple(str(reason) for reason in verdict.get("reasons") or ()))


PROVEN = "Nothing in the images or figures speaks against this result. The pictures below show what no figure can prove."
"""Said of a good result."""


def headline_of(content: Mapping[str, Any], figures: Iterable[Figure]) -> tuple[str, str, tuple[str, ...]]:
    """(level, word and sentence, reasons) for the top of a page; the figures decide where there is no verdict."""
    found = judgment_of(content)
    if found is None:
        return *verdict_of(figures), ()
    return found.level, f"{found.word}. {PROVEN}" if found.level == "good" else f"{found.word}:", found.reasons


def verdict_of(figures: Iterable[Figure]) -> tuple[str, str]:
    """("good" | "caution" | "bad", one or two sentences on the whole): what the figures say alone, whoever made the transform."""
    figures = list(figures)
    bad = [f for f in figures if f.level == "bad"]
    caution = [f for f in figures if f.level == "caution"]
    if bad:
        return "bad", f"Do not trust this result before looking closer: {_list(bad)}."
    if caution:
        return "caution", f"Look closer: {_list(caution)}."
    deforms = any(f.name == FOLDS for f in figures)
    sound = "the deformation is free of folds" if deforms else "a linear transform cannot fold"
    agree = "about as well as" if any(f.hint == SETTLED for f in figures) else "better than"
    return "good", (
        f"The figures raise no alarm: {sound} and the images agree {agree} before. "
        "Figures cannot prove that the right structures were matched; the pictures below are for that."
    )


def _list(figures: list[Figure]) -> str:
    return "; ".join(f"{f.name.lower()} {f.after}{f' ({f.hint})' if f.hint else ''}" for f in figures)


def _agreement(content: dict[str, Any], voxel_mm: float, unit: LengthUnit) -> Iterator[Figure]:
    if content.get("similarity_after") is not None:
        name, good = SIMILARITY_NAMES[content["settings"]["similarity"]]
        values = content.get("similarity_before"), content["similarity_after"]
        figure = _compared(name, values, f"Similarity of the two images. {good}")
        yield replace(figure, level="", hint=SETTLED) if _settled(content) else figure
    for key, lengths, name, text in (
        ("dice", None, "Dice, mean of labels", "Overlap of the label maps: 1 is full, 0 is none."),
        ("tre", unit, "Landmark error, mean", f"Distance between corresponding points; one voxel is {unit.words(voxel_mm)}."),
        ("hd95", unit, "Surface distance (HD95), mean", "95 % of the label surfaces are nearer than this."),
    ):
        before, after = (content.get(f"{key}_{when}{'_mm' if lengths else ''}") or {} for when in ("before", "after"))
        if after.get("mean") is not None:
            outside = after.get("share_outside") or 0
            note = f" {100 * outside:.0f} % of the points lie outside the field." if outside else ""
            yield _compared(name, (before.get("mean"), after["mean"]), text + note, lengths, headline=key != "hd95")


def _settled(content: dict[str, Any]) -> bool:
    """Whether a linear map has left the similarity nearly as it was: images that lay well before may lie as well after."""
    before, after = (content.get(f"similarity_{when}") for when in ("before", "after"))
    if content.get("affine_part") is None or not _alone(content) or None in (before, after):
        return False
    best = next(s.exact for s in SIMILARITIES if s.name == content["settings"]["similarity"])
    return abs(after - before) <= AS_BEFORE * abs(best - before)


def _alone(content: dict[str, Any]) -> bool:
    """Whether there is no deformation."""
    return content.get("sd_log_j") is None


def _compared(
    name: str, values: tuple[float | None, float], text: str, unit: LengthUnit | None = None, *, headline: bool = True
) -> Figure:
    """A value before (or None) and after: a length, where smaller is better, or a share, where larger is."""
    first, last = values
    written = ["" if v is None else unit.number(v, 2) if unit else f"{v:.3f}" for v in values]
    after = f"{written[1]} {unit.name}" if unit else written[1]
    better = first is None or (last <= first if unit else last >= first)
    level, hint = ("good", "better than before") if better else ("bad", "worse than before")
    return Figure(name, written[0], after, text, level, hint, headline)


def _affine_part(content: dict[str, Any], unit: LengthUnit) -> Iterator[Figure]:
    """What the affine part does; nothing where it is the identity and a deformation follows."""
    part = content.get("affine_part")
    if part is None:
        return
    alone = _alone(content)
    angle, shift, whole = part["rotation_degrees"], part["shift_mm"], "" if alone else " of the affine part"
    if not alone and max(angle, *map(abs, (*shift, *part["stretch_percent"], *part["shear_percent"]))) < 1e-6:
        return
    text = f"Angle of the rotation{whole}. Is it plausible for how the two images were taken?"
    level, hint = ("bad", "left and right change places") if part["mirrored"] else ("", "about one axis")
    yield Figure("Rotation", "", f"{angle:.2f}°", text, level, hint, alone)
    along = " / ".join(f"{v:+.{1 + unit.finer}f}" for v in (value / unit.mm for value in shift))
    text = f"How far the center of the fixed image moves{whole}; along left, posterior and superior {along} {unit.name}."
    yield Figure("Shift", "", f"{unit.number(math.hypot(*shift), 2)} {unit.name}", text, "", "of the center", alone)
    if max(map(abs, (*part["stretch_percent"], *part["shear_percent"]))) < 1e-6:
        return
    after = " / ".join(f"{value:+.1f}" for value in part["stretch_percent"])
    text = "Along left, posterior and superior; above 0 the moving image is larger. Between people up to 15 % is usual."
    yield Figure("Stretch, L / P / S", "", f"{after} %", text, "", "along left, posterior, superior", alone)
    text = "Largest of the three shears, as a share of the length. Between people up to 5 % is usual."
    yield Figure("Shear", "", f"{max(map(abs, part['shear_percent'])):.1f} %", text)


def _regularity(content: dict[str, Any]) -> Iterator[Figure]:
    if (folds := content.get("folding_percent")) is not None:
        text = (
            "Voxels where the deformation turns space inside out (Jacobian determinant not positive, central differences). "
            "Tissue cannot do that: 0 is required."
        )
        level, hint = ("good", "no tissue is turned inside out") if folds == 0 else ("bad", "should be 0")
        yield Figure(FOLDS, "", f"{folds:.3g} %", text, level, hint, True)
    if (one_sided := content.get("folding_one_sided_percent")) is not None:
        level, hint = ("good", "") if one_sided == 0 else ("caution", "should be 0")
        text = "The same with any of the eight one-sided differences."
        yield Figure("Folded voxels, strict", "", f"{one_sided:.3g} %", text, level, hint)
    if (ndv := content.get("ndv_percent")) is not None:
        text = "Volume that is folded when the deformation is read as linear between voxels: 0.00 is good."
        yield Figure("Non-diffeomorphic volume", "", f"{ndv:.2f} %", text, "good" if ndv < 0.005 else "caution")
    if (rough := content.get("sd_log_j")) is not None:
        text = (
            "Spread of the logarithm of local volume change; smaller is smoother. Between people 0.05 to 0.15 is usual, "
            "breathing may need more."
        )
        yield Figure("Roughness (SDlogJ)", "", f"{rough:.3f}", text, hint="spread of volume change", headline=True)


def _displacement(content: dict[str, Any], voxel_mm: float, unit: LengthUnit) -> Iterator[Figure]:
    if (lengths := content.get("displacement_mm")) is not None:
        after = f"{unit.number(lengths['mean'], 1)} / {unit.number(lengths['max'], 1)} {unit.name}"
        text = "Length of the nonlinear displacement (the affine part apart). Is it plausible for this anatomy?"
        yield Figure("Displacement, mean / max", "", after, text, hint="without the affine part", headline=True)
    most, largest = content.get("inverse_residual_p99_mm"), content.get("inverse_residual_mm")
    if most is not None and largest is not None:
        after = f"{most / unit.mm:.2g} / {largest / unit.mm:.2g} {unit.name}"
        text = (
            "How far voxel centers of the fixed image land from themselves after the transform and its inverse; below a tenth of "
            f"a voxel ({unit.words(0.1 * voxel_mm)}) at 99 % of them is good."
        )
        level, hint = ("good", "") if most <= 0.1 * voxel_mm else ("caution", "above a tenth of a voxel")
        yield Figure("Inverse, error at 99 % / largest", "", after, text, level, hint)


def _cost(content: dict[str, Any]) -> Iterator[Figure]:
    if content.get("seconds") is not None:
        yield Figure("Time", "", f"{content['seconds']:.1f} s", f"Wall time of the registration on {content['device']}.")
    if content.get("start_seconds"):
        yield Figure("Time of the start", "", f"{content['start_seconds']:.1f} s", "Of that, the search for the affine start.")
    if content.get("peak_memory_mb") is not None:
        yield Figure("Peak memory", "", f"{content['peak_memory_mb']:.0f} MB", "Largest memory of the process.")
