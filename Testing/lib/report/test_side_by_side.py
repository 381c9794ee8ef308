"""Several registrations on one page: each figure once per method, pictures of all, and the verdict of the worst."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from finished import finished_registration, linear_registration

from SpatialRegularizationLib.report.side_by_side import side_by_side_html


def test_the_page_shows_figures_and_pictures_of_every_method_and_needs_nothing_outside() -> None:
    first = finished_registration()
    second = replace(first, figures=replace(first.figures, dice_after={1: 0.875, "mean": 0.875}, seconds=2.5))
    page = side_by_side_html({"one": first, "an<other": second}, title="Both", links={"one": "one/report.html"}, command="go")
    line = re.search(r"<tr[^>]*><th scope=\"row\">Dice, mean of labels</th>(.*?)</tr>", page).group(1)
    assert re.findall(r"<td>(.*?)</td>", line) == ["0.500", "0.750", "0.875"]
    for title in ("Warped (moving, after)", "Difference after", "Regularization weight λ", "Deformation grid"):
        assert f"<h3>{title}: one</h3>" in page
        assert f"<h3>{title}: an&lt;other</h3>" in page
    assert '<a href="one/report.html">one</a>' in page
    assert "<td>2.5 s</td>" in page
    assert not re.search(r"(src|href)=\"(?!data:|one/report.html)", page)
    assert page.count("data:image/png") >= 2 * 15


def test_the_verdict_is_that_of_the_worst_method_and_names_it() -> None:
    page = side_by_side_html({"smooth": finished_registration(), "torn": finished_registration(folded=True)})
    verdict = re.search(r'<p class="verdict (\w+)">(.*?)</p>', page)
    assert verdict.group(1) == "bad"
    assert verdict.group(2).startswith("torn: Do not trust")


def test_linear_results_have_no_pictures_of_a_deformation_beside_one_that_has() -> None:
    linear = linear_registration(np.eye(4))
    page = side_by_side_html({"bent": finished_registration(), "straight": linear})
    assert "<h3>Deformation grid: bent</h3>" in page
    assert "<h3>Deformation grid: straight</h3>" not in page
    assert "linear transform alone: rigid" in page
    assert "Is the deformation plausible" not in side_by_side_html({"one": linear, "other": linear})


def test_one_registration_alone_is_refused() -> None:
    with pytest.raises(ValueError, match="at least two registrations, got 1"):
        side_by_side_html({"one": finished_registration()})
