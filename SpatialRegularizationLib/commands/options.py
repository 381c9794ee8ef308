"""The command line as it is typed: options, their groups and help, and errors that suggest the nearest option."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Sequence
from dataclasses import fields
from typing import IO, NoReturn

from .. import __version__
from ..registration.presets import DETAILS
from ..registration.settings import RegistrationSettings
from .console import Stream, UsageError
from .models_options import add_models
from .study_options import STUDY_HELP, add_study_options
from .train_options import add_train
from .tune_options import add_sweep, add_tune

METADATA = {f.name: f.metadata for f in fields(RegistrationSettings)}
INPUTS = ("fixed_mask", "moving_mask", "fixed_labels", "moving_labels", "fixed_points", "moving_points")
"""Options of files that go with the pair, without dashes."""


class Parser(argparse.ArgumentParser):
    """argparse without abbreviations, whose errors are one sentence and an exception."""

    def __init__(self, **settings: object) -> None:
        settings.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(allow_abbrev=False, **settings)

    def error(self, message: str) -> NoReturn:
        """Raise instead of exit."""
        message = message[0].upper() + message[1:].rstrip(".")
        raise UsageError(f"{message}. See '{self.prog} --help'.")

    def _print_message(self, message: str, file: IO[str] | None = None) -> None:
        """Help and version, of which nothing is left where they can't be written."""
        output = Stream("stdout")
        if message and not output.write(message):
            raise output.refusal()

    def check_options(self, arguments: Sequence[str]) -> None:
        """Refuse unknown options before anything else is said about the line, and suggest the nearest known one."""
        commands = next((a.choices for a in self._actions if isinstance(a, argparse._SubParsersAction)), {})
        chosen = next((commands[word] for word in arguments if word in commands), self)
        known = [option for action in chosen._actions for option in action.option_strings]
        for word in arguments:
            option = word.split("=")[0]
            if option.startswith("--") and option != "--" and option not in known:
                near = difflib.get_close_matches(option, known, n=1)
                hint = f"did you mean {near[0]}?" if near else f"see '{chosen.prog} --help'."
                raise UsageError(f"Unknown option {option}: {hint}")


def setting_option(group: argparse._ArgumentGroup, name: str, flag: str | None = None, **extra: object) -> None:
    """An option for one field of `RegistrationSettings`; help, unit, range and choices are the field's own."""
    rules = METADATA[name]
    text = rules["help"]
    if "choices" in rules:
        extra.setdefault("choices", rules["choices"])
    else:
        low, high = rules["range"]
        unit = f" {rules['unit']}" if rules["unit"] else ""
        text += f" ({low:g} to {high:g}{unit})" if high < 1e9 else f" ({low:g} or more{unit})"
        extra |= {"type": rules["kind"], "metavar": "N" if rules["kind"] is int else "X"}
    group.add_argument(flag or "--" + name.replace("_", "-"), dest=name, default=None, help=text, **extra)


def add_output_options(parser: argparse.ArgumentParser) -> None:
    """What all commands share."""
    group = parser.add_argument_group("messages")
    group.add_argument(
        "--json",
        action="store_true",
        help='one JSON object per line on standard output: {"event": "progress" | "result" | "error", ...}',
    )
    group.add_argument("--quiet", action="store_true", help="no progress and no summary, errors only")
    group.add_argument("--debug", action="store_true", help="full traceback when something fails")


def build_parser() -> Parser:
    """The whole command line."""
    parser = Parser(
        prog="spatialreg",
        description="Register two volumes with a regularization weight that varies in space: estimated from the pair itself, or "
        "predicted by a network.",
        epilog="Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted (Ctrl+C), 143 ended (SIGTERM), 129 terminal closed. "
        "'spatialreg COMMAND --help' says more.",
    )
    parser.add_argument("--version", action="version", version=f"spatialreg {__version__}")
    commands = parser.add_subparsers(dest="name", required=True, metavar="COMMAND", parser_class=Parser)
    _add_register(commands)
    _add_apply(commands)
    _add_evaluate(commands)
    _add_worker(commands)
    add_output_options(add_train(commands))
    for parser_of in (add_models, add_tune, add_sweep):
        add_output_options(parser_of(commands))
    return parser


def _add_register(commands: argparse._SubParsersAction) -> None:
    presets = "\n".join(f"  {p.name:<12} {p.purpose}" for p in DETAILS.values())
    parser = commands.add_parser(
        "register",
        help="align MOVING to FIXED; transform, warped image, maps and a report go into a folder",
        usage="spatialreg register FIXED MOVING --out DIR [options]\n"
        "       spatialreg register --batch pairs.csv --out DIR [options]",
        description="Align MOVING to FIXED and write transform.h5, inverse.h5, warped.nii.gz, lambda.nrrd,\n"
        "jacobian.nrrd, displacement.nrrd, report.json and report.html into a folder.",
        epilog=f"presets:\n{presets}\n\n"
        "The CSV of --batch has a header line with the columns fixed and moving, and any of: name, preset, initial,\n"
        f"{', '.join(INPUTS)}. Paths are relative to the CSV.\n"
        "Each pair gets the folder DIR/name. Finished pairs are skipped, failed ones do not stop the others.",
    )
    images = parser.add_argument_group("images (NIfTI, NRRD, MHA or a DICOM folder)")
    images.add_argument("fixed", metavar="FIXED", nargs="?", help="image that stays as it is")
    images.add_argument("moving", metavar="MOVING", nargs="?", help="image to be aligned")
    images.add_argument("--batch", metavar="CSV", help="register all pairs of a table instead")
    output = parser.add_argument_group("result")
    output.add_argument("--out", metavar="DIR", help="folder of the result; made if needed")
    output.add_argument("--force", action="store_true", help="replace an earlier result")
    _add_companions(parser)
    _add_model(parser)
    _add_settings(parser)
    add_output_options(parser)


