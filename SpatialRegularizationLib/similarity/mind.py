"""Compare images by MIND-SSC, a contrast-free description of the neighborhood (Heinrich et al., MICCAI 2013).

The six neighbours of a voxel at distance `dilation` make twelve pairs (r, s) that are √2·dilation apart. With
D_rs(p) = mean over a patch of ( I(p + r) - I(p + s) )²,

    MIND_rs(p) = exp( -(D_rs(p) - min D(p)) / V(p) ),      V(p) = mean over the pairs, kept within [1e-3, 1e3] of its mean

Two images of one anatomy in different modalities have similar descriptors, which are compared by their squared difference.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ..declaration import integer
from .similarity import Similarity

if TYPE_CHECKING:
    import torch
    from torch import Tensor

CHANNELS = 12


@dataclass(frozen=True)
class MindSsc(Similarity):
    """Mean squared difference of MIND-SSC descriptors.

    Args:
        radius: patch radius in voxels.
        dilation: distance of the neighbours in voxels.
    """

    name: ClassVar[str] = "mind"
    summary: ClassVar[str] = "descriptors of the structure, for different modalities"
    title: ClassVar[str] = "Self-similarity context (MIND-SSC)"
    good: ClassVar[str] = "1 is perfect."
    prefix: ClassVar[str] = "mind_"
    describes: ClassVar[bool] = True

    radius: int = integer(1, 0, 5, "voxels", "radius of the patches of the MIND descriptors")
    dilation: int = integer(2, 1, 8, "voxels", "distance of the neighbors that the MIND descriptors compare")

    def __post_init__(self) -> None:
        if self.radius < 0 or self.dilation < 1:
            raise ValueError(f"MIND needs radius >= 0 and dilation >= 1, got {self.radius} and {self.dilation}.")

    def features(self, image: Tensor) -> Tensor:
        """Descriptors (N, 12, i, j, k) of an image (N, 1, i, j, k)."""
        return mind_ssc(image, radius=self.radius, dilation=self.dilation)

    def __call__(self, warped: Tensor, fixed: Tensor, mask: Tensor | None = None) -> Tensor:
        squared = (self.features(warped) - self.features(fixed)).square().mean(1, keepdim=True)
        return squared.mean() if mask is None else (squared * mask).sum() / mask.sum().clamp(min=1)


def mind_ssc(image: Tensor, *, radius: int = 1, dilation: int = 2) -> Tensor:
    """Descriptors in (0, 1], (N, 12, i, j, k), of an image (N, 1, i, j, k); differentiable."""
    import torch  # late, as in this whole file: what can be chosen is known without torch
    import torch.nn.functional as F

    if image.dim() != 5 or image.shape[1] != 1:
        raise ValueError(f"MIND-SSC needs a (N, 1, i, j, k) image, got {tuple(image.shape)}.")
    padded = F.pad(image, (dilation,) * 6, mode="replicate")
    distances = torch.cat(list(_patch_distances(padded, image.shape[2:], radius, dilation)), dim=1)
    distances = distances - distances.amin(1, keepdim=True)
    variance = distances.mean(1, keepdim=True)
    level = variance.mean().detach()
    variance = variance.clamp(min=float(level) * 1e-3 + 1e-12, max=float(level) * 1e3 + 1e-12)
    return torch.exp(-distances / variance)


def _patch_distances(padded: Tensor, shape: torch.Size, radius: int, dilation: int):
    """D_rs of the twelve pairs. For axes a < b and a sign, the pairs (-e_a, ±e_b) and (∓e_b, +e_a) have the same
    difference e_a ± e_b, so one squared-difference map E(x) = (I(x) - I(x + e_a ± e_b))² is read at p - e_a and p ∓ e_b."""
    from ..fields.resize import box_mean

    for a in range(3):
        for b in range(a + 1, 3):
            for sign in (-1, 1):
                near = _narrowed(padded, {a: (0, dilation), b: (dilation if sign < 0 else 0, dilation if sign > 0 else 0)})
                far = _narrowed(padded, {a: (dilation, 0), b: (0 if sign < 0 else dilation, 0 if sign > 0 else dilation)})
                energy = box_mean((near - far).square(), 2 * radius + 1)
                low = dilation if sign < 0 else 0  # where E's first voxel lies in the padded image, along b
                yield _window(energy, shape, {a: 0, b: dilation - low}, dilation)
                yield _window(energy, shape, {a: dilation, b: dilation - sign * dilation - low}, dilation)


def _narrowed(x: Tensor, cuts: dict[int, tuple[int, int]]) -> Tensor:
    """Drop (front, back) voxels along some axes."""
    for axis, (front, back) in cuts.items():
        x = x.narrow(2 + axis, front, x.shape[2 + axis] - front - back)
    return x


def _window(x: Tensor, shape: torch.Size, starts: dict[int, int], default: int) -> Tensor:
    for axis, size in enumerate(shape):
        x = x.narrow(2 + axis, starts.get(axis, default), size)
    return x
