"""The direct way to oneDNN gives the numbers and gradients of PyTorch's convolution."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from SpatialRegularizationLib.networks.convolution import convolve


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(2, 2, 6, 7, 8), (1, 2, 6, 7, 8), (1, 2, 7, 5, 4), (1, 2, 1, 5, 4), (1, 2, 65, 65, 65)])
def test_numbers_and_gradients_are_those_of_pytorch(shape: tuple[int, ...], bias: bool, dtype: torch.dtype) -> None:
    x = torch.rand(shape, dtype=dtype, requires_grad=True)
    weight = torch.randn(12, 3, 3, 3, 3, dtype=dtype, requires_grad=True)
    b = torch.randn(12, dtype=dtype, requires_grad=True) if bias else None
    part = weight[:, 1:]  # not contiguous, as in the time loop
    ours, theirs = convolve(x, part, b), F.conv3d(x, part, b, padding=1)
    assert ours.dtype == dtype
    assert torch.allclose(ours, theirs, atol=1e-5)
    leaves = [x, weight] + ([b] if bias else [])
    weights = torch.randn_like(ours)
    gradients = [torch.autograd.grad((y * weights).sum(), leaves) for y in (ours, theirs)]
    for g, h in zip(*gradients, strict=True):
        assert float((g - h).abs().max()) < 1e-4 * float(h.abs().max())


def test_autocast_decides_the_precision() -> None:
    x, weight = torch.rand(1, 2, 4, 5, 6), torch.randn(3, 2, 3, 3, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert convolve(x, weight).dtype == torch.bfloat16
    assert convolve(x, weight).dtype == torch.float32
