"""Hold an image: voxels, and the grid on which they lie."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from .grid import Grid


@dataclass(frozen=True)
class Volume:
    """Voxel values on a grid.

    Args:
        data: tensor (C, i, j, k) (or (C, i, j)); axis order of the grid, any dtype.
        grid: where the voxels lie.
        notes: how it was read, sentences without a capital and a full stop ("its axes are …"); told with what is made of it.

    Raises:
        ValueError: the tensor's spatial shape is not the grid's.
    """

    data: torch.Tensor
    grid: Grid
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if tuple(self.data.shape[1:]) != self.grid.shape:
            raise ValueError(
                f"Volume data must be (C, {', '.join(map(str, self.grid.shape))}), got {tuple(self.data.shape)}."
            )

    def to(self, target: torch.device | torch.dtype) -> Volume:
        """The same image on another device or in another dtype."""
        return replace(self, data=self.data.to(target))

    def with_data(self, data: torch.Tensor) -> Volume:
        """Other values on the same grid."""
        return replace(self, data=data)
