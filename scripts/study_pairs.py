"""Synthesized images of pairs with their labels, for studies of networks that were trained on synthesized images.

    python3 scripts/study_pairs.py scripts/configs/any_shapes_hyper.yaml --out scripts/configs/shapes --pairs 24

CONFIG is a training configuration that synthesizes from random shapes (pairs of heads: scripts/heads.py --pairs). --out gets
validation_pairs.csv, for `register --batch` and `evaluate`, validation_images.csv, for `sweep --pairs intra-subject` (the two
images of a pair are one group), and the images under pairs/. They come from another seed than those of the training's
validations, which chose the best epoch.
"""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

from SpatialRegularizationLib.geometry.volume import Volume
from SpatialRegularizationLib.io.volumes import write_volume
from SpatialRegularizationLib.training.data import load_data
from SpatialRegularizationLib.training.settings import TrainingSettings
from SpatialRegularizationLib.training.sources import source_of

SEED = 4040


def main() -> int:
    """Write images and list; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, metavar="CONFIG", help="configuration of the training")
    parser.add_argument("--out", type=Path, required=True, help="folder of the list and the images; made if needed")
    parser.add_argument("--pairs", type=int, default=24, help="how many (default 24)")
    options = parser.parse_args()
    changes = {"validation_pairs": options.pairs, "seed": SEED}
    try:
        settings = TrainingSettings.from_file(options.config, changes)
        if settings.synthesis is None or settings.synthesis.source != "shapes":
            raise ValueError(
                f"{options.config} does not synthesize from random shapes: give one that does, as any_shapes_hyper.yaml."
            )
    except (ValueError, FileNotFoundError) as error:
        print(error, file=sys.stderr)
        return 1
    write_pairs(settings, options.out)
    return 0


def write_pairs(settings: TrainingSettings, out: Path) -> None:
    """The validation pairs of the settings as files, and both lists."""
    (out / "pairs").mkdir(parents=True, exist_ok=True)
    rows, images = [], []
    for number, pair in enumerate(source_of(settings, load_data(settings)).validation(), start=1):
        files = []
        for side, image in zip(("moving", "fixed"), pair, strict=True):
            names = [f"pairs/{number:03d}_{side}{kind}.nii.gz" for kind in ("", "_labels")]
            write_volume(out / names[0], Volume(torch.from_numpy(image.image), image.grid))
            write_volume(out / names[1], Volume(torch.from_numpy(image.labels).int(), image.grid))
            files += names
            images.append((f"{number:03d}_{side}", *names, f"pair_{number:03d}"))
        rows.append((f"pair_{number:03d}", *files))
    write_table(out / "validation_pairs.csv", ("name", "moving", "moving_labels", "fixed", "fixed_labels"), rows)
    write_table(out / "validation_images.csv", ("name", "image", "labels", "group"), images)
    print(f"validation_pairs.csv: {len(rows)} pairs of images; validation_images.csv: the same as a list of images")


def write_table(path: Path, columns: tuple[str, ...], rows: list[tuple]) -> None:
    """A CSV file."""
    with path.open("w", newline="") as stream:
        csv.writer(stream, lineterminator="\n").writerows([columns, *rows])


if __name__ == "__main__":
    sys.exit(main())
