"""Normalization layers, plain or steered by a condition (conditional layer and instance norm, TM-SPR conference paper, Eq. 6).

    h′ = γ (h - μ)/σ + β,      (γ, β) = linear(code),      code = mapping(condition)

The mapping is a small perceptron of the condition, e.g. of the hyperparameter η.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import torch
from torch import Tensor, nn


class NormKind(Enum):
    """Norm of convolution blocks: instance norm without parameters, with scale and shift per channel, or batch norm."""

    INSTANCE = "instance"
    AFFINE = "affine"
    BATCH = "batch"


class ConditionalForm(Enum):
    """PAPER: one mapping of width 64 for all norms, γ times the plain norm. RELEASED: a mapping per block, as wide as its
    channels, (1 + γ) times the affine norm, only where the released network has it (not in the decoder)."""

    PAPER = "paper"
    RELEASED = "released"


@dataclass(frozen=True)
class Conditioning:
    """Conditional norms on H hyperparameters.

    Args:
        size: H, entries of the condition, ≥ 1.
        form: see `ConditionalForm`.
        width: width of the paper form's mapping.
    """

    size: int = 1
    form: ConditionalForm = ConditionalForm.PAPER
    width: int = 64

    def __post_init__(self) -> None:
        if self.size < 1 or self.width < 1:
            raise ValueError(f"Conditioning needs a size and a width of at least 1, got {self.size} and {self.width}.")

    @property
    def released(self) -> bool:
        """Whether this is the released form."""
        return self.form is ConditionalForm.RELEASED

    def code_width(self, channels: int) -> int:
        """Entries of the code that a norm in a block of so many channels is given."""
        return channels if self.released else self.width

    def root_mapping(self) -> nn.Module:
        """condition → what the blocks are given: the code (paper), or the condition itself (released)."""
        return nn.Identity() if self.released else _mapping(self.size, self.width)

    def block_mapping(self, channels: int) -> nn.Module:
        """What a block is given → the code of its norms."""
        return _mapping(self.size, channels) if self.released else nn.Identity()


def _mapping(inputs: int, width: int) -> nn.Sequential:
    """Four linear layers, each followed by LeakyReLU(0.2)."""
    layers: list[nn.Module] = []
    for size in (inputs, width, width, width):
        layers += [nn.Linear(size, width), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers)


class ConditionalNorm(nn.Module):
    """Scale and shift from a code, on top of a plain norm.

    Args:
        norm: the plain norm.
        channels: of its input; the last axis for `channels_last`, else the second.
        conditioning: form and widths.
        code_width: entries of the code.
    """

    def __init__(self, norm: nn.Module, channels: int, conditioning: Conditioning, code_width: int, *, channels_last: bool):
        super().__init__()
        self.norm = norm
        self.style = nn.Linear(code_width, 2 * channels)
        self.offset = 1.0 if conditioning.released else 0.0
        self.channels_last = channels_last
        with torch.no_grad():
            self.style.bias[:channels] = 1
            self.style.bias[channels:] = 0

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        gamma, beta = self.style(code).chunk(2, dim=1)
        spatial = [1] * (x.dim() - 2)
        shape = (gamma.shape[0], *spatial, gamma.shape[1]) if self.channels_last else (*gamma.shape, *spatial)
        return (gamma + self.offset).view(shape) * self.norm(x) + beta.view(shape)


def layer_norm(channels: int, conditioning: Conditioning | None, code_width: int = 0) -> nn.Module:
    """Layer norm over the last axis (eps 1e-5), conditional where a conditioning is given."""
    if conditioning is None:
        return nn.LayerNorm(channels)
    plain = nn.LayerNorm(channels, elementwise_affine=conditioning.released)
    return ConditionalNorm(plain, channels, conditioning, code_width, channels_last=True)


def volume_norm(channels: int, kind: NormKind, conditioning: Conditioning | None) -> nn.Module:
    """Norm of (N, C, i, j, k): of the kind asked for, or conditional instance norm where a conditioning is given."""
    if conditioning is not None:
        plain = nn.InstanceNorm3d(channels)
        return ConditionalNorm(plain, channels, conditioning, conditioning.code_width(channels), channels_last=False)
    return nn.BatchNorm3d(channels) if kind is NormKind.BATCH else nn.InstanceNorm3d(channels, affine=kind is NormKind.AFFINE)


def normalize_in_place(norm: nn.Module, y: Tensor) -> bool:
    """norm(y) written over y, where that is possible: plain norms, no gradient wanted. Returns whether it was done.

    For volumes a result of its own costs more than the arithmetic: memory that is fresh from the system is slow.
    """
    if torch.is_grad_enabled() or y.device.type != "cpu" or not y.is_contiguous():
        return False
    if isinstance(norm, nn.InstanceNorm3d) and not norm.track_running_stats:
        weight, bias = (None if p is None else p.repeat(y.shape[0]) for p in (norm.weight, norm.bias))
        _over_itself(y.view(1, -1, *y.shape[2:]), weight, bias, None, norm.eps)
        return True
    if isinstance(norm, nn.BatchNorm3d) and not norm.training:
        _over_itself(y, norm.weight, norm.bias, (norm.running_mean, norm.running_var), norm.eps)
        return True
    return False


def _over_itself(
    y: Tensor, weight: Tensor | None, bias: Tensor | None, statistics: tuple[Tensor, Tensor] | None, eps: float
) -> None:
    mean, variance = statistics or (None, None)
    kind = y.dtype if weight is None else weight.dtype
    kept = [y.new_empty(0, dtype=kind) for _ in range(2)]
    torch.ops.aten.native_batch_norm.out(
        y, weight, bias, mean, variance, statistics is None, 0.0, eps, out=y, save_mean=kept[0], save_invstd=kept[1]
    )


def normalize(norm: nn.Module, x: Tensor, code: Tensor | None) -> Tensor:
    """norm(x), with the code where the norm is conditional."""
    if isinstance(norm, ConditionalNorm):
        if code is None:
            raise ValueError("This network has conditional norms and needs a condition (1, H), got none.")
        return norm(x, code)
    return norm(x)
