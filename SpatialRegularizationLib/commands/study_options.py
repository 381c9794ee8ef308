"""Options of `spatialreg evaluate STUDY`."""

from __future__ import annotations

import argparse

STUDY_HELP = """a study file, for example:
  title: Hippocampus
  images: validation.csv        # or pairs: pairs.csv, as for register --batch
  random_pairs: 100
  methods: [brain-mri, {model: hippocampus-t1-beta}, {name: refined, model: hippocampus-t1-beta, refine: 20}, syn_mi]
  aims: [{figure: dice, method: hippocampus-t1-beta, against: brain-mri, difference_at_least: -0.005}]
Further: seed, affine, labels, other_labels, label_warping, regions, reference, sweeps, pictures, baselines,
baseline_python, timeout_s, processes, threads, device, out. Paths are relative to the file. scripts/studies/ has more."""


def add_study_options(parser: argparse.ArgumentParser) -> None:
    """What only studies take, and --out."""
    group = parser.add_argument_group("a study")
    group.add_argument("--methods", metavar="A,B,...", help="only these methods of the file, by name")
    group.add_argument(
        "--set", metavar="NAME=VALUE", action="append", default=[], help="one setting of the file; may be repeated"
    )
    group.add_argument("--fresh", action="store_true", help="measure again what is known")
    parser.add_argument("--out", metavar="PATH", help="folder of the study; for a single transform, a JSON file of its figures")
