"""One command from a fresh checkout to a result:

    python3 scripts/start.py demo              register the synthetic pair that ships with the project
    python3 scripts/start.py test [pytest …]   run the tests; further arguments go to pytest

Both use the environment `.venv` in the checkout and make, complete or repair it first. This file needs nothing but the
standard library. Packages come from where pip is configured to look (PIP_* variables included), in the versions of
scripts/constraints.txt; `--torch-index URL` takes PyTorch alone from another index, for instance a CUDA build.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import queue
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / "spatialreg-stamp.json"
LOG = VENV / "install.log"
CONSTRAINTS = ROOT / "scripts" / "constraints.txt"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
RUNTIME = ("torch", "numpy", "SimpleITK", "nibabel", "SpatialRegularizationLib")
OLDEST = (3, 10)
HEARTBEAT_SECONDS = 20.0
INTERRUPTED = 130
SHARED = ("-n", "2", "--dist", "loadfile")
"""All tests are shared by two processes, file by file; some of them, asked for by arguments, run in one."""


class Failure(Exception):
    """Something the user has to know; its text is the whole message."""


def main(arguments: list[str] | None = None) -> int:
    """Prepare the environment, run the chosen task, return its exit code."""
    parser = argparse.ArgumentParser(
        description="Prepare the environment in .venv and run the demo or the tests.", allow_abbrev=False
    )
    parser.add_argument("--torch-index", metavar="URL", help="take PyTorch from this package index (e.g. a CUDA build)")
    parser.add_argument("task", choices=("demo", "test"))
    known, rest = parser.parse_known_args(arguments)
    try:
        if sys.version_info < OLDEST:
            found = ".".join(map(str, sys.version_info[:3]))
            raise Failure(f"Python {OLDEST[0]}.{OLDEST[1]} or newer is needed, this is {found}: use a newer one.")
        prepare(test=known.task == "test", torch_index=known.torch_index)
        program = ["-m", "pytest", *([] if rest else SHARED)] if known.task == "test" else [str(ROOT / "scripts" / "demo.py")]
        return run([str(PYTHON), *program, *rest])
    except Failure as failure:
        say(f"Error: {failure}")
        return 1
    except KeyboardInterrupt:
        say("Stopped. The same command goes on from here.")
        return INTERRUPTED


def prepare(*, test: bool, torch_index: str | None) -> None:
    """Make `.venv` hold the project in the tested versions; do nothing when it already does."""
    stamp = read_stamp()
    extras = sorted(set(stamp.get("extras", [])) | ({"test"} if test else set()))
    wanted = {"inputs": fingerprint(), "extras": extras, "torch_index": torch_index or stamp.get("torch_index")}
    if stamp == wanted and works(extras):
        return
    if stamp.get("state") == "installing" or not works(None):
        create()
    else:
        say(f"The environment {VENV} is incomplete or out of date: completing it.")
    try:
        install(wanted, torch_index)
    except Failure:
        if "inputs" not in stamp:
            raise
        # Our own environment was damaged in a way that pip does not see: once more, from nothing.
        say("That did not work: making a new environment.")
        create()
        install(wanted, torch_index)


def create() -> None:
    """A new, empty virtual environment in place of whatever is there."""
    say(f"Making the environment {VENV} (Python {sys.version_info[0]}.{sys.version_info[1]}).")
    python = getattr(sys, "_base_executable", None) or sys.executable
    if VENV.exists():
        shutil.rmtree(VENV, ignore_errors=True)
    done = subprocess.run([python, "-m", "venv", "--clear", str(VENV)], capture_output=True, text=True)
    if done.returncode != 0:
        raise Failure(
            "the virtual environment could not be made. On Debian and Ubuntu install the package python3-venv.\n"
            + (done.stdout + done.stderr).strip()
        )


def install(wanted: dict, torch_index: str | None) -> None:
    """Install the project, editable, in the tested versions; the stamp says when it is complete."""
    free_gb = shutil.disk_usage(ROOT).free / 1e9
    if free_gb < 3:
        say(f"Warning: {free_gb:.1f} GB free on this disk; about 3 GB are needed.")
    STAMP.write_text(json.dumps({"state": "installing"}), encoding="utf-8")
    LOG.write_text("", encoding="utf-8")
    begin = time.monotonic()
    if torch_index:
        options = ["--force-reinstall", "--no-deps", "--index-url", torch_index, "torch"]
        pip("Installing PyTorch from the given index", options)
    extras = f"[{','.join(wanted['extras'])}]" if wanted["extras"] else ""
    pip("Installing the project and what it needs (PyTorch is large)", ["-e", f"{ROOT}{extras}"])
    if not works(wanted["extras"], by_import=True):
        raise Failure(f"the installed packages cannot be imported; the log is {LOG}. Delete {VENV} and start again.")
    STAMP.write_text(json.dumps(wanted), encoding="utf-8")
    say(f"Environment ready after {time.monotonic() - begin:.0f} s.")


def pip(what: str, options: list[str]) -> None:
    """`pip install -c constraints.txt options`: steps and elapsed time on the screen, everything in the log."""
    command = [str(PYTHON), "-m", "pip", "install", "--no-input", "-c", str(CONSTRAINTS), *options]
    say(f"{what} ...")
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    try:
        output = follow(process)
    except KeyboardInterrupt:
        process.terminate()
        process.wait()
        raise
    with LOG.open("a", encoding="utf-8") as log:
        log.write(" ".join(command) + "\n" + "\n".join(output) + "\n")
    if process.returncode != 0:
        tail = "\n".join(output[-12:])
        raise Failure(f"pip failed (log: {LOG}). Check the network and the package index, then start again.\n{tail}")


def follow(process: subprocess.Popen) -> list[str]:
    """Show what pip is doing until it ends; returns its output lines."""
    lines: queue.Queue = queue.Queue()

    def read() -> None:
        for line in process.stdout:
            lines.put(line.rstrip())
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    begin, output, doing, said = time.monotonic(), [], "starting pip", time.monotonic()
    live = sys.stdout.isatty()
    while True:
        try:
            line = lines.get(timeout=0.5)
        except queue.Empty:
            line = ""
        if line is None:
            break
        if line:
            output.append(line)
            doing = step(line) or doing
        now = time.monotonic()
        if live:
            show_live(f"  [{now - begin:4.0f} s] {doing}")
        elif now - said > HEARTBEAT_SECONDS:
            say(f"  [{now - begin:4.0f} s] {doing}")
            said = now
    process.wait()
    if live:
        show_live("")
    return output


def step(line: str) -> str | None:
    """What a line of pip's output means to a person, if anything."""
    words = line.split()
    if line.startswith("Collecting") and len(words) > 1:
        return f"finding {words[1]}"
    if line.strip().startswith("Downloading") and len(words) > 1:
        return f"downloading {words[1].rsplit('/', 1)[-1]} {' '.join(words[2:])}"
    if line.startswith("Installing collected packages"):
        return f"unpacking {len(words) - 3} packages"
    return None


