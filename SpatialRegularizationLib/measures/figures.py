"""Compute all figures of any transform under the names of report.json."""

from __future__ import annotations

from typing import Any

from ..geometry.companions import Companions
from ..geometry.transform import SpatialTransform
from ..geometry.volume import Volume
from ..images.usable import fit_mask
from .alignment import lncc_of, measured_displacement
from .regularity import length_figures, measure_regularity
from .scores import landmark_scores, overlap_scores


def measure(
    transform: SpatialTransform, fixed: Volume, moving: Volume, companions: Companions, *, window: int
) -> dict[str, Any]:
    """The figures of a transform under the names of report.json; "before" is the identity.

    Args:
        transform: φ, fixed points to moving points.
        fixed, moving: the two images.
        companions: label maps, points, and the mask inside which similarity and regularity are taken.
        window: side of the LNCC window, voxels.
    """
    field, note = measured_displacement(transform, fixed.grid)
    mask = None if companions.fixed_mask is None else fit_mask(companions.fixed_mask, fixed.grid, "fixed mask")
    regularity = measure_regularity(field.to_voxels(), mask=None if mask is None else mask.data[0])
    content: dict[str, Any] = {
        name: getattr(regularity, name)
        for name in (
            "folding_percent",
            "folding_one_sided_percent",
            "ndv_percent",
            "sd_log_j",
            "voxels",
            "mask",
            "boundary",
        )
    }
    for when, mapping in (("before", SpatialTransform()), ("after", transform)):
        overlap = overlap_scores(companions, mapping, fixed.grid) or (None, None)
        content |= {
            f"similarity_{when}": lncc_of(fixed, moving, mapping, mask=mask, window=window),
            f"dice_{when}": overlap[0],
            f"hd95_{when}_mm": overlap[1],
            f"tre_{when}_mm": landmark_scores(companions, mapping, moving.grid),
        }
    return content | {
        "displacement_mm": length_figures(field),
        "inverse_residual_p99_mm": None,
        "inverse_residual_mm": None,
        "device": "cpu",
        "settings": {"similarity": "lncc", "lncc_window": window},
        "notes": [note, *companions.notes],
    }
