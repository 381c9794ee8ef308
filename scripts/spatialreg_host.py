"""The program that runs a script of this folder: plain Python, PythonSlicer, or the Slicer application with --python-script.

Slicer reads scripts in the encoding of the locale (keep them ASCII), swallows a leading "--", and does not end by itself.
"""

import os
import sys
import traceback

# Read by PyTorch when it is imported: large tensors in transparent huge pages, waiting threads that sleep soon.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
os.environ.setdefault("GOMP_SPINCOUNT", "10000")


def application():
    """The running Slicer application, or None under plain Python and PythonSlicer."""
    slicer = sys.modules.get("slicer")
    app = getattr(slicer, "app", None)
    return app if hasattr(app, "exit") else None


def keep_alive():
    """Lets Slicer handle its events, so that it does not count as hung."""
    app = application()
    if app is not None:
        app.processEvents()


def finish(code):
    """End the program; inside Slicer that happens after the script has been left, so it must come last."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    if application() is not None:
        sys.modules["slicer"].util.exit(code)
    else:
        sys.exit(code)


def run(command, arguments):
    """Do what `spatialreg COMMAND ARGUMENTS` does, and end the program with its exit code."""
    if arguments[:1] == ["--"]:
        arguments = arguments[1:]
    try:
        from SpatialRegularizationLib.__main__ import main

        code = main([command, *arguments], between=keep_alive)
    except SystemExit as ended:  # argparse: --help
        code = ended.code if isinstance(ended.code, int) else 0 if ended.code is None else 1
    except BaseException:
        traceback.print_exc()
        code = 1
    finish(code)
