"""Measure how much memory this process or its device holds, and how much a piece of work needs at its height."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch


def peak_memory_mb(device: torch.device) -> float:
    """Largest memory so far: of the CUDA device, else resident memory of this process, MB (nan where unknown)."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    if os.name == "nt":
        return _windows_peak_mb()
    import resource

    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def memory_mb() -> float:
    """Resident memory of this process now, MB (nan where the system does not tell)."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return float("nan")
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _windows_peak_mb() -> float:
    import ctypes
    from ctypes import wintypes

    class Counters(ctypes.Structure):
        _fields_ = [("cb", wintypes.DWORD), ("PageFaultCount", wintypes.DWORD)] + [
            (name, ctypes.c_size_t) for name in ("PeakWorkingSetSize", "WorkingSetSize", *[f"q{i}" for i in range(6)])
        ]

    counters = Counters(cb=ctypes.sizeof(Counters))
    process = ctypes.windll.kernel32.GetCurrentProcess()
    if not ctypes.windll.psapi.GetProcessMemoryInfo(process, ctypes.byref(counters), counters.cb):
        return float("nan")
    return counters.PeakWorkingSetSize / 2**20


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
