"""How much memory a piece of work needs at its height."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from ...registration.scores import peak_memory_mb

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass
class Peak:
    """Filled when the block ends: MB, of the CUDA device or resident memory of the whole process."""

    mb: float = float("nan")


@contextlib.contextmanager
def peak_memory_of(device: torch.device) -> Iterator[Peak]:
    """The highest memory inside the block.

    Where the system cannot forget an earlier height (all but Linux) it is the highest of the process so far.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        with contextlib.suppress(OSError):
            CLEAR.write_text("5", encoding="ascii")
    peak = Peak()
    yield peak
    peak.mb = peak_memory_mb(device) if device.type == "cuda" else _highest_mb()


def _highest_mb() -> float:
    try:
        line = next(line for line in STATUS.read_text(encoding="ascii").splitlines() if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return peak_memory_mb(torch.device("cpu"))
    return int(line.split()[1]) / 1024
