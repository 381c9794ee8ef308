"""A training may start from a trained model: same layers, another objective."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from blobs import SHAPE, settings_dict
from torch import Tensor

from SpatialRegularizationLib.models.catalogue import build_model, to_plain
from SpatialRegularizationLib.training.checkpoints import start_from
from SpatialRegularizationLib.training.loop import train
from SpatialRegularizationLib.training.settings import TrainingSettings
from SpatialRegularizationLib.zoo.card import load_model


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short training's model."""
    folder = tmp_path_factory.mktemp("trained")
    train(TrainingSettings.from_dict(settings_dict(folder, epochs=1, steps_per_epoch=4)))
    return Path(settings_dict(folder)["out"]) / "best.safetensors"


def parameters(path: Path) -> dict[str, Tensor]:
    return load_model(path)[0].state_dict()


def started(folder: Path, start: Path | None, **changes: Any) -> Path:
    """The model of a training of one step that hardly moves."""
    hardly = {"epochs": 1, "steps_per_epoch": 1, "learning_rate": 1e-8, "start": start and str(start)}
    values = settings_dict(folder, **hardly | changes)
    return train(TrainingSettings.from_dict(values)).checkpoint


def test_the_first_step_is_taken_from_the_parameters_of_that_model(trained: Path, tmp_path: Path) -> None:
    theirs, ours = parameters(trained), parameters(started(tmp_path, trained))
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value, rtol=0, atol=1e-6)


def test_without_a_start_they_are_fresh_ones(trained: Path, tmp_path: Path) -> None:
    theirs, ours = parameters(trained), parameters(started(tmp_path, None))
    assert any(not torch.allclose(ours[name], value, atol=1e-4) for name, value in theirs.items())


def test_the_prior_may_be_another_one(trained: Path, tmp_path: Path) -> None:
    model = {**settings_dict(tmp_path)["model"], "prior": {"kind": "beta", "lambda_max": 0.7, "alpha_prime": 0.1}}
    found, card = load_model(started(tmp_path, trained, model=model))
    assert card.regularization == {"lambda_max": 0.7, "alpha_prime": 0.1}
    name, value = next(iter(parameters(trained).items()))
    torch.testing.assert_close(found.state_dict()[name], value, rtol=0, atol=1e-6)


def test_a_hyper_system_starts_as_its_plain_one_at_every_condition(trained: Path) -> None:
    plain, _ = load_model(trained)
    backbone = to_plain(plain.settings.backbone) | {"kind": "unet"}
    hyper = build_model({"system": "hyper-tm-spr", "backbone": backbone, "lncc_window": 5}).eval()
    start_from(hyper, str(trained))
    images = torch.rand(2, 1, 1, *SHAPE, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = plain(*images).parameters.velocity
        for values in ({}, {"alpha_prime": 0.2, "lambda_max": 0.1}):
            found = hyper(*images, hyper.condition(values)).parameters.velocity
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    with pytest.raises(ValueError, match="have no place"):
        start_from(build_model({"system": "hyper-tm-spr", "size": "tiny"}), str(trained))


def test_a_uniform_system_starts_with_the_velocity_of_a_tm_spr(trained: Path) -> None:
    spatial, _ = load_model(trained)
    backbone = to_plain(spatial.settings.backbone)
    uniform = build_model({"system": "voxelmorph", "backbone": backbone}).eval()
    assert any(name.startswith("head.") for name in spatial.state_dict())
    start_from(uniform, str(trained))
    images = torch.rand(2, 1, 1, *SHAPE, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found, expected = (model(*images).parameters.velocity for model in (uniform, spatial))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_other_layers_are_refused_in_a_sentence(trained: Path, tmp_path: Path) -> None:
    model = {"system": "voxelmorph", "size": "tiny"}
    with pytest.raises(ValueError, match=r"cannot start from .*best\.safetensors: \d+ of its .* leave start"):
        started(tmp_path, trained, model=model)


def test_an_unknown_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="There is no model 'nobody'"):
        started(tmp_path, Path("nobody"))


def test_a_training_that_goes_on_does_not_ask_for_it_again(trained: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.safetensors"
    shutil.copy(trained, copy)
    started(tmp_path, copy)
    copy.unlink()
    started(tmp_path, copy, epochs=2)


def test_in_a_file_its_path_is_relative_to_the_file_and_a_name_is_a_name(tmp_path: Path) -> None:
    for written, meant in (("a/best.safetensors", str(tmp_path / "a/best.safetensors")), ("hippocampus", "hippocampus")):
        config = tmp_path / "config.json"
        config.write_text(json.dumps(settings_dict(tmp_path) | {"start": written}))
        assert TrainingSettings.from_file(config).start == meant
