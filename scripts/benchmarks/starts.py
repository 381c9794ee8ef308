"""How often and how fast the start is found: all rotations, shifts of half the field of view, 40 % overlap, either contrast.

    python scripts/benchmarks/starts.py --starts 500 --out scripts/benchmarks/results/starts.json

Pairs whose true pose is known: one image and the same with new noise, two contrasts of one person (aligned by the publishers of
the data), and two synthesized contrasts of one label map. Each start turns the moving image by a rotation drawn evenly from all,
shifts it by up to half of its field of view along each axis, and cuts it along one axis, so that at least 40 % of the fixed
content are left. Images are brought to 2 mm. A start is right within 3 mm (mean over the content that both
images see) and 3 degrees. The seconds are those of the search for the rigid start, on the given threads.
"""

from __future__ import annotations

import argparse
import json
import math
from collections import defaultdict
from pathlib import Path

import cases
import harness
import known_pair
import numpy as np
import torch

from SpatialRegularizationLib.geometry.grid import Grid
from SpatialRegularizationLib.geometry.transform import degrees_apart
from SpatialRegularizationLib.geometry.volume import Volume
from SpatialRegularizationLib.pose.start import StartKind, find_start
from SpatialRegularizationLib.pose.structure import evenly

MM, SEED, RIGHT_MM, RIGHT_DEGREES = 2.0, 8, 3.0, 3.0
LEAST_OVERLAP = 0.4
"""Of the fixed content; what cuts deeper is drawn again."""
NOISE = 0.1
"""Of the standard deviation of the image, in the pairs of one image with new noise."""


def pairs() -> list[tuple[str, str, Volume, Volume, np.ndarray]]:
    """(name, "same" or "different" contrast, fixed, moving, true 4x4), at 2 mm."""
    found = []
    random = np.random.default_rng(SEED)
    for name in ("brain_ms_longitudinal/patient01_study1_FLAIR.nii.gz", "abdomen/mr.nii.gz", "abdomen/ct_slab.nii.gz",
                 "lung_ct/baseline.mha", "brain_t1/subject_b.nii.gz"):  # fmt: skip
        data, grid = known_pair.read(name)
        data = np.maximum(data, -1000.0)
        noisy = data + random.normal(size=data.shape).astype(np.float32) * NOISE * data.std()
        found.append((name, "same", _volume(data, grid), _volume(noisy, grid), np.eye(4)))
    for case in cases.ms_cases(None)[1:]:
        kind = "different" if case.preset == "multi-modal" else "same"
        images = _volume(case.fixed, case.fixed_grid), _volume(case.moving, case.moving_grid)
        found.append((case.name, kind, *images, case.reference))
    images = [_volume(*known_pair.read(f"brain_ms_mni/patient07_{kind}.nii.gz")) for kind in ("T1", "T2")]
    found.append(("patient07_T1_T2", "different", *images, np.eye(4)))
    for number in (2, 5):
        found.append((f"head_{number:02d}", "different", *_two_contrasts(number, random), np.eye(4)))
    return [(name, kind, evenly(fixed, MM), evenly(moving, MM), true) for name, kind, fixed, moving, true in found]


def _volume(data: np.ndarray, grid: known_pair.Grid) -> Volume:
    return Volume(torch.from_numpy(np.ascontiguousarray(data, dtype=np.float32))[None], Grid(*(getattr(grid, n) for n in (
        "shape", "spacing", "origin", "direction"))))  # fmt: skip


def _two_contrasts(number: int, random: np.random.Generator) -> list[Volume]:
    """The label map of a head painted twice, each label with a random intensity and noise."""
    labels, grid = known_pair.read(known_pair.DATA / "head_label_maps" / f"head_{number:02d}.nii.gz", np.int32)
    values, place = np.unique(labels, return_inverse=True)
    images = []
    for _ in range(2):
        levels = np.where(values == 0, 0.0, random.uniform(0.2, 1.0, len(values)))
        data = levels[place].reshape(labels.shape) + random.normal(0, 0.05, labels.shape)
        images.append(_volume(data, grid))
    return images


