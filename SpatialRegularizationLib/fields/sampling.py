"""Read images and fields between their voxels; the only file that knows the axis order and units of `grid_sample`.

Positions are voxels: 0 is the centre of the first voxel, n - 1 that of the last (`align_corners=True` everywhere).
Border, drawn for the row  a b c d  (linear interpolation between the centres):

    fill=None      … a a a | a b c d | d d d …      the border value, for ever
    fill=z         … z z a | a b c d | d z z …      the same within half a voxel of the border, then z (ITK's resampling)
    zero padding   … 0 0 0 | a b c d | 0 0 0 …      voxels of value 0 all around (released networks, `warp_zero_padded`)

PyTorch's CPU sampler works on one core per batch element. The points are therefore dealt out as a batch of as many
chunks as there are threads, over an image expanded with stride 0: the values are exactly the same.
"""

from __future__ import annotations

from enum import Enum

import torch
from torch import Tensor

SLAB_POINTS = 1 << 19
"""Points per pass where a pass may be cut: the position buffer then stays in the cache (6 MB in float32)."""

BORDER_REPEATED = (1, True)
"""(padding mode, align_corners) of PyTorch's samplers, here everywhere but in `warp_zero_padded`."""
ZERO_PADDING = 0


def voxel_coordinates(
    shape: tuple[int, ...], *, device: torch.device | None = None, dtype: torch.dtype = torch.float32
) -> Tensor:
    """The identity map (d, *shape): component c at voxel p is p_c."""
    axes = [torch.arange(n, device=device, dtype=dtype) for n in shape]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"))


def sample_linear(image: Tensor, coordinates: Tensor, *, fill: float | None = None) -> Tensor:
    """Linear interpolation of an image at given positions.

    Args:
        image: (N, C, *s), floating point.
        coordinates: (N, d, *t) in voxels of the image, component c along image axis c.
        fill: value far outside, see the drawing above; None repeats the border.

    Returns:
        (N, C, *t); differentiable in both arguments.
    """
    grid = _normalized(coordinates, image.shape[2:])
    return _filled(_GridSample.apply(image, grid, BORDER_REPEATED), coordinates, image.shape[2:], fill)


def sample_nearest(image: Tensor, coordinates: Tensor, *, fill: float | None = None) -> Tensor:
    """Value of the nearest voxel (any dtype, halves up as in ITK); arguments as `sample_linear`."""
    shape = image.shape[2:]
    index = torch.zeros_like(coordinates[:, 0], dtype=torch.long)
    for axis, n in enumerate(shape):
        index = index * n + torch.floor(coordinates[:, axis] + 0.5).clamp(0, n - 1).long()
    flat = index.flatten(1)[:, None].expand(-1, image.shape[1], -1)
    values = image.flatten(2).gather(2, flat).view(*image.shape[:2], *coordinates.shape[2:])
    return _filled(values, coordinates, shape, fill)


def warp(image: Tensor, u: Tensor, *, fill: float | None = None, offset: tuple[float, ...] | None = None) -> Tensor:
    """warped(p) = image(p + offset + u(p)).

    Args:
        image: (N, C, *s).
        u: (N, d, *t) displacement in voxels, component c along axis c; the image's voxels have the same size.
        fill: as `sample_linear`.
        offset: position of u's first voxel in the image's lattice, voxels; None: 0 (then usually s = t).

    Returns:
        (N, C, *t), differentiable in image and u; no identity map and no full-size position field are stored.
    """
    start = (0.0,) * u.shape[1] if offset is None else tuple(float(o) for o in offset)
    warped = _Warp.apply(image, u, start)
    if fill is None:
        return warped
    identity = voxel_coordinates(u.shape[2:], device=u.device, dtype=u.dtype)
    shift = torch.tensor(start, dtype=u.dtype, device=u.device).view(-1, *([1] * u.shape[1]))
    return _filled(warped, u + identity + shift, image.shape[2:], fill)


def compose(inner: Tensor, outer: Tensor) -> Tensor:
    """Displacement of (id + outer)∘(id + inner): first `inner`, then `outer`; both (N, d, *s) in voxels of one lattice.

    The increments δ_1 … δ_T of TransMorph-TVF are composed so (TM-SPR journal paper, Sec. 3.3): φ_t = φ_{t-1} + δ_t∘φ_{t-1}.
    """
    return inner + warp(outer, inner)


class ZeroPadding(Enum):
    """Where the released networks read an image: at x = p + u, or at x·s/(s - 1) - 1/2 along an axis of s voxels.

    The second is what normalization for `align_corners=True` gives when sampled with `align_corners=False`.
    """

    CENTERED = True
    SHIFTED = False


