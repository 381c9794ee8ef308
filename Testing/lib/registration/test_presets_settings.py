"""Settings refuse what they cannot mean; presets are settings."""

from __future__ import annotations

import dataclasses
import json

import pytest

from SpatialRegularizationLib.registration.presets import DETAILS, PRESETS, preset_settings
from SpatialRegularizationLib.registration.settings import RegistrationSettings, setting_names


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_valid_and_survives_json(name: str) -> None:
    settings = preset_settings(name)
    assert RegistrationSettings.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings
    assert DETAILS[name].settings is settings
    assert DETAILS[name].purpose


def test_the_generic_preset_is_the_default() -> None:
    assert preset_settings("generic") == RegistrationSettings()


def test_every_setting_has_a_help_text_and_rules() -> None:
    for field in dataclasses.fields(RegistrationSettings):
        assert field.metadata["help"], field.name
        assert "unit" in field.metadata, field.name
        assert {"range", "choices"} & field.metadata.keys() or field.name in ("levels", "kept")


@pytest.mark.parametrize(("wrong", "meant"), [("brain_mri", "brain-mri"), ("Generic", "generic"), ("chest-ctt", "chest-ct")])
def test_a_misspelled_preset_is_met_with_the_nearest_name(wrong: str, meant: str) -> None:
    with pytest.raises(ValueError, match=f"Unknown preset '{wrong}'.*did you mean '{meant}'"):
        preset_settings(wrong)


@pytest.mark.parametrize(
    "field", [f for f in dataclasses.fields(RegistrationSettings) if "range" in f.metadata], ids=lambda f: f.name
)
def test_a_number_outside_its_range_is_refused_with_the_range(field: dataclasses.Field) -> None:
    low, high = field.metadata["range"]
    for value in (low - 1, high * 2 + 1, float("nan"), "3", True):
        with pytest.raises(ValueError, match=f"^{field.name} must be .* from {low:g} to .*got"):
            RegistrationSettings(**{field.name: value})


@pytest.mark.parametrize(
    "field", [f for f in dataclasses.fields(RegistrationSettings) if "choices" in f.metadata], ids=lambda f: f.name
)
def test_a_choice_that_is_none_is_refused_with_the_choices(field: dataclasses.Field) -> None:
    with pytest.raises(ValueError, match=f"^{field.name} must be one of {', '.join(field.metadata['choices'])}, got 'x'"):
        RegistrationSettings(**{field.name: "x"})
    for choice in field.metadata["choices"]:
        assert getattr(RegistrationSettings(**{field.name: choice}), field.name) == choice


@pytest.mark.parametrize(
    "levels",
    [
        (),
        ((1, 1),),
        (("a", 1, 1),),
        5,
        ((0, 1, 10),),
        ((65, 1, 10),),
        ((1, 1, -1),),
        ((1, 1, 10001),),
        ((2, 2, 10), (4, 2, 10)),
        ((4, 2, 10), (2, 4, 10)),
    ],
)
def test_levels_that_are_no_levels_are_refused(levels: object) -> None:
    with pytest.raises(ValueError, match=r"^levels must be triples .*write for example"):
        RegistrationSettings(levels=levels)


def test_an_even_window_is_refused_with_the_next_odd_one() -> None:
    with pytest.raises(ValueError, match="lncc_window must be odd, got 6; use 7"):
        RegistrationSettings(lncc_window=6)


def test_a_whole_number_is_not_rounded() -> None:
    with pytest.raises(ValueError, match="lncc_window must be a whole number"):
        RegistrationSettings(lncc_window=7.5)
    assert isinstance(RegistrationSettings(lncc_window=9.0).lncc_window, int)


def test_an_unknown_setting_is_met_with_the_nearest_name() -> None:
    with pytest.raises(ValueError, match="Unknown setting 'lambda-maxx'; did you mean lambda_max"):
        RegistrationSettings.from_dict({"lambda-maxx": 1.0})
    with pytest.raises(ValueError, match="Unknown setting 'qqq'; choose from"):
        RegistrationSettings.from_dict({"qqq": 1.0})


def test_what_is_asked_for_is_remembered_where_the_pair_decides_and_nowhere_else() -> None:
    auto = preset_settings("auto").changed(similarity="lncc", seed=3)
    assert (auto.similarity, auto.seed, auto.kept) == ("lncc", 3, ("seed", "similarity"))
    assert auto.changed(prior="beta").kept == ("prior", "seed", "similarity")
    assert RegistrationSettings.from_dict(json.loads(json.dumps(auto.to_dict()))) == auto
    assert preset_settings("brain-mri").changed(similarity="lncc") == preset_settings("brain-mri")
    assert preset_settings("auto").changed(**preset_settings("brain-mri").to_dict()) == preset_settings("brain-mri")
    with pytest.raises(ValueError, match="did you mean similarity"):
        auto.changed(similarityy="lncc")


@pytest.mark.parametrize("kept", ["similarity", 3, {"similarity": 1}])
def test_what_is_kept_is_a_list_of_settings(kept: object) -> None:
    with pytest.raises(ValueError, match="kept must be a list of names"):
        RegistrationSettings(kept=kept)
    with pytest.raises(ValueError, match="did you mean similarity"):
        RegistrationSettings(kept=["similarity_"])


def test_settings_cannot_be_changed_afterwards() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        RegistrationSettings().seed = 3


def test_the_names_are_those_of_the_fields() -> None:
    assert setting_names() == tuple(RegistrationSettings().to_dict())
