"""scripts/lambda_pictures.py with a tiny Hyper model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from SpatialRegularizationLib.models.catalogue import build_model
from SpatialRegularizationLib.zoo.card import load_model, save_model


@pytest.fixture
def pictures(script: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = script("lambda_pictures")
    monkeypatch.setattr(module, "SHARES", (0.2, 1.0))
    return module


def run(module: ModuleType, monkeypatch: pytest.MonkeyPatch, folder: Path, out: Path, model: str, hyper: str) -> int:
    files = [str(folder / name) for name in ("f.nii.gz", "m.nii.gz")]
    options = ["--model", str(folder / model), "--hyper", str(folder / hyper), "--out", str(out)]
    monkeypatch.setattr("sys.argv", ["lambda_pictures.py", *files, *options])
    return module.main()


def test_both_pictures_are_drawn_with_grays_and_colors(
    pictures: ModuleType, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = pytest.importorskip("PIL.Image")
    assert run(pictures, monkeypatch, folder, tmp_path, "model.safetensors", "model.safetensors") == 0
    for name, gray_share in (("lambda", 0.6), ("lambda_hyper", 0.0)):
        with image.open(tmp_path / f"{name}.png") as file:
            pixels = np.asarray(file.convert("RGB")).astype(int)
        colored = (np.ptp(pixels, axis=2) > 0).any(axis=0)
        left = round(gray_share * len(colored))
        assert not colored[:left].any()
        assert colored[left:].mean() > 0.8
        assert left == 0 or len(np.unique(pixels[:, :left])) > 20


def test_a_model_without_the_two_values_is_refused(
    pictures: ModuleType, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    _, card = load_model(folder / "model.safetensors")
    save_model(build_model({"system": "tm-spr", "size": "tiny"}), card, folder / "plain.safetensors")
    assert run(pictures, monkeypatch, folder, tmp_path / "out", "model.safetensors", "plain.safetensors") == 1
    assert "takes no α′ and λmax" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
