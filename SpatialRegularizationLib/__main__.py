"""The command line: spatialreg register | apply | evaluate.

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted. Errors are one sentence on standard error; --debug adds
the traceback. An interrupted or failed command leaves nothing half-written.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module

from .commands.console import Console, UsageError, one_sentence
from .commands.options import parse

INTERRUPTED = 130


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
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    console = Console(as_json="--json" in arguments, quiet="--quiet" in arguments, between=between)
    debug = "--debug" in arguments
    try:
        with _termination_as_interrupt():
            options = parse(arguments)
            command = import_module(f".commands.{options.name}", __package__)
            return command.run(options, console, arguments)
    except UsageError as error:
        return _failed(console, error, 2, debug=debug)
    except KeyboardInterrupt:
        console.error("Interrupted; nothing is half-written.", INTERRUPTED)
        return INTERRUPTED
    except Exception as error:
        return _failed(console, error, 1, debug=debug)


def _failed(console: Console, error: Exception, code: int, *, debug: bool) -> int:
    console.error(one_sentence(error), code)
    if debug:
        console.trace("".join(traceback.format_exception(error)))
    return code


@contextlib.contextmanager
def _termination_as_interrupt() -> Iterator[None]:
    """SIGTERM inside the block unwinds like Ctrl+C, so that temporary files are removed."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGTERM, interrupt)
    except ValueError:  # not the main thread: the caller owns the signals
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


if __name__ == "__main__":
    sys.exit(main())
