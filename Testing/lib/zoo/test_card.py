"""Models on disk: what is written comes back, a file alone is a model, and anything else is refused in a sentence."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from SpatialRegularizationLib.models.base import RegistrationModel
from SpatialRegularizationLib.models.catalogue import build_model
from SpatialRegularizationLib.zoo.card import ModelCard, load_model, read_card, save_model, sha256_of
from SpatialRegularizationLib.zoo.folder import ENVIRONMENT, installed, zoo_folder

CARD = ModelCard("small", (32, 48, 32), (1.5, 1.0, 2.0), "LIA", purpose="tests", figures={"dice": 0.75}, limits=("none",))


@pytest.fixture(autouse=True)
def zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty zoo folder."""
    monkeypatch.setenv(ENVIRONMENT, str(tmp_path / "zoo"))
    monkeypatch.setattr("SpatialRegularizationLib.zoo.folder.BUNDLED", tmp_path / "none")
    zoo_folder().mkdir()
    return zoo_folder()


@pytest.fixture(scope="module")
def model() -> RegistrationModel:
    """A small network."""
    torch.manual_seed(0)
    return build_model({"system": "voxelmorph", "size": "tiny"})


def _another() -> RegistrationModel:
    """The same network with other numbers."""
    torch.manual_seed(1)
    return build_model({"system": "voxelmorph", "size": "tiny"})


def _same(one: RegistrationModel, other: RegistrationModel) -> bool:
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def test_a_saved_model_comes_back_with_every_number_and_its_card(model: RegistrationModel, zoo: Path) -> None:
    saved = save_model(model, CARD, zoo / "small.safetensors")
    loaded, card = load_model("small")
    assert _same(loaded, model)
    assert loaded.settings == model.settings
    assert not loaded.training
    assert card == saved
    assert card == replace(CARD, description=card.description, sha256=sha256_of(zoo / "small.safetensors"))
    assert card.system == "voxelmorph"
    assert card.regularization == {"uniform_lambda": 1.0}


def test_both_files_may_be_read_by_the_same_people(model: RegistrationModel, zoo: Path) -> None:
    save_model(model, CARD, zoo / "small.safetensors")
    modes = {(zoo / f"small{ending}").stat().st_mode for ending in (".safetensors", ".json")}
    assert len(modes) == 1


def test_the_parameters_file_alone_is_a_model(model: RegistrationModel, zoo: Path, tmp_path: Path) -> None:
    saved = save_model(model, CARD, zoo / "small.safetensors")
    (zoo / "small.json").unlink()
    loaded, card = load_model(zoo / "small.safetensors")
    assert _same(loaded, model)
    assert card == saved


