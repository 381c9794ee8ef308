"""List of pairs of real brain images for the study studies/brains.yaml.

    python3 scripts/brains.py --data DIR --out FOLDER

DIR holds brain_t1/subject_{a_image,b,c}.nii.gz with subject_a_labels.nii.gz (skull-stripped T1 of three people), and
brain_ms_longitudinal/patient01_study{1,2}_{FLAIR,T1W}.nii.gz (one person at two dates; CC-BY 4.0, Lesjak et al.). FOLDER gets
pairs.csv: every ordered pair of two people, both contrasts between the dates both ways, and T1 onto FLAIR of each date.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import os
import sys
from pathlib import Path

PEOPLE = {"a": "subject_a_image", "b": "subject_b", "c": "subject_c"}
LABELS = {"a": "subject_a_labels"}
COLUMNS = ("name", "fixed", "moving", "fixed_labels", "preset")


def main() -> int:
    """Write the list; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with brain_t1/ and brain_ms_longitudinal/")
    parser.add_argument("--out", type=Path, required=True, help="folder of the list; made if needed")
    options = parser.parse_args()
    rows = [*people(options.data), *dates(options.data)]
    missing = next((file for row in rows for file in row[1:4] if file and not file.is_file()), None)
    if missing:
        print(f"{missing} does not exist: give the folder of the images.", file=sys.stderr)
        return 1
    options.out.mkdir(parents=True, exist_ok=True)
    with (options.out / "pairs.csv").open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        for name, *files, preset in rows:
            writer.writerow((name, *(relative(file, options.out) for file in files), preset))
    print(f"pairs.csv: {len(rows)} pairs")
    return 0


def people(data: Path) -> list[tuple[str, Path, Path, Path | None, str]]:
    """Two different people of brain_t1."""
    files = {key: data / "brain_t1" / f"{name}.nii.gz" for key, name in PEOPLE.items()}
    labels = {key: data / "brain_t1" / f"{name}.nii.gz" for key, name in LABELS.items()}
    ordered = itertools.permutations(PEOPLE, 2)
    return [(f"{m}_to_{f}", files[f], files[m], labels.get(f), "brain-mri") for f, m in ordered]


def dates(data: Path) -> list[tuple[str, Path, Path, Path | None, str]]:
    """One person at two dates, and two contrasts of one date."""
    scans = itertools.product((1, 2), ("FLAIR", "T1W"))
    files = {
        (date, contrast): data / "brain_ms_longitudinal" / f"patient01_study{date}_{contrast}.nii.gz"
        for date, contrast in scans
    }
    same = [
        (f"{contrast}_{m}_to_{f}", files[f, contrast], files[m, contrast], None, "brain-mri")
        for contrast in ("FLAIR", "T1W")
        for f, m in ((1, 2), (2, 1))
    ]
    cross = [
        (f"T1W_{date}_to_FLAIR_{date}", files[date, "FLAIR"], files[date, "T1W"], None, "multi-modal") for date in (1, 2)
    ]
    return [*same, *cross]


def relative(file: Path | None, out: Path) -> str:
    """The path of a file as seen from the list."""
    return "" if file is None else os.path.relpath(file.resolve(), out.resolve())


if __name__ == "__main__":
    sys.exit(main())
