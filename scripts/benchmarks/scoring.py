"""What a displacement is worth on a case: the same code for every method.

The map is φ(x) = B(x + d(x)), x on the fixed grid, d in LPS mm, B the shared affine start (identity for a method that
did its own). Labels, points and truth are those of the native images: one interpolation only.
"""

from __future__ import annotations

import known_pair
import numpy as np
import torch
from scipy.ndimage import map_coordinates

from SpatialRegularizationLib.measures.regularity import measure_regularity


def score(case: known_pair.Case, start: np.ndarray, displacement: np.ndarray) -> dict[str, object]:
    """Every figure that the case allows.

    Args:
        case: the pair and what is known of it.
        start: 4x4 LPS matrix B.
        displacement: (3, i, j, k) LPS mm on the fixed grid.
    """
    mapped = _mapped(case, start, displacement)
    figures: dict[str, object] = _regularity(case, displacement)
    if case.labels and case.fixed_labels is not None and case.moving_labels is not None:
        figures |= _dice(case, mapped)
    if case.fixed_points is not None:
        figures |= _landmarks(case, start, displacement)
    if case.truth is not None:
        error = mapped - _positions(case) - case.truth
        figures |= _errors(case, error)
    if case.reference is not None:
        figures |= _errors(case, mapped - _affine(case.reference, _positions(case)))
    figures["lncc"] = _similarity(case, mapped)
    return figures


def identity_score(case: known_pair.Case, start: np.ndarray) -> dict[str, object]:
    """The figures of the affine start alone."""
    return score(case, start, np.zeros((3, *case.fixed.shape), np.float32))


def _positions(case: known_pair.Case) -> np.ndarray:
    index = np.meshgrid(*[np.arange(n) for n in case.fixed.shape], indexing="ij")
    affine = case.fixed_grid.affine
    points = np.tensordot(affine[:3, :3], np.stack(index).astype(np.float32), 1) + affine[:3, 3, None, None, None]
    return points.astype(np.float32)


def _affine(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    shape = (3,) + (1,) * (points.ndim - 1)
    return (np.tensordot(matrix[:3, :3], points, 1) + matrix[:3, 3].reshape(shape)).astype(np.float32)


def _mapped(case: known_pair.Case, start: np.ndarray, displacement: np.ndarray) -> np.ndarray:
    return _affine(start, _positions(case) + displacement)


def _moving_index(case: known_pair.Case, mapped: np.ndarray) -> np.ndarray:
    return _affine(np.linalg.inv(case.moving_grid.affine), mapped)


def _dice(case: known_pair.Case, mapped: np.ndarray) -> dict[str, object]:
    """Dice per label, mean over the labels present: nearest neighbor, and linear one-hot with argmax (ties: lowest)."""
    index = _moving_index(case, mapped)
    nearest = map_coordinates(case.moving_labels, index, order=0, mode="constant", cval=0)
    best = np.zeros(case.fixed.shape, np.float32)
    linear = np.zeros(case.fixed.shape, np.int32)
    for label in np.unique(case.moving_labels):
        share = map_coordinates(
            (case.moving_labels == label).astype(np.float32), index, order=1, mode="constant", cval=float(label == 0)
        )
        linear[share > best] = label
        np.maximum(best, share, out=best)
    figures: dict[str, object] = {}
    for name, warped in (("dice_nearest", nearest), ("dice", linear)):
        per_label = {}
        for label in case.labels:
            a, b = warped == label, case.fixed_labels == label
            if a.any() or b.any():
                per_label[str(label)] = float(2 * (a & b).sum() / (a.sum() + b.sum()))
        figures[name] = float(np.mean(list(per_label.values())))
        figures[name + "_per_label"] = per_label
    return figures


def _landmarks(case: known_pair.Case, start: np.ndarray, displacement: np.ndarray) -> dict[str, object]:
    index = case.fixed_grid.point_to_index(case.fixed_points).T
    moved = np.stack([map_coordinates(c, index, order=1, mode="nearest") for c in displacement])
    error = np.linalg.norm(_affine(start, case.fixed_points.T + moved).T - case.moving_points, axis=1)
    return {"tre_mm": float(error.mean()), "tre_median_mm": float(np.median(error)), "tre_max_mm": float(error.max())}


def _errors(case: known_pair.Case, error: np.ndarray) -> dict[str, object]:
    """Mean and 95th percentile of the error's length in each region, in mm and in voxels of the fixed grid."""
    inverse = np.linalg.inv(case.fixed_grid.affine[:3, :3])
    millimeters = np.linalg.norm(error, axis=0)
    voxels = np.linalg.norm(np.tensordot(inverse, error, 1), axis=0)
    figures: dict[str, object] = {}
    for name, region in case.regions.items():
        figures[f"error_{name}_mm"] = float(millimeters[region].mean())
        figures[f"error_{name}_voxels"] = float(voxels[region].mean())
        figures[f"error_{name}_p95_voxels"] = float(np.percentile(voxels[region], 95))
    return figures


def _regularity(case: known_pair.Case, displacement: np.ndarray) -> dict[str, object]:
    inverse = np.linalg.inv(case.fixed_grid.affine[:3, :3])
    u = torch.from_numpy(np.tensordot(inverse, displacement, 1).astype(np.float32))
    whole = measure_regularity(u)
    figures: dict[str, object] = {
        "folding_percent": whole.folding_percent,
        "folding_one_sided_percent": whole.folding_one_sided_percent,
        "ndv_percent": whole.ndv_percent,
        "sd_log_j": whole.sd_log_j,
    }
    mask = case.fixed_labels > 0 if case.fixed_labels is not None else case.fixed_mask
    if mask is not None:
        inside = measure_regularity(u, mask=torch.from_numpy(mask))
        figures |= {
            "folding_percent_mask": inside.folding_percent,
            "ndv_percent_mask": inside.ndv_percent,
            "sd_log_j_mask": inside.sd_log_j,
        }
    return figures


def _similarity(case: known_pair.Case, mapped: np.ndarray) -> float:
    """Mean squared local correlation, window 9, of the pair after warping (an independent, plain computation)."""
    from scipy.ndimage import uniform_filter

    fixed = case.fixed / max(np.ptp(case.fixed), 1e-6)
    moving = map_coordinates(case.moving, _moving_index(case, mapped), order=1, mode="nearest")
    moving = moving / max(np.ptp(case.moving), 1e-6)
    means = [uniform_filter(x.astype(np.float64), 9) for x in (fixed, moving, fixed**2, moving**2, fixed * moving)]
    cross = means[4] - means[0] * means[1]
    variances = np.maximum(means[2] - means[0] ** 2, 0) * np.maximum(means[3] - means[1] ** 2, 0)
    return float(np.mean(cross**2 / (variances + 1e-9)))
