"""spatialreg evaluate: the figures of any transform, whoever made it."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ..evaluation.alignment import displacement_of, lncc_of
from ..evaluation.regularity import measure_regularity
from ..evaluation.summary import length_figures, plain, versions
from ..evaluation.verdicts import figures_of
from ..geometry.transform import SpatialTransform
from ..geometry.volume import Volume
from ..io.results import write_text
from ..io.transforms import read_transform
from ..io.volumes import read_volume
from ..registration.prepare import check_image, fit_mask
from ..registration.result import Companions
from ..registration.scores import check_companions, landmark_scores, overlap_scores, peak_memory_mb
from .apply import check_file, transform_file
from .console import Console, UsageError
from .job import check_pairs
from .pair import read_companions

DEFAULT_WINDOW = 9


def run(options: argparse.Namespace, console: Console, arguments: Sequence[str]) -> int:
    """Do what the command line says; returns the exit code."""
    for name in ("transform", "fixed", "moving"):
        if not getattr(options, name):
            raise UsageError(f"--{name} is needed: see 'spatialreg evaluate --help'.")
    inputs = {name: Path(path) for name in COMPANIONS if (path := getattr(options, name))}
    check_pairs(inputs)
    if options.out:
        check_file(Path(options.out), force=options.force)
    start = time.monotonic()
    console.step("Reading")
    transform = read_transform(transform_file(options.transform))
    fixed, moving = read_volume(options.fixed), read_volume(options.moving)
    check_image(fixed, "fixed image")
    check_image(moving, "moving image")
    companions = read_companions(inputs, fixed, moving)
    check_companions(companions, fixed.grid, moving.grid)
    console.step("Measuring")
    content = measure(transform, fixed, moving, companions, window=options.lncc_window or DEFAULT_WINDOW)
    content |= {"seconds": time.monotonic() - start, "peak_memory_mb": peak_memory_mb(torch.device("cpu"))}
    content = plain(content | {"transform": str(options.transform), "versions": versions()})
    if options.out:
        write_text(options.out, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False))
    console.result(content, _text(content, fixed))
    return 0


COMPANIONS = ("fixed_mask", "fixed_labels", "moving_labels", "fixed_points", "moving_points")


def measure(
    transform: SpatialTransform, fixed: Volume, moving: Volume, companions: Companions, *, window: int
) -> dict[str, Any]:
    """The figures of a transform under the names of report.json; "before" is the identity.

    Args:
        transform: φ, fixed points to moving points.
        fixed, moving: the two images.
        companions: label maps, points, and the mask inside which similarity and regularity are taken.
        window: side of the LNCC window, voxels.
    """
    field, note = displacement_of(transform, fixed.grid)
    mask = None if companions.fixed_mask is None else fit_mask(companions.fixed_mask, fixed.grid, "fixed mask")
    regularity = measure_regularity(field.to_voxels(), mask=None if mask is None else mask.data[0])
    content: dict[str, Any] = {
        name: getattr(regularity, name)
        for name in (
            "folding_percent",
            "folding_one_sided_percent",
            "ndv_percent",
            "sd_log_j",
            "voxels",
            "mask",
            "boundary",
        )
    }
    for when, mapping in (("before", SpatialTransform()), ("after", transform)):
        overlap = overlap_scores(companions, mapping, fixed.grid) or (None, None)
        content |= {
            f"similarity_{when}": lncc_of(fixed, moving, mapping, mask=mask, window=window),
            f"dice_{when}": overlap[0],
            f"hd95_{when}_mm": overlap[1],
            f"tre_{when}_mm": landmark_scores(companions, mapping, moving.grid),
        }
    return content | {
        "displacement_mm": length_figures(field),
        "inverse_residual_mm": None,
        "device": "cpu",
        "settings": {"similarity": "lncc", "lncc_window": window},
        "notes": [note],
    }


def _text(content: dict[str, Any], fixed: Volume) -> str:
    lines = []
    for figure in figures_of(content, min(fixed.grid.spacing)):
        if figure.name not in ("Time", "Peak memory"):
            lines.append(f"{figure.name:<34}{figure.before + ' -> ' if figure.before else ''}{figure.after}")
    return "\n".join([*lines, f"Regularity over: {content['mask']}, border: {content['boundary']}.", *content["notes"]])
