"""A program that runs scripts as the Slicer application does, and a way to run it and plain Python."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

APPLICATION = """
    import sys, types
    ended, handled = [], []
    app = types.SimpleNamespace(exit=ended.append, processEvents=lambda: handled.append(1))
    sys.modules["slicer"] = types.SimpleNamespace(app=app, util=types.SimpleNamespace(exit=ended.append))
    script, arguments = sys.argv[1], sys.argv[2:]
    if arguments[:1] == ["--"]:  # swallowed: "ignore the rest"
        arguments = arguments[1:]
    sys.argv = [script, *arguments]
    names = {"__name__": "__main__", "__file__": script}
    try:
        exec(open(script, encoding="ascii").read(), names)  # read in the locale's encoding, run in __main__
    except BaseException as error:
        print("left with", type(error).__name__)
    print("events", len(handled))
    sys.exit(ended[-1] if ended else 124)  # 124: the application would idle for ever
"""
"""What the application does with --python-script: same arguments, same execution, no end of its own."""


def application_with(folder: Path, script: Path) -> list[str]:
    """The command that runs a script in the application, which is written into a folder."""
    path = folder / "application.py"
    path.write_text(textwrap.dedent(APPLICATION))
    return [sys.executable, str(path), str(script)]


def ended_with(command: list[str]) -> subprocess.CompletedProcess:
    """What a command says and ends with, without the paths of this process."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
