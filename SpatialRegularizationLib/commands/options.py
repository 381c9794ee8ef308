"""Parse the command line: options derived from declared settings, help, and errors that suggest the nearest option."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from importlib import import_module
from typing import IO, NoReturn

from .. import __version__
from ..declaration import nearest
from ..registration.settings import RULES
from .console import Stream, UsageError

INPUTS = ("fixed_mask", "moving_mask", "fixed_labels", "moving_labels", "fixed_points", "moving_points")
"""Options of files that go with the pair, without dashes."""
COMMANDS = {
    "register": ("registration_options", "add_register"),
    "apply": ("registration_options", "add_apply"),
    "evaluate": ("study_options", "add_evaluate"),
    "worker": ("registration_options", "add_worker"),
    "train": ("training_options", "add_train"),
    "models": ("models_options", "add_models"),
    "tune": ("training_options", "add_tune"),
    "sweep": ("training_options", "add_sweep"),
}
"""Subcommand → the file here and its function that adds the subcommand's options."""


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
                near = nearest(option, known)
                hint = f"did you mean {near}?" if near else f"see '{chosen.prog} --help'."
                raise UsageError(f"Unknown option {option}: {hint}")


def setting_option(group: argparse._ArgumentGroup, name: str, flag: str | None = None, **extra: object) -> None:
    """An option for one field of `RegistrationSettings`; help, unit, range and choices are the field's own."""
    rules = RULES[name]
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


def build_parser(asked: str | None = None) -> Parser:
    """The whole command line, or that of one subcommand alone, which is quicker."""
    parser = Parser(
        prog="spatialreg",
        description="Register two volumes with a regularization weight that varies in space: estimated from the pair itself, or "
        "predicted by a network.",
        epilog="Exit codes: 0 done, 1 failed, 2 wrong usage, 3 a failed verdict (register --strict), 130 interrupted (Ctrl+C), "
        "143 ended (SIGTERM), 129 terminal closed. 'spatialreg COMMAND --help' says more.",
    )
    parser.add_argument("--version", action="version", version=f"spatialreg {__version__}")
    commands = parser.add_subparsers(dest="name", required=True, metavar="COMMAND", parser_class=Parser)
    for name in COMMANDS if asked is None else (asked,):
        file, function = COMMANDS[name]
        getattr(import_module(f".{file}", __package__), function)(commands)
    return parser


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options of a command line.

    Raises:
        UsageError: it cannot be understood.
    """
    words = [word for word in arguments if not word.startswith("-")]
    parser = build_parser(words[0] if words and words[0] in COMMANDS else None)
    parser.check_options(arguments)
    return parser.parse_args(arguments)
