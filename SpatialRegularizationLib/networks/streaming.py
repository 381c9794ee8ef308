"""One time step of TransMorph-TVF by slabs of planes, for prediction on the CPU: the same numbers, less memory and time.

Maps of 48 channels on half of a brain's lattice take 165 MB; to obtain such memory fresh from the system costs more than the
convolution that fills it. Here only maps of a few channels exist as a whole. The wide ones are made a few planes at a time,
while they are needed, in a buffer that stays in the cache:

    s = activation(norm(conv(pair)))      its mean and variance in a first pass, itself in a second (the norm folded into
                                          the kernel); never stored
    a = conv([upsampled, s])              stored, with its moments
    b = conv(activation(norm(a)))         stored, with its moments
    δ = conv(activation(norm(b)))

An instance norm needs the moments of the whole map; they are summed up slab by slab.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .blocks import BlockOrder, ConvBlock
from .convolution import autocast_type

SLAB_BYTES = 24_000_000
"""Size of the widest buffer: below 32 MB the allocator uses memory again, and it fits the cache of larger processors."""

Producer = Callable[[int, int, Tensor], None]
"""(first plane, plane after the last, target (1, C, planes, j, k)): fills the target."""


def streamable(blocks: list[ConvBlock], image: Tensor) -> bool:
    """Whether steps of these blocks can be streamed (one pair on the CPU, no gradient, plain norms) and gain by it.

    A map that fits into one slab is made as quickly at once.
    """
    widest = max(block.conv.in_channels for block in blocks) * image.numel()
    return (
        widest * (autocast_type() or torch.float32).itemsize > SLAB_BYTES
        and not torch.is_grad_enabled()
        and image.device.type == "cpu"
        and image.dtype is torch.float32
        and image.shape[0] == 1
        and torch.backends.mkldnn.is_available()
        and all(block.order is BlockOrder.NORM_FIRST and _plain(block.norm) for block in blocks)
    )


@dataclass(frozen=True)
class StepLayers:
    """Layers of one step: pair (2 → S), first (F + S → G), second (G → G), out (G → 3)."""

    pair: ConvBlock
    first: ConvBlock
    second: ConvBlock
    out: nn.Conv3d


class StreamedSteps:
    """The steps of one prediction; holds the maps that every step uses again.

    Args:
        shape: lattice of the network (i, j, k).
        width: G, channels of the stored maps.
        image: for the device.
    """

    def __init__(self, shape: tuple[int, ...], width: int, image: Tensor) -> None:
        self.type = autocast_type() or torch.float32
        self.shape = shape
        self.a = image.new_empty(1, width, *shape, dtype=self.type)
        self.b = torch.empty_like(self.a)

    @torch.autocast("cpu", enabled=False)
    def increment(self, layers: StepLayers, pair: Tensor, upsampled: Tensor | None, part: Tensor | None) -> Tensor:
        """δ (1, 3, *shape) of a step.

        Args:
            layers: of the step.
            pair: (1, 2, *shape), warped moving and fixed image.
            upsampled: (1, F, *shape), the features; or None, then
            part: (1, G, *shape), what `first` makes of them.
        """
        self._first(layers, pair.to(self.type), upsampled, part)
        return self._rest(layers)

    @torch.autocast("cpu", enabled=False)
    def increment_of(self, layers: StepLayers, whole: Tensor) -> Tensor:
        """δ of a step whose first convolution gave `whole`, which is not changed."""
        self.a.copy_(whole)
        return self._rest(layers)

    def add_features(self, layers: StepLayers, total: Tensor | None) -> Tensor:
        """total + x_t, the features of the last step asked for; a new map where total is None."""
        total = torch.zeros(self.b.shape, dtype=torch.float32) if total is None else total
        norm = _Norm.of(layers.second, self.b)
        for start in range(0, self.shape[0], 8):
            planes = slice(start, start + 8)
            total[:, :, planes] += norm.activated(self.b[:, :, planes])
        return total

    def _first(self, layers: StepLayers, pair: Tensor, upsampled: Tensor | None, part: Tensor | None) -> None:
        """a of this file's equations."""
        kernel = layers.first.conv.weight
        wide = 0 if upsampled is None else upsampled.shape[1]
        if upsampled is None:
            kernel = kernel[:, kernel.shape[1] - layers.pair.conv.out_channels :]
        make = self._pair_producer(layers.pair, pair)

        def fill(first: int, last: int, target: Tensor) -> None:
            if upsampled is not None:
                target[:, :wide].copy_(upsampled[:, :, first:last])
            make(first, last, target[:, wide:])

        kernel, bias = self._typed(kernel), self._typed(layers.first.conv.bias)
        for start, count, block in _slabs(self.shape, kernel.shape[1], fill, self.a):
            y = _planes(block, kernel, bias)
            if part is not None:
                y += part[:, :, start : start + count]
            self.a[:, :, start : start + count] = y

    def _pair_producer(self, block: ConvBlock, pair: Tensor) -> Producer:
        """Makes planes of s: the convolution with the norm folded into its kernel."""
        padded = F.pad(pair, (0, 0, 0, 0, 1, 1))
        kernel = block.conv.weight
        norm = block.norm
        if isinstance(norm, nn.BatchNorm3d):
            mean, variance = norm.running_mean, norm.running_var
        else:
            moments = _Moments()
            thickness = _thickness(self.shape, kernel.shape[0], pair.element_size())
            for start in range(0, self.shape[0], thickness):
                planes = padded[:, :, start : start + thickness + 2]
                moments.add(_planes(planes, self._typed(kernel), self._typed(block.conv.bias)))
            mean, variance = moments.mean_and_variance()
        scale = (variance + norm.eps).rsqrt() * (1 if norm.weight is None else norm.weight)
        shift = (0 if block.conv.bias is None else block.conv.bias) - mean
        shift = shift * scale + (0 if norm.bias is None else norm.bias)
        folded, bias = self._typed(kernel * scale.view(-1, 1, 1, 1, 1)), self._typed(shift)
        slope = block.activation.negative_slope

        def produce(first: int, last: int, target: Tensor) -> None:
            torch.ops.aten.leaky_relu.out(_planes(padded[:, :, first : last + 2], folded, bias), slope, out=target)

        return produce

    def _rest(self, layers: StepLayers) -> Tensor:
        """b and δ, from a."""
        self._activated_convolution(self.a, layers.first, layers.second.conv, self.b)
        increment = torch.empty(1, layers.out.out_channels, *self.shape)
        self._activated_convolution(self.b, layers.second, layers.out, increment)
        return increment

    def _activated_convolution(self, x: Tensor, block: ConvBlock, conv: nn.Conv3d, result: Tensor) -> None:
        """result ← conv(activation(norm(x))) with the norm of `block`."""
        norm = _Norm.of(block, x)
        kernel, bias = self._typed(conv.weight), self._typed(conv.bias)

        def fill(first: int, last: int, target: Tensor) -> None:
            target.copy_(norm.activated(x[:, :, first:last]))

        for start, count, slab in _slabs(self.shape, x.shape[1], fill, x):
            result[:, :, start : start + count] = _planes(slab, kernel, bias)

    def _typed(self, parameter: Tensor | None) -> Tensor | None:
        return None if parameter is None else parameter.to(self.type)