def warp_zero_padded(image: Tensor, u: Tensor, positions: ZeroPadding) -> Tensor:
    """`warp` as in the released TM-SPR networks, for their checkpoints; image and u on one lattice.

    The positions are rounded in the same places as there: what follows amplifies the difference.
    """
    identity = voxel_coordinates(u.shape[2:], device=u.device, dtype=u.dtype)
    last = torch.tensor([max(1, n - 1) for n in image.shape[2:]], dtype=u.dtype, device=u.device).view(-1, *[1] * (u.dim() - 2))
    grid = (((identity + u) / last - 0.5) * 2).movedim(1, -1).flip(-1)
    return _GridSample.apply(image, grid, (ZERO_PADDING, positions.value))


def warp_forward(image: Tensor, u: Tensor, offset: tuple[float, ...] | None = None) -> Tensor:
    """`warp` outside of autograd, border repeated."""
    if image.device.type != "cpu":
        return _call(image, _slab_positions(u, slice(None), image.shape[2:], offset))
    out = image.new_empty(u.shape[0], image.shape[1], *u.shape[2:])
    for n in range(image.shape[0]):
        for planes in _slabs(u.shape[2:]):
            grid = _slab_positions(u[n : n + 1], planes, image.shape[2:], offset)
            out[n, :, planes] = _sample_chunked(image[n : n + 1], grid)[0]
    return out


def warp_backward(
    grad: Tensor, image: Tensor, u: Tensor, *, image_needs_grad: bool, offset: tuple[float, ...] | None = None
) -> tuple[Tensor | None, Tensor]:
    """Gradients of `warp` for (image, u) from that of its output; grad (N, C, *t)."""
    shape = image.shape[2:]
    grad_u = torch.empty_like(u)
    grad_images = []
    whole = image_needs_grad or image.device.type != "cpu"
    for n in range(image.shape[0]):
        for planes in [slice(0, u.shape[2])] if whole else _slabs(u.shape[2:]):
            grid = _slab_positions(u[n : n + 1], planes, shape, offset)
            back = _sample_chunked_backward(grad[n : n + 1, :, planes], image[n : n + 1], grid, image_needs_grad)
            if image_needs_grad:  # then the whole lattice is one slab
                grad_images.append(back[0])
            for axis, size in enumerate(shape):
                torch.mul(back[1][0, ..., len(shape) - 1 - axis], _scale(size), out=grad_u[n, axis, planes])
    if not image_needs_grad:
        return None, grad_u
    return grad_images[0] if len(grad_images) == 1 else torch.cat(grad_images), grad_u


class _Warp(torch.autograd.Function):
    @staticmethod
    def forward(ctx, image: Tensor, u: Tensor, offset: tuple[float, ...]) -> Tensor:
        ctx.save_for_backward(image, u)
        ctx.offset = offset
        return warp_forward(image, u, offset)

    @staticmethod
    def backward(ctx, grad: Tensor):
        image, u = ctx.saved_tensors
        return *warp_backward(grad, image, u, image_needs_grad=ctx.needs_input_grad[0], offset=ctx.offset), None


class _GridSample(torch.autograd.Function):
    """`grid_sample` with the points dealt out to all CPU cores; grid (N, *t, d) normalised, reversed component order."""

    @staticmethod
    def forward(ctx, image: Tensor, grid: Tensor, border: tuple[int, bool]) -> Tensor:
        ctx.save_for_backward(image, grid)
        ctx.border = border
        if image.device.type != "cpu":
            return _call(image, grid, border)
        return torch.cat([_sample_chunked(image[n : n + 1], grid[n : n + 1], border) for n in range(image.shape[0])])

    @staticmethod
    def backward(ctx, grad: Tensor):
        image, grid = ctx.saved_tensors
        need_image = ctx.needs_input_grad[0]
        parts = [
            _sample_chunked_backward(grad[n : n + 1], image[n : n + 1], grid[n : n + 1], need_image, ctx.border)
            for n in range(image.shape[0])
        ]
        grad_image = torch.cat([p[0] for p in parts]) if need_image else None
        return grad_image, torch.cat([p[1] for p in parts]), None


def _scale(size: int) -> float:
    return 2.0 / (size - 1) if size > 1 else 0.0


def _normalized(coordinates: Tensor, shape: torch.Size) -> Tensor:
    """Voxels → [-1, 1], components reversed and moved last, as `grid_sample` wants them."""
    scale = torch.tensor([_scale(n) for n in shape], dtype=coordinates.dtype, device=coordinates.device)
    offset = torch.tensor([-1.0 if n > 1 else 0.0 for n in shape], dtype=coordinates.dtype, device=coordinates.device)
    return (coordinates.movedim(1, -1) * scale + offset).flip(-1)


