"""Lists of the hippocampus images for training: 160 people to train on, 40 to validate with, the same 40 for ever.

    python3 scripts/hippocampus.py --data DIR --out FOLDER

DIR holds images/hippocampus_NNN.nii.gz and labels/ with the same names (Medical Segmentation Decathlon, Task 04,
CC-BY-SA 4.0). FOLDER gets train.csv and validation.csv. The validation subjects are those of
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
            labels = image.parent.parent / "labels" / image.name
            files = (os.path.relpath(file.resolve(), path.parent.resolve()) for file in (image, labels))
            writer.writerow((image.name.split(".")[0], *files))


if __name__ == "__main__":
    sys.exit(main())
