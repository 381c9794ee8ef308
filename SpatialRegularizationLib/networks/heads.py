"""The weight head: feature maps → relative weight w(p) = λ/λmax (TM-SPR journal paper, Sec. 3.5; conference paper, Fig. 2).

Three convolutions and a range. It is attached to any backbone: TM-SPR is a head and an objective, not one network.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .blocks import BlockOrder, ConvBlock, double, full_precision
from .convolution import convolve
from .norms import Conditioning, NormKind


class Tap(Enum):
    """Which feature map the head reads: half of the field's resolution (paper: a quarter of the image's) or the field's own."""

    COARSE = "coarse"
    FINE = "fine"


class WeightRange(Enum):
    """SIGMOID: w in [floor, 1], for the beta prior. SOFTPLUS: w ≥ 0 without upper limit, for the Gaussian prior."""

    SIGMOID = "sigmoid"
    SOFTPLUS = "softplus"


@dataclass(frozen=True)
class HeadSettings:
    """Form of the head.

    Args:
        tap: see `Tap`.
        width: channels of the two inner convolutions; None: those of the map that is read.
        range: see `WeightRange`.
        upsample_logits: interpolate to the image's lattice before the sigmoid (released networks A and B, fine tap) instead
            of interpolating the weight.
        floor: smallest w of the sigmoid.
        norm: of the inner convolutions.
        order: of norm and activation.
    """

    tap: Tap = Tap.COARSE
    width: int | None = None
    range: WeightRange = WeightRange.SIGMOID
    upsample_logits: bool = False
    floor: float = 1e-6
    norm: NormKind = NormKind.INSTANCE
    order: BlockOrder = BlockOrder.NORM_FIRST

    def __post_init__(self) -> None:
        if not 0 <= self.floor < 1:
            raise ValueError(f"The floor of the relative weight must lie in [0, 1), got {self.floor}.")
        if self.upsample_logits and self.tap is not Tap.FINE:
            raise ValueError("upsample_logits belongs to the fine tap; choose tap fine, or leave upsample_logits off.")

    @property
    def reads_fine(self) -> bool:
        """Whether the map on the field's own lattice is read."""
        return self.tap is Tap.FINE


class WeightHead(nn.Module):
    """Feature map (N, C, *t) → w (N, 1, ...) on the field's lattice, or with `upsample_logits` on the image's (twice as fine).

    Args:
        channels: C of the map that is read.
        settings: form.
        conditioning: conditional instance norms.
    """

    def __init__(self, channels: int, settings: HeadSettings, conditioning: Conditioning | None = None) -> None:
        super().__init__()
        self.settings = settings
        width = settings.width or channels
        self.conv1 = ConvBlock(channels, width, kind=settings.norm, order=settings.order, conditioning=conditioning)
        self.conv2 = ConvBlock(width, width, kind=settings.norm, order=settings.order, conditioning=conditioning)
        self.out = nn.Conv3d(width, 1, 3, padding=1)

    def forward(self, features: Tensor, code: Tensor | None = None) -> Tensor:
        logits = full_precision(convolve(self.conv2(self.conv1(features, code), code), self.out.weight, self.out.bias))
        if self.settings.upsample_logits:
            return self._ranged(double(logits))
        w = self._ranged(logits)
        return double(w) if self.settings.tap is Tap.COARSE else w

    def _ranged(self, logits: Tensor) -> Tensor:
        if self.settings.range is WeightRange.SOFTPLUS:
            return F.softplus(logits + math.log(math.e - 1))  # a head that says 0 gives w = 1, the prior's mean
        return torch.sigmoid(logits).clamp(self.settings.floor, 1.0)
