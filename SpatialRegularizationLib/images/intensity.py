"""Intensities of an image on a common scale: robust percentiles or a CT window."""

from __future__ import annotations

import math

import numpy as np
import torch

from ..geometry.volume import Volume

CT_WINDOW = (-1000.0, 1000.0)
"""HU: air to dense bone; padding below it and metal above it are cut."""


SOFT_TISSUE_WINDOW = (-300.0, 300.0)
"""HU: what networks for CT of the whole body were trained on; lungs and bone are flat in it."""


_WINDOWS = {"ct": CT_WINDOW, "ct-soft": SOFT_TISSUE_WINDOW, "none": (-math.inf, math.inf)}


PERCENTILES = (0.5, 99.5)
"""Intensities outside are cut: a few hot voxels must not flatten the rest."""


_PROBE = 1 << 20
"""Voxels from which percentiles are taken, about."""


def prepare_intensity(volume: Volume, kind: str, name: str = "image") -> Volume:
    """Intensities as float32 on a common scale.

    Args:
        volume: (1, i, j, k), any numeric type, finite.
        kind: "percentile" cuts at the 0.5th and 99.5th percentile and scales to [0, 1]; "ct" cuts at `CT_WINDOW` HU,
            "ct-soft" at `SOFT_TISSUE_WINDOW` HU, and scales to [0, 1]; "none" keeps the values.
        name: for the message.

    Raises:
        ValueError: an unknown kind, or an image that is constant (after the cut).
    """
    if kind not in ("percentile", *_WINDOWS):
        raise ValueError(f"Intensity preparation must be percentile, ct, ct-soft or none, got {kind!r}.")
    low, high = _bulk(volume.data) if kind == "percentile" else _WINDOWS[kind]
    data = volume.data.to(torch.float32, copy=True)
    lowest, highest = (float(v) for v in data.clamp_(low, high).aminmax())
    if not lowest < highest:
        remedy = "is it in Hounsfield units? If not, choose percentile." if kind in ("ct", "ct-soft") else "check the file."
        raise ValueError(f"The {name} is constant between {low:g} and {high:g}: nothing to align; {remedy}")
    if kind == "none":
        return volume.with_data(data)
    return volume.with_data(data.sub_(low).div_(high - low))


def _bulk(data: torch.Tensor) -> tuple[float, float]:
    """The values at `PERCENTILES`, from an even sample; the extremes where they coincide (sparse images)."""
    flat = data.flatten()
    step = max(1, len(flat) // _PROBE)
    while math.gcd(step, len(flat)) > 1:  # else the sample would be a few columns of the image
        step += 1
    values = flat[::step].float().cpu().numpy()
    places = [round(p / 100 * (len(values) - 1)) for p in PERCENTILES]
    low, high = (float(value) for value in np.partition(values, places)[places])
    return (low, high) if low < high else tuple(float(v) for v in data.aminmax())
