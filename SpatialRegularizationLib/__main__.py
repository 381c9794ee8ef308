"""Run `spatialreg`, the command line: find the subcommand, turn errors into one sentence and an exit code.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 done with the verdict "failed" (register --strict), 128 and the number of the
signal where one ended it (130 Ctrl+C, 143 SIGTERM, 129 closed terminal). Errors are one sentence on standard error; --debug adds
the traceback. An interrupted or failed command leaves nothing half-written. A finished result is 0, whether or not somebody could
be told.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from importlib import import_module

from .commands.console import Console, UsageError, one_sentence, open_streams
from .commands.options import parse
from .io.signals import interrupted_code, signals_raise


def main(arguments: Sequence[str] | None = None, *, between: Callable[[], None] | None = None) -> int:
    """Run one command; returns the exit code.

    Args:
        arguments: of the command line.
        between: called now and then while the command runs, for programs whose window must stay alive.
    """
    # Large tensors in transparent huge pages: fewer page faults, faster on Linux. PyTorch reads it when it is imported.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    # Waiting threads spin briefly, then sleep: as fast on a quiet machine, and several times faster on a busy one.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    program_ends = arguments is None
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    open_streams()
    console = Console(as_json="--json" in arguments, quiet="--quiet" in arguments, between=between)
    with signals_raise(program_ends=program_ends):
        return _run(arguments, console)


def _run(arguments: list[str], console: Console) -> int:
    debug = "--debug" in arguments
    try:
        _check_current_folder()
        options = parse(arguments)
        place = ".worker.server" if options.name == "worker" else f".commands.{options.name}"
        command = import_module(place, __package__)
        return command.run(options, console, arguments)
    except UsageError as error:
        return _failed(console, error, 2, debug=debug)
    except KeyboardInterrupt as error:
        code = interrupted_code(error)
        console.error("Interrupted; nothing is half-written.", code)
        return code
    except Exception as error:
        return _failed(console, error, 1, debug=debug)


def _check_current_folder() -> None:
    """Libraries end the process where it is gone."""
    try:
        os.getcwd()
    except FileNotFoundError as error:
        raise FileNotFoundError("The current folder does not exist any more: change to another one.") from error


def _failed(console: Console, error: Exception, code: int, *, debug: bool) -> int:
    console.error(one_sentence(error), code)
    if debug:
        console.trace("".join(traceback.format_exception(error)))
    return code


if __name__ == "__main__":
    sys.exit(main())
