"""Define what a registration network is to the systems: two images in, a field and feature maps out, in two halves.

    encoding = network.encode(moving, fixed)        what only the images decide
    decoding = network.decode(encoding)             what a condition may steer, too

A weight head (`heads.py`) reads the feature maps of the decoding, so it fits every backbone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .generators import checkpointed


@dataclass(frozen=True)
class Encoding:
    """First half of a pass; may be kept while a condition changes.

    Args:
        moving, fixed: (N, 1, *t), the images on the network's grid t.
        features: maps that the second half starts from.
        shared: maps derived from `features` by layers of the second half; None: to be computed there.
    """

    moving: Tensor
    fixed: Tensor
    features: tuple[Tensor, ...]
    shared: Tensor | None = None


@dataclass(frozen=True)
class Decoding:
    """Second half of a pass.

    Args:
        field: (N, 3, *s / factor), voxels of its lattice: a velocity, or a displacement.
        fine: feature map on the field's lattice, or None where not asked for.
        coarse: feature map on half of the field's lattice.
    """

    field: Tensor
    fine: Tensor | None
    coarse: Tensor


class Backbone(nn.Module, ABC):
    """A registration network.

    Attributes:
        factor: edge of a voxel of the field in voxels of the image, 1 or 2.
        multiple: the image's axes must be multiples of it.
        smallest: least size of each image axis.
        fine_channels, coarse_channels: of the maps of `Decoding`.
        checkpointing: compute activations again for the gradient instead of keeping them. Batch norm (released networks only)
            then takes each batch into its running statistics twice.
    """

    factor: int
    multiple: int
    smallest: tuple[int, int, int]
    fine_channels: int
    coarse_channels: int
    checkpointing: bool = False

    @abstractmethod
    def encode(self, moving: Tensor, fixed: Tensor, code: Tensor | None = None) -> Encoding:
        """First half.

        Args:
            moving, fixed: (N, 1, *s), s multiples of `multiple`.
            code: of conditional norms, where the network has any.
        """

    @abstractmethod
    def share(self, encoding: Encoding, code: Tensor | None = None) -> Encoding:
        """The encoding with `shared` filled in, for networks whose second half begins with such layers."""

    @abstractmethod
    def decode(self, encoding: Encoding, code: Tensor | None = None, *, with_fine: bool = True) -> Decoding:
        """Second half; `with_fine=False` leaves `Decoding.fine` out."""

    def _run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """function(*arguments), its activations kept or computed again for the gradient."""
        recompute = self.checkpointing and torch.is_grad_enabled()
        return checkpointed(function, *arguments) if recompute else function(*arguments)

    def forward(self, moving: Tensor, fixed: Tensor, code: Tensor | None = None) -> Decoding:
        return self.decode(self.encode(moving, fixed, code), code)


def pooled(image: Tensor, factor: int) -> Tensor:
    """Mean over blocks of factor³ voxels."""
    return F.avg_pool3d(image, factor) if factor > 1 else image
