"""VoxelMorph's U-Net (Balakrishnan et al., TMI 2019): convolutions with LeakyReLU(0.2), max pooling, nearest upsampling, skips.

The defaults are the filters of that paper; `ENLARGED` are those of the baseline in the TM-SPR journal paper.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .backbone import Backbone, Decoding, Encoding, pooled
from .blocks import full_precision, small_convolution
from .convolution import convolve


@dataclass(frozen=True)
class UNetSettings:
    """Sizes of the U-Net.

    Args:
        encoder: channels at full, 1/2, 1/4 … resolution; the last is the bottleneck.
        decoder: channels after each return to the next finer level, one less than `encoder`.
        final: channels of the last convolutions at full resolution.
        half_field: the field is averaged over 2³ voxels (for a velocity that is integrated at half resolution).
    """

    encoder: tuple[int, ...] = (16, 32, 32, 32, 32)
    decoder: tuple[int, ...] = (32, 32, 32, 32)
    final: tuple[int, ...] = (16, 16)
    half_field: bool = True

    def __post_init__(self) -> None:
        if len(self.encoder) < 3 or len(self.decoder) != len(self.encoder) - 1:
            raise ValueError(
                "The U-Net needs at least three encoder levels and one decoder level less, "
                f"got {len(self.encoder)} and {len(self.decoder)}."
            )
        if min(*self.encoder, *self.decoder, *self.final, 1) < 1:
            raise ValueError(f"Channels must be positive, got {self.encoder}, {self.decoder} and {self.final}.")


ENLARGED = UNetSettings(encoder=(16, 32, 64, 96, 128), decoder=(128, 96, 64, 32), final=())


class UNet(Backbone):
    """The network of this file. Its first half is the encoder, its second the decoder."""

    def __init__(self, settings: UNetSettings) -> None:
        super().__init__()
        self.settings = settings
        levels = len(settings.decoder)
        inputs = (2, *settings.encoder[:-1])
        self.encoder = nn.ModuleList(_Convolution(a, b) for a, b in zip(inputs, settings.encoder, strict=True))
        below = (settings.encoder[-1], *settings.decoder[:-1])
        skips = settings.encoder[-2::-1]
        self.decoder = nn.ModuleList(
            _Convolution(a + skip, b) for a, skip, b in zip(below, skips, settings.decoder, strict=True)
        )
        last = (settings.decoder[-1], *settings.final)
        self.final = nn.ModuleList(_Convolution(a, b) for a, b in zip(last, settings.final, strict=False))
        self.out = small_convolution(last[-1])
        self.factor = 2 if settings.half_field else 1
        self.multiple = 2**levels
        self.smallest = (self.multiple,) * 3
        self._tap = levels - int(settings.half_field)
        widths = (settings.encoder[-1], *settings.decoder)
        self.fine_channels, self.coarse_channels = widths[self._tap], widths[self._tap - 1]

    def encode(self, moving: Tensor, fixed: Tensor, code: Tensor | None = None) -> Encoding:
        x = torch.cat([moving, fixed], dim=1)
        features = []
        for number, conv in enumerate(self.encoder):
            x = self._run(conv, F.max_pool3d(x, 2) if number else x)
            features.append(x)
        return Encoding(moving, fixed, tuple(features))

    def share(self, encoding: Encoding, code: Tensor | None = None) -> Encoding:
        return encoding

    def decode(self, encoding: Encoding, code: Tensor | None = None, *, with_fine: bool = True) -> Decoding:
        *skips, x = encoding.features
        maps = [x]
        for conv, skip in zip(self.decoder, reversed(skips), strict=True):
            x = self._run(conv, torch.cat([F.interpolate(x, scale_factor=2.0, mode="nearest"), skip], dim=1))
            maps.append(x)
        for conv in self.final:
            x = self._run(conv, x)
        field = full_precision(convolve(x, self.out.weight, self.out.bias))
        if self.settings.half_field:
            field = pooled(field, 2) / 2  # half as many voxels
        return Decoding(field, maps[self._tap] if with_fine else None, maps[self._tap - 1])


class _Convolution(nn.Sequential):
    """Convolution 3³ with bias → LeakyReLU(0.2)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(nn.Conv3d(inputs, outputs, 3, padding=1), nn.LeakyReLU(0.2, inplace=True))

    def forward(self, x: Tensor) -> Tensor:
        return self[1](convolve(x, self[0].weight, self[0].bias))
