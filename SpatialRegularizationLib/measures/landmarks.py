"""Compute the target registration error of corresponding landmarks."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from ..geometry.grid import Grid


@dataclass(frozen=True)
class Tre:
    """Distances ‖φ(x_fixed) - x_moving‖ in mm; φ is the whole chain from fixed to moving, affine included.

    Args:
        mean, median, p95, max: over the landmarks; p95 with linear interpolation between ranks.
        share_outside: share of the mapped landmarks that lie outside the moving image, 0 to 1.
    """

    mean: float
    median: float
    p95: float
    max: float
    share_outside: float

    def to_dict(self) -> dict[str, float]:
        """The fields by name."""
        return asdict(self)


def target_registration_error(mapped: np.ndarray, moving: np.ndarray, *, field: Grid | None = None) -> Tre:
    """Summary of the distances between mapped fixed landmarks and their moving counterparts.

    Args:
        mapped: (n, 3) φ of the fixed landmarks, mm LPS; the fixed landmarks themselves give the initial error.
        moving: (n, 3) mm LPS.
        field: grid of the moving image; mapped landmarks outside of it count in `share_outside`. None: none do.

    Raises:
        ValueError: no landmarks, different numbers, or positions that are not finite.
    """
    first, second = np.asarray(mapped, dtype=np.float64), np.asarray(moving, dtype=np.float64)
    if first.shape != second.shape or first.ndim != 2 or first.shape[-1] != 3:
        raise ValueError(
            f"Fixed and moving landmarks must be two (n, 3) lists of corresponding points, got {first.shape} and "
            f"{second.shape}; give the same landmarks in the same order."
        )
    if not len(first):
        raise ValueError("The landmark lists are empty: the error is undefined; leave them out.")
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise ValueError("Landmarks must be finite; the lists hold NaN or infinite positions.")
    distances = np.linalg.norm(first - second, axis=1)
    return Tre(
        mean=float(distances.mean()),
        median=float(np.median(distances)),
        p95=float(np.percentile(distances, 95)),
        max=float(distances.max()),
        share_outside=0.0 if field is None else float(1 - field.contains(first).mean()),
    )


