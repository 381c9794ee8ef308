"""Compare images by local normalized cross-correlation (the similarity "lncc"); the computation is in local_correlation.py.

What is chosen is declared here without torch, so that a panel can be drawn before torch is installed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ..declaration import integer
from .similarity import Similarity

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Lncc(Similarity):
    """1 - mean cc over the image, or over a mask; 0 is perfect, 1 unrelated.

    Args:
        window: odd width of the window in voxels along every axis (1 along an axis of a single voxel).
    """

    name: ClassVar[str] = "lncc"
    summary: ClassVar[str] = "local correlation, for images of one modality"
    title: ClassVar[str] = "Local correlation (LNCC)"
    good: ClassVar[str] = "1 is perfect; unrelated images are near 0."
    prefix: ClassVar[str] = "lncc_"

    window: int = integer(9, 3, 31, "voxels", "side of the window of the local correlation, odd", offered=7, odd=True, step=2)

    def __post_init__(self) -> None:
        if self.window < 3 or self.window % 2 == 0:
            raise ValueError(f"The LNCC window must be odd and at least 3 voxels, got {self.window}.")

    def __call__(self, warped: Tensor, fixed: Tensor, mask: Tensor | None = None) -> Tensor:
        from .local_correlation import local_ncc

        return 1 - local_ncc(warped, fixed, window=self.window, mask=mask)
