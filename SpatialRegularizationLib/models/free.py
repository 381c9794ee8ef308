"""Treat an optimizer as a network without inputs: the unknown itself is the parameter; with Adam for it.

Per-pair registration and the refinement of a network's prediction minimise the same objective as training does,
over `Free.velocity` instead of over the parameters of a network. λ is not a parameter: given u, the prior's closed form
(TM-SPR §2.1; `BetaPrior.optimal_lambda`) is its minimiser, evaluated on a coarse lattice and upsampled, which is how the
paper relaxes its smoothness prior on λ.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..fields.parameters import StationaryVelocity
from ..fields.resize import resample_axes
from ..regularizers.diffusion import gradient_energy
from .base import Prediction


class Free(nn.Module):
    """A stationary velocity as the only parameter.

    Args:
        velocity: start (1, d, *s) in voxels per unit time.
        optimal_lambda: gradient energy (N, 1, *s) → λ, e.g. `BetaPrior(...).optimal_lambda`.
        lambda_pooling: edge of the blocks, in voxels of the velocity's lattice, over which the energy is averaged for λ.
        spacing: relative voxel sizes for the energy, see `regularizers.diffusion`.
    """

    def __init__(
        self,
        velocity: Tensor,
        optimal_lambda: Callable[[Tensor], Tensor],
        *,
        lambda_pooling: int = 4,
        spacing: tuple[float, ...] | None = None,
    ) -> None:
        super().__init__()
        self.velocity = nn.Parameter(velocity.clone())
        self.optimal_lambda = optimal_lambda
        self.lambda_pooling = lambda_pooling
        self.spacing = spacing

    @property
    def unknown(self) -> nn.Parameter:
        """What a descent changes."""
        return self.velocity

    def lambda_map(self, field: Tensor) -> Tensor:
        """λ* of a velocity or displacement, on its lattice: closed form at low resolution, upsampled linearly, no gradient."""
        return low_resolution_lambda(field, self.optimal_lambda, pooling=self.lambda_pooling, spacing=self.spacing)

    def keep(self, lambda_map: Tensor) -> None:
        """Nothing is kept: λ follows from the velocity alone."""

    def forward(self) -> Prediction:
        return Prediction(StationaryVelocity(self.velocity), self.lambda_map(self.velocity))


@torch.no_grad()
def low_resolution_lambda(
    u: Tensor,
    optimal_lambda: Callable[[Tensor], Tensor],
    *,
    pooling: int,
    spacing: tuple[float, ...] | None = None,
) -> Tensor:
    """λ* of the energy averaged over about `pooling`³ voxels, interpolated back to u's lattice: (N, 1, *s)."""
    energy = gradient_energy(u.detach(), spacing=spacing)
    shape = tuple(energy.shape[2:])
    blocks = tuple(min(pooling, n) for n in shape)
    pooled = F.avg_pool3d(energy, blocks, ceil_mode=True) if max(blocks) > 1 else energy
    starts = tuple(-(b - 1) / (2 * b) for b in blocks)
    return resample_axes(optimal_lambda(pooled), starts, tuple(1 / b for b in blocks), shape).contiguous()


class Adam:
    """Adam (Kingma and Ba, ICLR 2015) for one tensor, in place.

    PyTorch's own pulls in its compiler at the first import, 2.7 s of a registration that may take two.
    """

    def __init__(self, parameter: Tensor, learning_rate: float, *, betas: tuple[float, float] = (0.9, 0.99)) -> None:
        self.parameter, self.learning_rate, self.betas = parameter, learning_rate, betas
        self.mean = torch.zeros_like(parameter)
        self.square = torch.zeros_like(parameter)
        self.count = 0

    @torch.no_grad()
    def step(self, gradient: Tensor) -> None:
        """parameter ← parameter - rate · m̂ / (√v̂ + ε)."""
        self.count += 1
        first, second = self.betas
        self.mean.mul_(first).add_(gradient, alpha=1 - first)
        self.square.mul_(second).addcmul_(gradient, gradient, value=1 - second)
        scale = (1 - second**self.count) ** 0.5
        denominator = self.square.sqrt().div_(scale).add_(1e-12)
        self.parameter.addcdiv_(self.mean, denominator, value=-self.learning_rate / (1 - first**self.count))
