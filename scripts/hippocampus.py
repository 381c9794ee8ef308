"""Lists of the hippocampus images for training: 160 people to train on, 40 to validate with, the same 40 for ever.

    python3 scripts/hippocampus.py --data DIR --out FOLDER

DIR holds images/hippocampus_NNN.nii.gz and labels/ with the same names (Medical Segmentation Decathlon, Task 04,
CC-BY-SA 4.0). FOLDER gets train.csv and validation.csv, and validation_pairs.csv for `spatialreg tune --per-pair` and
`register --batch`: each validation subject meets the next one. The validation subjects are those of
configs/hippocampus_split.txt.
"""

from __future__ import annotations

import argparse
import csv
import os
import re
import sys
from pathlib import Path

SPLIT = Path(__file__).resolve().parent / "configs" / "hippocampus_split.txt"


def main() -> int:
    """Write the lists; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with images/ and labels/")
    parser.add_argument("--out", type=Path, required=True, help="folder of the lists; made if needed")
    options = parser.parse_args()
    held_out = {int(word) for line in SPLIT.read_text().splitlines() if not line.startswith("#") for word in line.split()}
    images = sorted((options.data / "images").glob("hippocampus_*.nii.gz"))
    if not images:
        print(f"No images/hippocampus_NNN.nii.gz in {options.data}: give the folder of the data set.", file=sys.stderr)
        return 1
    options.out.mkdir(parents=True, exist_ok=True)
    for name, wanted in (("train", False), ("validation", True)):
        chosen = [image for image in images if (number_of(image) in held_out) == wanted]
        write_list(options.out / f"{name}.csv", chosen)
        print(f"{name}.csv: {len(chosen)} images")
        if wanted:
            write_pairs(options.out / "validation_pairs.csv", chosen)
    return 0


def number_of(image: Path) -> int:
    """The subject's number."""
    return int(re.search(r"_(\d+)\.", image.name)[1])


def write_list(path: Path, images: list[Path]) -> None:
    """One line for each image and its labels, relative to the list."""
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("name", "image", "labels"))
        for image in images:
            writer.writerow((image.name.split(".")[0], *files_of(image, path)))


def write_pairs(path: Path, images: list[Path]) -> None:
    """One line for each image (fixed) and the next one (moving), the last one with the first."""
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("name", "fixed", "fixed_labels", "moving", "moving_labels"))
        for fixed, moving in zip(images, [*images[1:], *images[:1]], strict=True):
            writer.writerow((f"{number_of(moving)}_to_{number_of(fixed)}", *files_of(fixed, path), *files_of(moving, path)))


def files_of(image: Path, table: Path) -> tuple[str, str]:
    """An image and its labels, relative to the table that names them."""
    labels = image.parent.parent / "labels" / image.name
    return tuple(os.path.relpath(file.resolve(), table.parent.resolve()) for file in (image, labels))


if __name__ == "__main__":
    sys.exit(main())
