"""Declare the options of `spatialreg models`."""

from __future__ import annotations

import argparse

from ..registration.settings import RULES, searched_settings
from .options import add_output_options

ACTIONS = ("list", "info", "import", "remove", "fetch")
PRIOR_VALUES = {prior: names for prior in RULES["prior"]["choices"] if len(names := searched_settings(prior)) > 1}
"""What must be known of a prior that a network was trained with; one weight everywhere is no prior of it."""


def add_models(commands: argparse._SubParsersAction) -> None:
    """The subcommand models."""
    parser = commands.add_parser(
        "models",
        help="list, show, import, remove and download trained models",
        usage="spatialreg models list\n"
        "       spatialreg models info NAME [--html FILE]\n"
        "       spatialreg models import FILE [options]\n"
        "       spatialreg models remove NAME\n"
        "       spatialreg models fetch NAME [options]",
        description="Trained models for 'register --model NAME'. They are kept in the user's data folder, or in the one that\n"
        "the environment variable SPATIALREG_ZOO names. Those that come with the package are called shipped; they stay.",
        epilog="FILE is a checkpoint of the TM-SPR authors (.pth.tar), or a .safetensors model from a training or another\n"
        "machine. Checkpoints are read without executing anything in them. What they do not say (values of the prior,\n"
        "spacing, orientation) is taken from the publications, and can be given here. TM-SPR with the Gaussian prior for\n"
        "whole-body CT: --prior gaussian --lambda-mean 0.991 --sigma-prime 0.027",
    )
    parser.add_argument("action", metavar="ACTION", help=f"one of {', '.join(ACTIONS)}")
    parser.add_argument("what", metavar="NAME or FILE", nargs="?", help="model, or file to import")
    group = parser.add_argument_group("info")
    group.add_argument("--html", metavar="FILE", help="also write the card, with the curves of the training, as one HTML page")
    group = parser.add_argument_group("import")
    group.add_argument("--name", dest="model_name", metavar="NAME", help="name in the list; default: the file's name")
    group.add_argument("--prior", choices=tuple(PRIOR_VALUES), help="prior that it was trained with")
    for name in dict.fromkeys(name for names in PRIOR_VALUES.values() for name in names):
        group.add_argument("--" + name.replace("_", "-"), metavar="X", type=float, help=RULES[name]["help"])
    group.add_argument("--spacing", metavar="MM,MM,MM", type=_lengths, help="voxel spacing of its training images, mm")
    group.add_argument("--orientation", metavar="ABC", help='axes of its training images, e.g. LIA; "" for as stored')
    group.add_argument("--intensity", metavar="KIND", help="preparation: percentile, ct, ct-soft (-300 to 300 HU) or none")
    group.add_argument("--license", metavar="TEXT", help="on which terms its parameters may be used")
    group = parser.add_argument_group("import and fetch")
    group.add_argument("--force", action="store_true", help="replace a model of the same name")
    group = parser.add_argument_group("list and fetch")
    group.add_argument("--manifest", metavar="FILE", help="list of models to download, instead of the package's")
    add_output_options(parser)


def _lengths(text: str) -> tuple[float, float, float]:
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != 3 or not all(0 < n < 1e6 for n in numbers):
        raise argparse.ArgumentTypeError(f"three lengths in mm separated by commas are needed, got {text!r}")
    return numbers
