"""What is measured before and after a registration, in patient space on the fixed grid."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..evaluation.landmarks import target_registration_error
from ..evaluation.overlap import dice_per_label, hd95_per_label, mean_over_labels
from ..fields.sampling import warp
from ..geometry.grid import Grid
from ..geometry.transform import SpatialTransform
from .instance import TensorPair
from .job import Job
from .mapping import transform_points
from .prepare import check_labels
from .resample import resample_labels, resample_labels_linear
from .result import Companions


@torch.no_grad()
def likeness(job: Job, pair: TensorPair, displacement: Callable[[tuple[int, ...]], Tensor] | None = None) -> float:
    """Likeness on the working lattice: 1 - D for LNCC and MIND, -D for MSE (larger is more alike).

    Args:
        job: whose similarity counts.
        pair: on the working lattice.
        displacement: size of a lattice of this extent → u (1, 3, *size) there; None is rest.
    """
    pair = job.choices.featured(pair.at_level(job.choices.scoring_shrink(pair)))
    shape = tuple(pair.fixed.shape[2:])
    u = pair.fixed.new_zeros(1, 3, *shape) if displacement is None else displacement(shape)
    distance = float(job.choices.similarity(warp(pair.moving, u, offset=pair.offset), pair.fixed, pair.weight(u)))
    return -distance if job.settings.similarity == "mse" else 1.0 - distance


def overlap_scores(
    companions: Companions,
    transform: SpatialTransform,
    grid: Grid,
    *,
    labels: Iterable[int] | None = None,
    linear: bool = False,
) -> tuple[dict, dict] | None:
    """(Dice, HD95 in mm) per label and "mean", moving labels carried by `transform`; None without labels.

    Args:
        companions: with both label maps.
        transform: φ.
        grid: of the fixed image.
        labels: which ones count; None takes all that occur except 0.
        linear: the label with the largest linearly interpolated indicator instead of that of the nearest voxel.
    """
    if companions.fixed_labels is None or companions.moving_labels is None:
        return None
    carried = resample_labels_linear if linear else resample_labels
    warped = carried(companions.moving_labels, transform, grid)
    dice = dice_per_label(warped.data[0], companions.fixed_labels.data[0], labels)
    distance = hd95_per_label(warped.data[0], companions.fixed_labels.data[0], grid.spacing, labels)
    return _with_mean(dice), _with_mean(distance)


def landmark_scores(companions: Companions, transform: SpatialTransform, moving: Grid) -> dict[str, float] | None:
    """Mean, median, 95th percentile and maximum distance, mm; None without points."""
    if companions.fixed_points is None or companions.moving_points is None:
        return None
    mapped = transform_points(transform, companions.fixed_points)
    return target_registration_error(mapped, companions.moving_points, field=moving).to_dict()


def check_companions(companions: Companions, fixed: Grid, moving: Grid) -> None:
    """Refuses labels and points that do not fit their images.

    Raises:
        ValueError: a label map on another grid, unequal numbers of points, or points outside of their image.
    """
    for labels, grid, name in (
        (companions.fixed_labels, fixed, "fixed labels"),
        (companions.moving_labels, moving, "moving labels"),
    ):
        if labels is not None:
            check_labels(labels, grid, name)
    points = companions.fixed_points, companions.moving_points
    if (points[0] is None) != (points[1] is None):
        missing = "moving" if points[1] is None else "fixed"
        raise ValueError(f"Landmarks need a partner: the {missing} points are missing; give both lists or none.")
    if points[0] is None:
        return
    if len(points[0]) != len(points[1]):
        raise ValueError(
            f"Fixed and moving points must correspond one to one, got {len(points[0])} and {len(points[1])}; "
            "remove the ones without a partner."
        )
    for positions, grid, name in ((points[0], fixed, "fixed"), (points[1], moving, "moving")):
        outside = int((~grid.contains(positions, margin=1.0)).sum())
        if outside:
            raise ValueError(
                f"{outside} of {len(positions)} {name} points lie outside of the {name} image; check whether they are "
                "in LPS or RAS millimetres, and that they belong to this image."
            )


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


def _with_mean(values: dict[int, float]) -> dict[str, Any]:
    return {str(label): value for label, value in values.items()} | {"mean": mean_over_labels(values)}
