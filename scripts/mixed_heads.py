"""More heads to train on: label maps with shapes in between, and somewhat beyond, those of the training heads.

    python3 scripts/mixed_heads.py scripts/configs/heads [--count 110]

FOLDER is one of scripts/heads.py. Every training head A is registered to every other one, B (its tissues painted in one
contrast, per-pair mode), which gives displacements u_AB on the common lattice. A new map takes a head A and two others:

    L(p) = L_A( p + t ((1 - s) u_AB(p) + s u_AC(p)) ),     s uniform in 0 … 1, t uniform in 0.3 … 1.2

labels/mixed_NNN.nii.gz, and train_mixed.csv with the training heads and these. Differences of real people thus fill the space
between them, which random deformations do not know; the folds of the cortex stay those of A. Validation heads take no part.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from heads import CONFIGS
from study_pairs import write_table
from torch import Tensor

from SpatialRegularizationLib.fields.sampling import sample_nearest, voxel_coordinates
from SpatialRegularizationLib.geometry.volume import Volume
from SpatialRegularizationLib.io.lists import read_images
from SpatialRegularizationLib.io.volumes import read_volume, write_volume
from SpatialRegularizationLib.registration.register import register
from SpatialRegularizationLib.registration.settings import RegistrationSettings
from SpatialRegularizationLib.training.anatomy import Anatomy
from SpatialRegularizationLib.training.draws import Draws

SETTINGS = RegistrationSettings(
    similarity="lncc",
    lncc_window=5,
    lambda_max=0.4,
    affine="none",
    working_spacing_mm=4.0,
    levels=((4, 4, 30), (2, 2, 20), (1, 2, 15)),
)
"""A few seconds a pair; on four pairs labels overlapped by 0.75 afterwards where they did by 0.61, without folds."""
SHARES = (0.3, 1.2)
SEED = 14


def main() -> int:
    """Write the maps and the list; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of scripts/heads.py")
    parser.add_argument("--count", type=int, default=110, help="maps to make (default 110)")
    options = parser.parse_args()
    try:
        entries = read_images(options.folder / "train.csv")
    except FileNotFoundError:
        print(f"{options.folder} has no train.csv: run scripts/heads.py with --out {options.folder} first.", file=sys.stderr)
        return 1
    if len(entries) < 3:
        print(f"Maps are mixed from three heads, {options.folder / 'train.csv'} lists {len(entries)}: add some.", file=sys.stderr)
        return 1
    maps = {entry.name: read_volume(entry.labels, labels=True) for entry in entries}
    images = painted_alike(maps)
    names, mixed = list(maps), []
    for number, name in enumerate(names):
        count = len(range(number, options.count, len(names)))
        others = [other for other in names if other != name]
        found = (
            {other: register(images[other], images[name], SETTINGS).displacement.to_voxels() for other in others} if count else {}
        )
        for index in range(count):
            new = f"mixed_{len(mixed) + 1:03d}"
            moved = between(maps[name], found, Draws(torch.device("cpu"), SEED, name, index))
            write_volume(options.folder / "labels" / f"{new}.nii.gz", moved)
            mixed.append((new, f"labels/{new}.nii.gz"))
        print(f"{name}: {count} new maps from its differences to {len(others)} heads", flush=True)
    given = [(entry.name, f"labels/{Path(entry.labels).name}") for entry in entries]
    write_table(options.folder / "train_mixed.csv", ("name", "labels"), [*given, *mixed])
    return 0


def painted_alike(maps: dict[str, Volume]) -> dict[str, Volume]:
    """An image of each map in one contrast: every tissue, and every part of one, has its own intensity."""
    tissues = Anatomy.of(CONFIGS / "anatomy" / "heads.yaml").tissues
    parts = [part for tissue in tissues for part in tissue]
    order = torch.randperm(len(parts), generator=torch.Generator().manual_seed(SEED))
    levels = torch.zeros(1 + max(label for part in parts for label in part))
    for part, place in zip(parts, order.tolist(), strict=True):
        levels[list(part)] = (1 + place) / len(parts)
    return {name: Volume(levels[labels.data.long()], labels.grid) for name, labels in maps.items()}


def between(labels: Volume, displacements: dict[str, Tensor], draws: Draws) -> Volume:
    """A map of a head, deformed by a random share of its differences to two others, voxels."""
    first, second = draws.whole(len(displacements)), draws.whole(len(displacements) - 1)
    others = list(displacements.values())
    one, other = others[first], [u for number, u in enumerate(others) if number != first][second]
    share, split = draws.uniform(*SHARES), draws.uniform(0.0, 1.0)
    positions = voxel_coordinates(labels.grid.shape) + share * ((1 - split) * one + split * other)
    return Volume(sample_nearest(labels.data[None], positions[None], fill=0)[0], labels.grid)


if __name__ == "__main__":
    sys.exit(main())
