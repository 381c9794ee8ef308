"""Test whether a difference between two methods on the same pairs is more than chance: signed ranks, corrections."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MOST_EXACT = 50
"""Differences up to which all signs are counted: 2⁵⁰ sums are whole numbers of double precision."""


@dataclass(frozen=True)
class SignedRank:
    """Wilcoxon's signed-rank test of paired differences, two-sided.

    Args:
        count: differences that are not zero.
        zeros: differences of zero, left out as Wilcoxon did.
        w_plus, w_minus: sums of the ranks of the positive and of the negative differences.
        p_value: 0 to 1.
        exact: True where all 2^count signs were counted, False for the normal approximation.
    """

    count: int
    zeros: int
    w_plus: float
    w_minus: float
    p_value: float
    exact: bool


def wilcoxon_signed_rank(differences: Sequence[float]) -> SignedRank:
    """Whether paired differences lie symmetrically around zero (F. Wilcoxon, Biometrics Bulletin 1, 1945).

    The ranks of |d| (equal ones share their mean rank) are summed over d > 0 and over d < 0. Up to `MOST_EXACT` differences
    the p-value counts all signs, given the ranks, ties included; beyond, W is taken as normal with

        mean n(n+1)/4,   variance n(n+1)(2n+1)/24 - Σ(t³ - t)/48   (t: sizes of the groups of ties),   continuity 1/2

    (Lehmann, Nonparametrics, 1975, Sections 3.2 and A.3).

    Args:
        differences: one for each pair, finite.

    Raises:
        ValueError: a difference that is not finite.
    """
    values = np.asarray(differences, dtype=np.float64)
    if not np.isfinite(values).all():
        raise ValueError("Paired differences must be finite, got NaN or infinity: leave out pairs where a method failed.")
    moved = values[values != 0]
    n = len(moved)
    ranks = midranks(np.abs(moved))
    plus = float(ranks[moved > 0].sum())
    minus = n * (n + 1) / 2 - plus
    exact = n <= MOST_EXACT
    p = 1.0 if n == 0 else _exact_p(ranks, plus) if exact else _normal_p(ranks, plus)
    return SignedRank(n, len(values) - n, plus, minus, p, exact)


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """P-values corrected for their number (S. Holm, Scandinavian Journal of Statistics 6, 1979), in the order given.

    The k-th smallest of m is multiplied by m - k + 1, and none is below one before it; at most 1.
    """
    order = sorted(range(len(p_values)), key=lambda n: p_values[n])
    corrected, highest = [0.0] * len(p_values), 0.0
    for place, n in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - place) * p_values[n]))
        corrected[n] = highest
    return tuple(corrected)


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float | None:
    """Spearman's correlation, -1 to 1: that of the ranks; None where one of the two is constant.

    Args:
        a, b: of one length.
    """
    ranks = [midranks(np.asarray(values, dtype=np.float64)) for values in (a, b)]
    centered = [r - r.mean() for r in ranks]
    spread = math.sqrt(float((centered[0] ** 2).sum()) * float((centered[1] ** 2).sum()))
    return float((centered[0] * centered[1]).sum()) / spread if spread > 0 else None


def midranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1; equal values share the mean of theirs."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[place]


def _exact_p(ranks: np.ndarray, plus: float) -> float:
    """Share of all signs whose W₊ is at least as far from its mean; doubled ranks are whole numbers even where tied."""
    doubled = np.rint(2 * ranks).astype(np.int64)
    ways = np.zeros(int(doubled.sum()) + 1)
    ways[0] = 1
    for rank in doubled:
        ways[rank:] = ways[rank:] + ways[:-rank]
    place = round(2 * plus)
    tail = min(ways[: place + 1].sum(), ways[place:].sum())
    return min(1.0, float(2 * tail / ways.sum()))


def _normal_p(ranks: np.ndarray, plus: float) -> float:
    n = len(ranks)
    ties = np.unique(ranks, return_counts=True)[1].astype(np.float64)
    variance = n * (n + 1) * (2 * n + 1) / 24 - float((ties**3 - ties).sum()) / 48
    away = max(0.0, abs(plus - n * (n + 1) / 4) - 0.5)
    return math.erfc(away / math.sqrt(2 * variance))