def test_a_crash_between_the_two_files_leaves_the_new_model_whole(
    model: RegistrationModel, zoo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_model(model, CARD, zoo / "small.safetensors")
    newer = _another()

    def crash(*_: object) -> None:
        raise OSError("the machine stops here")

    monkeypatch.setattr("SpatialRegularizationLib.zoo.card.write_text", crash)
    with pytest.raises(OSError, match="stops here"):
        save_model(newer, replace(CARD, purpose="newer"), zoo / "small.safetensors")
    loaded, card = load_model("small")
    assert _same(loaded, newer)
    assert not _same(loaded, model)
    assert card.purpose == "newer"


def test_a_failed_writing_leaves_the_earlier_model(
    model: RegistrationModel, zoo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = save_model(model, CARD, zoo / "small.safetensors")

    def full(*_: object, **__: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("safetensors.torch.save", full)
    with pytest.raises(OSError, match=r"small.safetensors could not be written"):
        save_model(_another(), CARD, zoo / "small.safetensors")
    assert load_model("small")[1] == saved
    assert sorted(path.name for path in zoo.iterdir()) == ["small.json", "small.safetensors"]


def test_another_file_under_the_same_card_is_refused(model: RegistrationModel, zoo: Path) -> None:
    save_model(model, CARD, zoo / "small.safetensors")
    save_model(_another(), CARD, zoo / "other.safetensors")
    (zoo / "other.safetensors").replace(zoo / "small.safetensors")
    with pytest.raises(ValueError, match=r"not the file of its card .*import or fetch"):
        load_model("small")


@pytest.mark.parametrize("damage", ["cut", "garbage", "empty"])
@pytest.mark.parametrize("with_card", [True, False])
def test_a_damaged_file_is_refused(model: RegistrationModel, zoo: Path, damage: str, with_card: bool) -> None:
    save_model(model, CARD, zoo / "small.safetensors")
    path = zoo / "small.safetensors"
    whole = path.read_bytes()
    path.write_bytes({"cut": whole[: len(whole) // 2], "garbage": b"x" * 500, "empty": b""}[damage])
    if not with_card:
        (zoo / "small.json").unlink()
    with pytest.raises(ValueError, match=r"small.safetensors (is damaged|holds no card of a model)"):
        load_model("small")


def test_parameters_of_another_network_are_refused(model: RegistrationModel, zoo: Path) -> None:
    save_model(model, CARD, zoo / "small.safetensors")
    values = json.loads((zoo / "small.json").read_text())
    values["description"]["backbone"]["final"] = [4]
    (zoo / "small.json").write_text(json.dumps(values))
    with pytest.raises(ValueError, match="does not hold the parameters of the model that its card describes"):
        load_model("small")


def test_parameters_that_are_not_finite_are_refused(zoo: Path) -> None:
    broken = build_model({"system": "voxelmorph", "size": "tiny"})
    next(iter(broken.parameters())).data[0] = float("nan")
    save_model(broken, CARD, zoo / "small.safetensors")
    with pytest.raises(ValueError, match="NaN or infinite in network"):
        load_model("small")


def test_a_safetensors_file_of_another_program_is_refused(zoo: Path) -> None:
    from safetensors.torch import save_file

    save_file({"a": torch.ones(2)}, zoo / "foreign.safetensors")
    with pytest.raises(ValueError, match=r"foreign.safetensors holds no card of a model .*another program"):
        load_model("foreign")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"spacing": [1, 1, 1]}, "Unknown entry of the card 'spacing'; did you mean spacing_mm"),
        ({"shape": [32, 32]}, "shape must be three positive whole numbers"),
        ({"shape": [32, 32.5, 32]}, "shape must be three positive whole numbers"),
        ({"spacing_mm": [1, -1, 1]}, "a card's spacing_mm must be three positive numbers"),
        ({"orientation": "LLA"}, "three letters"),
        ({"intensity": "zscore"}, "intensity must be one of percentile"),
        ({"name": "../up"}, "name is made of letters"),
        ({"description": "tm-spr"}, "a card's description must be names with values"),
        ({"description": {"system": "tm-spm"}}, "did you mean 'tm-spr'"),
        ({"purpose": 3}, "a card's purpose must be a text, got 3"),
    ],
)
def test_a_card_with_a_wrong_entry_is_refused(
    model: RegistrationModel, zoo: Path, change: dict[str, object], sentence: str
) -> None:
    save_model(model, CARD, zoo / "small.safetensors")
    values = json.loads((zoo / "small.json").read_text())
    (zoo / "small.json").write_text(json.dumps(values | change))
    with pytest.raises(ValueError, match=sentence):
        load_model("small")


def test_figures_that_are_not_finite_are_written_as_unknown(model: RegistrationModel, zoo: Path) -> None:
    card = replace(CARD, figures={"dice": 0.5, "tre_mm": float("nan")})
    save_model(model, card, zoo / "small.safetensors")
    assert read_card(zoo / "small.safetensors").figures == {"dice": 0.5, "tre_mm": None}


def test_a_name_that_no_model_has_is_answered_with_the_nearest(model: RegistrationModel, zoo: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none is in .*zoo; 'spatialreg models import FILE' adds one"):
        load_model("small")
    save_model(model, CARD, zoo / "small.safetensors")
    with pytest.raises(FileNotFoundError, match="did you mean 'small'"):
        load_model("smal")
    with pytest.raises(FileNotFoundError, match=r"nowhere.safetensors does not exist"):
        load_model(zoo / "nowhere.safetensors")


def test_a_path_to_the_card_or_to_a_checkpoint_is_understood(model: RegistrationModel, zoo: Path) -> None:
    save_model(model, CARD, zoo / "small.safetensors")
    assert load_model(zoo / "small.json")[1].name == "small"
    (zoo / "x.pth.tar").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"spatialreg models import .*x.pth.tar"):
        load_model(zoo / "x.pth.tar")


def test_the_zoo_is_a_folder_of_the_user_and_never_the_installation(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(ENVIRONMENT)
    monkeypatch.setenv("HOME", str(tmp_path))
    for platform, variable, tail in (
        ("linux", "XDG_DATA_HOME", (".local", "share")),
        ("darwin", "", ("Library", "Application Support")),
        ("win32", "LOCALAPPDATA", ("AppData", "Local")),
    ):
        monkeypatch.setattr("sys.platform", platform)
        if variable:
            monkeypatch.setenv(variable, str(tmp_path / "data"))
            assert zoo_folder() == tmp_path / "data" / "spatialreg" / "models"
            monkeypatch.delenv(variable)
        assert zoo_folder() == tmp_path.joinpath(*tail, "spatialreg", "models")


def test_unfinished_files_are_no_models(model: RegistrationModel, zoo: Path) -> None:
    save_model(model, CARD, zoo / "small.safetensors")
    (zoo / ".abc.part.safetensors").write_bytes(b"")
    (zoo / "big.part").write_bytes(b"")
    assert list(installed()) == ["small"]
