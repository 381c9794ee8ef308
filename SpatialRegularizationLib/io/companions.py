"""What goes with a pair of images, from files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

from ..evaluation.landmarks import pair_landmarks
from ..geometry.volume import Volume
from ..registration.result import Companions
from .points import read_landmarks
from .volumes import read_volume

KINDS = tuple(f.name for f in fields(Companions) if f.name != "notes")
"""fixed_mask, moving_mask, fixed_labels, …"""


def read_companions(inputs: Mapping[str, Path], fixed: Volume, moving: Volume) -> Companions:
    """Masks, label maps and points of a pair; "index" points count the voxels of their image.

    Points come in pairs, by label or by order as `pair_landmarks` decides; its notes go along.

    Args:
        inputs: files by `KINDS`; other names are left to the caller.
        fixed, moving: the two images.

    Raises:
        FileNotFoundError, ValueError: a file is missing or not readable, or points do not correspond.
    """
    found, landmarks = {}, {}
    for name in KINDS:
        if name not in inputs:
            continue
        if name.endswith("points"):
            grid = fixed.grid if name.startswith("fixed") else moving.grid
            landmarks[name] = read_landmarks(inputs[name], grid=grid)
            found[name] = landmarks[name].positions
        else:
            found[name] = read_volume(inputs[name], labels=name.endswith("labels"))
    if len(landmarks) == 2:
        pairs = pair_landmarks(landmarks["fixed_points"], landmarks["moving_points"])
        found |= {"fixed_points": pairs.fixed, "moving_points": pairs.moving, "notes": pairs.notes}
    return Companions(**found)
