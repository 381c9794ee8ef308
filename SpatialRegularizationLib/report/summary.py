"""Describe a registration in plain numbers and words: what report.json holds and report.html shows."""

from __future__ import annotations

import math
import platform
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import SimpleITK as sitk
import torch

from .. import __version__

if TYPE_CHECKING:
    from ..geometry.volume import Volume
    from ..registration.result import Registration
from ..measures.affine_part import AffinePart
from ..measures.regularity import length_figures

FORMAT = 1
"""Version of report.json; raised when a key changes its meaning."""

CONVENTIONS = {
    "transform": "phi(x) = B (x + d(x)), fixed points to moving points, mm, LPS; B is `affine`",
    "affine_part": "of B = R S, R a rotation, S symmetric: angle of R, shift of the center of the fixed image along L, P, S, "
    "diagonal of S - 1 (stretch along L, P, S) and what is beside it (shear L-P, L-S, P-S)",
    "displacement.nrrd": "total displacement phi(x) - x in mm, LPS, on the grid of d (the fixed one, unless too large)",
    "jacobian": "determinant of the Jacobian of x + d(x), without B; above 1 the moving image is larger than the fixed",
    "folding_percent": "central differences, border replicated, percent of all voxels of the fixed grid",
    "folding_one_sided_percent": "any of the eight one-sided determinants not positive, same voxels",
    "ndv_percent": "non-diffeomorphic volume (Liu et al., IJCV 2024), same voxels",
    "smoothed_percent": "voxels that folded on the lattice before the deformation was smoothed around them",
    "sd_log_j": "standard deviation of log max(J, 1e-9), same voxels",
    "dice": "2|A and B| / (|A| + |B|) on the fixed grid; labels absent from both images are left out",
    "hd95": "larger of the two directed 95th percentiles of the surface distance, mm",
    "tre": "distance between phi(fixed point) and moving point, mm",
    "inverse_residual_mm": "largest distance between x and inverse.h5 applied to transform.h5 applied to x, over the voxel "
    "centers x of the fixed image, rounded up",
    "inverse_residual_p99_mm": "its 99th percentile",
}
OF_THE_DEFORMATION = (
    "displacement.nrrd", "jacobian", "folding_percent", "folding_one_sided_percent", "ndv_percent", "smoothed_percent",
    "sd_log_j", "inverse_residual_mm", "inverse_residual_p99_mm",
)  # fmt: skip
"""Conventions of what a result without a deformation does not have."""


def summary(registration: Registration, command: str) -> dict[str, Any]:
    """The content of report.json: figures, settings, geometry, history, notes, versions; NaN and infinity become null.

    Args:
        registration: the finished registration.
        command: the exact command that made it, or "".
    """
    field = registration.displacement
    conventions = {n: text for n, text in CONVENTIONS.items() if field is not None or n not in OF_THE_DEFORMATION}
    content = asdict(registration.figures) | {
        "format": FORMAT,
        "command": command,
        "settings": registration.settings.to_dict(),
        "chosen_preset": registration.preset or None,
        "model": registration.model or None,
        "verdict": None if registration.verdict is None else registration.verdict.to_dict(),
        "notes": list(registration.notes),
        "displacement_mm": None if field is None else length_figures(field),
        "affine_part": AffinePart.of(registration.affine, registration.fixed.grid.center).to_dict(),
        "affine": np.asarray(registration.affine, dtype=float).tolist(),
        "fixed": _geometry(registration.fixed),
        "moving": _geometry(registration.moving),
        "history": [asdict(level) for level in registration.history],
        "conventions": conventions,
        "versions": versions(),
    }
    return plain(content)


def versions() -> dict[str, str]:
    """Versions of the program, its packages and the machine's kind."""
    return {
        "SpatialRegularizationLib": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "SimpleITK": sitk.Version_VersionString(),
        "numpy": np.__version__,
        "platform": f"{platform.system()} {platform.machine()} ({sys.platform})",
    }


def _geometry(volume: Volume) -> dict[str, Any]:
    return {
        "shape": list(volume.grid.shape),
        "spacing_mm": list(volume.grid.spacing),
        "origin_mm": list(volume.grid.origin),
        "direction": [list(row) for row in volume.grid.direction],
    }


def plain(value: Any) -> Any:
    """The same content in types that JSON knows; NaN and infinity become None."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (np.floating, np.integer)):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
