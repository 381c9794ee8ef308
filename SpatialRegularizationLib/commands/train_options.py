"""Options of `spatialreg train`."""

from __future__ import annotations

import argparse


def add_train(commands: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """The subcommand train; returns its parser."""
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
    return parser
