"""Options of `spatialreg tune` and `spatialreg sweep`."""

from __future__ import annotations

import argparse

PARAMETERS = "alpha_prime, lambda_max, sigma_prime, lambda_mean"


def add_tune(commands: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """The subcommand tune; returns its parser."""
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
    return parser


def add_sweep(commands: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """The subcommand sweep; returns its parser."""
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
    return parser