def displaced(moving: Volume, random: np.random.Generator) -> tuple[Volume, np.ndarray]:
    """The moving image cut, turned and shifted, and the 4x4 that did it (of patient space)."""
    axis, share = int(random.integers(3)), float(random.uniform(0.4, 1.0))
    n = moving.grid.shape[axis]
    kept = max(8, round(share * n))
    start = int(random.choice([0, n - kept]))
    part = [slice(None)] * 4
    part[axis + 1] = slice(start, start + kept)
    begin, shape = [0, 0, 0], list(moving.grid.shape)
    begin[axis], shape[axis] = start, kept
    cut = Volume(moving.data[tuple(part)], moving.grid.shifted(tuple(begin), tuple(shape)))
    quaternion = random.normal(size=4)
    x, y, z, w = quaternion / np.linalg.norm(quaternion)
    pose = np.eye(4)
    pose[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    center = np.array(moving.grid.center)
    pose[:3, 3] = center - pose[:3, :3] @ center + random.uniform(-0.5, 0.5, 3) * np.array(moving.grid.extent)
    return Volume(cut.data, Grid.from_affine(pose @ cut.grid.affine, cut.grid.shape)), pose


def measured(entry: tuple, number: int) -> dict[str, object]:
    """One start: error, seconds, what was doubted."""
    name, kind, fixed, moving, true = entry
    random = np.random.default_rng((SEED, number))
    content = np.argwhere(fixed.data[0].numpy() > np.percentile(fixed.data[0].numpy(), 50))[::97]
    points = fixed.grid.index_to_point(content.astype(float))
    while True:
        there, pose = displaced(moving, random)
        wanted = pose @ true
        seen = there.grid.contains(points @ wanted[:3, :3].T + wanted[:3, 3])
        if seen.mean() >= LEAST_OVERLAP:
            break
    found = find_start(fixed, there, StartKind.RIGID)
    points = points[seen]
    error = (points @ (found.matrix - wanted)[:3, :3].T) + (found.matrix - wanted)[:3, 3]
    return {
        "pair": name, "contrast": kind, "overlap": float(seen.mean()), "turned": degrees_apart(np.eye(4), pose),
        "error_mm": float(np.linalg.norm(error, axis=1).mean()), "error_degrees": degrees_apart(found.matrix, wanted),
        "seconds": found.seconds, "doubted": bool(found.doubts),
    }  # fmt: skip


def main() -> None:
    """Run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--starts", type=int, default=500)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    known = pairs()
    lines = []
    for number in range(options.starts):
        lines.append(measured(known[number % len(known)], number))
        line = lines[-1]
        if line["error_mm"] > RIGHT_MM or line["error_degrees"] > RIGHT_DEGREES:
            print(number, json.dumps(line), flush=True)
    groups = defaultdict(list)
    for line in lines:
        for key in ("all", line["contrast"], line["pair"]):
            groups[key].append(line)
    summary = {key: summarized(group) for key, group in groups.items()}
    print(json.dumps(summary, indent=1))
    if options.out:
        content = {"environment": harness.environment() | {"threads": options.threads}, "summary": summary, "lines": lines}
        options.out.write_text(json.dumps(content, indent=1) + "\n")


def summarized(lines: list[dict]) -> dict[str, float]:
    """Share that is right, share of the wrong ones that was doubted, and of the right ones, errors and seconds."""
    wrong = [e for e in lines if e["error_mm"] > RIGHT_MM or e["error_degrees"] > RIGHT_DEGREES]
    right = [e for e in lines if e not in wrong]
    return {
        "starts": len(lines),
        "right_percent": 100 * len(right) / len(lines),
        "wrong_doubted_percent": 100 * sum(e["doubted"] for e in wrong) / len(wrong) if wrong else math.nan,
        "right_doubted_percent": 100 * sum(e["doubted"] for e in right) / max(len(right), 1),
        "error_mm_median": float(np.median([e["error_mm"] for e in lines])),
        "seconds_median": float(np.median([e["seconds"] for e in lines])),
        "seconds_p95": float(np.percentile([e["seconds"] for e in lines], 95)),
    }


if __name__ == "__main__":
    main()
