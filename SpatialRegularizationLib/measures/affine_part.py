"""Say in words and numbers what an affine map does: it turns, shifts, stretches and shears."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..geometry.transform import degrees_of, nearest_rotation


@dataclass(frozen=True)
class AffinePart:
    """What x ↦ A x + t does to the fixed image:  A = R S, R the nearest rotation, S symmetric (polar decomposition).

    Args:
        rotation_degrees: angle of R, 0 to 180.
        shift_mm: how far the center of the fixed image moves along L, P and S, mm.
        stretch_percent: 100 (S - 1) on the diagonal: along L, P and S; above 0 the moving image is larger.
        shear_percent: 100 S beside the diagonal: L-P, L-S, P-S; twice that is the change of a right angle, percent of a radian.
        mirrored: True where A turns left into right, which no patient does.
    """

    rotation_degrees: float
    shift_mm: tuple[float, float, float]
    stretch_percent: tuple[float, float, float]
    shear_percent: tuple[float, float, float]
    mirrored: bool

    @classmethod
    def of(cls, matrix: np.ndarray, center: np.ndarray) -> AffinePart:
        """Of a map.

        Args:
            matrix: 4x4, mm LPS, fixed to moving.
            center: of the fixed image (3,), mm LPS.
        """
        linear, center = np.asarray(matrix, dtype=float)[:3, :3], np.asarray(center, dtype=float)
        rotation = nearest_rotation(linear)
        strain = 100 * (rotation.T @ linear - np.eye(3))
        strain = (strain + strain.T) / 2
        shift = linear @ center + np.asarray(matrix, dtype=float)[:3, 3] - center
        return cls(
            degrees_of(rotation), tuple(map(float, shift)), tuple(map(float, strain.diagonal())),
            tuple(float(strain[a, b]) for a, b in ((0, 1), (0, 2), (1, 2))), bool(np.linalg.det(linear) < 0),
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """For report.json."""
        return asdict(self)
