"""One registration by one method in a process of its own: what the runner hands over and what it gets back.

    python <method>.py FOLDER VARIANT

FOLDER holds fixed.nii and moving.nii on one common grid (the moving image already carried over by the shared affine
start) and job.json. The method writes displacement.npy, (3, i, j, k) float32 in LPS mm on the fixed grid with
fixed(x) ~ moving(x + d(x)), and result.json with the recipe, the seconds of the registration call alone (reading,
imports and process start excluded) and the peak resident memory.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np


def peak_mb() -> float:
    """Peak resident memory of this process so far, MiB (on Linux without that of the parent before exec)."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def field_array(image: object) -> np.ndarray:
    """(3, i, j, k) float32 of a SimpleITK displacement field."""
    import SimpleITK as sitk

    array = np.squeeze(np.asarray(sitk.GetArrayFromImage(image)))
    return np.ascontiguousarray(np.moveaxis(array.transpose(2, 1, 0, 3), -1, 0), dtype=np.float32)


def main(methods: dict[str, tuple[str, Callable[[Path], Callable[[], np.ndarray]]]]) -> None:
    """Run the variant named on the command line.

    Args:
        methods: variant → (recipe as a user would write it, function that reads the folder and returns the
            registration as a function without arguments, which returns the displacement).
    """
    folder, variant = Path(sys.argv[1]), sys.argv[2]
    recipe, prepare = methods[variant]
    register = prepare(folder)
    before = peak_mb()
    start = time.perf_counter()
    displacement = register()
    seconds = time.perf_counter() - start
    np.save(folder / "displacement.npy", np.asarray(displacement, dtype=np.float32))
    figures = {"recipe": recipe, "seconds": seconds, "memory_before_mb": before, "peak_memory_mb": peak_mb()}
    (folder / "result.json").write_text(json.dumps(figures))
