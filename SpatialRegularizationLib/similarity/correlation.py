"""Compare images by global correlation: for a linear relation of intensities over the whole image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ..declaration import number
from .similarity import Similarity

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Correlation(Similarity):
    """1 - ρ², ρ the correlation of the intensities over the image or a mask.

    Args:
        epsilon: added to the product of the variances.
    """

    name: ClassVar[str] = "correlation"
    summary: ClassVar[str] = "global correlation, for intensities in a linear relation"
    title: ClassVar[str] = "Global correlation"
    good: ClassVar[str] = "1 is perfect."
    prefix: ClassVar[str] = "correlation_"

    epsilon: float = number(1e-6, 1e-12, 1.0, "", "added to the product of the variances")

    def __call__(self, warped: Tensor, fixed: Tensor, mask: Tensor | None = None) -> Tensor:
        weight = (fixed * 0 + 1) if mask is None else mask
        weight = weight / weight.sum().clamp(min=1)
        a, b = (x - (x * weight).sum() for x in (warped, fixed))
        cross = (a * b * weight).sum()
        return 1 - cross.square() / ((a * a * weight).sum() * (b * b * weight).sum() + self.epsilon)
