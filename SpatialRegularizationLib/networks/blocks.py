"""Convolution blocks of the networks: convolution, norm, activation; and the upsampling block of the decoders."""

from __future__ import annotations

from enum import Enum

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .convolution import convolve
from .norms import Conditioning, NormKind, normalize, normalize_in_place, volume_norm


class BlockOrder(Enum):
    """What follows the convolution first: the norm, or the activation (released hypernetworks)."""

    NORM_FIRST = "norm-first"
    ACTIVATION_FIRST = "activation-first"


class ConvBlock(nn.Module):
    """Convolution 3³ without bias → norm → LeakyReLU(0.01).

    `finish` is the part after the convolution, for callers that compute the convolution itself in another way. The norm is
    always called as a module: what steers the channels from outside (FiLM) acts on its output.

    Args:
        inputs, outputs: channels.
        kind: norm where no conditioning is given.
        order: of norm and activation.
        conditioning: conditional instance norm instead; the block owns the mapping of the released form.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        kind: NormKind = NormKind.INSTANCE,
        order: BlockOrder = BlockOrder.NORM_FIRST,
        conditioning: Conditioning | None = None,
    ) -> None:
        super().__init__()
        self.order = order
        self.conv = nn.Conv3d(inputs, outputs, 3, padding=1, bias=False)
        self.norm = volume_norm(outputs, kind, conditioning)
        self.mapping = None if conditioning is None else conditioning.block_mapping(outputs)
        self.activation = nn.LeakyReLU(0.01, inplace=True)

    def forward(self, x: Tensor, code: Tensor | None = None) -> Tensor:
        return self.finish(convolve(x, self.conv.weight, self.conv.bias), code)

    def finish(self, y: Tensor, code: Tensor | None = None) -> Tensor:
        """Norm and activation of a convolution's result, which may be written over."""
        code = code if self.mapping is None or code is None else self.mapping(code)
        if self.order is BlockOrder.ACTIVATION_FIRST:
            return normalize(self.norm, F.leaky_relu(y, self.activation.negative_slope), code)  # y may be kept by the caller
        return self.activation(y if normalize_in_place(self.norm, y) else normalize(self.norm, y, code))


class UpBlock(nn.Module):
    """Trilinear ×2 → concatenation with a skip → two convolution blocks.

    Args:
        inputs: channels to upsample. skips: channels of the skip. outputs: channels of the result.
        kind, order, conditioning: as in `ConvBlock`.
    """

    def __init__(
        self,
        inputs: int,
        skips: int,
        outputs: int,
        *,
        kind: NormKind = NormKind.INSTANCE,
        order: BlockOrder = BlockOrder.NORM_FIRST,
        conditioning: Conditioning | None = None,
    ) -> None:
        super().__init__()
        self.conv1 = ConvBlock(inputs + skips, outputs, kind=kind, order=order, conditioning=conditioning)
        self.conv2 = ConvBlock(outputs, outputs, kind=kind, order=order, conditioning=conditioning)

    def forward(self, x: Tensor, skip: Tensor, code: Tensor | None = None) -> Tensor:
        return self.conv2(self.conv1(torch.cat([double(x), skip], dim=1), code), code)


def double(x: Tensor) -> Tensor:
    """Twice the lattice by linear interpolation between voxel centers: old voxel h lies at new index 2h + 1/2."""
    return F.interpolate(x, scale_factor=2.0, mode="trilinear", align_corners=False)


def full_precision(x: Tensor) -> Tensor:
    """x in float32 where it has 16 bits (fields, positions and λ are never kept in 16 bits); otherwise x."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


def small_convolution(inputs: int, outputs: int = 3, *, deviation: float = 1e-5) -> nn.Conv3d:
    """Convolution 3³ with bias that starts near zero: parameters ~ N(0, deviation), bias 0 (registration heads)."""
    conv = nn.Conv3d(inputs, outputs, 3, padding=1)
    nn.init.normal_(conv.weight, std=deviation)
    nn.init.zeros_(conv.bias)
    return conv
