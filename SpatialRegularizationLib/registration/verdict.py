"""Judge a registration: good, look here or failed, with the reasons as sentences for whoever has to decide what to do.

Each kind of evidence has two bounds, `Bound.look` and `Bound.failed`. A result is good where no bound is passed; it has failed
where one bound of the second kind is passed, or `TOGETHER` of the first. The bounds were fitted to 120 of the pairs with
known truth of scripts/benchmarks/verdicts.py; how well they do on the others stands in scripts/benchmarks/README.md.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

GOOD, LOOK, FAILED = "good", "look here", "failed"
LEVELS = (GOOD, LOOK, FAILED)
"""From best to worst."""
TOGETHER = 3
"""So many kinds of evidence that each ask for a look mean a failure."""


@dataclass(frozen=True)
class Evidence:
    """What speaks for and against a registration; None where it does not apply or could not be measured.

    Args:
        agreement: mean squared local correlation over the content, 0 to 1.
        sharpness: what it loses at least when the warped image is shifted by two small voxels along an axis.
        shared: mutual information of the intensities over the smaller entropy, 0 to 1.
        better_shifted: share of the content where a shift of two small voxels agrees better.
        round_trip: mean distance from a point to where transform and a second, coarse registration back carry it, over the root
            mean square radius of the content plus at most as much again, `evidence.ALLOWED_MM`.
        round_trip_mm, round_trip_p95_mm: the same in mm, and its 95th percentile.
        mirrored, mirrored_shared: agreement and shared information of the registered mirror image over those of the result.
        turned, turned_shared: the same of the most promising quarter or half turn.
        turned_degrees: of that turn.
        seen: share of the fixed content that the moving image covers.
        overlap: share of the smaller field of view that lies in the other.
        roughness: standard deviation of log J.
        folded: voxels that folded before they were smoothed, percent.
        moved: mean length of the nonlinear displacement over the radius of the content.
        stretch: largest factor by which the linear part lengthens or shortens.
        dice_change: mean Dice after less before.
        landmarks_change_mm: mean distance of the landmarks after less before.
        folds: voxels that still fold, percent.
        place: LPS mm, where the content agrees least.
    """

    agreement: float | None = None
    sharpness: float | None = None
    shared: float | None = None
    better_shifted: float | None = None
    round_trip: float | None = None
    round_trip_mm: float | None = None
    round_trip_p95_mm: float | None = None
    mirrored: float | None = None
    mirrored_shared: float | None = None
    turned: float | None = None
    turned_shared: float | None = None
    turned_degrees: float | None = None
    seen: float | None = None
    overlap: float | None = None
    roughness: float | None = None
    folded: float | None = None
    moved: float | None = None
    stretch: float | None = None
    dice_change: float | None = None
    landmarks_change_mm: float | None = None
    folds: float | None = None
    place: tuple[float, float, float] | None = None


@dataclass(frozen=True)
class Bound:
    """One kind of evidence: how far it may go, and what is said where it goes farther.

    Args:
        name: field of `Evidence`.
        look, failed: bounds; None: this kind alone is no failure.
        words: the sentence, with the evidence by name; shares (`SHARES`) in percent.
        least: True where values below the bounds are passed, not above.
        linear_may: True where a linear result is at most to be looked at: it is not meant to bring all of the content together.
    """

    name: str
    look: float
    failed: float | None
    words: str
    least: bool = False
    linear_may: bool = False

    def level(self, evidence: Evidence) -> str:
        """Of this evidence alone."""
        value = getattr(evidence, self.name)
        if value is None:
            return GOOD
        for level, bound in ((FAILED, self.failed), (LOOK, self.look)):
            if bound is not None and (value < bound if self.least else value > bound):
                return LOOK if self.linear_may and evidence.moved is None else level
        return GOOD


@dataclass(frozen=True)
class Verdict:
    """What is to be thought of a registration.

    Args:
        level: one of `LEVELS`.
        reasons: sentences, the gravest first; empty where it is good.
        evidence: what they rest on.
    """

    level: str
    reasons: tuple[str, ...]
    evidence: Evidence

    def to_dict(self) -> dict[str, Any]:
        """As it stands in report.json: level, reasons, and the evidence that there is."""
        known = {name: value for name, value in asdict(self.evidence).items() if value is not None}
        return {"level": self.level, "reasons": list(self.reasons), "evidence": known}


def judge(evidence: Evidence, doubts: tuple[str, ...] = ()) -> Verdict:
    """The verdict that follows from the evidence.

    Args:
        evidence: of `evidence.gather`, with the figures of the registration.
        doubts: sentences against the start; each asks for a look.
    """
    found = [(level, bound) for bound in BOUNDS if (level := bound.level(evidence)) != GOOD]
    found.sort(key=lambda item: item[0] != FAILED)
    reasons = (*(_said(bound.words, evidence) for _, bound in found), *doubts)
    grave = any(level == FAILED for level, _ in found) or len(found) >= TOGETHER
    return Verdict(FAILED if grave else LOOK if reasons else GOOD, reasons, evidence)


def unjudged(error: Exception) -> Verdict:
    """Where the evidence could not be gathered: the registration is kept."""
    return Verdict(LOOK, (f"The result could not be checked ({error}): look at the overlay before you use it.",), Evidence())


def _said(words: str, evidence: Evidence) -> str:
    """A sentence with its numbers."""
    values = asdict(evidence)
    shares = {name: 100 * values[name] for name in SHARES if values[name] is not None}
    stretch = None if evidence.stretch is None else 100 * (evidence.stretch - 1)
    return words.format_map(values | shares | {"stretch": stretch, "place": _place(evidence)})


def _place(evidence: Evidence) -> str:
    """Where the content agrees least, in letters of the patient's axes, mm."""
    if evidence.place is None:
        return ""
    letters = (("L", "R"), ("P", "A"), ("S", "I"))
    axes = (f"{pair[value < 0]} {abs(value):.0f}" for value, pair in zip(evidence.place, letters, strict=True))
    return f", least of all near {', '.join(axes)} mm"


