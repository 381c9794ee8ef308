"""Shipping: the file is small and answers as before, and whatever is wrong with a model or its card is said and not shipped."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from known_model import Known, KnownSettings
from safetensors.torch import load_file
from shippable import complete_card, tiny_model

from SpatialRegularizationLib.models.base import RegistrationModel
from SpatialRegularizationLib.training import shipping
from SpatialRegularizationLib.training.shipping import card_faults, conditions, faults_of, largest_difference, ship_model
from SpatialRegularizationLib.zoo.card import load_model, save_model
from SpatialRegularizationLib.zoo.folder import ENVIRONMENT, installed, is_shipped
from SpatialRegularizationLib.zoo.record import DataSource


@pytest.fixture(scope="module")
def model() -> RegistrationModel:
    """A small network."""
    return tiny_model()


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of shipped models, empty; no model of the user."""
    monkeypatch.setenv(ENVIRONMENT, str(tmp_path / "zoo"))
    monkeypatch.setattr("SpatialRegularizationLib.zoo.folder.BUNDLED", tmp_path / "bundled")
    return tmp_path / "bundled"


def test_a_shipped_model_is_half_as_large_and_loaded_as_float32(model: RegistrationModel, shelf: Path) -> None:
    shipment = ship_model(model, complete_card(), folder=shelf)
    full = save_model(model, complete_card(), shelf.parent / "tiny.safetensors")
    stored = load_file(shipment.path)
    assert all(value.dtype == torch.float16 for value in stored.values() if value.is_floating_point())
    loaded, card = load_model("tiny")
    assert all(value.dtype == torch.float32 for value in loaded.state_dict().values() if value.is_floating_point())
    numbers = sum(value.numel() for value in model.state_dict().values())
    assert (shelf.parent / "tiny.safetensors").stat().st_size - shipment.size_bytes > 1.9 * numbers
    assert card == shipment.card != full
    assert 0 < shipment.difference_voxels <= shipping.LARGEST_DIFFERENCE_VOXELS
    assert is_shipped(installed()["tiny"])
    assert faults_of(shipment.path) == []
    assert sorted(path.name for path in shelf.iterdir()) == ["tiny.json", "tiny.safetensors"]


def test_a_number_too_large_for_float16_is_refused_and_nothing_is_left(shelf: Path) -> None:
    large = tiny_model()
    next(iter(large.parameters())).data.reshape(-1)[0] = 7e4
    with pytest.raises(ValueError, match=r"not finite as float16 \(its largest number is 65504\): choose another"):
        ship_model(large, complete_card(), folder=shelf)
    assert not shelf.exists()


def test_a_model_that_float16_changes_is_refused_and_nothing_is_left(shelf: Path) -> None:
    wild = tiny_model()
    with torch.no_grad():
        for name, value in wild.named_parameters():
            if name.endswith("out.weight"):
                value.mul_(100)
    with pytest.raises(ValueError, match=r"moves a point of the trial pair by .* voxel more or less than"):
        ship_model(wild, complete_card(), folder=shelf)
    assert list(shelf.iterdir()) == []


def test_a_file_that_is_too_large_is_refused(
    model: RegistrationModel, shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shipping, "LARGEST_BYTES", 10_000)
    with pytest.raises(ValueError, match=r"tiny.safetensors has 0\.\d MB, at most 0\.01 MB"):
        ship_model(model, complete_card(), folder=shelf)
    assert list(shelf.iterdir()) == []


