"""The preset auto takes what fits the pair, keeps what was changed, and says why."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from SpatialRegularizationLib.geometry import Grid, Volume
from SpatialRegularizationLib.io.volumes import read_volume
from SpatialRegularizationLib.phantoms.heads import two_subjects
from SpatialRegularizationLib.pose.start import Start, StartKind, agreement, find_start
from SpatialRegularizationLib.registration.automatic import Measured, _of_contrasts, chosen_for, fitting
from SpatialRegularizationLib.registration.presets import PRESETS, preset_settings
from SpatialRegularizationLib.registration.register import register
from SpatialRegularizationLib.report.summary import summary

AUTO = preset_settings("auto")
HERE = Start(np.eye(4), score=0.05)
AXES = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


def ct(lung: float) -> Volume:
    """A block of tissue in air with that share of lung in it, HU."""
    data = torch.full((1, 40, 40, 40), -1000.0)
    data[:, 5:35, 5:35, 5:35] = 40.0
    data[:, 5 : 5 + round(30 * lung), 5:35, 5:35] = -800.0
    return Volume(data, Grid((40,) * 3, (3.0,) * 3, (0, 0, 0), AXES))


@pytest.mark.parametrize(("lung", "name"), [(0.4, "chest-ct"), (0.0, "abdomen-ct")])
def test_ct_is_told_by_its_values(lung: float, name: str) -> None:
    raw = ct(lung), ct(lung)
    prepared = tuple(v.with_data((v.data + 1000) / 1100) for v in raw)
    chosen = chosen_for(AUTO, raw, prepared, HERE)
    assert (chosen.preset, chosen.settings) == (name, PRESETS[name])
    assert f"The preset {name} was chosen automatically: both images are CT" in chosen.sentence


@pytest.mark.parametrize(
    ("found", "name"),
    [
        (Measured(0.95, 1.0, 0.8), "same-person"),  # visits
        (Measured(0.3, 0.85, 0.14), "same-person"),  # T1 and FLAIR
        (Measured(0.57, -0.6, 0.54), "same-person"),  # T1 and T2
        (Measured(0.5, 1.0, 0.5), "abdomen-mri"),  # breathing
        (Measured(0.57, 1.0, 0.1), "brain-mri"),
        (Measured(0.25, -0.3, 0.05), "multi-modal"),
        (Measured(None, None, 0.0), "generic"),
    ],
)
def test_what_is_measured_decides(found: Measured, name: str) -> None:
    assert _of_contrasts(found)[0] == name


def test_the_same_image_with_new_noise_and_its_negative_are_one_person() -> None:
    image = two_subjects((48, 56, 48)).fixed
    noise = [0.01 * torch.randn(image.data.shape, generator=torch.Generator().manual_seed(n)) for n in range(2)]
    span = float(image.data.max())
    first, second = (image.with_data(image.data + span * n) for n in noise)
    aligned = Start(np.eye(4), score=0.5)
    assert fitting((first, second), (first, second), aligned)[0] == "same-person"
    negative = second.with_data(span - second.data)
    name, reason = fitting((first, negative), (first, negative), aligned)
    assert name == "same-person"
    assert "two contrasts of one person" in reason


def test_settings_that_were_changed_stay() -> None:
    raw = ct(0.4), ct(0.4)
    prepared = tuple(v.with_data((v.data + 1000) / 1100) for v in raw)
    settings = chosen_for(replace(AUTO, lambda_max=3.0, seed=7), raw, prepared, HERE).settings
    assert settings == replace(PRESETS["chest-ct"], lambda_max=3.0, seed=7)


def test_settings_that_were_asked_for_stay_where_they_have_the_value_of_auto_itself() -> None:
    raw = ct(0.4), ct(0.4)
    prepared = tuple(v.with_data((v.data + 1000) / 1100) for v in raw)
    asked = AUTO.changed(lambda_max=AUTO.lambda_max, intensity=AUTO.intensity)
    settings = chosen_for(asked, raw, prepared, HERE).settings
    assert settings == replace(PRESETS["chest-ct"], lambda_max=AUTO.lambda_max, intensity=AUTO.intensity)


def test_what_was_asked_for_and_has_no_effect_with_the_chosen_preset_is_named() -> None:
    image = two_subjects((40, 48, 40)).fixed
    pair = image, image.with_data(float(image.data.max()) - image.data)
    chosen = chosen_for(AUTO.changed(lncc_window=5, seed=1), pair, pair, Start(np.eye(4), score=0.5))
    assert chosen.settings.similarity == "mind"
    assert chosen.sentence.endswith(". lncc_window has no effect with it.")


def test_one_person_is_told_at_a_start_that_was_given_as_at_one_that_was_found() -> None:
    image = two_subjects((40, 48, 40)).fixed
    noise = [0.01 * torch.randn(image.data.shape, generator=torch.Generator().manual_seed(n)) for n in range(2)]
    pair = tuple(image.with_data(image.data + float(image.data.max()) * n) for n in noise)
    found = find_start(*pair, StartKind.RIGID)
    assert agreement(pair, (None, None), found.matrix) == pytest.approx(found.score)
    assert fitting(pair, pair, Start(found.matrix)) == fitting(pair, pair, found)
    assert fitting(pair, pair, Start(np.eye(4)))[0] == "same-person"


def test_a_registration_with_auto_says_what_it_took_and_carries_its_settings() -> None:
    pair = two_subjects((32, 40, 32))
    result = register(pair.fixed, pair.moving, replace(AUTO, levels=((4, 4, 2),), threads=1))
    assert result.settings.automatic == "off"
    assert result.settings.levels == ((4, 4, 2),)
    assert sum("was chosen automatically" in note for note in result.notes) == 1
    assert any(f"The preset {result.preset} was chosen" in note for note in result.notes)
    assert result.preset in PRESETS
    assert summary(result, "")["chosen_preset"] == result.preset


def test_whoever_names_no_settings_gets_auto() -> None:
    pair = two_subjects((16, 20, 16))
    result = register(pair.fixed, pair.moving)
    assert result.preset in PRESETS
    assert result.settings == PRESETS[result.preset]


def test_two_contrasts_of_one_person_are_told_on_real_images(shared_data: Path) -> None:
    folder = shared_data / "brain_ms_longitudinal"
    raw = tuple(read_volume(folder / f"patient01_study1_{kind}.nii.gz") for kind in ("FLAIR", "T1W"))
    raw = tuple(v.with_data(v.data.float()) for v in raw)
    prepared = tuple(v.with_data(v.data / v.data.flatten()[::97].quantile(0.995)) for v in raw)
    assert fitting(raw, prepared, Start(np.eye(4), score=0.12))[0] == "same-person"