SHARES = ("shared", "better_shifted", "seen", "overlap", "agreement")
BOUNDS = (
    Bound(
        "shared", 0.17, 0.09,
        "The intensities of the two images have little to do with one another ({shared:.0f} % of what one could tell of the "
        "other): check that both show the same part of the body, and choose a preset for their contrasts.",
        least=True,
    ),
    Bound(
        "better_shifted", 0.5, 0.75,
        "In {better_shifted:.0f} % of the content the images would agree better a few voxels farther{place}: look there in the "
        "overlay, and try another preset or start.",
        linear_may=True,
    ),
    Bound(
        "round_trip", 0.058, 0.12,
        "A second registration, from the moving image back, ends {round_trip_mm:.3g} mm on average from where it should "
        "({round_trip_p95_mm:.3g} mm at 5 % of the content), so the images do not settle what belongs together: look at the "
        "overlay, and try another preset or start.",
    ),
    Bound(
        "mirrored_shared", 1.03, 1.06,
        "The mirror image of the moving image fits better: left and right may be exchanged; check the orientation "
        "of both files.",
    ),
    Bound(
        "turned_shared", 1.03, 1.06,
        "Turned by {turned_degrees:.0f} degrees the moving image fits better: one image may be upside down or "
        "turned; give an initial transform.",
    ),
    Bound(
        "seen", 0.75, 0.5,
        "The moving image covers only {seen:.0f} % of the structures in the fixed one: crop both to what they share, or give an "
        "initial transform.",
        least=True,
    ),
    Bound(
        "overlap", 0.55, None,
        "The fields of view share only {overlap:.0f} % of the smaller one: crop both to what they share, or give an initial "
        "transform.",
        least=True,
    ),
    Bound(
        "roughness", 1.2, None,
        "The deformation squeezes and stretches more than tissue does (SDlogJ {roughness:.2f}): compare its grid with the "
        "anatomy, and raise lambda-max.",
    ),
    Bound(
        "stretch", 1.35, None,
        "The linear part stretches or squeezes by {stretch:.0f} %: look at the overlay, or start rigidly.",
    ),
    Bound(
        "dice_change", 0.0, -0.005,
        "The label maps overlap less than before (mean Dice {dice_change:+.3f}): start from the headers or rigidly, or choose "
        "another preset.",
        least=True,
    ),
    Bound(
        "landmarks_change_mm", 0.0, 0.05,
        "The landmarks lie farther apart than before ({landmarks_change_mm:+.3g} mm on average): choose another start or preset.",
    ),
    Bound("folds", 0.0, 0.0, "{folds:.3g} % of the voxels are turned inside out: raise lambda-floor or lambda-max."),
)  # fmt: skip
"""All kinds of evidence, in the order in which they are told."""
