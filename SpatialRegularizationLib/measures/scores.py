"""Score a pair before and after registration, in patient space on the fixed grid: overlap and landmarks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..geometry.companions import Companions
from ..geometry.grid import Grid
from ..geometry.transform import SpatialTransform
from ..transforms.mapping import transform_points
from ..transforms.resample import resample_labels, resample_labels_linear
from .landmarks import target_registration_error
from .overlap import dice_per_label, hd95_per_label, mean_over_labels


def overlap_scores(
    companions: Companions,
    transform: SpatialTransform,
    grid: Grid,
    *,
    labels: Iterable[int] | None = None,
    linear: bool = False,
) -> tuple[dict, dict] | None:
    """(Dice, HD95 in mm) per label and "mean", moving labels carried by `transform`; None without labels.

    Args:
        companions: with both label maps.
        transform: φ.
        grid: of the fixed image.
        labels: which ones count; None takes all that occur except 0.
        linear: the label with the largest linearly interpolated indicator instead of that of the nearest voxel.
    """
    if companions.fixed_labels is None or companions.moving_labels is None:
        return None
    carried = resample_labels_linear if linear else resample_labels
    warped = carried(companions.moving_labels, transform, grid)
    dice = dice_per_label(warped.data[0], companions.fixed_labels.data[0], labels)
    distance = hd95_per_label(warped.data[0], companions.fixed_labels.data[0], grid.spacing, labels)
    return _with_mean(dice), _with_mean(distance)


def landmark_scores(companions: Companions, transform: SpatialTransform, moving: Grid) -> dict[str, float] | None:
    """Mean, median, 95th percentile and maximum distance, mm; None without points."""
    if companions.fixed_points is None or companions.moving_points is None:
        return None
    mapped = transform_points(transform, companions.fixed_points)
    return target_registration_error(mapped, companions.moving_points, field=moving).to_dict()


def _with_mean(values: dict[int, float]) -> dict[str, Any]:
    return {str(label): value for label, value in values.items()} | {"mean": mean_over_labels(values)}
