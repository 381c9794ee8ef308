"""Sweeps over a condition: each point is the model at that condition, the first half is computed once, and it goes on."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from blobs import SHAPE, settings_dict, write_list
from held import held

from SpatialRegularizationLib.__main__ import main
from SpatialRegularizationLib.io.claims import TakenError
from SpatialRegularizationLib.models.catalogue import build_model
from SpatialRegularizationLib.report.page import part
from SpatialRegularizationLib.training.data import load_data
from SpatialRegularizationLib.training.pairs import Batch, validation_pairs
from SpatialRegularizationLib.training.settings import TrainingSettings
from SpatialRegularizationLib.training.validation import pair_figures
from SpatialRegularizationLib.tuning.ranges import Range
from SpatialRegularizationLib.tuning.sweep import SweepSettings, read_sweep, sweep, sweep_ranges
from SpatialRegularizationLib.tuning.sweep_report import sweep_report_html, sweep_section
from SpatialRegularizationLib.zoo.card import ModelCard, save_model

HYPER = {
    "system": "hyper-tm-spr",
    "backbone": {"kind": "unet", "encoder": [4, 8, 8], "decoder": [8, 8], "final": [4]},
    "lncc_window": 5,
}
GRID = SweepSettings({"alpha_prime": Range(0.0, 0.2), "lambda_max": Range(0.5, 5.0)}, points=3)


@pytest.fixture
def model() -> torch.nn.Module:
    """Untrained, but with a field that depends on the condition."""
    model = build_model(HYPER)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model.eval()


@pytest.fixture
def pairs(tmp_path: Path) -> list:
    settings = TrainingSettings.from_dict(settings_dict(tmp_path, shape=SHAPE))
    data = load_data(settings)
    return validation_pairs(settings, data.validation, None)


def test_every_point_is_the_model_at_that_condition(model: torch.nn.Module, pairs: list, tmp_path: Path) -> None:
    record = sweep(model, pairs[:1], GRID, tmp_path)
    assert record.figures["dice"].shape == (3, 3)
    batch = Batch.of(pairs[:1], torch.device("cpu"))
    for place, values in (((0, 2), (0.0, 5.0)), ((1, 0), (0.1, 0.5))):
        condition = model.condition(dict(zip(GRID.ranges, values, strict=True)))
        with torch.no_grad():
            answer = model(batch.moving, batch.fixed, condition)
        figures, _ = pair_figures(model, answer, condition, pairs[0], batch)
        for name, array in record.figures.items():
            assert array[place] == pytest.approx(figures[name], abs=1e-5), name
    assert np.ptp(record.figures["sd_log_j"]) > 1e-4


def test_the_first_half_is_computed_once_for_each_pair(model: torch.nn.Module, pairs: list, tmp_path: Path) -> None:
    calls = []
    encode = model.encode
    model.encode = lambda *images: calls.append(1) or encode(*images)
    sweep(model, pairs, GRID, tmp_path)
    assert len(calls) == len(pairs) == 2


def test_it_goes_on_after_the_last_pair_but_not_with_another_grid_or_model(
    model: torch.nn.Module, pairs: list, tmp_path: Path
) -> None:
    told = []
    sweep(model, pairs[:1], GRID, tmp_path, identity="a")
    calls = []
    encode = model.encode
    model.encode = lambda *images: calls.append(1) or encode(*images)
    record = sweep(model, pairs, GRID, tmp_path, identity="a", after_pair=lambda r: told.append(len(r.pairs)))
    assert (len(calls), len(record.pairs), told[-1]) == (1, 2, 2)
    sweep(model, pairs, GRID, tmp_path, identity="b")
    assert len(calls) == 3
    sweep(model, pairs, SweepSettings(GRID.ranges, points=2), tmp_path, identity="b")
    assert len(calls) == 5


def test_the_report_names_the_best_point_and_an_end_of_the_range(model: torch.nn.Module, pairs: list, tmp_path: Path) -> None:
    record = sweep(model, pairs, GRID, tmp_path)
    values, score = record.best()
    assert score == record.figures["dice"].max()
    page = sweep_report_html(record, model="hyper", command="spatialreg sweep")
    assert f"{score:.4f}" in page
    assert page.count("<image") == len(record.figures)
    at_end = any(values[name] in (span.low, span.high) for name, span in GRID.ranges.items())
    assert ("at an end of the range" in page) == at_end


def test_one_hyperparameter_is_swept_as_a_curve(pairs: list, tmp_path: Path) -> None:
    model = build_model(HYPER | {"system": "hypermorph"})
    ranges = sweep_ranges(model, {})
    assert len(ranges) == 1
    record = sweep(model, pairs[:1], SweepSettings(ranges, points=3), tmp_path)
    assert record.figures["dice"].shape == (3,)
    assert "<image" not in sweep_report_html(record, model="m")


def test_a_model_without_condition_or_a_range_beyond_the_trained_one_is_refused(model: torch.nn.Module) -> None:
    with pytest.raises(ValueError, match="takes none"):
        sweep_ranges(build_model({"system": "voxelmorph", "size": "tiny"}), {})
    with pytest.raises(ValueError, match=r"alpha_prime must be from 0 to 0\.2"):
        sweep_ranges(model, {"alpha_prime": Range(0, 1)})
    with pytest.raises(ValueError, match="Unknown hyperparameter 'eta'"):
        sweep_ranges(model, {"eta": Range(0, 1)})
    with pytest.raises(ValueError, match="one or two"):
        SweepSettings({})
    with pytest.raises(ValueError, match="points"):
        SweepSettings(GRID.ranges, points=1)


def test_the_command_sweeps_a_model_file(model: torch.nn.Module, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = write_list(tmp_path, "images.csv", range(3))
    save_model(model, ModelCard("hyper", SHAPE, (1.0, 1.0, 1.0), "LPS"), tmp_path / "hyper.safetensors")
    out = tmp_path / "out"
    arguments = ["sweep", str(tmp_path / "hyper.safetensors"), "--images", str(images), "--out", str(out), "--points", "2"]
    assert main([*arguments, "--count", "2", "--json"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["pairs"] == 2
    with (out / "sweep.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 4
    assert max(float(row["dice"]) for row in rows) == pytest.approx(result["dice"], abs=1e-5)
    assert "Sweep of hyper" in (out / "sweep.html").read_text(encoding="utf-8")


def test_a_sweep_without_images_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", "model"]) == 2
    assert "--images is needed" in capsys.readouterr().err


def test_a_finished_sweep_can_be_read_and_shown_on_other_pages(model: torch.nn.Module, pairs: list, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"spatialreg sweep"):
        read_sweep(tmp_path)
    record = sweep(model, pairs[:1], GRID, tmp_path)
    again = read_sweep(tmp_path)
    assert again.settings == record.settings
    assert again.best() == record.best()
    for name, values in record.figures.items():
        assert again.figures[name] == pytest.approx(values)
    section = sweep_section(again, "a-hyper")
    assert section.title == "Dice of a-hyper over its condition"
    assert f"{record.best()[1]:.4f}" in section.lead
    assert "<image" in part("charts", "section", section)
    (tmp_path / "sweep.json").write_text('{"grid": {"ranges": {}}}')
    with pytest.raises(ValueError, match="no sweep that can be shown"):
        read_sweep(tmp_path)


def test_a_second_sweep_into_a_folder_is_refused(model: torch.nn.Module, pairs: list, tmp_path: Path) -> None:
    chosen = SweepSettings({"alpha_prime": Range(0.1, 1.0)}, 2)
    with held(tmp_path / "sweep"), pytest.raises(TakenError, match="sweep is being written by another"):
        sweep(model, pairs, chosen, tmp_path / "sweep")
