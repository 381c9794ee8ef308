"""The verdict: good where two images are brought together, and a reason in words for each way in which they may not be."""

from __future__ import annotations

from dataclasses import replace

import bending
import numpy as np
import pytest
import torch

from SpatialRegularizationLib import register
from SpatialRegularizationLib.geometry.companions import Companions
from SpatialRegularizationLib.geometry.transform import SpatialTransform
from SpatialRegularizationLib.geometry.volume import Volume
from SpatialRegularizationLib.phantoms.heads import PhantomPair, known_deformation
from SpatialRegularizationLib.registration import evidence as gathering
from SpatialRegularizationLib.registration.evidence import gather
from SpatialRegularizationLib.registration.verdict import BOUNDS, TOGETHER, Evidence, judge, unjudged
from SpatialRegularizationLib.report.summary import summary

SOUND = Evidence(
    agreement=0.95, sharpness=0.3, shared=0.6, better_shifted=0.0, round_trip=0.02, round_trip_mm=1.5, round_trip_p95_mm=3.0,
    mirrored=0.9, mirrored_shared=0.7, seen=1.0, overlap=0.95, roughness=0.15, folded=0.0, moved=0.05, stretch=1.05,
    dice_change=0.2, landmarks_change_mm=-3.0, folds=0.0, place=(-20.0, 31.0, 4.0),
)  # fmt: skip


@pytest.fixture(scope="module")
def head() -> PhantomPair:
    """A phantom head before and after a known deformation, 5 mm voxels."""
    return known_deformation((38, 45, 38), seed=3, largest_mm=8.0)


def verdict_on(fixed: Volume, moving: Volume, transform: SpatialTransform) -> tuple[str, str]:
    """Level and reasons, as one text."""
    found = judge(gather((fixed, moving), transform))
    return found.level, " ".join(found.reasons)


def turned(volume: Volume, letters: str) -> Volume:
    """The content reversed along some patient axes ("L", "P", "S") under an unchanged header."""
    directions = np.abs(np.array(volume.grid.direction))
    axes = [1 + int(np.argmax(directions["LPS".index(letter)])) for letter in letters]
    return volume.with_data(volume.data.flip(axes))


def test_a_pair_that_is_brought_together_is_good(head: PhantomPair) -> None:
    assert verdict_on(head.fixed, head.moving, SpatialTransform(displacement=head.displacement)) == ("good", "")


def test_a_mirror_image_is_told(head: PhantomPair) -> None:
    asymmetric = (torch.linspace(-1, 1, head.moving.data.shape[1]) > 0.3).view(1, -1, 1, 1) * 0.25 + 1
    fixed = head.fixed.with_data(head.fixed.data * (2 - asymmetric[:, : head.fixed.data.shape[1]]))
    moving = turned(head.moving.with_data(head.moving.data * asymmetric), "L")
    level, reasons = verdict_on(fixed, moving, SpatialTransform(displacement=head.displacement))
    assert level != "good"
    assert "left and right may be exchanged" in reasons


def test_a_head_that_is_upside_down_is_told(head: PhantomPair) -> None:
    level, reasons = verdict_on(head.fixed, turned(head.moving, "LS"), SpatialTransform(displacement=head.displacement))
    assert level == "failed"
    assert "Turned by 180 degrees" in reasons


def test_another_part_of_the_body_has_failed(head: PhantomPair) -> None:
    grid = bending.cube(40, 4.0)
    other = bending.image(replace(grid, origin=tuple(np.array(grid.origin) - np.array(grid.center) + head.fixed.grid.center)))
    level, reasons = verdict_on(head.fixed, other, SpatialTransform())
    assert level == "failed"
    assert "check that both show the same part of the body" in reasons


def test_noise_has_failed_and_is_told_to_have_nothing_in_common(head: PhantomPair) -> None:
    noise = head.fixed.with_data(torch.randn(head.fixed.data.shape, generator=torch.Generator().manual_seed(1)))
    level, reasons = verdict_on(head.fixed, noise, SpatialTransform())
    assert level == "failed"
    assert "little to do with one another" in reasons


def test_little_that_is_shared_is_told(head: PhantomPair) -> None:
    half = head.moving.grid.shape[1] // 2
    shape = (head.moving.grid.shape[0], half, head.moving.grid.shape[2])
    low = Volume(head.moving.data[:, :, :half].contiguous(), head.moving.grid.shifted((0, 0, 0), shape))
    _, reasons = verdict_on(head.fixed, low, SpatialTransform(displacement=head.displacement))
    assert "covers only" in reasons


