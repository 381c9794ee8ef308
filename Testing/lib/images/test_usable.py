"""NaN and infinite voxels count as outside of the mask, in every mode, and are told of; notes of reading reach the report."""

from __future__ import annotations

import json
from dataclasses import replace

import physical
import pytest
import torch
from known_model import Known, card_of

from SpatialRegularizationLib.geometry import Volume
from SpatialRegularizationLib.geometry.companions import Companions
from SpatialRegularizationLib.images.usable import usable_image, usable_pair
from SpatialRegularizationLib.registration.preview import PairPreview, Start
from SpatialRegularizationLib.registration.register import register
from SpatialRegularizationLib.registration.session import PairSession
from SpatialRegularizationLib.registration.settings import RegistrationSettings
from SpatialRegularizationLib.report.summary import summary

QUICK = RegistrationSettings(affine="none", levels=((4, 8, 2),))
GRID = physical.grid("LPS", shape=(20, 22, 18), spacing=(2.5, 2.5, 2.5))


def head(*, background: float, shift: float = 0.0) -> Volume:
    """A bright ellipsoid with a pattern, `background` around it."""
    x, y, z = (physical.voxel_centers(GRID) - physical.CENTER - [shift, 0, 0]).transpose(3, 0, 1, 2)
    inside = (x / 18) ** 2 + (y / 20) ** 2 + (z / 16) ** 2 < 1
    values = torch.from_numpy(300 + physical.pattern(physical.voxel_centers(GRID) - [shift, 0, 0]))
    return Volume(torch.where(torch.from_numpy(inside), values, background)[None].float(), GRID)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_voxels_without_a_number_become_background_outside_of_the_mask(value: float) -> None:
    image = head(background=value)
    whole, mask, notes = usable_image(image, None, "fixed image")
    lost = ~torch.isfinite(image.data)
    assert torch.equal(mask.data, (~lost).to(torch.uint8))
    assert torch.equal(whole.data[~lost], image.data[~lost])
    assert whole.data[lost].unique().tolist() == [0.0]
    assert f"{int(lost.sum())} of {lost.numel()} voxels of the fixed image" in notes[0]


def test_background_below_zero_is_that_of_the_image() -> None:
    image = head(background=float("nan"))
    whole, _, _ = usable_image(image.with_data(image.data - 1024), None, "fixed image")
    assert whole.data.min() == (image.data - 1024).nan_to_num(posinf=0, nan=0).min()


def test_nan_everywhere_or_inside_a_given_mask_is_refused() -> None:
    image = head(background=float("nan"))
    with pytest.raises(ValueError, match="fixed image holds no number"):
        usable_pair(image.with_data(image.data * float("nan")), image)
    everything = Volume(torch.ones_like(image.data), GRID)
    with pytest.raises(ValueError, match=r"moving image holds .* inside its mask"):
        usable_pair(image, image, Companions(moving_mask=everything))
    inside = Volume(torch.isfinite(image.data).float(), GRID)
    pair = usable_pair(image, image, Companions(moving_mask=inside))
    assert pair.companions.moving_mask is inside


def test_a_masked_image_is_registered_as_with_the_mask_and_nothing_in_the_result_is_nan() -> None:
    fixed, moving = head(background=float("nan")), head(background=float("nan"), shift=3.0)
    found = register(fixed, moving, QUICK)
    masks = Companions(*(Volume(torch.isfinite(v.data).to(torch.uint8), GRID) for v in (fixed, moving)))
    same = register(head(background=0.0), head(background=0.0, shift=3.0), QUICK, companions=masks)
    torch.testing.assert_close(found.displacement.vectors, same.displacement.vectors)
    assert bool(torch.isfinite(found.warped.data).all())
    assert sum("NaN or infinite" in note for note in found.notes) == 2
    json.dumps(summary(found, ""), allow_nan=False)


def test_masks_may_hold_nan_outside() -> None:
    image = head(background=0.0)
    mask = Volume(torch.where(image.data > 0, 1.0, float("nan")), GRID)
    clean = Volume((image.data > 0).float(), GRID)
    found = register(image, head(background=0.0, shift=3.0), QUICK, companions=Companions(fixed_mask=mask))
    same = register(image, head(background=0.0, shift=3.0), QUICK, companions=Companions(fixed_mask=clean))
    torch.testing.assert_close(found.displacement.vectors, same.displacement.vectors)
    assert any("fixed mask" in note for note in found.notes)


def test_preview_and_session_take_masked_images_and_tell() -> None:
    fixed, moving = head(background=float("nan")), head(background=float("nan"), shift=3.0)
    preview = PairPreview(fixed, moving, QUICK, start=Start())
    assert sum("NaN or infinite" in note for note in preview.notes) == 2
    assert bool(torch.isfinite(preview.predict().warped).all())
    model = (Known(), card_of(GRID))
    session = PairSession(fixed, moving, model, QUICK)
    assert sum("NaN or infinite" in note for note in session.notes) == 2
    assert bool(torch.isfinite(session.predict().warped).all())
    saved = session.save()
    assert sum("NaN or infinite" in note for note in saved.notes) == 2


def test_notes_of_reading_come_first_in_the_report() -> None:
    fixed = replace(head(background=0.0), notes=("its axes are bent",))
    found = register(fixed, head(background=0.0, shift=3.0), QUICK)
    assert found.notes[0] == "The fixed image: its axes are bent."
    assert fixed.with_data(fixed.data + 1).notes == fixed.notes
    assert fixed.to(torch.float64).notes == fixed.notes
