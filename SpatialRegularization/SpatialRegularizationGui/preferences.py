"""What the application remembers, not the scene: where to compute."""

from __future__ import annotations

import qt

KEY = "SpatialRegularization/device"
DEVICES = {
    "auto": "Automatic (a GPU where there is one)",
    "cpu": "CPU",
    "cuda": "CUDA (first NVIDIA GPU)",
    "mps": "MPS (Apple GPU)",
}
"""Value of the setting `device` → what the panel calls it."""


def device() -> str:
    """The device that was chosen last; "auto" at first."""
    return str(qt.QSettings().value(KEY, "auto"))


def remember_device(name: str) -> None:
    """For the next start, too."""
    qt.QSettings().setValue(KEY, name)
