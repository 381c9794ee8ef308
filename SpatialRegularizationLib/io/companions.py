"""What goes with a pair of images, from files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

from ..geometry.volume import Volume
from ..registration.result import Companions
from .points import read_points
from .volumes import read_volume

KINDS = tuple(f.name for f in fields(Companions))
"""fixed_mask, moving_mask, fixed_labels, …"""


def read_companions(inputs: Mapping[str, Path], fixed: Volume, moving: Volume) -> Companions:
    """Masks, label maps and points of a pair; "index" points count the voxels of their image.

    Args:
        inputs: files by `KINDS`; other names are left to the caller.
        fixed, moving: the two images.

    Raises:
        FileNotFoundError, ValueError: a file is missing or not readable.
    """
    found = {}
    for name in KINDS:
        if name not in inputs:
            continue
        if name.endswith("points"):
            grid = fixed.grid if name.startswith("fixed") else moving.grid
            found[name] = read_points(inputs[name], grid=grid).positions
        else:
            found[name] = read_volume(inputs[name], labels=name.endswith("labels"))
    return Companions(**found)
