"""Compute arrays to look at that the registration does not give: log-Jacobian, folds, difference, checkerboard, blend.

Arrays of two images lie on one lattice. Nothing here knows a node.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

SMALLEST_JACOBIAN = 1e-9
"""max(J, this) before the logarithm, as in the report."""
FACTORS = (1.1, 1.25, 1.5, 2.0, 3.0, 4.0, 8.0)
"""Ends of the scale of volume change: from ÷ factor to × factor."""
SAMPLE = 200_000
"""About as many voxels are looked at for percentiles."""
PADDING_SHARE = 0.01
"""A lowest value more frequent than this is taken for padding or an emptied background."""


def log_jacobian(jacobian: np.ndarray) -> np.ndarray:
    """log max(J, 1e-9), float32; above 0 the moving image is larger than the fixed one."""
    return np.log(np.maximum(jacobian, SMALLEST_JACOBIAN, dtype=np.float32))


def folds(jacobian: np.ndarray) -> np.ndarray:
    """1 where J <= 0, else 0; uint8."""
    return (jacobian <= 0).astype(np.uint8)


def worst_fold(jacobian: np.ndarray) -> tuple[int, ...] | None:
    """Index of the most negative Jacobian determinant, or None without folds."""
    lowest = int(jacobian.argmin())
    if jacobian.reshape(-1)[lowest] > 0:
        return None
    return tuple(int(n) for n in np.unravel_index(lowest, jacobian.shape))


def intensity_window(image: np.ndarray) -> tuple[float, float]:
    """The 1st and 99.5th percentile of about 200 000 voxels; a frequent lowest value (padding) does not count."""
    sample = _sample(image)
    inside = sample[sample > sample.min()]
    if 0 < inside.size < (1 - PADDING_SHARE) * sample.size:
        sample = inside
    low, high = np.percentile(sample, (1, 99.5))
    return float(low), float(high if high > low else low + 1)


def scaled(image: np.ndarray) -> np.ndarray:
    """The image as a share of its window, clamped to [0, 1], float32."""
    low, high = intensity_window(image)
    return np.clip((image.astype(np.float32) - np.float32(low)) / np.float32(high - low), 0, 1)


def difference(fixed: np.ndarray, warped: np.ndarray) -> np.ndarray:
    """Warped minus fixed, each as a share of its own window: -1 to 1, 0 where they agree."""
    return scaled(warped) - scaled(fixed)


def checkerboard(fixed: np.ndarray, warped: np.ndarray, spacing: Sequence[float], tiles: int) -> np.ndarray:
    """Cubes taken in turn from the two images, each scaled to its own window.

    Args:
        fixed, warped: on one lattice.
        spacing: of the axes of the arrays, mm.
        tiles: cubes along the longest edge of the image, at least 2.
    """
    edge = max(n * s for n, s in zip(fixed.shape, spacing, strict=True)) / tiles
    numbers = [(np.arange(n) * s // edge).astype(np.int64) for n, s in zip(fixed.shape, spacing, strict=True)]
    odd = (sum(np.ix_(*numbers)) % 2).astype(bool)
    return np.where(odd, scaled(warped), scaled(fixed))


def blend(fixed: np.ndarray, warped: np.ndarray, share: float) -> np.ndarray:
    """(1 - share) · fixed + share · warped, each scaled to its own window."""
    return np.float32(1 - share) * scaled(fixed) + np.float32(share) * scaled(warped)


def change_limit(log: np.ndarray) -> float:
    """End of a symmetric scale of log J: the logarithm of the first of `FACTORS` that holds 98 % of the voxels."""
    reach = float(np.percentile(np.abs(_sample(log)), 98))
    return float(next((np.log(factor) for factor in FACTORS if np.log(factor) >= reach), np.log(FACTORS[-1])))


def difference_limit(values: np.ndarray) -> float:
    """End of a symmetric scale of a difference: 98 % of the voxels, at least 0.1."""
    return max(0.1, round(float(np.percentile(np.abs(_sample(values)), 98)), 2))


def rounded_top(values: np.ndarray) -> float:
    """The largest value rounded up to two digits, rounding errors apart; 1 where there is nothing above 0."""
    highest = float(values.max())
    if not np.isfinite(highest) or highest <= 0:
        return 1.0
    step = 10.0 ** (np.floor(np.log10(highest)) - 1)
    return float(np.ceil(highest / step - 1e-3) * step)


def _sample(values: np.ndarray) -> np.ndarray:
    flat = values.reshape(-1)
    sample = flat[:: max(1, flat.size // SAMPLE)].astype(np.float32)
    finite = sample[np.isfinite(sample)]
    return finite if finite.size else np.zeros(1, dtype=np.float32)
