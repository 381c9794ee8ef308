"""Three-level Swin transformer of a pair of volumes (Liu et al., ICCV 2021, in 3-D; TransMorph, MedIA 2022; TM-SPR Sec. 3.1).

Tokens are kept channels last, (N, i, j, k, C). Attention acts inside windows; every second block shifts the windows by half.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .norms import Conditioning, layer_norm, normalize

FORBIDDEN = -100.0
"""Added to the attention between tokens that only the cyclic shift made neighbors."""


@dataclass(frozen=True)
class SwinSettings:
    """Sizes of the encoder.

    Args:
        channels: C of the first level; doubled at each merging.
        patch: edge of a patch in voxels.
        depths, heads: blocks and attention heads of each level.
        window: tokens along each axis; the image's size / (pool · patch · 4) covers the coarsest level.
        mlp_ratio: hidden width of the perceptrons in units of the channels.
        drop_path: stochastic depth of the last block, rising linearly from 0.
        shift_thin_windows: shift along the other axes also where an axis of the window has one token only
            (released networks: no shift at all then).
        conditioning: conditional layer norms.
    """

    channels: int
    patch: int
    depths: tuple[int, ...]
    heads: tuple[int, ...]
    window: tuple[int, int, int]
    mlp_ratio: int = 4
    drop_path: float = 0.3
    shift_thin_windows: bool = True
    conditioning: Conditioning | None = None


class SwinEncoder(nn.Module):
    """(N, 2, *s) → features (N, C·2^l, *s / (patch·2^l)) of each level l; s must be a multiple of patch·2^(levels - 1)."""

    def __init__(self, settings: SwinSettings) -> None:
        super().__init__()
        paper = None if settings.conditioning is None or settings.conditioning.released else settings.conditioning
        code = 0 if paper is None else paper.width
        self.embedding = nn.Conv3d(2, settings.channels, settings.patch, stride=settings.patch)
        self.embedding_norm = layer_norm(settings.channels, paper, code)
        count = sum(settings.depths)
        rates = [settings.drop_path * block / max(1, count - 1) for block in range(count)]
        starts = list(itertools.accumulate(settings.depths, initial=0))
        widths = [settings.channels * 2**level for level in range(len(settings.depths))]
        self.levels = nn.ModuleList(
            _Level(width, level, rates[starts[level] : starts[level + 1]], settings) for level, width in enumerate(widths)
        )
        self.output_norms = nn.ModuleList(layer_norm(width, paper, code) for width in widths)

    def forward(self, pair: Tensor, code: Tensor | None = None) -> list[Tensor]:
        tokens = self.embedding(pair).movedim(1, -1)
        tokens = normalize(self.embedding_norm, tokens, code)
        features = []
        for level, norm in zip(self.levels, self.output_norms, strict=True):
            tokens, following = level(tokens, code)
            features.append(normalize(norm, tokens, code).movedim(-1, 1).contiguous())
            tokens = following
        return features


class _Level(nn.Module):
    """Blocks of one resolution, then (except at the last) patch merging."""

    def __init__(self, channels: int, level: int, rates: list[float], settings: SwinSettings) -> None:
        super().__init__()
        self.window = settings.window
        shift = tuple(w // 2 for w in settings.window)
        self.shift = shift if settings.shift_thin_windows or min(shift) > 0 else (0, 0, 0)
        self.blocks = nn.ModuleList(_Block(channels, settings.heads[level], rate, settings) for rate in rates)
        self.merging = None if level + 1 == len(settings.depths) else _Merging(channels, settings.conditioning)
        self.register_buffer("relative_position", relative_position(settings.window), persistent=False)

    def forward(self, tokens: Tensor, code: Tensor | None) -> tuple[Tensor, Tensor]:
        """(tokens of this level, merged tokens for the next; at the last level the same)."""
        padded = tuple(-(-n // w) * w for n, w in zip(tokens.shape[1:4], self.window, strict=True))
        mask = _shift_mask(padded, self.window, self.shift, tokens) if max(self.shift) > 0 else None
        for number, block in enumerate(self.blocks):
            shift = self.shift if number % 2 else (0, 0, 0)
            tokens = block(tokens, code, (shift, mask if max(shift) > 0 else None, self.relative_position))
        return tokens, tokens if self.merging is None else self.merging(tokens, code)


class _Block(nn.Module):
    """x ← x + attention(norm(x));  x ← x + mlp(norm(x))."""

    def __init__(self, channels: int, heads: int, rate: float, settings: SwinSettings) -> None:
        super().__init__()
        conditioning = settings.conditioning
        width = 0 if conditioning is None else conditioning.code_width(channels)
        self.mapping = None if conditioning is None else conditioning.block_mapping(channels)
        self.norm1 = layer_norm(channels, conditioning, width)
        self.attention = _WindowAttention(channels, heads, settings.window)
        self.norm2 = layer_norm(channels, conditioning, width)
        hidden = channels * settings.mlp_ratio
        self.mlp = nn.Sequential(nn.Linear(channels, hidden), nn.GELU(), nn.Linear(hidden, channels))
        self.rate = rate

    def forward(self, x: Tensor, code: Tensor | None, windows: tuple) -> Tensor:
        code = code if self.mapping is None or code is None else self.mapping(code)
        x = x + self._dropped(self.attention(normalize(self.norm1, x, code), *windows))
        return x + self._dropped(self.mlp(normalize(self.norm2, x, code)))

    def _dropped(self, branch: Tensor) -> Tensor:
        """Stochastic depth: the whole branch of a sample is left out with probability `rate` while training."""
        if not self.training or self.rate == 0:
            return branch
        keep = 1 - self.rate
        return branch * branch.new_empty(branch.shape[0], 1, 1, 1, 1).bernoulli_(keep).div_(keep)


class _WindowAttention(nn.Module):
    """Multi-head self-attention inside windows, with a learned bias per relative position."""

    def __init__(self, channels: int, heads: int, window: tuple[int, int, int]) -> None:
        super().__init__()
        self.heads = heads
        self.window = window
        rows = 1
        for w in window:
            rows *= 2 * w - 1
        self.position_bias = nn.Parameter(torch.zeros(rows, heads))
        nn.init.trunc_normal_(self.position_bias, std=0.02)
        self.qkv = nn.Linear(channels, 3 * channels, bias=False)
        self.projection = nn.Linear(channels, channels)

    def forward(self, x: Tensor, shift: tuple[int, ...], mask: Tensor | None, relative_position: Tensor) -> Tensor:
        size = x.shape[1:4]
        excess = [-(-n // w) * w - n for n, w in zip(size, self.window, strict=True)]
        if any(excess):
            x = F.pad(x, (0, 0, 0, excess[2], 0, excess[1], 0, excess[0]))
        padded = x.shape
        if max(shift) > 0:
            x = torch.roll(x, [-s for s in shift], (1, 2, 3))
        tokens = self._attend(_windows(x, self.window), mask, relative_position)
        x = _from_windows(tokens, self.window, padded)
        if max(shift) > 0:
            x = torch.roll(x, shift, (1, 2, 3))
        return x[:, : size[0], : size[1], : size[2]]

    def _attend(self, tokens: Tensor, mask: Tensor | None, relative_position: Tensor) -> Tensor:
        """tokens (windows, n, C) → the same shape."""
        count, n, channels = tokens.shape
        query, key, value = self.qkv(tokens).view(count, n, 3, self.heads, channels // self.heads).permute(2, 0, 3, 1, 4)
        bias = self.position_bias[relative_position.flatten()].view(n, n, self.heads).permute(2, 0, 1)[None]
        if mask is not None:
            bias = (bias + mask[:, None]).repeat(count // mask.shape[0], 1, 1, 1)
        bias = bias.to(query.dtype)
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        return self.projection(attended.transpose(1, 2).reshape(count, n, channels))


class _Merging(nn.Module):
    """2×2×2 neighbors side by side (8C), norm, linear to 2C."""

    OFFSETS = ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (0, 1, 1), (1, 0, 1), (1, 1, 1))

    def __init__(self, channels: int, conditioning: Conditioning | None) -> None:
        super().__init__()
        width = 0 if conditioning is None else conditioning.code_width(8 * channels)
        self.mapping = None if conditioning is None else conditioning.block_mapping(8 * channels)
        self.norm = layer_norm(8 * channels, conditioning, width)
        self.reduction = nn.Linear(8 * channels, 2 * channels, bias=False)

    def forward(self, x: Tensor, code: Tensor | None) -> Tensor:
        code = code if self.mapping is None or code is None else self.mapping(code)
        x = torch.cat([x[:, i::2, j::2, k::2] for i, j, k in self.OFFSETS], dim=-1)
        return self.reduction(normalize(self.norm, x, code))


def _windows(x: Tensor, window: tuple[int, int, int]) -> Tensor:
    """(N, i, j, k, C) → (N · windows, tokens of a window, C)."""
    n, i, j, k, c = x.shape
    a, b, d = window
    x = x.view(n, i // a, a, j // b, b, k // d, d, c).permute(0, 1, 3, 5, 2, 4, 6, 7)
    return x.reshape(-1, a * b * d, c)


def _from_windows(tokens: Tensor, window: tuple[int, int, int], shape: torch.Size) -> Tensor:
    n, i, j, k, c = shape
    a, b, d = window
    x = tokens.view(n, i // a, j // b, k // d, a, b, d, c).permute(0, 1, 4, 2, 5, 3, 6, 7)
    return x.reshape(n, i, j, k, c)


def relative_position(window: tuple[int, int, int]) -> Tensor:
    """Row of the bias table for each ordered pair of tokens of a window: (n, n)."""
    axes = torch.meshgrid(*[torch.arange(w) for w in window], indexing="ij")
    position = torch.stack(axes).flatten(1)
    difference = position[:, :, None] - position[:, None, :]
    index = torch.zeros_like(difference[0])
    for axis, w in enumerate(window):
        index = index * (2 * w - 1) + difference[axis] + w - 1
    return index


def _shift_mask(
    size: tuple[int, ...], window: tuple[int, int, int], shift: tuple[int, ...], like: Tensor
) -> Tensor:
    """(windows, n, n): 0 between tokens that were neighbors before the cyclic shift, `FORBIDDEN` otherwise."""
    region = torch.zeros(1, *size, 1)
    for axis, (n, w, s) in enumerate(zip(size, window, shift, strict=True)):
        part = torch.zeros(n)
        if s > 0:
            part[n - w : n - s] = 1
            part[n - s :] = 2
        region = region * 3 + part.view([-1 if a == axis + 1 else 1 for a in range(5)])
    region = _windows(region, window)[..., 0]
    return ((region[:, None, :] != region[:, :, None]) * FORBIDDEN).to(device=like.device, dtype=like.dtype)