def _slabs(shape: torch.Size) -> list[slice]:
    planes = max(1, SLAB_POINTS // max(1, shape[1:].numel()))
    return [slice(start, min(start + planes, shape[0])) for start in range(0, shape[0], planes)]


def _slab_positions(
    u: Tensor, planes: slice, image_shape: torch.Size, offset: tuple[float, ...] | None = None
) -> Tensor:
    """Normalised positions p + offset + u(p) of some planes: (N, planes, …, d)."""
    d = u.shape[1]
    part = u[:, :, planes]
    out = torch.empty(part.shape[0], *part.shape[2:], d, dtype=u.dtype, device=u.device)
    for axis, n in enumerate(image_shape):
        p = torch.arange(u.shape[2 + axis], dtype=torch.float64, device="cpu")
        line = (p + (offset[axis] if offset else 0.0)) * _scale(n) - (1.0 if n > 1 else 0.0)
        line = (line[planes] if axis == 0 else line).to(device=u.device, dtype=u.dtype)
        view = line.view([-1 if a == axis else 1 for a in range(d)])
        torch.add(view, part[:, axis], alpha=_scale(n), out=out[..., d - 1 - axis])
    return out


def _filled(values: Tensor, coordinates: Tensor, shape: torch.Size, fill: float | None) -> Tensor:
    if fill is None:
        return values
    inside = torch.ones_like(coordinates[:, :1], dtype=torch.bool)
    for axis, n in enumerate(shape):
        position = coordinates[:, axis : axis + 1]
        inside &= (position >= -0.5) & (position <= n - 0.5)
    return torch.where(inside, values, torch.full((), fill, dtype=values.dtype, device=values.device))


def _call(image: Tensor, grid: Tensor, border: tuple[int, bool] = BORDER_REPEATED) -> Tensor:
    sampler = torch.ops.aten.grid_sampler_3d if grid.shape[-1] == 3 else torch.ops.aten.grid_sampler_2d
    return sampler(image, grid, 0, *border)  # 0: bilinear


def _call_backward(
    grad: Tensor, image: Tensor, grid: Tensor, need_image: bool, border: tuple[int, bool] = BORDER_REPEATED
) -> tuple[Tensor | None, Tensor]:
    three = grid.shape[-1] == 3
    sampler = torch.ops.aten.grid_sampler_3d_backward if three else torch.ops.aten.grid_sampler_2d_backward
    return sampler(grad.contiguous(), image, grid, 0, *border, [need_image, True])


def _chunks(grid: Tensor) -> tuple[int, int]:
    """(number of chunks, points in each); the remainder of at most chunks - 1 points is sampled on its own."""
    points = grid[0, ..., 0].numel()
    chunks = max(1, min(torch.get_num_threads(), points))
    return chunks, points // chunks


def _as_lines(grid: Tensor, chunks: int, size: int) -> Tensor:
    d = grid.shape[-1]
    return grid.reshape(-1, d)[: chunks * size].view(chunks, *([1] * (d - 1)), size, d)


def _sample_chunked(image: Tensor, grid: Tensor, border: tuple[int, bool] = BORDER_REPEATED) -> Tensor:
    """(1, C, *s) at (1, *t, d) → (1, C, *t)."""
    d, channels = grid.shape[-1], image.shape[1]
    chunks, size = _chunks(grid)
    lines = _call(image.expand(chunks, *image.shape[1:]), _as_lines(grid, chunks, size), border)
    values = lines.view(chunks, channels, size).transpose(0, 1).reshape(channels, -1)
    rest = grid.reshape(-1, d)[chunks * size :]
    if len(rest):
        tail = _call(image, rest.view(1, *([1] * (d - 1)), -1, d), border).view(channels, -1)
        values = torch.cat([values, tail], dim=1)
    return values.view(1, channels, *grid.shape[1:-1])


def _sample_chunked_backward(
    grad: Tensor, image: Tensor, grid: Tensor, need_image: bool, border: tuple[int, bool] = BORDER_REPEATED
) -> tuple[Tensor | None, Tensor]:
    """Gradients of `_sample_chunked` for (image, grid)."""
    if image.device.type != "cpu":
        return _call_backward(grad, image, grid, need_image, border)
    d, channels = grid.shape[-1], image.shape[1]
    chunks, size = _chunks(grid)
    flat = grad.reshape(channels, -1)
    lines = flat[:, : chunks * size].view(channels, chunks, size).transpose(0, 1)
    expanded = image.expand(chunks, *image.shape[1:])
    grad_image, grad_lines = _call_backward(
        lines.reshape(chunks, channels, *([1] * (d - 1)), size), expanded, _as_lines(grid, chunks, size), need_image, border
    )
    if need_image:
        for part in grad_image[1:]:
            grad_image[0].add_(part)
        grad_image = grad_image[:1].clone()  # a view would keep the volumes of all chunks alive
    grad_grid = grad_lines.view(-1, d)
    rest = grid.reshape(-1, d)[chunks * size :]
    if len(rest):
        tail = flat[:, chunks * size :].reshape(1, channels, *([1] * (d - 1)), -1)
        more_image, more_grid = _call_backward(tail, image, rest.view(1, *([1] * (d - 1)), -1, d), need_image, border)
        grad_image = grad_image + more_image if need_image else None
        grad_grid = torch.cat([grad_grid, more_grid.view(-1, d)])
    return grad_image, grad_grid.view(grid.shape)
