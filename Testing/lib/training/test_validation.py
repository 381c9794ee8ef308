"""Validation figures of models whose answer is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from blobs import grid_of, settings_dict
from torch import Tensor

from SpatialRegularizationLib.fields.parameters import Displacement
from SpatialRegularizationLib.io.points import write_points
from SpatialRegularizationLib.measures.overlap import dice_per_label, mean_over_labels
from SpatialRegularizationLib.models.base import Prediction, RegistrationModel
from SpatialRegularizationLib.objective import Objective
from SpatialRegularizationLib.priors.uniform import UniformPrior
from SpatialRegularizationLib.regularizers.diffusion import WeightedDiffusion
from SpatialRegularizationLib.similarity.mse import Mse
from SpatialRegularizationLib.training.data import load_data
from SpatialRegularizationLib.training.settings import TrainingSettings
from SpatialRegularizationLib.training.validation import mean_figures, score_of, validate


class Shift(RegistrationModel):
    """Answers every pair with one translation, in voxels."""

    system = "shift"

    def __init__(self, voxels: tuple[float, float, float]) -> None:
        super().__init__()
        self.voxels = torch.tensor(voxels)

    def forward(self, moving: Tensor, fixed: Tensor, condition: Tensor | None = None, *, with_lambda: bool = True) -> Prediction:
        return Prediction(Displacement(self.voxels.view(1, 3, 1, 1, 1).expand(-1, -1, *fixed.shape[2:]).clone()), None)

    def displacement(self, prediction: Prediction, shape: tuple[int, ...]) -> Tensor:
        return prediction.parameters.u

    def velocity(self, prediction: Prediction, shape: tuple[int, ...]) -> Tensor:
        raise ValueError("A shift has no velocity.")

    def inverse_displacement(self, prediction: Prediction, shape: tuple[int, ...]) -> Tensor:
        return -prediction.parameters.u

    def lambda_on(self, prediction: Prediction, shape: tuple[int, ...]) -> Tensor | None:
        return None

    def objective(self, condition: Tensor | None = None) -> Objective:
        return Objective(Mse(), WeightedDiffusion(), UniformPrior(1.0), uniform_lambda=1.0)


def settings(folder: Path, **changes: Any) -> TrainingSettings:
    return TrainingSettings.from_dict(settings_dict(folder, **changes))


def figures_of(shift: tuple[float, float, float], pairs: list, chosen: TrainingSettings) -> dict[str, float]:
    found, shown = validate(Shift(shift), pairs, chosen, torch.device("cpu"))
    assert shown.fixed.shape == (16, 16, 16)
    return mean_figures(found)


def test_no_motion_leaves_the_overlap_of_the_images_as_they_are(tmp_path: Path) -> None:
    chosen = settings(tmp_path)
    first, second = load_data(chosen).validation
    figures = figures_of((0, 0, 0), [(first, second)], chosen)
    labels = [torch.from_numpy(image.labels.astype("int64")) for image in (first, second)]
    assert figures["dice"] == pytest.approx(mean_over_labels(dice_per_label(*labels)))
    assert figures["folding_percent"] == figures["ndv_percent"] == figures["sd_log_j"] == 0
    assert figures["energy"] == pytest.approx(figures["similarity"])
    assert "tre_mm" not in figures


def test_an_image_carried_to_itself_overlaps_wholly_until_it_is_moved(tmp_path: Path) -> None:
    chosen = settings(tmp_path)
    image = load_data(chosen).validation[0]
    assert figures_of((0, 0, 0), [(image, image)], chosen)["dice"] == 1
    moved = figures_of((2, 0, 0), [(image, image)], chosen)["dice"]
    shifted = np.roll(image.labels, -2, axis=1)
    expected = dice_per_label(torch.from_numpy(shifted.astype("int64")), torch.from_numpy(image.labels.astype("int64")))
    assert moved == pytest.approx(mean_over_labels(expected), abs=1e-6)


def test_landmarks_are_carried_in_millimeters_along_the_axes_of_the_lattice(tmp_path: Path) -> None:
    chosen = settings(tmp_path, spacing_mm=[2, 1, 1], orientation="RPS", shape=[16, 16, 16], validation_pairs=1)
    points = grid_of().index_to_point(np.array([[6.0, 7.0, 8.0], [9.0, 8.0, 7.0]]))
    write_points(tmp_path / "fixed.csv", points)
    write_points(tmp_path / "moving.csv", points + np.array([-4.0, 1.0, 0.0]))  # 4 mm to the right, 1 mm back
    lines = ["name,image,points", "m,person10.nii.gz,moving.csv", "f,person11.nii.gz,fixed.csv"]
    (tmp_path / "validation.csv").write_text("\n".join(lines) + "\n")
    moving, fixed = load_data(chosen).validation
    assert figures_of((0, 0, 0), [(moving, fixed)], chosen)["tre_mm"] == pytest.approx(np.sqrt(17))
    assert figures_of((2, 1, 0), [(moving, fixed)], chosen)["tre_mm"] == pytest.approx(0, abs=1e-5)


def test_landmarks_of_validation_pairs_belong_together_by_their_labels(tmp_path: Path) -> None:
    chosen = settings(tmp_path, validation_pairs=1)
    points = grid_of().index_to_point(np.array([[6.0, 7.0, 8.0], [9.0, 8.0, 7.0], [5.0, 6.0, 7.0]]))
    write_points(tmp_path / "fixed.csv", points, ("a", "b", "c"))
    write_points(tmp_path / "moving.csv", points[[2, 0]] + np.array([3.0, 0.0, 0.0]), ("c", "a"))
    lines = ["name,image,points", "m,person10.nii.gz,moving.csv", "f,person11.nii.gz,fixed.csv"]
    (tmp_path / "validation.csv").write_text("\n".join(lines) + "\n")
    moving, fixed = load_data(chosen).validation
    assert figures_of((0, 0, 0), [(moving, fixed)], chosen)["tre_mm"] == pytest.approx(3.0)
    write_points(tmp_path / "moving.csv", points[[2, 0]], ("x", "y"))
    moving, fixed = load_data(chosen).validation
    with pytest.raises(ValueError, match=r"The points of m and f: .* got 3 and 2"):
        figures_of((0, 0, 0), [(moving, fixed)], chosen)


def test_the_model_is_left_in_training_mode(tmp_path: Path) -> None:
    chosen = settings(tmp_path)
    model = Shift((0, 0, 0)).train()
    validate(model, [tuple(load_data(chosen).validation)], chosen, torch.device("cpu"))
    assert model.training


def test_the_score_is_what_was_asked_for_and_rises_with_quality() -> None:
    figures = {"dice": 0.8, "tre_mm": 2.0, "energy": 0.3}
    assert score_of(figures, "auto") == score_of(figures, "dice") == 0.8
    assert score_of(figures, "tre") == -2
    assert score_of(figures, "energy") == -0.3
    assert score_of({"tre_mm": 2.0, "energy": 0.3}, "auto") == -2
    with pytest.raises(ValueError, match="score dice needs validation images with labels"):
        score_of({"energy": 0.3}, "dice")
