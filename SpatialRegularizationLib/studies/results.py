"""Tabulate the measurements of a study: mean and spread of each method, comparisons with p-values, aims."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..registration.verdict import LEVELS
from .aims import Aim
from .measured_pair import Measured
from .methods import START
from .settings import StudySettings
from .statistics import SignedRank, holm, wilcoxon_signed_rank

TESTED = ("dice", "hd95_mm", "tre_mm", "lncc", "mind", "ndv_percent", "sd_log_j")
"""Figures of which methods are compared."""
MEDIANS = ("seconds", "peak_memory_mb")
"""Figures whose typical value is the median: the first run of a process is slower."""


@dataclass(frozen=True)
class Spread:
    """A figure of one method over the pairs where it is defined; sd: standard deviation (n - 1), 0 for one pair."""

    mean: float
    sd: float
    median: float
    low: float
    high: float
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread | None:
        """None for no values."""
        if not len(values):
            return None
        x = np.asarray(values, dtype=np.float64)
        sd = float(x.std(ddof=1)) if len(x) > 1 else 0.0
        return cls(float(x.mean()), sd, float(np.median(x)), float(x.min()), float(x.max()), len(x))

    def typical(self, figure: str) -> float:
        """The median for seconds and memory, else the mean."""
        return self.median if figure in MEDIANS else self.mean


@dataclass(frozen=True)
class Comparison:
    """A method beside the reference, on the pairs where both have the figure.

    Args:
        figure, method, reference: names.
        difference: mean of method - reference.
        higher: pairs where the method has more.
        test: of the differences.
        p_holm: p-value, corrected for the comparisons of this figure.
    """

    figure: str
    method: str
    reference: str
    difference: float
    higher: int
    count: int
    test: SignedRank
    p_holm: float


@dataclass(frozen=True)
class AimResult:
    """Whether an aim is reached: True, False, or None where it cannot be told; and the numbers in words."""

    aim: Aim
    reached: bool | None
    words: str


@dataclass(frozen=True)
class StudyResults:
    """What is known of a study, finished or not.

    Args:
        settings: of the study.
        pairs: names of all pairs.
        measured: by (pair, method).
    """

    settings: StudySettings
    pairs: tuple[str, ...]
    measured: Mapping[tuple[str, str], Measured]

    @property
    def methods(self) -> tuple[str, ...]:
        """The affine start, then the methods in order."""
        return self.settings.method_names

    @cached_property
    def figures(self) -> tuple[str, ...]:
        """Names of all figures, in the order of their first appearance; labels by their numbers."""
        return tuple(dict.fromkeys(name for m in self.measured.values() for name in m.figures))

    @property
    def failures(self) -> list[Measured]:
        """What has failed, in the order of the pairs."""
        found = [self.measured.get((pair, method)) for pair in self.pairs for method in self.methods]
        return [measured for measured in found if measured is not None and measured.error]

    def values(self, method: str, figure: str) -> dict[str, float]:
        """The figure of a method by pair, where it is defined."""
        found = {}
        for pair in self.pairs:
            measured = self.measured.get((pair, method))
            value = None if measured is None else measured.figures.get(figure)
            if value is not None:
                found[pair] = float(value)
        return found

    def spread(self, method: str, figure: str) -> Spread | None:
        """Mean and spread over the pairs."""
        return Spread.of(list(self.values(method, figure).values()))

    def pooled_sd(self, method: str, figure: str) -> float | None:
        """Standard deviation over all labels of all pairs together, as some papers print it; for "dice" and "hd95_mm"."""
        names = [name for name in self.figures if name.startswith(f"{figure}_")]
        values = [value for name in names for value in self.values(method, name).values()]
        return float(np.std(values, ddof=1)) if len(values) > 1 else None

    def count(self, method: str, *, failed: bool) -> int:
        """Pairs where a method worked, or failed."""
        found = [self.measured.get((pair, method)) for pair in self.pairs]
        return sum(bool(m.error) == failed for m in found if m is not None)

    def verdicts(self, method: str) -> dict[str, Measured]:
        """What a method says of its results, by pair; empty for the methods of others."""
        found = {pair: self.measured.get((pair, method)) for pair in self.pairs}
        return {pair: measured for pair, measured in found.items() if measured is not None and measured.verdict}

    def verdict_counts(self, method: str) -> dict[str, int]:
        """On how many pairs a method is good, has to be looked at, and has failed in its own eyes; empty without verdicts."""
        found = [measured.verdict for measured in self.verdicts(method).values()]
        return {level: found.count(level) for level in LEVELS} if found else {}

    @cached_property
    def comparisons(self) -> tuple[Comparison, ...]:
        """Every method beside the reference, for the figures of `TESTED`."""
        found = []
        for figure in TESTED:
            others = [m for m in self.methods if m not in (START, self.settings.compared_with)]
            found += self._compared(figure, self.settings.compared_with, others)
        return tuple(found)

    def aim_results(self) -> list[AimResult]:
        """The aims of the study, each with what was found."""
        return [self._judged(aim) for aim in self.settings.aims]

    def paired(self, figure: str, method: str, reference: str) -> tuple[np.ndarray, np.ndarray]:
        """The figure of two methods on the pairs where both have it."""
        return self._same_pairs((method, figure), (reference, figure))

    def _same_pairs(self, one: tuple[str, str], other: tuple[str, str]) -> tuple[np.ndarray, np.ndarray]:
        """Two (method, figure) on the pairs where both are defined."""
        first, second = self.values(*one), self.values(*other)
        both = [pair for pair in self.pairs if pair in first and pair in second]
        return np.array([first[pair] for pair in both]), np.array([second[pair] for pair in both])

    def _compared(self, figure: str, reference: str, others: Sequence[str]) -> list[Comparison]:
        pairs = {other: self.paired(figure, other, reference) for other in others}
        pairs = {other: both for other, both in pairs.items() if len(both[0])}
        tests = [wilcoxon_signed_rank(a - b) for a, b in pairs.values()]
        corrected = holm([test.p_value for test in tests])
        return [
            Comparison(figure, other, reference, float((a - b).mean()), int((a > b).sum()), len(a), test, p)
            for (other, (a, b)), test, p in zip(pairs.items(), tests, corrected, strict=True)
        ]

    def _judged(self, aim: Aim) -> AimResult:
        spread = self.spread(aim.method, aim.figure)
        if spread is None:
            return AimResult(aim, None, "not measured")
        checks = [
            ("is", spread.typical(aim.figure), aim.at_least, aim.at_most),
            ("worst pair", spread.low, aim.worst_at_least, None),
            ("worst pair", spread.high, None, aim.worst_at_most),
        ]
        own, other = self.paired(aim.figure, aim.method, aim.against or aim.method)
        if aim.against is not None:
            if not len(own):
                return AimResult(aim, None, f"no pair where {aim.against} was measured, too")
            middle = np.median if aim.figure in MEDIANS else np.mean
            below = float(middle(other))
            ratio = float(middle(own)) / below if below else math.inf
            checks += [
                (f"minus {aim.against}", float((own - other).mean()), aim.difference_at_least, aim.difference_at_most),
                (f"over {aim.against}", ratio, None, aim.ratio_at_most),
                (f"p against {aim.against}", self._p_of(aim), None, aim.p_at_most),
            ]
        asked = [(words, value, low, high) for words, value, low, high in checks if (low, high) != (None, None)]
        fine = all((low is None or value >= low) and (high is None or value <= high) for _, value, low, high in asked)
        words = [f"{words} {value:.4g}{_bounds(low, high)}" for words, value, low, high in asked]
        if aim.better_on_all:
            worse = int((own <= other).sum())
            fine, words = fine and worse == 0, [*words, f"not better than {aim.against} on {worse} of {len(own)} pairs"]
        if aim.less_than is not None:
            here, there = self._same_pairs((aim.method, aim.figure), (aim.method, aim.less_than))
            if not len(here):
                return AimResult(aim, None, f"{aim.less_than} is not measured")
            fine = fine and float(here.mean()) < float(there.mean())
            words = [*words, f"is {here.mean():.4g}, {aim.less_than} is {there.mean():.4g}"]
        lacking = self.count(aim.method, failed=True)
        return AimResult(aim, fine and not lacking, "; ".join([*words, *([f"{lacking} pairs failed"] if lacking else [])]))

    def _p_of(self, aim: Aim) -> float:
        """The corrected p-value where the comparison is one of the study's, else that of the two alone."""
        for c in self.comparisons:
            if c.figure == aim.figure and {c.method, c.reference} == {aim.method, aim.against}:
                return c.p_holm
        own, other = self.paired(aim.figure, aim.method, aim.against)
        return wilcoxon_signed_rank(own - other).p_value


def _bounds(low: float | None, high: float | None) -> str:
    parts = [f"{word} {bound:g}" for word, bound in (("at least", low), ("at most", high)) if bound is not None]
    return f" (asked: {', '.join(parts)})"
