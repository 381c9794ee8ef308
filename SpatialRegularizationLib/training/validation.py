"""Measure how good a model is on the validation pairs: overlap, landmarks, folds, energy."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..fields.sampling import sample_linear, sample_nearest, voxel_coordinates, warp
from ..io.companions import pair_landmarks
from ..measures.landmarks import target_registration_error
from ..measures.overlap import dice_per_label, mean_over_labels
from ..measures.regularity import measure_regularity
from ..models.base import Prediction, RegistrationModel, predict
from .pairs import Batch
from .preparation import Prepared
from .settings import TrainingSettings

FIGURES = ("dice", "tre_mm", "ndv_percent", "folding_percent", "sd_log_j", "similarity", "energy")
"""Names of the figures; those that do not apply to the images are left out."""


@dataclass(frozen=True)
class Shown:
    """One validation pair for pictures, all (i, j, k) on the CPU: images in [0, 1], λ or None."""

    moving: Tensor
    fixed: Tensor
    warped: Tensor
    lambda_map: Tensor | None


@torch.no_grad()
def validate(
    model: RegistrationModel,
    pairs: Sequence[tuple[Prepared, Prepared]],
    settings: TrainingSettings,
    device: torch.device,
    *,
    check: Callable[[], None] = lambda: None,
) -> tuple[list[dict[str, float]], Shown | None]:
    """Figures of every pair at the model's default condition, and the first pair to look at.

    Args:
        model: in evaluation mode inside, left as it was.
        pairs: (moving, fixed).
        settings: the network's precision.
        device: of the model.
        check: called before each pair; raises to stop.

    Returns:
        for each pair {figure: value} with the names of `FIGURES`; Dice is the mean over the labels that occur in either image,
        carried by nearest neighbor (the papers' model selection), TRE the mean over landmarks in mm, folds and NDV over the
        whole lattice.
    """
    training = model.training
    model.eval()
    found, shown = [], None
    try:
        for moving, fixed in pairs:
            check()
            figures, looked_at = _one_pair(model, moving, fixed, settings, device)
            found.append(figures)
            shown = shown or looked_at
    finally:
        model.train(training)
    return found, shown


def mean_figures(found: Sequence[dict[str, float]]) -> dict[str, float]:
    """The mean of each figure over the pairs that have it."""
    values = {name: [figures[name] for figures in found if name in figures] for name in FIGURES}
    return {name: float(np.mean(numbers)) for name, numbers in values.items() if numbers}


def score_of(figures: dict[str, float], kind: str) -> float | None:
    """What the best checkpoint is chosen by, larger is better; None without validation.

    Args:
        figures: means over the validation pairs.
        kind: as `TrainingSettings.score`.

    Raises:
        ValueError: the asked-for figure is not there.
    """
    sources = {"dice": ("dice", 1.0), "tre": ("tre_mm", -1.0), "energy": ("energy", -1.0)}
    if not figures:
        return None
    if kind == "auto":
        kind = next(name for name, (figure, _) in sources.items() if figure in figures)
    figure, sign = sources[kind]
    if figure not in figures:
        raise ValueError(f"The score {kind} needs validation images with {'labels' if kind == 'dice' else 'points'}, none has.")
    return sign * figures[figure]


@torch.no_grad()
def pair_figures(
    model: RegistrationModel,
    prediction: Prediction,
    condition: Tensor | None,
    pair: tuple[Prepared, Prepared],
    batch: Batch,
) -> tuple[dict[str, float], Shown]:
    """Figures of one answer of a model, and how it looks.

    Args:
        model: that gave it.
        prediction: the answer.
        condition: at which it was given.
        pair: (moving, fixed).
        batch: the same pair as tensors.
    """
    shape = tuple(batch.fixed.shape[2:])
    u, lambda_map = model.displacement(prediction, shape), model.lambda_on(prediction, shape)
    warped = warp(batch.moving, u)
    energy = model.objective(condition)(warped, batch.fixed, u, lambda_map, batch.fixed_inside).numbers()
    regularity = measure_regularity(u)
    figures = {name: getattr(regularity, name) for name in ("ndv_percent", "folding_percent", "sd_log_j")}
    figures |= {"similarity": energy["similarity"], "energy": energy["total"]}
    figures |= {name: value for name, value in _truths(batch, u, *pair).items() if math.isfinite(value)}
    looked_at = (x[0, 0].float().cpu() for x in (batch.moving, batch.fixed, warped))
    return figures, Shown(*looked_at, None if lambda_map is None else lambda_map[0, 0].float().cpu())


def _one_pair(
    model: RegistrationModel, moving: Prepared, fixed: Prepared, settings: TrainingSettings, device: torch.device
) -> tuple[dict[str, float], Shown]:
    batch = Batch.of([(moving, fixed)], device)
    condition = model.condition(device=device)
    prediction = predict(model, batch.moving, batch.fixed, condition, settings.precision)
    return pair_figures(model, prediction, condition, (moving, fixed), batch)


def _truths(batch: Batch, u: Tensor, moving: Prepared, fixed: Prepared) -> dict[str, float]:
    """Dice and TRE, where labels and landmarks are there."""
    found = {}
    if batch.moving_labels is not None and batch.fixed_labels is not None:
        positions = u + voxel_coordinates(tuple(u.shape[2:]), device=u.device)
        carried = sample_nearest(batch.moving_labels, positions)
        dice = mean_over_labels(dice_per_label(carried[0, 0], batch.fixed_labels[0, 0]))
        found |= {} if dice is None else {"dice": dice}
    if moving.landmarks is not None and fixed.landmarks is not None:
        try:
            pairs = pair_landmarks(fixed.landmarks, moving.landmarks)
        except ValueError as error:
            raise ValueError(f"The points of {moving.entry.name} and {fixed.entry.name}: {error}") from error
        index = fixed.grid.point_to_index(pairs.fixed)
        at = torch.from_numpy(index.T.copy())[None, :, :, None, None]
        moved = index + sample_linear(u.double().cpu(), at)[0, :, :, 0, 0].T.numpy()
        mapped = moving.grid.index_to_point(moved)
        found["tre_mm"] = target_registration_error(mapped, pairs.moving).mean
    return found
