"""The tuning report: what it says, and that nothing in it points outside."""

from __future__ import annotations

import re

import numpy as np
import pytest
from page_tags import Tags

from SpatialRegularizationLib.tuning.drawings import Axis, score_span
from SpatialRegularizationLib.tuning.ranges import Range
from SpatialRegularizationLib.tuning.report import at_the_edge, expected_score, surface_of, surface_top, tune_report_html
from SpatialRegularizationLib.tuning.trials import SearchRecord, TrialRecord

RANGES = {"alpha_prime": Range(0.0, 0.2), "lambda_max": Range(0.5, 5.0)}


def record(count: int = 30, ranges: dict[str, Range] = RANGES, importance: dict | None = None) -> SearchRecord:
    """Completed trials on a parabola with its top in the middle of each range, and every fifth one pruned at half its rise."""
    generator = np.random.default_rng(0)
    trials = []
    for number in range(count):
        shares = generator.random(len(ranges))
        score = 0.8 - float(((shares - 0.5) ** 2).sum())
        values = {name: span.value(share) for (name, span), share in zip(ranges.items(), shares, strict=True)}
        course = {0: score - 0.2, 1: score - 0.1, 2: score}
        if number % 5 == 4:
            trials.append(TrialRecord(number, "pruned", values, score - 0.1, {0: score - 0.2, 1: score - 0.1}, 2.0))
        else:
            trials.append(TrialRecord(number, "completed", values, score, course, 3.0))
    return SearchRecord("ixi-beta", "sqlite:///study.db", ranges, tuple(trials), count, importance or {}, "Too few trials.")


def test_the_page_is_whole_and_shows_surface_importance_history_and_courses() -> None:
    page = tune_report_html(record(importance={"alpha_prime": 0.7, "lambda_max": 0.3}), command="spatialreg tune <x>")
    tags = Tags()
    tags.feed(page)
    assert not tags.problems
    assert not tags.open
    for text in (
        "24 completed and 6 pruned trials of 30",
        "Surface",
        "70 %",
        "History",
        "Course of the trials",
        "tune &lt;x&gt;",
    ):
        assert text in page
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    assert page.count('class="completed"') >= 24
    assert page.count('class="pruned"') >= 6


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_young_study_has_a_report_too(count: int) -> None:
    page = tune_report_html(record(count))
    assert ("No trial has been completed yet" in page) == (count == 0)
    assert "Too few trials." in page


def test_one_parameter_is_drawn_as_a_curve_and_three_as_three_maps() -> None:
    one = record(ranges={"lambda_max": Range(0.1, 10.0, log=True)})
    assert "Dice over λmax" in tune_report_html(one)
    three = record(ranges=RANGES | {"lambda_floor": Range(0.0, 1.0)})
    assert tune_report_html(three).count("<image") == 3


def test_the_surface_of_completed_and_pruned_trials_has_its_top_where_the_truth_has() -> None:
    study = record(40)
    values, expected = surface_top(study, surface_of(study))
    assert values["alpha_prime"] == pytest.approx(0.1, abs=0.01)
    assert values["lambda_max"] == pytest.approx(2.75, abs=0.25)
    assert expected == pytest.approx(0.8, abs=0.01)


def test_a_pruned_trial_is_expected_to_rise_like_the_completed_ones() -> None:
    study = record()
    pruned = study.of_state("pruned")[0]
    assert expected_score(pruned, study.of_state("completed")) == pytest.approx(pruned.score + 0.1)
    assert expected_score(TrialRecord(0, "pruned", {}, None), study.of_state("completed")) is None


def test_an_optimum_at_the_end_of_a_range_is_said_but_not_at_zero() -> None:
    def study(alpha_prime: float, lambda_max: float) -> SearchRecord:
        values = {"alpha_prime": alpha_prime, "lambda_max": lambda_max}
        return SearchRecord("s", "x", RANGES, (TrialRecord(0, "completed", values, 0.5),), 1)

    assert at_the_edge(study(0.1, 2.0)) == []
    assert at_the_edge(study(0.0, 2.0)) == []
    assert at_the_edge(study(0.2, 0.5)) == ["α′ lies at the upper end of its range", "λmax lies at the lower end of its range"]
    assert "wider range" in tune_report_html(study(0.2, 2.0))


def test_ticks_are_round_and_inside() -> None:
    assert Axis("x", Range(0.5, 5.0)).ticks() == pytest.approx([1, 2, 3, 4, 5])
    assert Axis("x", Range(0.0, 0.2)).ticks() == pytest.approx([0, 0.05, 0.1, 0.15, 0.2])
    assert Axis("x", Range(0.1, 10.0, log=True)).ticks() == pytest.approx([0.1, 0.2, 0.5, 1, 2, 5, 10])
    for low, high in ((0.6612, 0.7634), (-3.2, -3.1), (0, 49)):
        assert 3 <= len(Axis("x", Range(low, high)).ticks()) <= 7


def test_scores_far_below_the_median_do_not_flatten_the_rest() -> None:
    assert score_span([0.8, 0.79, 0.78, 0.1]).low > 0.7
    assert score_span([0.5]).low < 0.5 < score_span([0.5]).high
