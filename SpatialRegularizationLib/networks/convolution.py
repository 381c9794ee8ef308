"""Convolution 3³ that keeps the lattice, by oneDNN wherever that is faster.

PyTorch chooses for each CPU convolution between oneDNN and an older kernel; for few input channels, or few voxels (batch 1 and
channels · i · j ≤ 20480), it takes the older one, which is two to eight times slower (16 → 16 channels at 24×32×24 on one core,
with gradients: 47 against 10 ms). The numbers agree to rounding.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

LARGEST_OVERLOOKED = 20480
"""channels · i · j up to which PyTorch does not use oneDNN by itself."""
SMALL_VOXELS = 1 << 18
"""In larger volumes of few channels PyTorch's gradient is the faster one."""
_SAME = [1, 1, 1]


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x (N, C, i, j, k) with a kernel (D, C, 3, 3, 3), zeros outside: (N, D, i, j, k)."""
    if x.device.type == "cpu" and x.dtype == weight.dtype == torch.float32 and _overlooked(x) and _direct():
        return _Convolution.apply(x, weight, bias)
    return F.conv3d(x, weight, bias, padding=1)


def _overlooked(x: Tensor) -> bool:
    """Whether PyTorch takes its older kernel for x."""
    return x.shape[0] == 1 and x.shape[1] * x.shape[2] * x.shape[3] <= LARGEST_OVERLOOKED


def _direct() -> bool:
    """Whether oneDNN may be called by name: it is there, and no autocast has to change the precision first."""
    return torch.backends.mkldnn.is_available() and autocast_type() is None


def autocast_type() -> torch.dtype | None:
    """Type that convolutions on the CPU are to be computed in by autocast; None where it is off."""
    try:
        return torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else None
    except TypeError:  # before PyTorch 2.4 these functions asked about CUDA only
        return torch.get_autocast_cpu_dtype() if torch.is_autocast_cpu_enabled() else None


class _Convolution(torch.autograd.Function):
    """The gradient for x is the convolution with the mirrored kernel."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return torch.mkldnn_convolution(x, weight, bias, _SAME, _SAME, _SAME, 1)

    @staticmethod
    def backward(ctx, grad: Tensor):
        x, weight = ctx.saved_tensors
        wanted = list(ctx.needs_input_grad)
        if x.shape[2:].numel() > SMALL_VOXELS:
            return _gradients(grad, x, weight, wanted)
        grad_x = grad_weight = grad_bias = None
        if wanted[0]:
            mirrored = weight.transpose(0, 1).flip(2, 3, 4)
            grad_x = torch.mkldnn_convolution(grad, mirrored, None, _SAME, _SAME, _SAME, 1)
        if wanted[1]:
            grad_weight = _weight_gradient(grad, x, weight)
        if wanted[2]:
            grad_bias = grad.sum((0, 2, 3, 4))
        return grad_x, grad_weight, grad_bias


def _weight_gradient(grad: Tensor, x: Tensor, weight: Tensor) -> Tensor:
    """In two slabs of planes as a batch of two: for a batch PyTorch does take oneDNN."""
    depth = x.shape[2]
    half = -(-depth // 2)
    x = F.pad(x, (0, 0, 0, 0, 1, 1 + 2 * half - depth))
    grad = F.pad(grad, (0, 0, 0, 0, 0, 2 * half - depth))
    slabs = torch.cat([x[:, :, : half + 2], x[:, :, half:]])
    grads = torch.cat([grad[:, :, :half], grad[:, :, half:]])
    return _gradients(grads, slabs, weight, [False, True, False], padding=0)[1]


def _gradients(grad: Tensor, x: Tensor, weight: Tensor, wanted: list[bool], *, padding: int = 1) -> tuple[Tensor | None, ...]:
    """PyTorch's own gradients for (x, weight, bias); `padding` of the first axis."""
    return torch.ops.aten.convolution_backward(
        grad, x, weight, [weight.shape[0]], _SAME, [padding, 1, 1], _SAME, False, [0, 0, 0], 1, wanted
    )
