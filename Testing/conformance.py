"""What every similarity, regularizer and prior has to satisfy. A new one enters all checks by one line in its tuple.

Similarity   (warped, fixed, mask=None) → scalar, lower is more alike
Regularizer  (u, lambda_map) → scalar ≥ 0, linear in lambda_map
Prior        (lambda_map) → scalar, with optimal_lambda(energy) its closed-form minimiser
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from SpatialRegularizationLib import priors
from SpatialRegularizationLib import similarity as similarities
from SpatialRegularizationLib.priors.beta import BetaPrior
from SpatialRegularizationLib.priors.gaussian import GaussianPrior
from SpatialRegularizationLib.regularizers.diffusion import WeightedDiffusion, WeightEnd
from SpatialRegularizationLib.similarity.lncc import Lncc

SIMILARITIES = (*(similarity() for similarity in similarities.SIMILARITIES), Lncc(3))
REGULARIZERS = (
    WeightedDiffusion(),
    WeightedDiffusion(WeightEnd.FAR),
    WeightedDiffusion(spacing=(1.0, 1.5, 3.0)),
)
PRIORS = (*(prior() for prior in priors.PRIORS), BetaPrior(2.0, 0.5, lambda_floor=0.1), GaussianPrior(0.5, 0.2))


def textures(shape: tuple[int, ...], *, count: int = 2, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    """Smooth random images (1, 1, *shape) in [0, 1], the same at every call."""
    generator = torch.Generator().manual_seed(7)
    pool = {2: torch.nn.functional.avg_pool2d, 3: torch.nn.functional.avg_pool3d}[len(shape)]
    images = []
    for _ in range(count):
        noise = torch.rand(1, 1, *shape, generator=generator, dtype=torch.float64)
        images.append((0.5 * noise + 0.5 * pool(noise, 3, 1, 1)).to(dtype))
    return images


def displacement(shape: tuple[int, ...], *, dtype: torch.dtype = torch.float64) -> Tensor:
    """Random u (1, d, *shape), |u| around half a voxel."""
    generator = torch.Generator().manual_seed(8)
    return (0.5 * torch.randn(1, len(shape), *shape, generator=generator, dtype=torch.float64)).to(dtype)


def weights(shape: tuple[int, ...], *, dtype: torch.dtype = torch.float64) -> Tensor:
    """Random λ (1, 1, *shape) in (0.05, 0.45): inside the range of every prior in PRIORS."""
    generator = torch.Generator().manual_seed(9)
    return (0.05 + 0.4 * torch.rand(1, 1, *shape, generator=generator, dtype=torch.float64)).to(dtype)


def check_scalar(function: Callable[..., Tensor], inputs: list[Tensor]) -> None:
    """One finite number, in the dtype and on the device of the inputs; the inputs stay as they were."""
    before = [x.clone() for x in inputs]
    value = function(*inputs)
    assert value.shape == ()
    assert value.device == inputs[0].device
    assert value.dtype == inputs[0].dtype
    assert torch.isfinite(value)
    for x, y in zip(inputs, before, strict=True):
        assert torch.equal(x, y), "an input was changed"


def check_gradient(function: Callable[..., Tensor], inputs: list[Tensor]) -> None:
    """Gradients of all float64 inputs agree with central differences along random directions."""
    leaves = [x.detach().clone().requires_grad_(True) for x in inputs]
    assert torch.autograd.gradcheck(function, leaves, eps=1e-6, atol=1e-5, rtol=1e-4, fast_mode=True)


def check_single_precision(function: Callable[..., Tensor], inputs: list[Tensor], *, rtol: float = 1e-4) -> None:
    """float32 gives the float64 value."""
    double = function(*inputs)
    single = function(*[x.float() for x in inputs])
    torch.testing.assert_close(single.double(), double, rtol=rtol, atol=1e-6)


def check_refuses(function: Callable[..., Tensor], inputs: list[Tensor], message: str) -> None:
    """A ValueError whose sentence matches `message`."""
    with pytest.raises(ValueError, match=message):
        function(*inputs)


def check_closed_form(prior: Callable[[Tensor], Tensor], energy: Tensor) -> None:
    """`optimal_lambda` minimises mean(λ g) - log p(λ) within its own range: no step up or down from it is better."""
    best = prior.optimal_lambda(energy)
    assert best.shape == energy.shape
    assert float(best.min()) >= 0

    def total(lambda_map: Tensor) -> Tensor:
        return (lambda_map * energy).mean() + prior(lambda_map)

    for factor in (0.8, 0.99, 1.01, 1.2):
        moved = (best * factor).clamp(float(best.min()), float(best.max()))
        assert total(moved) >= total(best) - 1e-12
