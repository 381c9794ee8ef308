"""Where the velocity starts: from a search for large motion, from an initial transform, or from rest."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ..fields.lengths import largest_length, lengths
from ..geometry.displacement import DisplacementField
from ..geometry.grid import Grid
from ..geometry.transform import SpatialTransform
from .discrete import STAGES, mind_distance, search_displacement, unfolded, velocity_of
from .instance import TensorPair
from .resample import total_displacement

WORTH_VOXELS = 1.5
"""A found motion counts as large from this 95th percentile on, in voxels of the search's last lattice (1/60 of the image)."""
WORTH_GAIN = 0.02
"""Smallest relative fall of the descriptors' distance that makes a search worth taking."""


def search_if_wanted(
    pair: TensorPair, wish: str, notes: list[str], *, tell: Callable[[float], None] | None = None
) -> Tensor | None:
    """A velocity from the discrete search, or None.

    Args:
        wish: "on": take the search's answer; "off": do not search; "auto": search, and take the answer where the motion is
            large and brings the images together.
    """
    if wish == "off":
        return None
    u = search_displacement(pair, STAGES, tell=tell)
    before, after = mind_distance(pair, torch.zeros_like(u)), mind_distance(pair, u)
    gain = (before - after) / max(before, 1e-12)
    reach = float(lengths(u).flatten().kthvalue(int(0.95 * u[0, 0].numel())).values)
    if wish == "auto" and (reach < WORTH_VOXELS or gain < WORTH_GAIN):
        return None
    notes.append(
        f"A search for large motion came first: it moves by up to {largest_length(u):.1f} voxels of a "
        f"{' x '.join(map(str, u.shape[2:]))} lattice and lowers the distance of the descriptors by {100 * gain:.0f} %."
    )
    with torch.enable_grad():
        return velocity_of(u)


def initial_velocity(
    initial: SpatialTransform | None, affine: np.ndarray, grid: Grid, choices
) -> Tensor | None:
    """The velocity of an initial transform's bending part, d(x) = B⁻¹ φ(x) - x, or None where there is none."""
    if initial is None or initial.displacement is None:
        return None
    longest = max(grid.shape)
    coarse = grid.resized(tuple(max(2, round(1 + (n - 1) * min(1.0, 63 / (longest - 1)))) for n in grid.shape))
    back = SpatialTransform(np.linalg.inv(affine))
    total = total_displacement(initial, coarse)
    index = np.stack(np.meshgrid(*[np.arange(n) for n in coarse.shape], indexing="ij"), axis=-1)
    points = coarse.index_to_point(index)
    mapped = points + total.vectors.movedim(0, -1).double().numpy()
    bent = mapped @ back.affine_matrix[:3, :3].T + back.affine_matrix[:3, 3] - points
    field = DisplacementField(torch.from_numpy(bent).movedim(-1, 0).float().contiguous(), coarse)
    return velocity_of(unfolded(field.to_voxels()[None].to(device=choices.device, dtype=choices.dtype)))
