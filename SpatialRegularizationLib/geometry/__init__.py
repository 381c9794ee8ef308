"""Patient space: millimetres, LPS. The only place where a voxel has a position.

The names load when first used: `Grid` needs no torch, and programs that must not wait for torch import it from here.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .displacement import DisplacementField as DisplacementField
    from .grid import Grid as Grid
    from .transform import SpatialTransform as SpatialTransform
    from .volume import Volume as Volume

_HOME = {"DisplacementField": "displacement", "Grid": "grid", "SpatialTransform": "transform", "Volume": "volume"}
"""Public name → the module that holds it."""


def __getattr__(name: str) -> Any:
    """The public names, loaded when first asked for (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}.")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
