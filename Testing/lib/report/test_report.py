"""report.html is complete, stands alone, and tells the truth about folds."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import torch
from finished import finished_registration, linear_registration

from SpatialRegularizationLib.geometry.companions import Companions
from SpatialRegularizationLib.registration.result import Registration
from SpatialRegularizationLib.registration.verdict import Evidence, judge
from SpatialRegularizationLib.report.report import report_html
from SpatialRegularizationLib.report.summary import summary

SHIFT = np.array([[1.0, 0, 0, 3], [0, 1, 0, -2], [0, 0, 1, 1], [0, 0, 0, 1]])


def page_of(registration: Registration, command: str = "", title: str = "", **more: Companions) -> str:
    """The report of a registration under a title."""
    return report_html(registration, summary(registration, command) | {"title": title}, **more)


def test_the_page_shows_everything_that_was_promised() -> None:
    html = page_of(finished_registration(), "spatialreg register a.nii b.nii --out r", title="b to a")
    for words in (
        "Fixed", "Moving, before", "Warped", "Checkerboard before", "Checkerboard after", "Difference before",
        "Difference after", "Regularization weight λ", "log-Jacobian", "Deformation grid", "Axial", "Coronal",
        "Sagittal", "spatialreg register a.nii b.nii --out r", "Worked at the resolution", "lambda_max", "torch",
    ):  # fmt: skip
        assert words in html, words
    assert html.count('<svg class="chart"') == 2


def test_the_page_needs_no_other_file_and_no_network() -> None:
    html = page_of(finished_registration())
    assert not re.findall(r'(?:src|href)="(?!data:|#)', html)
    assert "url(" not in html
    assert "http" not in html
    assert "$" not in re.sub(r"data:image/png;base64,[A-Za-z0-9+/=]+", "", html)
    assert len(html) < 5e6


def test_names_are_escaped() -> None:
    html = page_of(finished_registration(), "spatialreg <a> & b", title="<script>alert(1)</script>")
    assert "<script>alert" not in html
    assert "spatialreg &lt;a&gt; &amp; b" in html


def test_folds_are_red_and_in_the_verdict() -> None:
    good, bad = page_of(finished_registration()), page_of(finished_registration(folded=True))
    assert 'class="fold"' not in good
    assert 'class="verdict good"' in good
    assert bad.count('class="fold"') == 3  # the fold lies in the shown cut of each plane
    assert 'class="verdict bad"' in bad
    assert "Do not trust this result" in bad


def test_the_verdict_stands_on_top_with_its_reasons_and_old_results_have_none() -> None:
    found = finished_registration()
    judged = replace(found, verdict=judge(Evidence(overlap=0.3, stretch=1.5)))
    html = page_of(judged)
    top = html[html.index("<h1>") : html.index('<div class="cards">')]
    assert 'class="verdict caution"' in top
    assert "Look here:" in top
    for reason in judged.verdict.reasons:
        assert f"<li>{reason}</li>" in top
    assert "Failed:" in page_of(replace(found, verdict=judge(Evidence(overlap=0.3, stretch=1.5, folds=2.0))))
    assert "Good." in page_of(replace(found, verdict=judge(Evidence())))
    old = summary(found, "") | {"title": "old"}
    del old["verdict"]
    assert "The figures raise no alarm" in report_html(found, old)


def test_an_affine_part_gets_its_own_pictures() -> None:
    assert "affine part only" not in page_of(finished_registration())
    assert "affine part only" in page_of(finished_registration(affine=SHIFT))


def test_the_page_of_a_linear_result_says_how_far_it_moves_and_shows_no_deformation() -> None:
    html = page_of(linear_registration(SHIFT))
    for words in ("Rotation", "0.00°", "Shift", "3.74 mm", "+3.0 / -2.0 / +1.0 mm", "Checkerboard after", "cannot fold"):
        assert words in html, words
    for words in ("λ", "lambda", "Deformation grid", "Jacobian", "Course", "Is the deformation", "affine part only", "No steps"):
        assert words not in html, words
    assert 'class="verdict good"' in html
    assert "<tbody>\n</tbody>" not in html


def test_stretch_and_shear_are_told_where_there_are_any_and_a_mirror_is_bad() -> None:
    strained = np.diag([1.05, 0.97, 1.0, 1.0])
    strained[0, 1] = strained[1, 0] = 0.02
    html = page_of(linear_registration(strained))
    assert "+5.0 / -3.0 / +0.0 %" in html
    assert "<td>2.0 %</td>" in html
    assert "Stretch" not in page_of(linear_registration(SHIFT))
    mirrored = page_of(linear_registration(np.diag([-1.0, 1.0, 1.0, 1.0])))
    assert 'class="verdict bad"' in mirrored
    assert "left and right change places" in mirrored


def test_the_affine_part_of_a_deformation_is_told_where_there_is_one() -> None:
    assert "of the affine part" in page_of(finished_registration(affine=SHIFT))
    assert "of the affine part" not in page_of(finished_registration())


def test_label_maps_are_outlined() -> None:
    registration = finished_registration()
    labels = registration.fixed.with_data((registration.fixed.data > 1).int())
    html = page_of(registration, companions=Companions(fixed_labels=labels, moving_labels=labels))
    assert html.count('class="fixed-outline"') == html.count('class="warped-outline"') == 3


def test_a_constant_weight_is_said_in_words_instead_of_pictures() -> None:
    registration = finished_registration()
    weights = registration.lambda_map.with_data(torch.full_like(registration.lambda_map.data, 0.1))
    settings = replace(registration.settings, prior="uniform", lambda_max=0.1)
    html = page_of(replace(registration, lambda_map=weights, settings=settings))
    assert "one constant, λ = 0.1" in html
    assert "<h3>Regularization weight" not in html


def test_a_registration_without_steps_or_scores_has_a_report() -> None:
    registration = finished_registration()
    bare = replace(
        registration.figures, similarity_before=None, similarity_after=None, dice_after=None, tre_after_mm=None
    )
    html = page_of(replace(registration, history=(), figures=bare))
    assert "No steps were taken" in html
