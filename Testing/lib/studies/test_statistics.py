"""Signed-rank test against published tables and worked examples, Holm's correction, rank correlation."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from SpatialRegularizationLib.studies import statistics
from SpatialRegularizationLib.studies.statistics import holm, midranks, rank_correlation, wilcoxon_signed_rank

CRITICAL = {6: 0, 7: 2, 8: 3, 9: 5, 10: 8, 11: 10, 12: 13, 13: 17, 14: 21, 15: 25, 16: 29, 17: 34, 18: 40, 19: 46, 20: 52, 25: 89}
"""Largest rank sum that is significant at 0.05, two-sided: the table of every statistics book (Wilcoxon and Wilcox 1964)."""
CRITICAL_01 = {8: 0, 9: 1, 10: 3, 11: 5, 12: 7, 13: 9, 14: 12, 15: 15, 16: 19, 17: 23, 18: 27, 20: 37}
"""The same at 0.01."""
MAIZE = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]
"""Darwin's maize: crossed minus self-fertilized, eighths of an inch (Fisher, The Design of Experiments, 1935)."""


def with_sum(n: int, smaller: int) -> list[int]:
    """Differences ±1 … ±n whose negative ranks add up to `smaller`."""
    signs, left = [1] * n, smaller
    for rank in range(n, 0, -1):
        if rank <= left:
            signs[rank - 1], left = -1, left - rank
    return [sign * rank for sign, rank in zip(signs, range(1, n + 1), strict=True)]


@pytest.mark.parametrize(("level", "table"), [(0.05, CRITICAL), (0.01, CRITICAL_01)])
def test_the_critical_values_are_those_of_the_published_tables(level: float, table: dict[int, int]) -> None:
    for n, critical in table.items():
        inside, beyond = (wilcoxon_signed_rank(with_sum(n, t)) for t in (critical, critical + 1))
        assert inside.w_minus == critical
        assert inside.exact
        assert inside.p_value <= level < beyond.p_value, n


def test_darwins_maize_has_its_known_p_value() -> None:
    test = wilcoxon_signed_rank(MAIZE)
    assert (test.w_minus, test.w_plus, test.count) == (24, 96, 15)
    assert test.p_value == pytest.approx(0.04125976, abs=1e-8)


def test_the_exact_p_value_counts_all_signs_even_with_ties() -> None:
    differences = np.array([1.0, -1.0, 2.0, 2.0, 3.0, -4.0, 4.0, 4.0])
    ranks = midranks(np.abs(differences))
    middle = ranks.sum() / 2
    own = abs(ranks[differences > 0].sum() - middle)
    sums = [sum(r for r, s in zip(ranks, signs, strict=True) if s) for signs in itertools.product((0, 1), repeat=8)]
    expected = np.mean([abs(s - middle) >= own - 1e-9 for s in sums])
    assert wilcoxon_signed_rank(differences).p_value == pytest.approx(expected, abs=1e-12)


def test_zeros_are_left_out_and_counted() -> None:
    test = wilcoxon_signed_rank([0.0, 0.0, *MAIZE])
    assert (test.zeros, test.count) == (2, 15)
    assert test.p_value == wilcoxon_signed_rank(MAIZE).p_value
    assert wilcoxon_signed_rank([0.0, 0.0]).p_value == 1.0
    assert wilcoxon_signed_rank([]).p_value == 1.0


def test_it_is_the_same_in_both_directions_and_does_not_depend_on_scale() -> None:
    test = wilcoxon_signed_rank(MAIZE)
    assert wilcoxon_signed_rank([-d for d in MAIZE]).p_value == test.p_value
    assert wilcoxon_signed_rank([d / 7 for d in MAIZE]).p_value == test.p_value


def test_the_normal_approximation_agrees_with_the_exact_one_where_both_apply(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(3)
    for shift, digits in ((0.2, 0), (0.45, 1), (0.45, 8)):
        differences = np.round(generator.normal(shift, 1, 50) * (10 if digits == 0 else 1), digits)
        exact = wilcoxon_signed_rank(differences)
        with monkeypatch.context() as patch:
            patch.setattr(statistics, "MOST_EXACT", 0)
            normal = wilcoxon_signed_rank(differences)
        assert exact.exact
        assert not normal.exact
        assert normal.p_value == pytest.approx(exact.p_value, rel=0.1, abs=2e-4)


def test_many_differences_use_the_formula_with_ties() -> None:
    """60 differences of one size, 40 of them positive: z = (W₊ - n(n+1)/4 - 1/2) / √(n(n+1)²/16)."""
    test = wilcoxon_signed_rank([1.0] * 40 + [-1.0] * 20)
    plus, n = 40 * 30.5, 60
    variance = n * (n + 1) * (2 * n + 1) / 24 - (n**3 - n) / 48
    z = (plus - n * (n + 1) / 4 - 0.5) / math.sqrt(variance)
    assert not test.exact
    assert test.p_value == pytest.approx(math.erfc(z / math.sqrt(2)), rel=1e-12)


def test_a_difference_that_is_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match="must be finite"):
        wilcoxon_signed_rank([1.0, float("nan")])


def test_holm_corrects_as_in_its_worked_example() -> None:
    """Four p-values, times 4, 3, 2, 1 in their order, and never falling."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))
    assert holm([0.6, 0.7]) == (1.0, 1.0)
    assert holm([0.2]) == (0.2,)
    assert holm([]) == ()


def test_the_rank_correlation_sees_order_only() -> None:
    x = np.linspace(0, 1, 20)
    assert rank_correlation(x, np.exp(5 * x)) == pytest.approx(1.0)
    assert rank_correlation(x, -(x**3)) == pytest.approx(-1.0)
    assert rank_correlation(x, np.ones(20)) is None
    assert rank_correlation(np.array([1, 2, 3, 4, 5]), np.array([5, 6, 7, 8, 7])) == pytest.approx(0.8207826817)


def test_equal_values_share_the_mean_of_their_ranks() -> None:
    assert midranks(np.array([3.0, 1.0, 3.0, 2.0])).tolist() == [3.5, 1.0, 3.5, 2.0]
