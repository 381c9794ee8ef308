"""Restarting the application: asked for, never done by itself, and what is not saved can be saved before."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

NOW = "Slicer must be restarted to finish the installation. Restart it now? Changes that are not saved can be saved first."
LOSE = "The scene has changes that are not saved. Restart all the same and lose them?"


def offer_restart(confirm: Callable[[str], bool]) -> bool:
    """Ask, let the user save, and restart; True where Slicer restarts.

    Nothing is asked where there are no windows: tests and scripts restart themselves.

    Args:
        confirm: takes a question, returns the answer.
    """
    slicer = importlib.import_module("slicer")
    app, util, scene = (getattr(slicer, name, None) for name in ("app", "util", "mrmlScene"))
    if not _has_windows(app, util) or not confirm(NOW):
        return False
    if _unsaved(scene):
        util.openSaveDataDialog()
        if _unsaved(scene) and not confirm(LOSE):
            return False
    app.restart()
    return True


def _has_windows(app: Any, util: Any) -> bool:
    testing, window = getattr(app, "testingEnabled", None), getattr(util, "mainWindow", None)
    return testing is not None and window is not None and not testing() and window(verbose=False) is not None


def _unsaved(scene: Any) -> bool:
    """What the application itself asks before it closes."""
    return bool(scene.GetStorableNodesModifiedSinceRead() or scene.GetModifiedSinceRead())
