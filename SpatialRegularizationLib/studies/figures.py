"""Compute the figures of one method on one pair, the same for every method."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch

from ..geometry.transform import SpatialTransform
from ..geometry.volume import Volume
from ..measures.alignment import lncc_of, measured_displacement, mind_of
from ..measures.regularity import measure_regularity
from ..measures.scores import landmark_scores, overlap_scores
from ..registration.result import Registration
from ..transforms.resample import resample, resample_labels
from .pairs import ReadPair
from .regions import Region
from .settings import StudySettings
from .statistics import rank_correlation

REGULARITY = ("folding_percent", "folding_one_sided_percent", "ndv_percent", "sd_log_j")
MOST_RANKED = 500_000
"""Correlations are taken over an even sample of at most about this many voxels."""
UNIFORM = 1e-6
"""A weight that varies less than this is one constant."""


def figures_of_transform(transform: SpatialTransform, pair: ReadPair, settings: StudySettings) -> dict[str, float | None]:
    """Overlap, landmark error, similarity and regularity of a transform.

    Regularity is that of the nonlinear part on the fixed grid, whole volume with the border repeated; names that end in
    `_inside` count the fixed mask (where there is none, the fixed labels) only.

    Args:
        transform: φ, fixed points to moving points.
        pair: images and what goes with them.
        settings: which labels, and how they are carried.
    """
    companions, grid = pair.companions, pair.fixed.grid
    found: dict[str, float | None] = {}
    overlap = overlap_scores(
        companions, transform, grid, labels=settings.scored_labels, linear=settings.label_warping == "linear"
    )
    if overlap is not None:
        found |= _of_labels("dice", overlap[0], settings) | _of_labels("hd95_mm", overlap[1], settings)
        found["hd95_undefined_labels"] = float(sum(math.isnan(v) for name, v in overlap[1].items() if name != "mean"))
    landmarks = landmark_scores(companions, transform, pair.moving.grid)
    if landmarks is not None:
        found |= {"tre_mm": landmarks["mean"]} | {f"tre_{k}_mm": landmarks[k] for k in ("median", "p95", "max")}
    mask = companions.fixed_mask
    found["lncc"] = lncc_of(pair.fixed, pair.moving, transform, mask=mask)
    found["mind"] = mind_of(pair.fixed, pair.moving, transform, mask=mask)
    inside = inside_of(pair)
    regularity = measure_regularity(measured_displacement(transform, grid)[0].to_voxels(), mask=inside)
    whole = regularity.whole or regularity
    found |= {name: getattr(whole, name) for name in REGULARITY}
    if inside is not None:
        found |= {f"{name}_inside": getattr(regularity, name) for name in REGULARITY}
    return found


def inside_of(pair: ReadPair) -> torch.Tensor | None:
    """(i, j, k) of the fixed grid: the mask, else the labels, else None."""
    if pair.companions.fixed_mask is not None:
        return pair.companions.fixed_mask.data[0] > 0
    labels = pair.companions.fixed_labels
    return None if labels is None or not bool((labels.data != 0).any()) else labels.data[0] != 0


def figures_of_weight(registration: Registration, labels: Volume | None, regions: Iterable[Region]) -> dict[str, float | None]:
    """Where λ is high and low: its mean in regions, and its rank correlation with the gradient energy of the displacement.

    The energy is |∇d|² = Σ (∂d_c/∂x_a)², d in mm per mm, so it does not depend on the voxels; the model expects a negative
    correlation (its λ falls where the deformation is strong). Both over the voxels with a label, all where there are none.

    Args:
        registration: with λ on the lattice of its displacement.
        labels: label map of the fixed image, or None.
        regions: named parts of it.

    Returns:
        lambda_mean, lambda_p5, lambda_p50, lambda_p95, lambda_gradient_correlation, lambda_mean_<region>; nothing where λ is
        one constant, or nothing deforms.
    """
    weight = registration.lambda_map
    if weight is None:
        return {}
    low, high = (float(v) for v in weight.data.aminmax())
    if high - low < UNIFORM:
        return {}
    values = weight.data[0].to(torch.float64).cpu().numpy()
    carried = None if labels is None else resample_labels(labels, None, weight.grid).data[0].cpu().numpy()
    inside = np.ones(values.shape, dtype=bool) if carried is None or not carried.any() else carried != 0
    chosen = values[inside]
    found: dict[str, float | None] = {"lambda_mean": float(chosen.mean())}
    found |= {f"lambda_p{p}": float(np.percentile(chosen, p)) for p in (5, 50, 95)}
    step = -(-chosen.size // MOST_RANKED)
    energy = gradient_energy(registration)[inside]
    found["lambda_gradient_correlation"] = rank_correlation(chosen[::step], energy[::step])
    if carried is not None:
        spacing = labels.grid.spacing
        on_labels = values if weight.grid.matches(labels.grid) else resample(weight, None, labels.grid).data[0].cpu().numpy()
        numbers = labels.data[0].cpu().numpy()
        for region in regions:
            where = region.where(numbers, spacing)
            found[f"lambda_mean_{region.key}"] = float(on_labels[where].mean()) if where.any() else None
    return found


def gradient_energy(registration: Registration) -> np.ndarray:
    """|∇d|² (i, j, k) on the lattice of the displacement, central differences, one-sided at the border."""
    field = registration.displacement
    total = torch.zeros(field.grid.shape, dtype=torch.float64)
    axes = [axis for axis, n in enumerate(field.grid.shape) if n > 1]
    for component in field.vectors.cpu().double():
        for axis in axes:
            total += torch.gradient(component, spacing=field.grid.spacing[axis], dim=axis)[0].square()
    return total.numpy()


def _of_labels(name: str, values: Mapping[str, Any], settings: StudySettings) -> dict[str, float | None]:
    """The mean, and one figure for each label under its own name."""
    names = {str(number): word for word, number in settings.labels.items()}
    each = {f"{name}_{names.get(label, label)}": value for label, value in values.items() if label != "mean"}
    return {name: values["mean"]} | each
