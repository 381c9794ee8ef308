"""Make label maps from nothing: random shapes of random size, for networks that know no anatomy.

    label(p) = argmax_k n_k(p),    n_1 … n_K smooth normal noise            (shapes of Hoffmann et al., IEEE TMI 2022, Sec. III-C)

Deviates: K fields are drawn at several scales, and half of the maps are cut out by a random blob, with label 0 around it: real
images have a background.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..fields.sampling import voxel_coordinates
from ..fields.vectors import lengths
from .draws import Draws

COARSEST = 4.0
"""Scale of the largest shapes, in units of the smallest."""


def random_shapes(shape: tuple[int, ...], count: int, scale: float, draws: Draws) -> Tensor:
    """A map of the labels 1 … count, and 0 where there is a background: (1, 1, *shape) int64.

    Args:
        shape: voxels.
        count: number of shapes K.
        scale: distance of the control points of the finest noise, voxels.
        draws: where randomness comes from.
    """
    highest = torch.full((1, 1, *shape), -torch.inf, device=draws.device)
    labels = torch.zeros(1, 1, *shape, dtype=torch.int64, device=draws.device)
    for label in range(1, count + 1):
        noise = draws.smooth(1, shape, scale * draws.uniform(1.0, COARSEST))
        higher = noise > highest
        highest = torch.where(higher, noise, highest)
        labels[higher] = label
    if draws.chance(0.5):
        labels[~_blob(shape, draws)] = 0
    return labels


def _blob(shape: tuple[int, ...], draws: Draws) -> Tensor:
    """An ellipsoid with a wavy surface, (1, 1, *shape) bool."""
    radii = torch.tensor([draws.uniform(0.3, 0.45) * n for n in shape], device=draws.device).view(-1, *[1] * len(shape))
    middle = torch.tensor([(n - 1) / 2 for n in shape], device=draws.device).view(-1, *[1] * len(shape))
    distance = lengths((voxel_coordinates(shape, device=draws.device) - middle) / radii, 0)
    return distance + 0.15 * draws.smooth(1, shape, min(shape) / 4) < 1
