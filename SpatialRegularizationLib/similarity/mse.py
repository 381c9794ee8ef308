"""Compare images by the mean squared difference: -log of a Gaussian likelihood with σ_I² = 1/2."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from .similarity import Similarity

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Mse(Similarity):
    """mean ( fixed - warped )², over the image or over a mask."""

    name: ClassVar[str] = "mse"
    summary: ClassVar[str] = "squared difference, for equal intensities"
    title: ClassVar[str] = "Mean squared difference, negative"
    good: ClassVar[str] = "0 is perfect, lower is less alike."
    exact: ClassVar[float] = 0.0

    def __call__(self, warped: Tensor, fixed: Tensor, mask: Tensor | None = None) -> Tensor:
        squared = (warped - fixed).square()
        if mask is None:
            return squared.mean()
        return (squared * mask).sum() / (mask.sum() * squared.shape[1]).clamp(min=1)
