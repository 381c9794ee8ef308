"""Declare the options of `spatialreg train`, `tune` and `sweep`."""

from __future__ import annotations

import argparse

from ..registration.settings import RULES
from .options import add_output_options

PARAMETERS = ", ".join(name for name, rules in RULES.items() if "search" in rules)


def add_train(commands: argparse._SubParsersAction) -> None:
    """The subcommand train."""
    parser = commands.add_parser(
        "train",
        help="train a network on lists of images",
        usage="spatialreg train CONFIG [options]\n"
        "       torchrun --nproc-per-node N -m SpatialRegularizationLib train CONFIG [options]",
        description="Train a network on lists of images. Started again, it goes on where it was interrupted; SIGTERM and Ctrl+C\n"
        "save the state first. The folder OUT gets best.safetensors with its card best.json (a model for --model),\n"
        "last.pt (the state to go on from), history.csv, and tensorboard/ where it is asked for.",
        epilog="CONFIG (.yaml or .json) holds at least: model ({system: tm-spr, size: tiny}), train (list of images), out;\n"
        "usually validation. A list is a .csv with the columns image and any of: name, labels, mask, points, group; or the\n"
        "same as .json. All settings with their defaults: spatialreg train --settings",
    )
    parser.add_argument("config", metavar="CONFIG", nargs="?", help="configuration of the training")
    group = parser.add_argument_group("what to change in CONFIG")
    group.add_argument("--out", metavar="DIR", help="folder of this run")
    group.add_argument(
        "--set",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="one setting; lists as [1, 2, 3], parts with a dot (model.size=small); may be repeated",
    )
    group.add_argument("--fresh", action="store_true", help="start anew even where the folder holds the state of a training")
    parser.add_argument("--settings", action="store_true", help="list all settings and end")
    add_output_options(parser)


def add_tune(commands: argparse._SubParsersAction) -> None:
    """The subcommand tune."""
    parser = commands.add_parser(
        "tune",
        help="search for the best hyperparameters of a training, or of the per-pair mode",
        usage="spatialreg tune CONFIG [options]\n       spatialreg tune --per-pair pairs.csv --out DIR [options]",
        description="Search for the hyperparameters with the best Dice (or landmark error) on validation data, with Optuna:\n"
        "TPE sampler, median pruner. Start the same command several times, on one machine or many that reach the same\n"
        "storage, and they share the work. Started again, a study goes on; trials of killed processes are run again.",
        epilog="CONFIG (.yaml or .json) holds: training (configuration of `spatialreg train`) or pairs (table as for\n"
        "`register --batch`, with labels or points), out, task or ranges, and any of: settings, preset, study, storage,\n"
        "trials, seed, pruning, heartbeat. DIR gets tune_report.html, best.json and the study's database.",
    )
    parser.add_argument("config", metavar="CONFIG", nargs="?", help="configuration of the search")
    group = parser.add_argument_group("what to tune (over CONFIG)")
    group.add_argument("--per-pair", metavar="CSV", help="tune the registration of these pairs without a network")
    group.add_argument("--preset", metavar="NAME", help="preset of the per-pair mode")
    group.add_argument("--task", metavar="NAME", help="ranges of the TM-SPR paper: autopet, ixi or acdc")
    group.add_argument(
        "--range",
        metavar="NAME=LOW:HIGH[:log]",
        action="append",
        default=[],
        help=f"range of one parameter ({PARAMETERS}, …); may be repeated",
    )
    group = parser.add_argument_group("study (over CONFIG)")
    group.add_argument("--out", metavar="DIR", help="folder of the study; made if needed")
    group.add_argument(
        "--storage",
        metavar="URL",
        help="sqlite:///FILE (default, in DIR), journal:///FILE (network drives), postgresql://… or mysql://…",
    )
    group.add_argument("--study", metavar="NAME", help="name in the storage; default: name of DIR")
    group.add_argument("--trials", metavar="N", type=int, help="completed and pruned trials together (default 50)")
    group.add_argument("--report-only", action="store_true", help="run no trial, write the report of the study as it stands")
    add_output_options(parser)


def add_sweep(commands: argparse._SubParsersAction) -> None:
    """The subcommand sweep."""
    parser = commands.add_parser(
        "sweep",
        help="figures of a model over a dense grid of its condition (alpha-prime, lambda-max)",
        usage="spatialreg sweep MODEL --images LIST --out DIR [options]",
        description="Measure a model that takes a condition (Hyper-TM-SPR, HyperMorph, conditional TM-SPR) at every point of a\n"
        "grid, on pairs of validation images. Started again, it goes on after the last finished pair.",
        epilog="LIST is a .csv or .json as for `spatialreg train`, with labels or points. DIR gets sweep.html, sweep.csv and\n"
        "sweep.json.",
    )
    parser.add_argument("model", metavar="MODEL", help="name or file of a model")
    group = parser.add_argument_group("data")
    group.add_argument("--images", metavar="LIST", help="validation images with labels or points")
    group.add_argument(
        "--pairs",
        metavar="KIND",
        default="inter-subject",
        help="which images meet: inter-subject (default), atlas-to-subject or intra-subject",
    )
    group.add_argument("--atlas", metavar="NAME", help="name of the atlas in LIST")
    group.add_argument("--count", metavar="N", type=int, help="pairs; default: every image is fixed once")
    group = parser.add_argument_group("grid")
    group.add_argument("--points", metavar="N", type=int, default=21, help="values along each hyperparameter (default 21)")
    group.add_argument(
        "--range", metavar="NAME=LOW:HIGH[:log]", action="append", default=[], help="default: all that the model was trained on"
    )
    group = parser.add_argument_group("result")
    group.add_argument("--out", metavar="DIR", help="folder of the sweep; made if needed")
    group.add_argument("--device", metavar="NAME", default="auto", help="auto, cpu, cuda or mps")
    add_output_options(parser)
