"""Lists of head label maps for training on synthesized images: 11 heads to train on, 3 to validate with, the same 3 for ever.

    python3 scripts/heads.py --data DIR --out FOLDER [--pairs 24]

DIR holds head_NN.nii.gz (label maps of 1 mm with FreeSurfer and SimNIBS charm numbers, as published with SynthSeg under
Apache-2.0). FOLDER gets each map at 2 mm on a lattice of 96 x 112 x 96 voxels (axes LPS), train.csv, validation.csv, and
with --pairs images of the validation heads in studies: validation_pairs.csv, for `register --batch` and `evaluate`.

The heads are brought together by the affine map that fits the centers of their inner structures best to those of the mean of
the training heads, as the registration's affine start does with images. A voxel of 2 mm takes the most frequent of eight
labels. The validation heads are those of configs/head_split.txt.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import torch
from study_pairs import write_pairs, write_table

from SpatialRegularizationLib.fields.sampling import sample_nearest, voxel_coordinates
from SpatialRegularizationLib.geometry.grid import Grid
from SpatialRegularizationLib.geometry.volume import Volume
from SpatialRegularizationLib.io.volumes import read_volume, write_volume
from SpatialRegularizationLib.training.settings import TrainingSettings

CONFIGS = Path(__file__).resolve().parent / "configs"
SPLIT = CONFIGS / "head_split.txt"
SHAPE, SPACING = (96, 112, 96), 2.0
OUTSIDE = 500
"""Labels from here on lie outside of the brain; they do not steer the alignment."""
MARGIN_MM = 6.0
"""Air above the head; what does not fit below (the neck) is cut off."""
STUDY = {
    "synthesis.warp_voxels": 0.0,
    "synthesis.rotation_degrees": 0.0,
    "synthesis.scaling": 0.0,
    "synthesis.shift_voxels": 0.0,
}
"""Study pairs differ as the people do: nothing is deformed besides."""


def main() -> int:
    """Write maps and lists; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with head_NN.nii.gz")
    parser.add_argument("--out", type=Path, required=True, help="folder of maps and lists; made if needed")
    parser.add_argument("--pairs", type=int, default=0, help="pairs of images for studies, of the validation heads (default 0)")
    options = parser.parse_args()
    files = {number_of(file): file for file in sorted(options.data.glob("head_*.nii.gz"))}
    held_out = {int(word) for line in SPLIT.read_text().splitlines() if not line.startswith("#") for word in line.split()}
    if not (files.keys() & held_out and files.keys() - held_out):
        print(f"{options.data} needs head_NN.nii.gz of both sides of {SPLIT.name}: give the folder of the maps.", file=sys.stderr)
        return 1
    (options.out / "labels").mkdir(parents=True, exist_ok=True)
    write_maps(files, held_out, options.out)
    for name, wanted in (("train", False), ("validation", True)):
        chosen = [number for number in files if (number in held_out) == wanted]
        rows = [(f"head_{number:02d}", f"labels/head_{number:02d}.nii.gz") for number in chosen]
        write_table(options.out / f"{name}.csv", ("name", "labels"), rows)
        print(f"{name}.csv: {len(chosen)} label maps")
    if options.pairs:
        write_head_pairs(options.out, options.pairs)
    return 0


def number_of(file: Path) -> int:
    """The head's number."""
    return int(re.search(r"_(\d+)\.", file.name)[1])


def write_maps(files: dict[int, Path], held_out: set[int], out: Path) -> None:
    """Every map on the common lattice."""
    maps = {number: read_volume(file, labels=True) for number, file in files.items()}
    centers = {number: centers_of(labels) for number, labels in maps.items()}
    shared = sorted(set.intersection(*(set(found) for found in centers.values())))
    points = {number: np.array([found[label] for label in shared]) for number, found in centers.items()}
    mean = mean_points([points[number] for number in files if number not in held_out])
    affines = {number: affine_between(mean, own) for number, own in points.items()}
    grid = common_grid([(maps[number], affines[number]) for number in files if number not in held_out])
    for number, labels in maps.items():
        write_volume(out / "labels" / f"head_{number:02d}.nii.gz", resampled(labels, affines[number], grid))


def centers_of(labels: Volume) -> dict[int, np.ndarray]:
    """Center of each inner structure, mm LPS."""
    data = labels.data[0].numpy()
    index = np.argwhere((data > 0) & (data < OUTSIDE))
    values = data[tuple(index.T)]
    found = {int(value): index[values == value].mean(0) for value in np.unique(values)}
    return {value: labels.grid.index_to_point(center) for value, center in found.items()}


def mean_points(sets: list[np.ndarray], rounds: int = 4) -> np.ndarray:
    """Mean of point sets after rigid alignment (generalized Procrustes), (n, 3) around its own center."""
    mean = sets[0] - sets[0].mean(0)
    for _ in range(rounds):
        mean = np.mean([(points - points.mean(0)) @ rotation_between(points, mean) for points in sets], axis=0)
    return mean


def rotation_between(points: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The rotation R with (points - center) R nearest to the target (Kabsch 1976)."""
    u, _, v = np.linalg.svd((points - points.mean(0)).T @ target)
    return u @ np.diag([1, 1, np.sign(np.linalg.det(u @ v))]) @ v


def affine_between(points: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The 4 x 4 affine map that carries points to the target best, in the sense of least squares."""
    ones = np.ones((len(points), 1))
    solution, *_ = np.linalg.lstsq(np.hstack([points, ones]), target, rcond=None)
    return np.vstack([solution.T, [0, 0, 0, 1]])


def common_grid(heads: list[tuple[Volume, np.ndarray]]) -> Grid:
    """The lattice: centered on the mean head from side to side and front to back, its upper end just above it."""
    ends = []
    for labels, affine in heads:
        index = np.argwhere(labels.data[0].numpy() > 0)
        points = labels.grid.index_to_point(index) @ np.linalg.inv(affine)[:3, :3].T + np.linalg.inv(affine)[:3, 3]
        ends.append([points.min(0), points.max(0)])
    low, high = np.mean(ends, axis=0)
    extent = (np.array(SHAPE) - 1) * SPACING
    origin = (low + high) / 2 - extent / 2
    origin[2] = high[2] + MARGIN_MM - extent[2]
    return Grid(SHAPE, (SPACING,) * 3, tuple(origin), tuple(map(tuple, np.eye(3))))


def resampled(labels: Volume, affine: np.ndarray, grid: Grid) -> Volume:
    """The map on a grid of the mean space: the most frequent of the labels at eight points of each voxel."""
    matrix = torch.from_numpy(np.linalg.inv(labels.grid.affine) @ affine @ grid.affine)
    points = voxel_coordinates(grid.shape, dtype=torch.float64).flatten(1)
    found = []
    for corner in np.ndindex(2, 2, 2):
        shifted = points + (torch.tensor(corner)[:, None] - 0.5) / 2
        positions = (matrix[:3, :3] @ shifted + matrix[:3, 3:]).view(1, 3, *grid.shape)
        found.append(sample_nearest(labels.data[None], positions, fill=0)[0, 0])
    return Volume(torch.stack(found).mode(dim=0).values[None].int(), grid)


def write_head_pairs(out: Path, count: int) -> None:
    """Synthesized images of pairs of validation heads, any two contrasts, whole or stripped, with the labels that count."""
    changes = {"train": str(out / "train.csv"), "validation": str(out / "validation.csv"), "out": str(out)}
    write_pairs(TrainingSettings.from_file(CONFIGS / "head_any_beta.yaml", changes | STUDY | {"validation_pairs": count}), out)


if __name__ == "__main__":
    sys.exit(main())