def _add_companions(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what goes with the images")
    group.add_argument(
        "--initial", metavar="FILE", help="transform to start from, fixed to moving (.h5, .tfm, .nrrd, ...)"
    )
    for side in ("fixed", "moving"):
        group.add_argument(
            f"--{side}-mask", metavar="FILE", help=f"only voxels above 0 of this image count in the {side}"
        )
    for side in ("fixed", "moving"):
        group.add_argument(f"--{side}-labels", metavar="FILE", help=f"label map of the {side} image, scored by overlap")
    for side in ("fixed", "moving"):
        group.add_argument(
            f"--{side}-points",
            metavar="FILE",
            help=f"landmarks of the {side} image (.mrk.json, .fcsv, .csv, .txt), in the same order on both sides",
        )


def _add_model(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("a trained network instead of the descent")
    group.add_argument("--model", metavar="NAME", help="a model of 'spatialreg models list', or a .safetensors file")
    setting_option(group, "refine_steps", "--refine")
    group.add_argument(
        "--condition",
        metavar="NAME=X",
        action="append",
        type=_named_number,
        help="value of a hyperparameter of the model; may be repeated. --alpha-prime and --lambda-max do the same where the "
        "model has them",
    )


def _add_settings(parser: argparse.ArgumentParser) -> None:
    method = parser.add_argument_group("method (defaults come from the preset)")
    method.add_argument("--preset", default="generic", metavar="NAME", help=f"one of {', '.join(DETAILS)}")
    for name in ("similarity", "lncc_window", "affine", "global_search"):
        setting_option(method, name)
    setting_option(method, "working_spacing_mm", "--working-spacing")
    method.add_argument(
        "--iterations",
        metavar="N,N,...",
        type=_whole_numbers,
        help="steps of each level, coarse to fine; as many numbers as the preset has levels",
    )
    weight = parser.add_argument_group("regularization weight")
    for name in ("prior", "lambda_max", "lambda_floor", "alpha_prime", "lambda_mean", "sigma_prime"):
        setting_option(weight, name)
    machine = parser.add_argument_group("machine")
    for name in ("device", "threads", "precision", "network_precision", "seed"):
        setting_option(machine, name)


def _add_apply(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "apply",
        help="carry an image, label map, points or mesh through a transform",
        usage="spatialreg apply TRANSFORM INPUT --reference R --out F [options]",
        description="Carry an image, a label map, points or a mesh from the moving to the fixed side, or back\n"
        "(--inverse). A result folder, or its transform.h5, leads moving data onto the fixed image.",
    )
    parser.add_argument("transform", metavar="TRANSFORM", help="result folder, or transform file fixed to moving")
    parser.add_argument(
        "input",
        metavar="INPUT",
        help="image, label map, points (.csv, .mrk.json, .fcsv) or mesh (.vtk, .vtp, .stl, .ply, .obj)",
    )
    parser.add_argument("--reference", metavar="R", help="image whose grid the output gets (images and label maps)")
    parser.add_argument("--out", metavar="F", required=True, help="file to write; its ending chooses the format")
    parser.add_argument("--force", action="store_true", help="replace an existing file")
    parser.add_argument("--inverse", action="store_true", help="from the fixed to the moving side")
    parser.add_argument("--labels", action="store_true", help="INPUT is a label map: nearest voxel, whole numbers")
    add_output_options(parser)


def _add_evaluate(commands: argparse._SubParsersAction) -> None:
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
    add_study_options(parser)
    add_output_options(parser)


def _add_worker(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "worker",
        help="hold a model and a pair, and answer requests: JSON lines in and out",
        description="Hold a model and a pair and answer requests quickly, one JSON object per line in and out,\n"
        'for example {"predict": {"alpha_prime": 0.1}, "id": 1}. The protocol is SpatialRegularizationLib/commands/\n'
        "protocol.md. Ends with standard input.",
    )
    parser.add_argument(
        "--attached",
        action="store_true",
        help="the process belongs to the program that starts it: it leads a process group of its own, and gives work up when "
        "standard input ends",
    )
    add_output_options(parser)


def _named_number(text: str) -> tuple[str, float]:
    name, equals, value = text.partition("=")
    try:
        return name.strip().replace("-", "_"), float(value if equals else "")
    except ValueError:
        raise argparse.ArgumentTypeError(f"NAME=NUMBER is needed, such as eta=0.45, got {text!r}") from None


def _whole_numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"whole numbers separated by commas are needed, got {text!r}") from None


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options of a command line.

    Raises:
        UsageError: it cannot be understood.
    """
    parser = build_parser()
    parser.check_options(arguments)
    return parser.parse_args(arguments)