@dataclass(frozen=True)
class _Norm:
    """A norm whose moments are known, and the activation after it."""

    block: ConvBlock
    mean: Tensor
    variance: Tensor

    @classmethod
    def of(cls, block: ConvBlock, x: Tensor) -> _Norm:
        norm = block.norm
        if isinstance(norm, nn.BatchNorm3d):
            return cls(block, norm.running_mean, norm.running_var)
        moments = _Moments()
        for start in range(0, x.shape[2], 8):
            moments.add(x[:, :, start : start + 8])
        return cls(block, *moments.mean_and_variance())

    def activated(self, x: Tensor) -> Tensor:
        """activation(norm(x)) of some planes."""
        norm = self.block.norm
        y = F.batch_norm(x, self.mean, self.variance, norm.weight, norm.bias, False, 0.0, norm.eps)
        return F.leaky_relu_(y, self.block.activation.negative_slope)


class _Moments:
    """Mean and variance per channel of a map that is seen in parts; sums of planes in float32, of planes' sums in float64."""

    def __init__(self) -> None:
        self.count = 0
        self.sum: Tensor | float = 0.0
        self.squares: Tensor | float = 0.0

    def add(self, part: Tensor) -> None:
        rows = part[0].flatten(2)
        self.count += rows.shape[1] * rows.shape[2]
        self.sum = self.sum + rows.sum(2, dtype=torch.float32).double().sum(1)
        norms = torch.linalg.vector_norm(rows, dim=2, dtype=torch.float32)
        self.squares = self.squares + norms.double().square().sum(1)

    def mean_and_variance(self) -> tuple[Tensor, Tensor]:
        mean = self.sum / self.count
        return mean.float(), (self.squares / self.count - mean.square()).clamp(min=0).float()


def _plain(norm: nn.Module) -> bool:
    """Whether a norm has its moments from the map itself, or fixed ones."""
    if isinstance(norm, nn.BatchNorm3d):
        return not norm.training
    return isinstance(norm, nn.InstanceNorm3d) and not norm.track_running_stats


def _thickness(shape: tuple[int, ...], channels: int, itemsize: int) -> int:
    """Planes per slab, at least 2."""
    plane = channels * shape[1] * shape[2] * itemsize
    return min(shape[0], max(2, SLAB_BYTES // plane - 2))


def _slabs(shape: tuple[int, ...], channels: int, fill: Producer, like: Tensor) -> Iterator[tuple[int, int, Tensor]]:
    """(start, count, block): planes start - 1 … start + count of a map, zeros outside; each plane is made once.

    The block (1, C, count + 2, j, k) is used again for the next slab.
    """
    depth = shape[0]
    thick = max(2, _thickness(shape, channels, like.element_size()))
    buffer = like.new_empty(1, channels, thick + 2, *shape[1:])
    buffer[:, :, 0] = 0
    for start in range(0, depth, thick):
        count = min(thick, depth - start)
        first, slot = (start + 1, 2) if start else (0, 1)
        if start:
            buffer[:, :, :2] = buffer[:, :, thick:]
        last = min(start + count + 1, depth)
        if last > first:
            fill(first, last, buffer[:, :, slot : slot + last - first])
        if start + count == depth:
            buffer[:, :, count + 1] = 0
        yield start, count, buffer[:, :, : count + 2]


def _planes(block: Tensor, kernel: Tensor, bias: Tensor | None) -> Tensor:
    """Convolution 3³ of a block that has one more plane on both sides: (1, D, planes, j, k)."""
    if block.dtype is torch.float32:
        return torch.mkldnn_convolution(block, kernel, bias, [0, 1, 1], [1, 1, 1], [1, 1, 1], 1)
    return F.conv3d(block, kernel, bias, padding=(0, 1, 1))