def test_the_verdict_goes_with_the_registration_into_its_report() -> None:
    grid = bending.cube(32, 3.0)
    found = register(bending.image(grid, bending.Bend()), bending.image(grid), bending.FAST)
    assert found.verdict.level == "good", found.verdict.reasons
    told = summary(found, "")["verdict"]
    assert told["level"] == "good"
    assert told["reasons"] == []
    assert told["evidence"]["round_trip_mm"] < 3
    assert 0 <= told["evidence"]["better_shifted"] < 0.1


def test_a_linear_result_is_judged_without_a_round_trip() -> None:
    grid = bending.cube(32, 3.0)
    settings = replace(bending.FAST, affine="rigid", deformable="none")
    found = register(bending.image(grid), bending.image(grid, bending.Bend(0.0, shift=(4.0, 0.0, 2.0))), settings)
    assert found.verdict.level == "good", found.verdict.reasons
    assert found.verdict.evidence.round_trip is None


def test_labels_that_overlap_less_than_before_have_failed() -> None:
    grid = bending.cube(24, 4.0)
    image, other = bending.image(grid), bending.image(grid, bending.Bend(0.0, shift=(8.0, 0.0, 0.0)))
    labels = Companions(fixed_labels=bending.labels(grid), moving_labels=bending.labels(grid))
    found = register(image, other, bending.FAST, companions=labels)
    assert found.verdict.level == "failed"
    assert "The label maps overlap less than before" in " ".join(found.verdict.reasons)


def test_an_error_on_the_way_to_the_verdict_keeps_the_registration(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> Evidence:
        raise ValueError("The small copy of the moving image is constant.")

    monkeypatch.setattr(gathering, "gather", broken)
    grid = bending.cube(24, 4.0)
    found = register(bending.image(grid, bending.Bend()), bending.image(grid), bending.FAST)
    assert found.displacement is not None
    assert found.verdict == unjudged(ValueError("The small copy of the moving image is constant."))
    assert found.verdict.level == "look here"
    assert "is constant" in found.verdict.reasons[0]


def test_sound_evidence_is_good_and_missing_evidence_is_no_reason() -> None:
    for evidence in (SOUND, Evidence()):
        assert judge(evidence).level == "good"
        assert judge(evidence).reasons == ()


@pytest.mark.parametrize("bound", BOUNDS, ids=lambda bound: bound.name)
def test_each_kind_of_evidence_has_its_sentence_with_its_number(bound) -> None:
    side = -1 if bound.least else 1
    for limit, level in ((bound.look, "look here"), (bound.failed, "failed")):
        if limit is None or (level == "look here" and limit == bound.failed):
            continue
        value = limit + side * 1e-3
        found = judge(replace(SOUND, turned_degrees=90.0, **{bound.name: value}))
        assert found.level == level
        assert len(found.reasons) == 1
        assert "{" not in found.reasons[0]
        assert "None" not in found.reasons[0]
        assert found.reasons[0].endswith(".")


def test_several_kinds_of_evidence_together_are_a_failure() -> None:
    soft = [b for b in BOUNDS if b.look != b.failed][:TOGETHER]
    values = {b.name: b.look + (-1e-3 if b.least else 1e-3) for b in soft}
    evidence = replace(SOUND, turned_degrees=90.0, **values)
    assert judge(evidence).level == "failed"
    assert judge(replace(evidence, **{soft[0].name: getattr(SOUND, soft[0].name)})).level == "look here"


def test_the_gravest_reason_comes_first_and_says_where() -> None:
    found = judge(replace(SOUND, stretch=1.5, better_shifted=0.9))
    assert found.level == "failed"
    assert "90 %" in found.reasons[0]
    assert "near R 20, P 31, S 4 mm" in found.reasons[0]


def test_a_linear_result_need_not_bring_all_of_the_content_together() -> None:
    assert judge(replace(SOUND, better_shifted=0.9)).level == "failed"
    assert judge(replace(SOUND, better_shifted=0.9, moved=None)).level == "look here"


def test_a_doubt_about_the_start_asks_for_a_look() -> None:
    found = judge(SOUND, ("The start is not to be trusted: it was rejected.",))
    assert found.level == "look here"
    assert found.reasons == ("The start is not to be trusted: it was rejected.",)