def show_live(text: str) -> None:
    """Overwrite the current line of the terminal."""
    width = shutil.get_terminal_size().columns - 1
    sys.stdout.write("\r" + text[:width].ljust(width) + ("\r" if not text else ""))
    sys.stdout.flush()


def say(text: str) -> None:
    """One line for the user, at once."""
    print(text, flush=True)


def run(command: list[str]) -> int:
    """Run a command of the environment in the checkout and forward its exit code, signals included."""
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PYTHONUTF8": "1"})
    try:
        code = process.wait()
    except KeyboardInterrupt:
        # The terminal sent the signal to the child as well: let it end on its own, then make sure.
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
        raise
    return code if code >= 0 else 128 - code


def fingerprint() -> str:
    """Hash of what decides the content of the environment."""
    content = hashlib.sha256()
    for path in (ROOT / "pyproject.toml", CONSTRAINTS):
        content.update(path.read_bytes())
    content.update(str(ROOT).encode())
    return content.hexdigest()


def read_stamp() -> dict:
    """What the last installation left behind; empty when there was none."""
    try:
        stamp = json.loads(STAMP.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def works(extras: list[str] | None, *, by_import: bool = False) -> bool:
    """True when the environment's Python starts and, unless `extras` is None, finds (or imports) every package."""
    if not PYTHON.exists():
        return False
    packages = () if extras is None else (*RUNTIME, *(("pytest", "ruff") if "test" in extras else ()))
    lines = [
        "import sys, pip, importlib, importlib.util",
        f"assert sys.version_info >= {OLDEST}",
        f"find = importlib.{'import_module' if by_import else 'util.find_spec'}",
        f"assert all(find(name) for name in {packages!r})",
    ]
    return subprocess.run([str(PYTHON), "-c", "\n".join(lines)], cwd=VENV, capture_output=True).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
