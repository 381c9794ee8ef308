"""Compute how well label maps agree: Dice, and the 95th percentile of surface distances (HD95).

Label maps are integer tensors (i, j, k) or (1, i, j, k) on one grid; 0 is background. A label that is absent from both
is undefined (not listed); HD95 of a label absent from one is undefined too (NaN), whereas its Dice is 0.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping

import numpy as np
import SimpleITK as sitk
import torch
from torch import Tensor

PERCENTILE = 95


def dice_per_label(a: Tensor, b: Tensor, labels: Iterable[int] | None = None) -> dict[int, float]:
    """Dice_k = 2 |A_k ∩ B_k| / (|A_k| + |B_k|) for each label.

    Args:
        a, b: integer label maps of the same shape, 0 is background.
        labels: which labels; None takes all that occur except 0.

    Returns:
        {label: Dice in [0, 1]}, ascending; labels absent from both are left out.

    Raises:
        ValueError: different shapes, or not integers.
    """
    first, second = _checked(a, b)
    counts_a, counts_b = _counts(first), _counts(second)
    common = _counts(first[first == second])
    wanted = sorted((counts_a.keys() | counts_b.keys()) - {0} if labels is None else set(labels))
    sizes = {label: counts_a.get(label, 0) + counts_b.get(label, 0) for label in wanted}
    return {label: 2 * common.get(label, 0) / size for label, size in sizes.items() if size}


def hd95_per_label(
    a: Tensor, b: Tensor, spacing: tuple[float, ...], labels: Iterable[int] | None = None
) -> dict[int, float]:
    """HD95 of each label between voxel surfaces, unweighted, in mm.

    The surface of a label is the label minus its erosion by the six face neighbors (what lies beyond the image counts
    as outside). HD95 = max of the 95th percentiles (linear interpolation) of the two directed distances from every
    surface voxel to the nearest one of the other surface.

    Args:
        a, b: integer label maps of the same shape, 0 is background.
        spacing: voxel spacing along the axes, mm.
        labels: which labels; None takes all that occur except 0.

    Returns:
        {label: mm}, ascending; NaN where the label is empty in one, left out where it is empty in both.

    Raises:
        ValueError: different shapes, or not integers.
    """
    return _per_label(a, b, spacing, labels)


def mean_over_labels(values: Mapping[int, float]) -> float | None:
    """Mean over the labels with a defined value (NaN marks the others); None if there is none."""
    known = [value for value in values.values() if not math.isnan(value)]
    return sum(known) / len(known) if known else None


def _checked(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    if a.shape[-3:] != b.shape[-3:] or a.numel() != b.numel():
        raise ValueError(f"Label maps must have one shape, got {tuple(a.shape)} and {tuple(b.shape)}; resample one.")
    for labels in (a, b):
        if labels.is_floating_point() or labels.is_complex():
            raise ValueError(f"Label maps must hold integers, got {labels.dtype}; read them as labels.")
    return a.reshape(a.shape[-3:]).cpu(), b.reshape(b.shape[-3:]).cpu()


def _counts(labels: Tensor) -> dict[int, int]:
    if labels.numel() and int(labels.min()) >= 0 and int(labels.max()) < 1 << 16:  # ten times faster than sorting
        counts = torch.bincount(labels.flatten())
        return {label: int(counts[label]) for label in counts.nonzero()[:, 0].tolist()}
    values, counts = labels.unique(return_counts=True)
    return dict(zip(values.tolist(), counts.tolist(), strict=True))


def _per_label(a: Tensor, b: Tensor, spacing: tuple[float, ...], labels: Iterable[int] | None) -> dict[int, float]:
    first, second = (labels_.numpy() for labels_ in _checked(a, b))
    wanted = sorted(set(np.union1d(first, second).tolist()) - {0} if labels is None else set(labels))
    found = {}
    for label in wanted:
        inside = (first == label, second == label)
        occupied = [bool(mask.any()) for mask in inside]
        if all(occupied):
            box = _bounding_box(inside[0] | inside[1])
            found[label] = _voxel_surface_hd95(*(np.pad(mask[box], 1) for mask in inside), spacing)
        elif any(occupied):
            found[label] = math.nan
    return found


def _bounding_box(mask: np.ndarray) -> tuple[slice, ...]:
    spans = [np.flatnonzero(mask.any(axis=tuple(b for b in range(3) if b != a))) for a in range(3)]
    return tuple(slice(span[0], span[-1] + 1) for span in spans)


def _distance_to(surface: np.ndarray, spacing: tuple[float, ...]) -> np.ndarray:
    """Exact Euclidean distance of every voxel center to the nearest one of the set, mm."""
    image = sitk.GetImageFromArray(surface.astype(np.uint8))
    image.SetSpacing(tuple(float(s) for s in reversed(spacing)))
    distances = sitk.SignedMaurerDistanceMap(image, insideIsPositive=False, squaredDistance=False, useImageSpacing=True)
    return np.where(surface, 0.0, sitk.GetArrayFromImage(distances))


def _voxel_surface_hd95(a: np.ndarray, b: np.ndarray, spacing: tuple[float, ...]) -> float:
    surfaces = (_voxel_surface(a), _voxel_surface(b))
    directed = [_distance_to(other, spacing)[own] for own, other in itertools.permutations(surfaces)]
    return max(float(np.percentile(distances, PERCENTILE)) for distances in directed)


def _voxel_surface(mask: np.ndarray) -> np.ndarray:
    """The mask (with an empty rim) minus its erosion by face neighbors."""
    eroded = mask.copy()
    for axis, shift in itertools.product(range(3), (1, -1)):
        eroded &= np.roll(mask, shift, axis)
    return mask & ~eroded
