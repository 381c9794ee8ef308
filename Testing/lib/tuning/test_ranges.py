"""Ranges of tuned parameters, the paper's among them, and what makes two studies the same."""

from __future__ import annotations

import pytest

from SpatialRegularizationLib.priors import PRIORS
from SpatialRegularizationLib.registration.settings import RegistrationSettings
from SpatialRegularizationLib.tuning.plan import first_difference, identity_of
from SpatialRegularizationLib.tuning.ranges import Range, paper_ranges, per_pair_ranges, ranges_from


def test_the_papers_ranges_are_those_of_its_table_1() -> None:
    table = {
        "autopet": ((0.8, 3), (0, 2), (0.8, 3), (0, 0.1)),
        "ixi": ((0.5, 5), (0, 4), (0.5, 5), (0, 0.2)),
        "acdc": ((0.8, 3), (0, 2), (0.8, 3), (0, 0.6)),
    }
    for task, (lambda_mean, sigma_prime, lambda_max, alpha_prime) in table.items():
        beta, gaussian = paper_ranges(task, "beta"), paper_ranges(task, "gaussian")
        assert beta == {"alpha_prime": Range(*alpha_prime), "lambda_max": Range(*lambda_max)}
        assert gaussian == {"sigma_prime": Range(*sigma_prime), "lambda_mean": Range(*lambda_mean)}


@pytest.mark.parametrize("span", [Range(0.5, 5.0), Range(0.01, 10.0, log=True)])
def test_share_and_value_are_inverse_and_meet_the_ends(span: Range) -> None:
    assert (span.value(0.0), span.value(1.0)) == (pytest.approx(span.low), pytest.approx(span.high))
    for share in (0.0, 0.3, 1.0):
        assert span.share(span.value(share)) == pytest.approx(share)


def test_half_of_a_logarithmic_range_is_its_geometric_mean() -> None:
    assert Range(0.1, 10.0, log=True).value(0.5) == pytest.approx(1.0)


def test_a_range_reads_what_it_writes() -> None:
    for span in (Range(0, 1), Range(0.1, 2.0, log=True)):
        assert Range.of(span.plain(), "x") == span


def test_per_pair_ranges_hold_the_generic_preset() -> None:
    for prior in PRIORS:
        for name, span in per_pair_ranges(prior.name).items():
            assert 0.2 < span.share(getattr(RegistrationSettings(), name)) < 0.8


def test_per_pair_ranges_are_those_that_the_priors_declare_in_the_order_that_seeds_depend_on() -> None:
    wide, narrow = Range(0.1, 10.0, log=True), Range(0.003, 0.3, log=True)
    assert list(per_pair_ranges("beta").items()) == [("alpha_prime", narrow), ("lambda_max", wide)]
    assert list(per_pair_ranges("gaussian").items()) == [("sigma_prime", narrow), ("lambda_mean", wide)]
    assert per_pair_ranges("uniform") == {"lambda_max": wide}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([2, 1], "smaller first"),
        ([0, 1, "log"], "above 0"),
        ([1], "must be"),
        ("0:1", "must be"),
        ([0, float("inf")], "two numbers"),
    ],
)
def test_a_bad_range_is_refused_by_name(value: object, message: str) -> None:
    with pytest.raises(ValueError, match=rf"lambda_max.*{message}"):
        Range.of(value, "lambda_max")


def test_a_misspelt_parameter_or_task_is_answered_with_the_nearest() -> None:
    with pytest.raises(ValueError, match="did you mean lambda_max"):
        ranges_from({"lamda_max": [0, 1]}, ("alpha_prime", "lambda_max"))
    with pytest.raises(ValueError, match="did you mean autopet"):
        paper_ranges("autopett", "beta")
    with pytest.raises(ValueError, match="choose from beta, gaussian"):
        paper_ranges("ixi", "uniform")


def test_two_identities_differ_in_words() -> None:
    ranges = {"lambda_max": Range(0, 1)}
    a = identity_of(ranges, {"model": {"system": "tm-spr", "prior": {"kind": "beta"}}, "epochs": 3})
    assert first_difference(a, identity_of(ranges, {"epochs": 3, "model": {"prior": {"kind": "beta"}, "system": "tm-spr"}})) == ""
    b = identity_of(ranges, {"model": {"system": "voxelmorph"}, "epochs": 3})
    assert first_difference(a, b) == "was made with model.prior.kind 'beta', and this run has none"
    older = identity_of(ranges, {"settings": {"lncc_window": 9}})
    assert first_difference(older, identity_of(ranges, {"settings": {"lncc_window": 9, "of_a_later_version": 1}})) == ""
    assert "with settings.lncc_window 9" in first_difference(older, identity_of(ranges, {"settings": {"lncc_window": 7}}))
    assert "tunes lambda_max from 0 to 1, and this run asks for 0 to 2" in first_difference(
        a, identity_of({"lambda_max": Range(0, 2)}, {})
    )
