"""Weigh differences across the edges of an image less than along them: where organs slide, the velocity may jump there.

    R(u, λ) = 1/(9 N) Σ_p λ(p) Σ_a A_a(p) |∂_a u(p)|²,      A_a = 1 - κ · T/(T + mean T) · T_a/T

with T_a = (∂_a f)² of the smoothed image f in physical units and T = Σ_a T_a: at a strong edge with normal n, a difference along
n keeps the share 1 - κ of its weight and one within the edge all of it (oriented smoothness: Nagel and Enkelmann, PAMI 1986; for
sliding organs: Schmidt-Richberg et al., Medical Image Analysis 2012). κ = 0 is weighted diffusion.

Deviates: those papers rotate a tensor into the normal, or need a segmentation; here it is the diagonal of that tensor in the
axes of the lattice, from the image alone. The closed form of λ (`models/free.py`) sees the plain |∇u|²: with the shares in it, a
log prior would give back what they take.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..fields.resize import gaussian_smooth, shrink
from .diffusion import weighted_diffusion
from .regularizer import Regularizer

SIGMA = 1.0
"""Standard deviation in voxels of the Gaussian before derivatives are taken."""
ROUNDING = 1e-5
"""Slope, as a share of the largest intensity, that is rounding and no edge."""


@dataclass(frozen=True)
class EdgeDiffusion(Regularizer):
    """R(u, λ) of this file.

    Args:
        shares: A (1, d, *s) on the lattice of u, see `edge_shares`.
        spacing: voxel sizes along the axes in any common unit; None: isotropic.
    """

    shares: Tensor
    spacing: tuple[float, ...] | None = None

    def __call__(self, u: Tensor, lambda_map: Tensor | float) -> Tensor:
        return weighted_diffusion(u, lambda_map * self.shares, spacing=self.spacing)


@torch.no_grad()
def edge_shares(
    image: Tensor, shape: tuple[int, ...], *, relief: float, spacing: tuple[float, ...] | None = None
) -> Tensor:
    """A (1, d, *shape): the share of λ that counts for differences along each axis.

    Args:
        image: (1, 1, *s), on a lattice of the same extent.
        shape: lattice of the velocity, not finer than the image's.
        relief: κ in [0, 1): what a strong edge takes from differences across it.
        spacing: relative voxel sizes; None: isotropic.
    """
    smooth = gaussian_smooth(image, (SIGMA,) * (image.dim() - 2))
    squares = torch.cat([_squared_slope(smooth, axis) for axis in range(image.dim() - 2)], dim=1)
    if spacing is not None:
        squares /= torch.tensor(spacing).to(squares).view(1, -1, *([1] * len(spacing))).square()
    squares = shrink(squares, shape)
    total = squares.sum(1, keepdim=True)
    none = (ROUNDING * float(image.abs().max())) ** 2 + torch.finfo(squares.dtype).tiny
    return 1 - relief * squares / (total + total.mean() + none)


def _squared_slope(image: Tensor, axis: int) -> Tensor:
    """(∂_a f)² by central differences, voxel units; 0 at both ends of the axis."""
    count = image.shape[2 + axis] - 2
    squared = torch.zeros_like(image)
    if count > 0:
        slope = (image.narrow(2 + axis, 2, count) - image.narrow(2 + axis, 0, count)) / 2
        squared.narrow(2 + axis, 1, count).copy_(slope.square_())
    return squared
