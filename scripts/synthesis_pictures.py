"""A picture of 24 synthesized images: 12 pairs, moving on the left and fixed on the right of each.

    python3 scripts/synthesis_pictures.py [--heads FOLDER] [--out Resources/Screenshots/synthesis.png]

Eight pairs are heads, axial, coronal and sagittal in turn: of the label maps that scripts/heads.py wrote to FOLDER, or of the
synthetic heads of the demo, which are of nobody. Four pairs are random shapes. Settings are those of configs/.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import torch

from SpatialRegularizationLib.io.atomic import atomic_path
from SpatialRegularizationLib.io.lists import read_images
from SpatialRegularizationLib.io.volumes import read_volume
from SpatialRegularizationLib.phantoms.heads import two_subjects
from SpatialRegularizationLib.report.pixels import GRAY, encode_png, indices
from SpatialRegularizationLib.training.draws import Draws
from SpatialRegularizationLib.training.settings import TrainingSettings
from SpatialRegularizationLib.training.shapes import random_shapes
from SpatialRegularizationLib.training.synthesis import Synthesizer
from SpatialRegularizationLib.training.synthesis_settings import SynthesisSettings
from SpatialRegularizationLib.zoo.training_grid import TrainingGrid

ROOT = Path(__file__).resolve().parent.parent
TILE, GAP = 112, 2
PAIRS_PER_ROW = 3
PHANTOM_ANATOMY = {
    "tissues": [[[6], [13]], [[5], [12], [11]], [[7], [8], [9], [10]], [[3], [4]], [[1]], [[2]]],
    "stays": [4, 5, 6, 7, 8, 9, 10, 11, 12, 13],
}
"""Of the labels of `evaluation.phantom`."""


def main() -> int:
    """Draw the picture; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--heads", type=Path, help="folder of scripts/heads.py; default: the synthetic heads of the demo")
    parser.add_argument("--out", type=Path, default=ROOT / "Resources" / "Screenshots" / "synthesis.png", help="the picture")
    parser.add_argument("--seed", type=int, default=3, help="of everything random (default 3)")
    options = parser.parse_args()
    settings = TrainingSettings.from_file(ROOT / "scripts" / "configs" / "head_any_beta.yaml").synthesis
    maps = listed_maps(options.heads) if options.heads else phantom_maps()
    if options.heads is None:
        settings = SynthesisSettings(anatomy=PHANTOM_ANATOMY)
    tiles = head_tiles(maps, settings, options.seed, 8) + shape_tiles(options.seed, 4)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(options.out, ".png") as temporary:
        temporary.write_bytes(encode_png(sheet(tiles), GRAY))
    print(options.out)
    return 0


def listed_maps(folder: Path) -> list[torch.Tensor]:
    """The training maps of scripts/heads.py, (1, 1, i, j, k) int64, axes LPS."""
    return [read_volume(entry.labels, labels=True).data[None].long() for entry in read_images(folder / "train.csv")]


def phantom_maps() -> list[torch.Tensor]:
    """Two synthetic people on the fixed grid of the demo, axes LPS."""
    pairs = [two_subjects((96, 112, 96), seed=seed) for seed in range(2)]
    return [pair.fixed_labels.data[None].long().flip(2, 3) for pair in pairs]


def head_tiles(maps: list[torch.Tensor], settings: SynthesisSettings, seed: int, count: int) -> list[np.ndarray]:
    """Slices of both images of some pairs."""
    labels = sorted({int(value) for one in maps for value in one.unique()} - {0})
    lattice = TrainingGrid(tuple(maps[0].shape[2:]), (2.0, 2.0, 2.0), "LPS")
    synthesizer = Synthesizer(settings, lattice, labels)
    tiles = []
    for number in range(count):
        moving, fixed = maps[number % len(maps)], maps[(number + 1) % len(maps)]
        pair = synthesizer.pair(moving, fixed, Draws(torch.device("cpu"), seed, "picture", number))
        tiles += [section(image, number % 3) for image in pair.images]
    return tiles


def shape_tiles(seed: int, count: int) -> list[np.ndarray]:
    """The same of random shapes."""
    settings = TrainingSettings.from_file(ROOT / "scripts" / "configs" / "any_shapes_hyper.yaml")
    synthesis = settings.synthesis
    lattice = TrainingGrid(settings.shape, settings.spacing_mm)
    synthesizer = Synthesizer(synthesis, lattice, range(1, 1 + synthesis.shapes))
    tiles = []
    for number in range(count):
        draws = Draws(torch.device("cpu"), seed, "shapes", number)
        labels = random_shapes(lattice.shape, synthesis.shapes, synthesis.shape_scale, draws)
        tiles += [section(image, 0) for image in synthesizer.pair(labels, labels, draws).images]
    return tiles


def section(image: torch.Tensor, view: int) -> np.ndarray:
    """A middle slice, head up, front up in axial slices: axial, coronal, sagittal (view 0, 1, 2)."""
    volume = image[0, 0]
    place = [volume.shape[axis] // 2 for axis in range(3)]
    if view == 0:
        return volume[:, :, place[2] + volume.shape[2] // 12].T.numpy()
    if view == 1:
        return volume[:, place[1], :].T.flip(0).numpy()
    return volume[place[0] - 2, :, :].T.flip(0).numpy()


def sheet(tiles: list[np.ndarray]) -> np.ndarray:
    """Palette indices of all slices, each in the middle of its tile; pairs stand apart."""
    columns = 2 * PAIRS_PER_ROW
    rows = -(-len(tiles) // columns)
    width = columns * TILE + (PAIRS_PER_ROW - 1) * 6 * GAP + columns * GAP
    canvas = np.full((rows * (TILE + GAP), width), 40 / 255)
    for number, tile in enumerate(tiles):
        row, column = divmod(number, columns)
        top = row * (TILE + GAP)
        left = column * (TILE + GAP) + (column // 2) * 6 * GAP
        canvas[top : top + TILE, left : left + TILE] = 0
        top, left = top + (TILE - tile.shape[0]) // 2, left + (TILE - tile.shape[1]) // 2
        canvas[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    return indices(canvas, 0.0, 1.0)


if __name__ == "__main__":
    sys.exit(main())
