"""This project's registration, run and measured like the others.

Variant: `ours`, or `ours:field=value,...` with fields of RegistrationSettings over the case's preset. Without an
`affine` among them the shared start is used and nothing else is aligned first; `ours:affine=affine` does its own start.
`ours:preset=auto` is given nothing but the images: another preset instead of the case's, with its own start.
`ours+masks` also gets the masks of the case.
"""

from __future__ import annotations

import ast
import dataclasses
import json
import sys
from pathlib import Path

import job
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from SpatialRegularizationLib.geometry.companions import Companions
from SpatialRegularizationLib.geometry.transform import SpatialTransform
from SpatialRegularizationLib.io.volumes import read_volume
from SpatialRegularizationLib.registration.presets import preset_settings
from SpatialRegularizationLib.registration.register import register


def overrides(variant: str) -> dict[str, object]:
    """`name:a=1,b=x` → {"a": 1, "b": "x"}; commas within brackets belong to the value."""
    values: dict[str, object] = {}
    depth, start = 0, 0
    text = variant.partition(":")[2] + ","
    for n, letter in enumerate(text):
        depth += (letter in "([") - (letter in ")]")
        if letter == "," and depth == 0:
            key, _, value = text[start:n].partition("=")
            start = n + 1
            if key:
                try:
                    values[key] = ast.literal_eval(value)
                except (ValueError, SyntaxError):
                    values[key] = value
    return values


def prepare(folder: Path) -> object:
    """Reads the native pair and the start; the returned function registers and gives d with B taken out of it."""
    task = json.loads((folder / "job.json").read_text())
    fixed, moving = read_volume(folder / "fixed.nii"), read_volume(folder / "moving_native.nii")
    changes = overrides(sys.argv[2])
    preset = changes.pop("preset", None)
    if preset is None:
        changes = {"affine": "none", **changes}
    settings = dataclasses.replace(preset_settings(preset or task["preset"]), **changes)
    initial = SpatialTransform(np.array(task["start"]), None) if changes.get("affine") == "none" else None

    masks = {}
    if sys.argv[2].startswith("ours+masks"):
        masks = {side: read_volume(folder / f"{side}.nii") for side in ("fixed_mask", "moving_mask")}

    def run() -> np.ndarray:
        result = register(fixed, moving, settings, companions=Companions(**masks), initial=initial)
        (folder / "notes.json").write_text(json.dumps(list(result.notes)))
        np.save(folder / "affine.npy", result.affine)
        return result.displacement.vectors.numpy()

    return run


if __name__ == "__main__":
    job.main({sys.argv[2]: (f"register(fixed, moving, preset, {sys.argv[2]})", prepare)})
