"""Does inverse.h5 bring back every voxel that transform.h5 carries away, and is the reported error true?

    python scripts/benchmarks/inverse.py [--pairs 200] [--data DIR]

Random pairs of blobs: oblique, anisotropic, flipped, of differing grids and partly overlapping, registered without an affine
stage (so that large displacements reach the border), written as a result, and both files read back with SimpleITK and applied to
every voxel center of the fixed image. `--data` (a folder with images/hippocampus_NNN.nii.gz) adds pairs of real crops.
The result goes to results/inverse.json.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
import torch
from harness import write_results

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from SpatialRegularizationLib import PRESETS, read_volume, register, write_result
from SpatialRegularizationLib.geometry import Grid, Volume

FIRST, SECOND = 3, 9
"""Of the real images in the order of their names: a pair of which the field leaves the crop by several voxels."""


def random_grid(random: np.random.Generator) -> Grid:
    """18 to 28 voxels an axis of 0.8 to 2.5 mm, any direction, left-handed half of the time, about a common center."""
    axes = np.linalg.qr(random.normal(size=(3, 3)))[0]
    shape, spacing = tuple(random.integers(18, 29, 3)), random.uniform(0.8, 2.5, 3)
    center = random.uniform(-0.15, 0.15, 3) * np.array(shape) * spacing
    origin = center - axes @ ((np.array(shape) - 1) / 2 * spacing)
    return Grid(shape, tuple(spacing), tuple(origin), tuple(map(tuple, axes)))


def blobs(where: Grid, centers: np.ndarray, widths: np.ndarray) -> Volume:
    """Sum of Gaussian blobs (n centers in mm LPS), with a little structure everywhere."""
    points = where.index_to_point(np.stack(np.meshgrid(*[np.arange(n) for n in where.shape], indexing="ij"), axis=-1))
    values = 3 * np.sin(points / 3).sum(-1)
    for center, width in zip(centers, widths, strict=True):
        values += 100 * np.exp(-((points - center) ** 2).sum(-1) / (2 * width**2))
    return Volume(torch.from_numpy(values.astype(np.float32))[None], where)


def random_pair(seed: int) -> tuple[Volume, Volume]:
    """The same blobs, each moved by up to 6 mm, on two random grids."""
    random = np.random.default_rng(seed)
    centers, widths = random.uniform(-22, 22, (9, 3)), random.uniform(4, 9, 9)
    moved = centers + random.uniform(-6, 6, 3) + random.normal(0, 3, (9, 3))
    return blobs(random_grid(random), centers, widths), blobs(random_grid(random), moved, widths)


def there_and_back(fixed: Volume, moving: Volume, settings: Any) -> dict[str, float]:
    """Errors over the fixed voxels as SimpleITK finds them in the files, beside the reported ones, mm."""
    found = register(fixed, moving, settings)
    with tempfile.TemporaryDirectory() as folder:
        write_result(f"{folder}/r", found)
        forward, back = (sitk.ReadTransform(f"{folder}/r/{name}.h5") for name in ("transform", "inverse"))
    grid = fixed.grid
    points = grid.index_to_point(np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), -1)).reshape(-1, 3)
    returned = np.array([back.TransformPoint(forward.TransformPoint(p)) for p in points.tolist()])
    missed = np.linalg.norm(returned - points, axis=1)
    return {
        "p99_mm": float(np.percentile(missed, 99)), "max_mm": float(missed.max()),
        "reported_p99_mm": found.figures.inverse_residual_p99_mm, "reported_max_mm": found.figures.inverse_residual_mm,
        "allowed_mm": max(0.1, 0.1 * min(grid.spacing)), "sd_log_j": found.figures.sd_log_j,
        "displacement_max_mm": float(found.displacement.vectors.norm(dim=0).max()), "seconds": found.seconds,
    }  # fmt: skip


def main() -> int:
    """Run and write; returns the exit code: 1 where a pair misses."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--data", type=Path, help="folder with images/hippocampus_NNN.nii.gz")
    options = parser.parse_args()
    rows = []
    for seed in range(options.pairs):
        settings = replace(PRESETS["generic"], affine="none", seed=0, threads=1)
        rows.append({"pair": f"random {seed}"} | there_and_back(*random_pair(seed), settings))
    if options.data is not None:
        names = sorted((options.data / "images").glob("hippocampus_*.nii.gz"))
        pair = read_volume(names[FIRST]), read_volume(names[SECOND])
        rows.append({"pair": "hippocampus"} | there_and_back(*pair, replace(PRESETS["brain-mri"], threads=1)))
    within = sum(row["p99_mm"] <= row["allowed_mm"] for row in rows)
    honest = sum(row["max_mm"] <= row["reported_max_mm"] for row in rows)
    write_results("inverse", rows)
    print(f"{within} of {len(rows)} within a tenth of a voxel (or 0.1 mm) at 99 %; {honest} never above the reported maximum")
    return 0 if within == honest == len(rows) else 1


if __name__ == "__main__":
    sys.exit(main())
