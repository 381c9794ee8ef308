"""Processes of this machine: ending one with all that it has started, and the interpreter to start one with."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence


def kill_tree(tree: Sequence[int]) -> None:
    """End processes with all their children; those that are gone are no failure.

    Args:
        tree: process and, where it leads one, process group.
    """
    for pid in dict.fromkeys(tree):
        if pid == os.getpid():
            continue
        if os.name == "nt":
            subprocess.run(
                ["taskkill", "/T", "/F", "/PID", str(pid)], capture_output=True, creationflags=subprocess.CREATE_NO_WINDOW
            )
            continue
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if pid != os.getpgid(0):
                os.killpg(pid, signal.SIGKILL)


def python_program() -> str | None:
    """The interpreter that can run the library: PythonSlicer beside the application, or this one; None where there is none."""
    launcher = shutil.which("PythonSlicer")
    if launcher:
        return launcher
    here = os.path.basename(sys.executable or "").lower()
    return sys.executable if here.startswith("python") else None
