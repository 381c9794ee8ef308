"""report.html is complete, stands alone, and tells the truth about folds."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import torch
from finished import finished_registration

from SpatialRegularizationLib.geometry.companions import Companions
from SpatialRegularizationLib.registration.result import Registration
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


def test_an_affine_part_gets_its_own_pictures() -> None:
    assert "affine part only" not in page_of(finished_registration())
    assert "affine part only" in page_of(finished_registration(affine=SHIFT))


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
