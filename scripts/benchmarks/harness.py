"""Time, memory and circumstances of a measurement, the same for every benchmark.

row = {"method": "ours", **measure(lambda: lncc(warped, fixed))}
write_results("lncc", [row])                     # scripts/benchmarks/results/lncc.json, with environment()
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import platform
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
RESULTS = Path(__file__).resolve().parent / "results"
PACKAGES = ("torch", "numpy", "SimpleITK", "nibabel", "scipy")
SAMPLING_SECONDS = 0.002


def measure(function: Callable[[], Any], repeats: int = 5, warmup: int = 1) -> dict[str, float | int | str]:
    """Wall-clock seconds of several runs and, from one more run, the memory it needs beyond what was there before.

    Args:
        function: takes nothing; what it returns is dropped at once, but counts as memory that it needs.
        repeats: timed runs.
        warmup: runs before them.

    Returns:
        The keys of `timed` and of `peak_memory`.
    """
    return {**timed(function, repeats, warmup), **peak_memory(function)}


def timed(function: Callable[[], Any], repeats: int = 5, warmup: int = 1) -> dict[str, float | int]:
    """The first half of `measure`: seconds_median, seconds_iqr, seconds_min, repeats."""
    _synchronize()
    for _ in range(warmup):
        function()
    seconds = []
    for _ in range(repeats):
        gc.collect()
        _synchronize()
        start = time.perf_counter()
        function()
        _synchronize()
        seconds.append(time.perf_counter() - start)
    quartiles = statistics.quantiles(seconds, n=4, method="inclusive") if repeats > 1 else [seconds[0]] * 3
    return {
        "seconds_median": statistics.median(seconds),
        "seconds_iqr": quartiles[2] - quartiles[0],
        "seconds_min": min(seconds),
        "repeats": repeats,
    }


def peak_memory(function: Callable[[], Any]) -> dict[str, float | str]:
    """Resident memory at the height of one run minus that at its start, in MB (10⁶ bytes), and how it was taken.

    Freed memory is first given back to the system: what an allocator keeps from earlier runs would hide the need.
    """
    gc.collect()
    _give_back_freed_memory()
    sampler = _Sampler()
    start = _resident()
    reset = _reset_high_water_mark()
    with sampler:
        function()
    highest = max(sampler.highest, _status("VmHWM") if reset else 0)
    if start is None:
        return {"peak_extra_mb": float("nan"), "peak_method": "unavailable"}
    method = "high-water mark" if reset else "sampled" if sampler.highest else "resource"
    if method == "resource":
        highest = _resource_peak()
    return {"peak_extra_mb": max(0, highest - start) / 1e6, "peak_method": method}


class _Sampler:
    """The largest resident memory seen by a thread that looks every other millisecond."""

    def __init__(self) -> None:
        self.highest = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> _Sampler:
        self._thread.start()
        return self

    def __exit__(self, *failure: object) -> None:
        self._stop.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._stop.wait(SAMPLING_SECONDS):
            self.highest = max(self.highest, _status("VmRSS"))


def _status(key: str) -> int:
    """A line of /proc/self/status in bytes; 0 where there is none."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(key + ":")), 0)


def _resident() -> int | None:
    return _status("VmRSS") or _resource_peak()


def _resource_peak() -> int | None:
    """Highest resident memory of the process so far, bytes; None on systems without it."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _reset_high_water_mark() -> bool:
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def _give_back_freed_memory() -> None:
    if sys.platform.startswith("linux"):
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


def _synchronize() -> None:
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.synchronize()


def environment() -> dict[str, Any]:
    """What a figure depends on besides the code: commit, versions, processor, threads, load, device."""
    torch = sys.modules.get("torch")
    cuda = torch is not None and torch.cuda.is_available()
    return {
        "commit": _git("rev-parse", "HEAD"),
        "uncommitted_changes": bool(_git("status", "--porcelain", "--untracked-files=no", "--", "*.py")),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "python": platform.python_version(),
        "system": platform.system(),
        "versions": {name: version for name in PACKAGES if (version := _version(name))},
        "cpu": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads() if torch is not None else None,
        "load_average": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "device": torch.cuda.get_device_name() if cuda else "cpu",
    }


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def write_results(name: str, rows: Sequence[Mapping[str, Any]], folder: Path = RESULTS) -> Path:
    """Writes {"benchmark", "environment", "rows"} to <folder>/<name>.json and returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    content = {"benchmark": name, "environment": environment(), "rows": [dict(row) for row in rows]}
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return path
