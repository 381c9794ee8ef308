"""Declare the options of `spatialreg register`, `apply` and `worker`."""

from __future__ import annotations

import argparse

from ..registration.presets import DETAILS
from ..registration.settings import RULES, setting_names
from .options import INPUTS, add_output_options, setting_option

METHOD = ("affine", "deformable", "global_search")
MACHINE = ("device", "threads", "precision", "network_precision", "seed")


def add_register(commands: argparse._SubParsersAction) -> None:
    """The subcommand register."""
    presets = "\n".join(f"  {p.name:<12} {p.purpose}" for p in DETAILS.values())
    parser = commands.add_parser(
        "register",
        help="align MOVING to FIXED; transform, warped image, maps and a report go into a folder",
        usage="spatialreg register FIXED MOVING --out DIR [options]\n"
        "       spatialreg register --batch pairs.csv --out DIR [options]",
        description="Align MOVING to FIXED and write transform.h5, inverse.h5, warped.nii.gz, lambda.nrrd,\n"
        "jacobian.nrrd, displacement.nrrd, report.json and report.html into a folder. The presets rigid and\n"
        "affine (--deformable none) find a linear transform alone, which has none of the three .nrrd maps.",
        epilog=f"presets:\n{presets}\n\n"
        "The CSV of --batch has a header line with the columns fixed and moving, and any of: name, preset, initial,\n"
        f"{', '.join(INPUTS)}. Paths are relative to the CSV.\n"
        "Each pair gets the folder DIR/name. Finished pairs are skipped, failed ones do not stop the others.\n\n"
        "Every result ends with a verdict (good, look here or failed) and its reasons: in report.json, report.html,\n"
        "summary.csv and on the screen.\n"
        'Exit codes: 0 done, 1 failed, 2 wrong usage, 3 done, but the verdict is "failed" (--strict), 130 interrupted.',
    )
    images = parser.add_argument_group("images (NIfTI, NRRD, MHA or a DICOM folder)")
    images.add_argument("fixed", metavar="FIXED", nargs="?", help="image that stays as it is")
    images.add_argument("moving", metavar="MOVING", nargs="?", help="image to be aligned")
    images.add_argument("--batch", metavar="CSV", help="register all pairs of a table instead")
    output = parser.add_argument_group("result")
    output.add_argument("--out", metavar="DIR", help="folder of the result; made if needed")
    output.add_argument("--force", action="store_true", help="replace an earlier result")
    output.add_argument(
        "--strict",
        action="store_true",
        help='exit code 3 where the verdict on the result (with --batch: on any) is "failed"; the result is written all the same',
    )
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
    method.add_argument(
        "--preset",
        default="auto",
        metavar="NAME",
        help=f"one of {', '.join(DETAILS)}; default auto: the pair is measured, and every option that is given stays as it is",
    )
    for name in (*_of("similarity"), *METHOD):
        setting_option(method, name)
    setting_option(method, "working_spacing_mm", "--working-spacing")
    method.add_argument(
        "--iterations",
        metavar="N,N,...",
        type=_whole_numbers,
        help=f"steps of each level, coarse to fine; as many numbers as the preset has levels (auto: {_levels('auto')})",
    )
    weight = parser.add_argument_group("regularization weight")
    for name in _of("prior"):
        setting_option(weight, name)
    machine = parser.add_argument_group("machine")
    for name in MACHINE:
        setting_option(machine, name)


def add_apply(commands: argparse._SubParsersAction) -> None:
    """The subcommand apply."""
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


def add_worker(commands: argparse._SubParsersAction) -> None:
    """The subcommand worker."""
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


def _levels(preset: str) -> int:
    return len(DETAILS[preset].settings.levels)


def _of(family: str) -> list[str]:
    """A choice among methods, and the parameters that these declare."""
    return [family, *(name for name in setting_names() if any(used == family for used, _ in RULES[name].get("of", ())))]