def test_all_shipped_models_together_must_stay_small(
    model: RegistrationModel, shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = ship_model(model, complete_card(), folder=shelf)
    monkeypatch.setattr(shipping, "LARGEST_BYTES_TOGETHER", int(1.5 * first.size_bytes))
    with pytest.raises(ValueError, match="All shipped models together would take"):
        ship_model(model, complete_card("other"), folder=shelf)
    assert ship_model(model, complete_card(), folder=shelf, replace_existing=True).size_bytes == first.size_bytes


def test_a_shipped_model_gives_way_only_when_told_so(model: RegistrationModel, shelf: Path) -> None:
    ship_model(model, complete_card(), folder=shelf)
    with pytest.raises(FileExistsError, match="tiny is there already"):
        ship_model(model, complete_card(purpose="newer"), folder=shelf)
    ship_model(model, complete_card(purpose="newer"), folder=shelf, replace_existing=True)
    assert load_model("tiny")[1].purpose == "newer"


@pytest.mark.parametrize("name", [*shipping.NEEDED])
def test_a_card_without_one_of_its_entries_is_not_complete(name: str, model: RegistrationModel, shelf: Path) -> None:
    whole = complete_card()
    assert card_faults(whole) == []
    empty = {"training": None, "figures": {}, "limits": (), "data": (), "studies": ()}.get(name, "")
    lacking = replace(whole, **{name: empty})
    assert card_faults(lacking) == [f"{name} is missing"]
    with pytest.raises(ValueError, match=rf"The card of tiny is not complete \({name} is missing\)"):
        ship_model(model, lacking, folder=shelf)


def test_a_card_says_no_place_on_a_machine_and_that_it_is_no_medical_device() -> None:
    for place in ("/home/somebody/x.csv", "see /scratch/x", "C:\\Users\\x", "~/runs"):
        assert "somebody's machine" in card_faults(complete_card(source=place))[0]
    assert card_faults(complete_card(source="github.com/a/b/c, mean/sd, https://x.org/data/y")) == []
    assert "medical device" in card_faults(complete_card(notice="fine"))[0]
    assert "license" in card_faults(complete_card(data=(DataSource("x", "", "y"),)))[0]


def _other_bytes(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-2] + b"\0\0")


def _no_card(path: Path) -> None:
    path.with_suffix(".json").unlink()


def _edited(**changes: object) -> Callable[[Path], None]:
    def edit(path: Path) -> None:
        values = json.loads(path.with_suffix(".json").read_text())
        path.with_suffix(".json").write_text(json.dumps(values | changes))

    return edit


def _in_32_bits(path: Path) -> None:
    model, card = load_model(path)
    save_model(model, card, path)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (_other_bytes, "not the file of its card"),
        (_no_card, "has no card tiny.json beside it"),
        (_edited(sha256=""), "not the file that its card names"),
        (_edited(name="another"), "has the card of another"),
        (_edited(license=""), "license is missing"),
        (_edited(shape=[1, 2]), "shape must be three positive"),
        (_edited(intensity="ct"), None),
        (_in_32_bits, "in more than 16 bits"),
    ],
)
def test_each_fault_of_a_shipped_file_is_found(
    model: RegistrationModel, shelf: Path, spoil: Callable[[Path], None], sentence: str | None
) -> None:
    path = ship_model(model, complete_card(), folder=shelf).path
    spoil(path)
    found = " ".join(faults_of(path))
    assert found == "" if sentence is None else sentence in found


def test_the_largest_difference_is_that_of_closed_forms_over_the_whole_condition() -> None:
    card = complete_card()
    still, moved = (Known(KnownSettings(height=(h, 0.0, 0.0), integrates=False)) for h in (0.0, 0.25))
    strongest = Known.hyperparameters[0].high
    lattice_peak = largest_difference(still, moved, card)
    assert lattice_peak == pytest.approx(0.25 * strongest, rel=0.05)
    assert [dict(values) for values in conditions(still)] == [{}, {"alpha_prime": 0.0}, {"alpha_prime": strongest}]


def test_a_model_that_answers_nothing_finite_is_never_the_same() -> None:
    broken = Known(KnownSettings(height=(float("nan"), 0.0, 0.0), integrates=False))
    assert not largest_difference(broken, Known(), complete_card()) <= shipping.LARGEST_DIFFERENCE_VOXELS


def test_a_model_that_breaks_on_the_trial_pair_has_a_fault() -> None:
    broken = Known(KnownSettings(height=(float("nan"), 0.0, 0.0)))
    faults = shipping.trial_faults(broken, complete_card())
    assert len(faults) == 1
    assert "cannot be registered with tiny: The model tiny answered with NaN" in faults[0]
