"""Answer a slider: from a displacement and λ on one grid to warped image, Jacobian, millimeters and quick figures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..fields.derivatives import jacobian_determinant
from ..fields.sampling import sample_linear
from ..geometry.grid import Grid
from ..geometry.transform import SpatialTransform
from ..geometry.volume import Volume
from ..transforms.mapping import GridMap


@dataclass(frozen=True)
class InteractiveAnswer:
    """What one condition gives, on the grid of its session, float32 on the CPU.

    Args:
        displacement: d (3, i, j, k), mm LPS, without the affine part.
        lambda_map: λ (1, i, j, k).
        jacobian: determinant of the Jacobian of x + d(x), (1, i, j, k).
        warped: the moving image (1, i, j, k), original intensities.
        figures: seconds, folding_percent, sd_log_j, jacobian_min, jacobian_max, displacement_max_mm, lambda_min, lambda_max.
    """

    displacement: Tensor
    lambda_map: Tensor
    jacobian: Tensor
    warped: Tensor
    figures: dict[str, float]


class MovingAtRest:
    """The moving image, and the position in it of every voxel of a grid before anything moves.

    Args:
        moving: (1, i, j, k).
        grid: of the answers.
        affine: B, 4x4 LPS mm, fixed to moving.
        device: where to compute.
    """

    def __init__(self, moving: Volume, grid: Grid, affine: np.ndarray, device: torch.device) -> None:
        to_index = np.linalg.inv(moving.grid.affine)
        rest = GridMap.of(SpatialTransform(affine), grid, to_index)
        self._positions = torch.empty(1, 3, *grid.shape, device=device)
        for planes in rest.slabs():
            self._positions[0, :, planes] = rest.coordinates(planes).to(self._positions)
        self._to_moving = torch.from_numpy((to_index @ affine @ grid.affine)[:3, :3]).float().to(device)
        self._to_mm = torch.from_numpy(grid.affine[:3, :3]).float().to(device)
        self._moving = moving.data[None].to(device=device, dtype=torch.float32)
        self._outside = min(0.0, float(moving.data.min()))

    @torch.no_grad()
    def answer(self, u: Tensor, lambda_map: Tensor, check: Callable[[], None]) -> InteractiveAnswer:
        """What a displacement shows.

        Args:
            u: (1, 3, *grid.shape), voxels.
            lambda_map: (1, 1, *grid.shape).
            check: called between the parts of the work; what it raises stops it.
        """
        positions = torch.einsum("rc,ncijk->nrijk", self._to_moving, u).add_(self._positions)
        warped = sample_linear(self._moving, positions, fill=self._outside)
        del positions
        check()
        jacobian = jacobian_determinant(u)
        d = torch.einsum("rc,ncijk->nrijk", self._to_mm, u)
        figures = _figures(d, lambda_map, jacobian)
        return InteractiveAnswer(d[0].cpu(), lambda_map[0].cpu(), jacobian[0].cpu(), warped[0].cpu(), figures)


def _figures(d: Tensor, lambda_map: Tensor, jacobian: Tensor) -> dict[str, float]:
    """Figures that are quick: central differences only."""
    values = torch.stack([
        100 * (jacobian <= 0).float().mean(),
        jacobian.clamp_min(1e-9).log().std(correction=0),
        *jacobian.aminmax(),
        d.square().sum(1).max().sqrt(),
        *lambda_map.aminmax(),
    ])  # fmt: skip
    names = ("folding_percent", "sd_log_j", "jacobian_min", "jacobian_max", "displacement_max_mm", "lambda_min", "lambda_max")
    return dict(zip(names, values.tolist(), strict=True))
