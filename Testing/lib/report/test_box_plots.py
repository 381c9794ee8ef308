"""Box plots: the five numbers, and drawings that are whole and hold every value."""

from __future__ import annotations

import itertools
import re
from xml.etree import ElementTree

import numpy as np
import pytest

from SpatialRegularizationLib.report.box_plots import LEFT, RIGHT, WIDTH, box_plot, five_numbers, round_ticks
from SpatialRegularizationLib.report.page import part

COLORS = {"a": "#111111", "b": "#222222"}


def test_the_five_numbers_are_tukeys() -> None:
    assert five_numbers(np.arange(1.0, 10.0)) == (1, 3, 5, 7, 9)
    assert five_numbers(np.array([1.0, 2, 3, 4, 5, 6, 7, 8, 100])) == (1, 3, 5, 7, 8)
    assert five_numbers(np.array([2.0])) == (2, 2, 2, 2, 2)


def test_whiskers_never_end_inside_the_box() -> None:
    """Four values of which the largest is an outlier: the quartile lies above the largest value that is none."""
    low, lower, _, upper, high = five_numbers(np.array([1.0, 1.0, 1.0, 5.0]))
    assert low <= lower <= upper <= high


def test_every_series_is_drawn_inside_the_frame_and_says_its_numbers() -> None:
    values = {"a": [0.1, 0.2, 0.3, 0.9], "b": [0.4, float("nan"), 0.5]}
    svg = ElementTree.fromstring(part("charts", "boxes", box_plot({"": values}, COLORS, "Dice < 1")))
    titles = [e.text for e in svg.iter() if e.tag.endswith("title")]
    assert ["n = 4" in titles[0], "n = 2" in titles[1]] == [True, True]
    boxes = [e for e in svg.iter() if e.tag.endswith("rect")]
    assert len(boxes) == 2
    places = [float(x) for e in svg.iter() for x in re.findall(r"[MH](-?\d+\.?\d*)", e.get("d", ""))]
    assert LEFT - 5 <= min(places) <= max(places) <= WIDTH - RIGHT + 5
    assert [e for e in svg.iter() if e.tag.endswith("text") and e.text == "Dice < 1"]


def test_groups_are_named_and_empty_ones_left_out() -> None:
    plot = box_plot({"one": {"a": [1.0]}, "two": {"a": [2.0], "b": []}, "three": {"a": []}}, COLORS, "x")
    drawn = part("charts", "boxes", plot)
    assert ">one<" in drawn
    assert ">two<" in drawn
    assert "three" not in drawn
    assert drawn.count("<rect") == 2


def test_nothing_to_draw_is_no_drawing() -> None:
    assert box_plot({}, COLORS, "x") is None
    assert box_plot({"": {"a": [float("nan")]}}, COLORS, "x") is None


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-0.6, -0.57), (0, 1e-7), (3, 4000)])
def test_ticks_are_round_and_few(low: float, high: float) -> None:
    ticks = round_ticks(low, high)
    assert 2 <= len(ticks) <= 7
    assert all(low <= t <= high for t in ticks)
    assert len({round(b - a, 12) for a, b in itertools.pairwise(ticks)}) == 1
