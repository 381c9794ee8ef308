"""The verdict follows the figures, and lengths for people keep their digits in images of any voxel size."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from finished import finished_registration, linear_registration

from SpatialRegularizationLib.geometry import DisplacementField, Grid, SpatialTransform, Volume
from SpatialRegularizationLib.registration.result import Registration
from SpatialRegularizationLib.report.report import report_html
from SpatialRegularizationLib.report.summary import summary
from SpatialRegularizationLib.report.verdicts import LengthUnit, figures_of, verdict_of
from SpatialRegularizationLib.studies.tables import digits_of


def _scaled(factor: float) -> Registration:
    """The finished registration with every length multiplied."""
    found = finished_registration()

    def grid(of: Grid) -> Grid:
        return replace(of, spacing=tuple(factor * s for s in of.spacing), origin=tuple(factor * o for o in of.origin))

    def scaled(value: object) -> object:
        if isinstance(value, DisplacementField):
            return DisplacementField(factor * value.vectors, grid(value.grid))
        if isinstance(value, SpatialTransform):  # its affine is the identity
            return replace(value, displacement=scaled(value.displacement))
        return replace(value, grid=grid(value.grid)) if isinstance(value, Volume) else value

    changes = {f.name: scaled(getattr(found, f.name)) for f in fields(found)}
    figures = found.figures
    tre = {when: {"mean": factor * getattr(figures, when)["mean"]} for when in ("tre_before_mm", "tre_after_mm")}
    hd95 = {"hd95_after_mm": {1: 2.5 * factor, "mean": 2.5 * factor}}
    return replace(found, **changes | {"figures": replace(figures, **tre, **hd95)})


@pytest.mark.parametrize(
    ("voxel_mm", "length_mm", "number", "words"),
    [
        (1.0, 0.866, "0.9 mm", "0.866 mm"),
        (0.15, 0.0866, "0.09 mm", "0.0866 mm"),
        (0.05, 0.0213, "0.02 mm", "0.0213 mm"),
        (0.002, 0.00213, "2.1 µm", "2.13 µm"),
        (4e-5, 0.0000213, "0.02 µm", "0.0213 µm"),
        (2e-6, 0.00000213, "2.1 nm", "2.13 nm"),
        (2000.0, 12345.6, "12.3 m", "12.3 m"),
        (5.0, 12345.6, "12345.6 mm", "12346 mm"),
    ],
)
def test_the_unit_and_the_digits_are_those_of_the_voxels(voxel_mm: float, length_mm: float, number: str, words: str) -> None:
    unit = LengthUnit.of(voxel_mm)
    assert f"{unit.number(length_mm, 1)} {unit.name}" == number
    assert unit.words(length_mm) == words


@pytest.mark.parametrize(("factor", "unit"), [(1.0, "mm"), (1e-3, "µm"), (1e-6, "nm"), (1e3, "m")])
def test_a_registration_reads_the_same_in_every_unit(factor: float, unit: str) -> None:
    usual, found = _scaled(1.0), _scaled(factor)
    ours, theirs = ({f.name: f for f in figures_of(summary(r, ""), min(r.fixed.grid.spacing))} for r in (usual, found))
    for name in ("Displacement, mean / max", "Landmark error, mean", "Surface distance (HD95), mean"):
        assert theirs[name].after == ours[name].after.replace("mm", unit), name
        assert theirs[name].before == ours[name].before
        assert any(digit in theirs[name].after for digit in "123456789")
    page = report_html(found, summary(found, ""))
    assert f"voxels of 1.5 × 2 × 3 {unit}" in page
    assert f"HD95 after ({unit})" in page
    assert "<td>2.500</td>" in page


def test_columns_of_a_study_keep_two_digits_that_count() -> None:
    assert (digits_of("tre_mm", 1.234), digits_of("tre_mm", 0.00213), digits_of("tre_mm", 0.0)) == (2, 4, 2)
    assert digits_of("dice", 0.00213) == 3


@pytest.mark.parametrize(
    ("change", "level", "words"),
    [
        ({}, "good", "raise no alarm"),
        ({"folding_percent": 0.1}, "bad", "folded voxels 0.1 %"),
        ({"similarity_after": 0.1}, "bad", "worse than before"),
        ({"tre_after_mm": {"mean": 9.0}}, "bad", "landmark error"),
        ({"folding_one_sided_percent": 0.01}, "caution", "strict"),
        ({"inverse_residual_p99_mm": 2.0}, "caution", "inverse"),
    ],
)
def test_the_verdict_follows_the_figures(change: dict, level: str, words: str) -> None:
    registration = finished_registration()
    content = summary(replace(registration, figures=replace(registration.figures, **change)), "")
    found, sentence = verdict_of(figures_of(content, 1.5))
    assert found == level
    assert words in sentence


@pytest.mark.parametrize(
    ("after", "level", "words"),
    [(0.9, "good", "agree better than before"), (0.29, "good", "about as well as before"), (0.2, "bad", "worse than before")],
)
def test_a_linear_map_that_changes_little_is_not_called_worse(after: float, level: str, words: str) -> None:
    """It goes by mutual information, and images that lay well before cannot gain."""
    registration = linear_registration(np.eye(4))
    figures = replace(registration.figures, similarity_before=0.3, similarity_after=after)
    found, sentence = verdict_of(figures_of(summary(replace(registration, figures=figures), ""), 1.5))
    assert found == level
    assert words in sentence
