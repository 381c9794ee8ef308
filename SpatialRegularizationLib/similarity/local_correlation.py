"""Compute squared local normalized cross-correlation and its gradient, by streaming over slabs of planes.

    cc(p) = cross² / (var_I var_J + ε),   cross = ΣIJ - ΣIΣJ/n,  var_I = ΣI² - (ΣI)²/n      (sums over the window at p)

(Avants et al. 2008; window sums and ε as in Balakrishnan et al. 2019, zero outside of the image.) With
a = 2 cross/(var_I var_J + ε) and b = -2 cross² var_I/(var_I var_J + ε)² the gradient of Σ_p cc(p) for J is

    I·B(a) + J·B(b) - B(a·mean_I + b·mean_J),      B = sum over the window,

i.e. three more box sums. Both are made in one pass over the volume, a few planes at a time in buffers that stay in the cache,
so nothing of the size of the volume is kept but the gradient. A box sum of any width w takes about log2(w) additions by
doubling (s2 = x + x[1:], s4 = s2 + s2[2:], …), without the cancellation of running sums.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..fields.vectors import scaled

EPSILON = 1e-5
"""Added to var_I·var_J (window *sums*, intensities near [0, 1])."""

SLAB_VOXELS = 360_000
"""Voxels per slab on the CPU: its eight buffers then stay in a 32 MB cache."""


def local_ncc(warped: Tensor, fixed: Tensor, *, window: int = 9, mask: Tensor | None = None) -> Tensor:
    """Mean over the voxels of cc(p).

    Args:
        warped, fixed: (N, 1, *s) floating point, intensities near [0, 1].
        window: odd width in voxels.
        mask: (N, 1, *s), 1 inside: the mean is taken over it. Windows reach beyond the mask, so that the edge of an organ
            that is masked still says where it is; None: mean over all voxels.

    Returns:
        scalar in [0, 1], differentiable in `warped` and `fixed`.
    """
    total = _LocalCrossCorrelation.apply(warped, fixed, mask, window)
    return total / (fixed.numel() if mask is None else mask.sum().clamp(min=1))


class _LocalCrossCorrelation(torch.autograd.Function):
    """Σ_p cc(p), with the gradient for the first image made in the forward pass."""

    @staticmethod
    def forward(ctx, warped: Tensor, fixed: Tensor, mask: Tensor | None, window: int) -> Tensor:
        ctx.window = window
        total, gradient = _stream_batch(warped, fixed, mask, window, with_gradient=ctx.needs_input_grad[0])
        ctx.save_for_backward(warped, fixed, mask, gradient)
        return total

    @staticmethod
    def backward(ctx, grad: Tensor):
        warped, fixed, mask, gradient = ctx.saved_tensors
        grad_fixed = None
        if ctx.needs_input_grad[1]:
            grad_fixed = grad * _stream_batch(fixed, warped, mask, ctx.window, with_gradient=True)[1]
        return scaled(gradient, grad), grad_fixed, None, None


def _stream_batch(j: Tensor, i: Tensor, mask: Tensor | None, window: int, *, with_gradient: bool):
    if j.shape != i.shape or j.shape[1] != 1:
        raise ValueError(f"LNCC needs two (N, 1, ...) images of one shape, got {tuple(j.shape)} and {tuple(i.shape)}.")
    gradient = torch.empty_like(j) if with_gradient else None
    total = torch.zeros((), dtype=torch.float64, device=j.device)
    for n in range(j.shape[0]):
        planes = [x[n, 0] if x.dim() == 5 else x[n] for x in (j, i)]
        weight = None if mask is None else (mask[n, 0] if mask.dim() == 5 else mask[n]).to(j.dtype)
        out = None if gradient is None else (gradient[n, 0] if gradient.dim() == 5 else gradient[n])
        total += _Stream(planes[0], planes[1], weight, window).run(out)
    return total.to(j.dtype), gradient


class _Stream:
    """One pass over the planes of a pair; three stages, each `radius` planes behind the one before.

    stage 1: products and their in-plane box sums for new planes;
    stage 2: sums across planes → cc, a, b, m at planes `radius` behind, and the in-plane box sums of those;
    stage 3: sums across planes of a, b, m → gradient at planes 2·radius behind.
    """

    def __init__(self, j: Tensor, i: Tensor, weight: Tensor | None, window: int) -> None:
        self.j, self.i, self.weight = j, i, weight
        self.windows = tuple(window if n > 1 else 1 for n in j.shape)
        self.radius = self.windows[0] // 2
        self.count = float(self.windows[0] * self.windows[1] * self.windows[2])
        channels = 5
        k = self.planes = self._planes_per_slab()
        plane = tuple(j.shape[1:])
        padded = tuple(n + w - 1 for n, w in zip(plane, self.windows[1:], strict=True))
        self.padded = j.new_zeros(channels, k, *padded)
        self.padded_terms = j.new_zeros(3, k, *padded)
        self.sums = j.new_zeros(channels, k + 2 * self.radius, *plane)
        self.terms = j.new_zeros(3, k + 2 * self.radius, *plane)
        self.box = _BoxSum(j.new_empty(channels * (k + 2 * self.radius) * padded[0] * padded[1] * 3))
        self.total = j.new_zeros((), dtype=torch.float64)

    def _planes_per_slab(self) -> int:
        everything = self.j.shape[0] + 2 * self.radius
        if self.j.device.type != "cpu":
            return everything
        return min(everything, max(2 * self.radius, SLAB_VOXELS // max(1, self.j[0].numel()), 1))

    def run(self, gradient: Tensor | None) -> Tensor:
        """Σ cc in float64; writes the gradient for j where asked."""
        behind = self.radius if gradient is None else 2 * self.radius
        for start in range(0, self.j.shape[0] + behind, self.planes):
            self._load(start)
            self._correlate(start - self.radius, with_terms=gradient is not None)
            if gradient is not None:
                self._write(gradient, start - 2 * self.radius)
        return self.total

    def _inner(self, padded: Tensor) -> Tensor:
        top, left = self.windows[1] // 2, self.windows[2] // 2
        return padded[:, :, top : top + self.j.shape[1], left : left + self.j.shape[2]]

    def _valid(self, start: int) -> tuple[slice, slice]:
        """Planes start … start + k that exist, as positions in the volume and in the slab."""
        low = min(max(0, start), self.j.shape[0])
        high = max(low, min(self.j.shape[0], start + self.planes))
        return slice(low, high), slice(low - start, high - start)

    def _load(self, start: int) -> None:
        volume, slab = self._valid(start)
        inner = self._inner(self.padded)
        if slab.stop < self.planes:
            inner[:, max(0, slab.stop) :] = 0
        if volume.stop > volume.start:
            inner = inner[:, slab]
            j, i = self.j[volume], self.i[volume]
            inner[0].copy_(j)
            inner[1].copy_(i)
            torch.mul(j, j, out=inner[2])
            torch.mul(i, i, out=inner[3])
            torch.mul(j, i, out=inner[4])
        self._advance(self.sums, self.padded)

    def _advance(self, carry: Tensor, padded: Tensor) -> None:
        """Drop the oldest planes of the carry and append the in-plane box sums of the new ones."""
        keep = 2 * self.radius
        if keep:
            carry[:, :keep] = carry[:, self.planes :]  # planes ≥ keep: no overlap
        rows = self.box(padded, 3, self.windows[2])
        self.box(rows, 2, self.windows[1], out=carry[:, keep:])

    def _correlate(self, start: int, *, with_terms: bool) -> None:
        volume, slab = self._valid(start)
        inner = self._inner(self.padded_terms)
        if with_terms and (slab.start > 0 or slab.stop < self.planes):
            inner.zero_()
        if volume.stop > volume.start:
            sums = self.box(self.sums, 1, self.windows[0])[:, slab]
            self._terms(sums, volume, inner[:, slab] if with_terms else None)
        if with_terms:
            self._advance(self.terms, self.padded_terms)

    def _terms(self, sums: Tensor, volume: slice, out: Tensor | None) -> None:
        """Adds Σ cc and writes a, b, m = a·mean_I + b·mean_J."""
        mean_j, mean_i = sums[0] / self.count, sums[1] / self.count
        cross = torch.addcmul(sums[4], sums[0], mean_i, value=-1)
        var_j = torch.addcmul(sums[2], sums[0], mean_j, value=-1).clamp_(min=0)
        var_i = torch.addcmul(sums[3], sums[1], mean_i, value=-1).clamp_(min=0)
        ratio = cross / var_j.mul_(var_i).add_(EPSILON)
        cross.mul_(ratio)
        if self.weight is not None:
            cross.mul_(self.weight[volume])
        self.total += cross.sum()
        if out is not None:
            torch.mul(ratio, 2, out=out[0])
            torch.mul(ratio.square_(), var_i.mul_(-2), out=out[1])
            if self.weight is not None:
                out[:2].mul_(self.weight[volume])
            torch.mul(out[0], mean_i, out=out[2])
            out[2].addcmul_(out[1], mean_j)

    def _write(self, gradient: Tensor, start: int) -> None:
        volume, slab = self._valid(start)
        if volume.stop <= volume.start:
            return
        a, b, m = self.box(self.terms, 1, self.windows[0])[:, slab]
        target = gradient[volume]
        torch.mul(self.i[volume], a, out=target)
        target.addcmul_(self.j[volume], b).sub_(m)


class _BoxSum:
    """Sums over `window` neighbours along one axis, without padding (length L → L - window + 1), by doubling."""

    def __init__(self, scratch: Tensor) -> None:
        self.scratch = scratch.view(3, -1)

    def __call__(self, x: Tensor, axis: int, window: int, *, out: Tensor | None = None) -> Tensor:
        """x must not be the result of an earlier call, unless `out` is given here."""
        length = x.shape[axis] - window + 1
        shape = list(x.shape)
        shape[axis] = length
        if window == 1:
            return x if out is None else out.copy_(x)
        out = self._buffer(2, shape) if out is None else out
        total, power, width, offset, which = x.narrow(axis, 0, length), x, 1, 1, 0
        while 2 * width <= window:
            shape[axis] = power.shape[axis] - width
            doubled = self._buffer(which, shape)
            torch.add(power.narrow(axis, 0, shape[axis]), power.narrow(axis, width, shape[axis]), out=doubled)
            power, width, which = doubled, 2 * width, 1 - which
            if window & width:
                total = torch.add(total, power.narrow(axis, offset, length), out=out)
                offset += width
        return total

    def _buffer(self, which: int, shape: list[int]) -> Tensor:
        size = torch.Size(shape)
        return self.scratch[which][: size.numel()].view(size)
