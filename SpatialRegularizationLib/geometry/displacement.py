"""Hold a displacement field in millimeters; the only door between voxels and millimeters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from .grid import Grid


@dataclass(frozen=True)
class DisplacementField:
    """φ(x) = x + d(x): carries points of the fixed image to points of the moving image (the pull-back map).

    Args:
        vectors: (3, i, j, k) displacement in **mm along the LPS axes**, component c along LPS axis c.
        grid: the **fixed** grid, on which the vectors are given; linear between voxel centres.

    Raises:
        ValueError: vectors do not fit the grid, or are not finite.
    """

    vectors: torch.Tensor
    grid: Grid

    def __post_init__(self) -> None:
        expected = (self.grid.dimension, *self.grid.shape)
        if tuple(self.vectors.shape) != expected:
            raise ValueError(f"Displacement vectors must be {expected}, got {tuple(self.vectors.shape)}.")
        if not bool(torch.isfinite(self.vectors).all()):
            raise ValueError("Displacement vectors must be finite; the field holds NaN or infinite values.")

    @classmethod
    def from_voxels(cls, u: torch.Tensor, grid: Grid) -> DisplacementField:
        """From u (d, i, j, k) in voxels of `grid`, component c along tensor axis c:  d = A u."""
        return cls(_apply_matrix(_linear(grid), u), grid)

    @classmethod
    def zeros(cls, grid: Grid) -> DisplacementField:
        """The identity map on a grid."""
        return cls(torch.zeros(grid.dimension, *grid.shape), grid)

    def to_voxels(self) -> torch.Tensor:
        """u (d, i, j, k) in voxels of the field's own grid:  u = A⁻¹ d."""
        return _apply_matrix(np.linalg.inv(_linear(self.grid)), self.vectors)

    def magnitude(self) -> torch.Tensor:
        """|d| (1, i, j, k) in mm."""
        return self.vectors.square().sum(dim=0, keepdim=True).sqrt()


def _linear(grid: Grid) -> np.ndarray:
    return grid.affine[: grid.dimension, : grid.dimension]


def _apply_matrix(matrix: np.ndarray, vectors: torch.Tensor) -> torch.Tensor:
    m = torch.as_tensor(matrix, dtype=vectors.dtype, device=vectors.device)
    return torch.einsum("rc,c...->r...", m, vectors)
