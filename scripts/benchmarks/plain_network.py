"""TM-SPR's forward pass and loss as they are usually written: the form that the restructured network is compared with.

The parameters are those of one of our models; only the arithmetic is arranged as in the papers' figures and the released
networks: upsampling and concatenation in every time step, attention with explicit matrices, one `grid_sample` call per warp
over a stored identity grid, scaling and squaring by autograd, interpolation of the integrated field, local correlation by
five convolutions with ones.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from SpatialRegularizationLib.models.tm_spr import TmSpr
from SpatialRegularizationLib.networks.blocks import ConvBlock, UpBlock, full_precision
from SpatialRegularizationLib.networks.swin import _Block, _from_windows, _shift_mask, _windows
from SpatialRegularizationLib.networks.transmorph_tvf import Composition, TransMorphTvf


class PlainTmSpr(torch.nn.Module):
    """(moving, fixed) → (u on the image's lattice, relative weight on it), like dialect B but for the norms of its settings.

    Args:
        model: TM-SPR with the fine tap; its zero-padded, centered warp is what this form computes.
    """

    def __init__(self, model: TmSpr, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("half_grid", _identity(tuple(n // 2 for n in shape)))
        self.register_buffer("grid", _identity(shape))

    def forward(self, moving: Tensor, fixed: Tensor, *, with_lambda: bool = True) -> tuple[Tensor, Tensor | None]:
        network = self.model.network
        moving, fixed = F.avg_pool3d(moving, 2), F.avg_pool3d(fixed, 2)
        phi, total = self._loop(network, moving, fixed)
        w = self._weight(total) if with_lambda else None
        u = phi / 2**self.model.integration_steps
        for _ in range(self.model.integration_steps):
            u = u + self.warp(u, u)
        u = u.clamp(-100, 100)
        return F.interpolate(u, scale_factor=2.0, mode="trilinear", align_corners=False) * 2, w

    def _loop(self, network: TransMorphTvf, moving: Tensor, fixed: Tensor) -> tuple[Tensor, Tensor]:
        pair = torch.cat([moving, fixed], dim=1)
        fine, middle, x = _encoded(network, pair)
        skips = [middle, fine, _block(network.skip, F.avg_pool3d(pair, 3, stride=2, padding=1))]
        for up, skip in zip(network.up, skips, strict=True):
            x = _up(up, x, skip)
        phi, total, moved = 0, 0, moving
        for step in network.steps:
            s = _block(step.pair, torch.cat([moved, fixed], dim=1))
            features = _up(step.up, x, s)
            increment = full_precision(step.out(features))
            if network.settings.composition is Composition.SELF_WARPED:
                phi = phi + self.warp(increment, increment)
            else:
                phi = increment if isinstance(phi, int) else phi + self.warp(increment, phi)
            moved = self.warp(moving, phi)
            total = total + features
        return phi, total

    def _weight(self, features: Tensor) -> Tensor:
        head = self.model.head
        logits = full_precision(head.out(_block(head.conv2, _block(head.conv1, features))))
        logits = F.interpolate(logits, scale_factor=2.0, mode="trilinear", align_corners=False)
        return torch.sigmoid(logits).clamp(1e-6, 1)

    def warp(self, image: Tensor, u: Tensor) -> Tensor:
        """image∘(id + u), zeros outside."""
        position = (self.grid if u.shape[2:] == self.grid.shape[2:] else self.half_grid) + u
        normalized = [2 * (position[:, a] / (n - 1) - 0.5) for a, n in enumerate(u.shape[2:])]
        return F.grid_sample(image, torch.stack(normalized[::-1], dim=-1), align_corners=True, padding_mode="zeros")


def _identity(shape: tuple[int, ...]) -> Tensor:
    return torch.stack(torch.meshgrid(*[torch.arange(float(n)) for n in shape], indexing="ij"))[None]


def _block(block: ConvBlock, x: Tensor) -> Tensor:
    return F.leaky_relu(block.norm(block.conv(x)), 0.01, inplace=True)


def _up(block: UpBlock, x: Tensor, skip: Tensor) -> Tensor:
    x = F.interpolate(x, scale_factor=2.0, mode="trilinear", align_corners=False)
    return _block(block.conv2, _block(block.conv1, torch.cat([x, skip], dim=1)))


def _encoded(network: TransMorphTvf, pair: Tensor) -> list[Tensor]:
    encoder = network.encoder
    tokens = encoder.embedding_norm(encoder.embedding(pair).movedim(1, -1))
    features = []
    for level, norm in zip(encoder.levels, encoder.output_norms, strict=True):
        for number, block in enumerate(level.blocks):
            tokens = _attention_block(block, tokens, level, number)
        features.append(norm(tokens).movedim(-1, 1).contiguous())
        if level.merging is not None:
            tokens = level.merging(tokens, None)
    return features


def _attention_block(block: _Block, x: Tensor, level: torch.nn.Module, number: int) -> Tensor:
    attention, window, shift = block.attention, level.window, level.shift if number % 2 else (0, 0, 0)
    mask = _shift_mask(x.shape[1:4], window, shift, x) if max(shift) else None
    normed = block.norm1(x)
    rolled = torch.roll(normed, [-s for s in shift], (1, 2, 3)) if max(shift) else normed
    tokens = _windows(rolled, window)
    count, n, channels = tokens.shape
    heads = attention.heads
    query, key, value = attention.qkv(tokens).view(count, n, 3, heads, channels // heads).permute(2, 0, 3, 1, 4)
    scores = (query * (channels // heads) ** -0.5) @ key.transpose(-2, -1)
    scores = scores + attention.position_bias[level.relative_position.flatten()].view(n, n, heads).permute(2, 0, 1)[None]
    if mask is not None:
        scores = (scores.view(-1, mask.shape[0], heads, n, n) + mask[None, :, None]).view(count, heads, n, n)
    attended = (scores.softmax(-1) @ value).transpose(1, 2).reshape(count, n, channels)
    back = _from_windows(attention.projection(attended), window, normed.shape)
    x = x + block._dropped(torch.roll(back, shift, (1, 2, 3)) if max(shift) else back)
    return x + block._dropped(block.mlp(block.norm2(x)))
