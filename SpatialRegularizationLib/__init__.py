"""Registration of two volumes with a spatially varying regularization weight λ(p), as one posterior:

    p(u, λ | f, m)  ∝  p(f | m∘φ)  ·  p(u | λ)  ·  p(λ)
                       similarity     regularizer   prior

The folders are this equation. Every system is one choice in each factor.

The way of the data
    Volume (mm) → registration/prepare → tensors (voxels) → velocity, integrated to u; λ in closed form
    → DisplacementField (mm) → registration/conclude → report/results (the result folder)

Directions
    φ maps points of the **fixed** image to points of the **moving** image:  warped(x) = moving(φ(x)).
    A result is φ(x) = B(x + d(x)): the displacement field d first (on the fixed grid), then the affine B.

Units: two systems, one door each
    A bare tensor `u` is always in voxels of its own grid, (N, 3, i, j, k); component c moves along tensor axis c.
    Patient space is millimetres in LPS (x to the Left, y to the Posterior, z to the Superior), as in ITK and DICOM.
    Voxels become millimetres in `DisplacementField` only; RAS exists in file readers only.

Grids
    Tensor axes are (i, j, k), the axes of the Grid. Index 0 is the center of the first voxel. Resizing keeps the
    centers of the first and of the last voxel (`align_corners=True`).

Weights
    λ(p) ≥ 0 is `lambda_map`; λ/λmax is `relative_weight`. Uniform regularization is λ ≡ constant.
    "Weights" never means the parameters of a network.

Errors
    Public functions validate their arguments and raise ValueError, FileNotFoundError or RuntimeError with one sentence:
    what, expected, got, remedy. Nothing is repaired, cast, clamped or moved to another device in silence.

Values do not change: Grid, Volume, DisplacementField, RegistrationSettings, Registration are frozen dataclasses.

Reading order: registration/register.py, priors/beta.py, regularizers/diffusion.py, integrators/scaling_and_squaring.py.

Importing this package is light: the names below load their module (and torch) when first used.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "Grid": "geometry.grid",
    "Volume": "geometry.volume",
    "DisplacementField": "geometry.displacement",
    "SpatialTransform": "geometry.transform",
    "register": "registration.register",
    "Companions": "geometry.companions",
    "RegistrationSettings": "registration.settings",
    "PRESETS": "registration.presets",
    "Registration": "registration.result",
    "Cancelled": "registration.progress",
    "train": "training.loop",
    "TrainingSettings": "training.settings",
    "ModelCard": "zoo.card",
    "load_model": "zoo.card",
    "save_model": "zoo.card",
    "PairSession": "registration.session",
    "resample": "transforms.resample",
    "transform_points": "transforms.mapping",
    "read_volume": "io.volumes",
    "write_volume": "io.volumes",
    "read_transform": "io.transforms",
    "write_transform": "io.transforms",
    "write_result": "report.results",
}
"""Public name → the module that holds it."""


def __getattr__(name: str) -> Any:
    """The public names, loaded when first asked for (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}.")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
