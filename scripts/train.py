"""Train a network headless; the same file under three programs:

    python scripts/train.py CONFIG [options]
    PythonSlicer scripts/train.py CONFIG [options]
    Slicer --no-splash --no-main-window --python-script scripts/train.py -- CONFIG [options]

Options and exit codes are those of `spatialreg train`: 0 done, 1 failed, 2 wrong usage, 130 interrupted.
Slicer reads this file in the encoding of the locale (keep it ASCII), swallows a leading "--", and does not end by itself.
"""

import os
import sys
import traceback

# Read by PyTorch when it is imported: large tensors in transparent huge pages, waiting threads that sleep soon.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

# For good, not only while this file runs: Slicer takes the folder of a script from sys.path when the script has ended.
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def application():
    """The running Slicer application, or None under plain Python and PythonSlicer."""
    slicer = sys.modules.get("slicer")
    app = getattr(slicer, "app", None)
    return app if hasattr(app, "exit") else None


def main(arguments):
    """Train; returns the exit code."""
    from SpatialRegularizationLib.__main__ import main as spatialreg

    return spatialreg(["train", *arguments], between=keep_alive)


def keep_alive():
    """Lets Slicer handle its events, so that it does not count as hung."""
    app = application()
    if app is not None:
        app.processEvents()


def finish(code):
    """End the program; inside Slicer that happens after this file has been left, so it must come last."""
    sys.stdout.flush()
    sys.stderr.flush()
    if application() is not None:
        sys.modules["slicer"].util.exit(code)
    else:
        sys.exit(code)


if __name__ == "__main__":
    arguments = sys.argv[1:]
    if arguments[:1] == ["--"]:
        arguments = arguments[1:]
    try:
        code = main(arguments)
    except SystemExit as ended:  # argparse: --help
        code = ended.code if isinstance(ended.code, int) else 0 if ended.code is None else 1
    except BaseException:
        traceback.print_exc()
        code = 1
    finish(code)
