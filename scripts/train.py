"""Train a network headless; the same file under three programs:

    python scripts/train.py CONFIG [options]
    PythonSlicer scripts/train.py CONFIG [options]
    Slicer --no-splash --no-main-window --python-script scripts/train.py -- CONFIG [options]

Options and exit codes are those of `spatialreg train`: 0 done, 1 failed, 2 wrong usage, 130 interrupted
(Ctrl+C), 143 ended (SIGTERM), 129 terminal closed.
Slicer reads this file in the encoding of the locale (keep it ASCII), swallows a leading "--", and does not end by itself.
"""

import os
import sys

# For good, not only while this file runs: Slicer takes the folder of a script from sys.path when the script has ended.
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.dirname(HERE), HERE]

from spatialreg_host import run  # noqa: E402

if __name__ == "__main__":
    run("train", sys.argv[1:])
