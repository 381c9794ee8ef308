"""Declare the options of `spatialreg evaluate`: for a single transform, or for a study."""

from __future__ import annotations

import argparse

from .options import INPUTS, add_output_options, setting_option

STUDY_HELP = """a study file, for example:
  title: Hippocampus
  images: validation.csv        # or pairs: pairs.csv, as for register --batch
  random_pairs: 100
  methods: [brain-mri, {model: hippocampus-t1-beta}, {name: refined, model: hippocampus-t1-beta, refine: 20}, syn_mi]
  aims: [{figure: dice, method: hippocampus-t1-beta, against: brain-mri, difference_at_least: -0.005}]
Further: seed, affine, labels, other_labels, label_warping, regions, reference, sweeps, pictures, baselines,
baseline_python, timeout_s, processes, threads, device, out. Paths are relative to the file. scripts/studies/ has more."""


def add_evaluate(commands: argparse._SubParsersAction) -> None:
    """The subcommand evaluate."""
    parser = commands.add_parser(
        "evaluate",
        help="figures of a transform, or a study of several methods on many pairs",
        usage="spatialreg evaluate --transform T --fixed F --moving M [options]\n"
        "       spatialreg evaluate STUDY [options]",
        description="Compute the figures of any transform: similarity, Dice, HD95, landmark error, folds, NDV, SDlogJ.\n"
        "Or run a study: presets, models (refined or not) and baselines on the same pairs, with Wilcoxon tests, box plots,\n"
        "tables and pictures. OUT gets study.html, study.csv, summary.csv and study.json; started again, it goes on.",
        epilog=STUDY_HELP,
    )
    parser.add_argument("study", metavar="STUDY", nargs="?", help="study file (.yaml or .json)")
    group = parser.add_argument_group("a single transform")
    group.add_argument("--transform", metavar="T", help="result folder or transform file, fixed to moving")
    group.add_argument("--fixed", metavar="F", help="fixed image")
    group.add_argument("--moving", metavar="M", help="moving image")
    for name in INPUTS:
        if name != "moving_mask":
            group.add_argument("--" + name.replace("_", "-"), metavar="FILE")
    setting_option(group, "lncc_window")
    group.add_argument("--force", action="store_true", help="replace an existing file")
    _add_study(parser)
    add_output_options(parser)


def _add_study(parser: argparse.ArgumentParser) -> None:
    """What only studies take, and --out."""
    group = parser.add_argument_group("a study")
    group.add_argument("--methods", metavar="A,B,...", help="only these methods of the file, by name")
    group.add_argument(
        "--set", metavar="NAME=VALUE", action="append", default=[], help="one setting of the file; may be repeated"
    )
    group.add_argument("--fresh", action="store_true", help="measure again what is known")
    parser.add_argument("--out", metavar="PATH", help="folder of the study; for a single transform, a JSON file of its figures")
