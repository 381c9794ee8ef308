"""Hold a spatial transform: a displacement field and an affine map in the order that keeps both exact, and what follows them.

How far affine maps turn is found here, too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .displacement import DisplacementField

IDENTITY = tuple(tuple(float(r == c) for c in range(4)) for r in range(4))
"""The 4x4 identity as the tuple of rows that `SpatialTransform.affine` holds."""


@dataclass(frozen=True)
class SpatialTransform:
    """φ: carries points of the fixed image to points of the moving image (mm, LPS): moving(φ(x)) looks like fixed(x).

        φ(x) = B (x + d(x))            the field first, then the affine map (default)
        φ(x) = B x + d(B x)            `affine_first`: the form that the inverse of the default takes

    Outside the grid of the field d is zero, as in ITK: more than half a voxel beyond the outermost voxel centres.
    Keeping B and d apart costs nothing and stays exact outside the field, which a single field does not. A chain of several
    fields is φ = `following` ∘ (the above).

    Args:
        affine: B, 4x4 (numpy array or rows), LPS mm; kept as a tuple of rows.
        displacement: d, or None where there is only an affine map.
        affine_first: the order, see above; of no meaning without a field.
        following: the transform that acts after these two, or None.

    Raises:
        ValueError: B is not an invertible 4x4 affine matrix, or the field is not 3-D.
    """

    affine: tuple[tuple[float, ...], ...] = IDENTITY
    displacement: DisplacementField | None = None
    affine_first: bool = False
    following: SpatialTransform | None = None

    def __post_init__(self) -> None:
        matrix = np.asarray(self.affine, dtype=np.float64)
        if matrix.shape != (4, 4):
            raise ValueError(f"affine must be a 4x4 matrix, got shape {matrix.shape}.")
        if not np.isfinite(matrix).all():
            raise ValueError(f"affine must be finite, got {matrix.tolist()}.")
        if not np.allclose(matrix[3], (0, 0, 0, 1), atol=1e-12):
            raise ValueError(f"The last row of affine must be 0 0 0 1, got {matrix[3].tolist()}: transpose the matrix?")
        if abs(np.linalg.det(matrix[:3, :3])) < 1e-12:
            raise ValueError(f"affine must be invertible, got determinant {np.linalg.det(matrix[:3, :3]):.3g}.")
        if self.displacement is not None and self.displacement.grid.dimension != 3:
            raise ValueError(f"A spatial transform is 3-D, got a field on a {self.displacement.grid.dimension}-D grid.")
        object.__setattr__(self, "affine", tuple(tuple(float(c) for c in row) for row in matrix))

    @classmethod
    def identity(cls) -> SpatialTransform:
        """φ(x) = x."""
        return cls()

    @property
    def affine_matrix(self) -> np.ndarray:
        """B as a 4x4 float64 array."""
        return np.array(self.affine)

    @property
    def is_affine(self) -> bool:
        """True where there is no field and nothing follows, so that φ is B alone."""
        return self.displacement is None and self.following is None

    @property
    def has_affine(self) -> bool:
        """True where B differs from the identity by more than rounding (1e-12)."""
        return not np.allclose(self.affine_matrix, np.eye(4), rtol=0, atol=1e-12)

    @property
    def parts(self) -> tuple[SpatialTransform, ...]:
        """The links of the chain in the order in which they act, each without a following one."""
        alone = self if self.following is None else replace(self, following=None)
        return (alone, *(() if self.following is None else self.following.parts))

    @classmethod
    def chain(cls, *parts: SpatialTransform) -> SpatialTransform:
        """The transform that applies `parts` one after the other; the identity where there are none."""
        links = [link for part in parts for link in part.parts]
        total: SpatialTransform | None = None
        for link in reversed(links):
            total = replace(link, following=total)
        return total or cls()

    def with_displacement(self, displacement: DisplacementField | None) -> SpatialTransform:
        """The same affine map and order with another field."""
        return replace(self, displacement=displacement)


def nearest_rotation(linear: np.ndarray) -> np.ndarray:
    """(3, 3): R of  A = R S, S symmetric (polar decomposition); where A mirrors, the rotation nearest to it all the same."""
    left, _, right = np.linalg.svd(linear)
    sign = np.sign(np.linalg.det(left @ right))
    return left @ np.diag([1.0, 1.0, sign]) @ right


def degrees_of(rotation: np.ndarray) -> float:
    """Angle of a rotation (3, 3), 0 to 180; exact at small angles, where arccos is not."""
    skew = np.linalg.norm([rotation[2, 1] - rotation[1, 2], rotation[0, 2] - rotation[2, 0], rotation[1, 0] - rotation[0, 1]])
    return float(np.degrees(np.arctan2(skew, np.trace(rotation) - 1)))


def degrees_apart(one: np.ndarray, other: np.ndarray) -> float:
    """Angle of the rotation that is nearest to one⁻¹ other, for 4x4 matrices; 180 where only one of them mirrors."""
    between = np.linalg.inv(one[:3, :3]) @ other[:3, :3]
    return 180.0 if np.linalg.det(between) < 0 else degrees_of(nearest_rotation(between))
