"""Register two synthetic heads and leave the result folder, with its report, in demo-result/.

Run it through `python3 scripts/start.py demo`. The heads are procedural (`evaluation/phantom.py`): of no person, and
no measure of accuracy on patients. A second pair has a known deformation, so that the error is stated in millimeters.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path

# Read by PyTorch when it is imported. Large tensors in transparent huge pages: fewer page faults on Linux. Threads that
# wait spin briefly and then sleep: several times faster where other programs use the cores too.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

from SpatialRegularizationLib.commands.console import Console
from SpatialRegularizationLib.evaluation.phantom import LABELS, PhantomPair, known_deformation, two_subjects
from SpatialRegularizationLib.io.results import write_result
from SpatialRegularizationLib.io.volumes import write_volume
from SpatialRegularizationLib.registration.presets import preset_settings
from SpatialRegularizationLib.registration.register import register
from SpatialRegularizationLib.registration.resample import total_displacement
from SpatialRegularizationLib.registration.result import Companions, Registration

OUT = Path(__file__).resolve().parent.parent / "demo-result"
IMAGES = OUT / "images"
PRESET = "brain-mri"
COMMAND = "python3 scripts/start.py demo"
FREE_OF_BRAIN = (0, 1, 2)


def main() -> int:
    """Run the demo; returns the exit code."""
    begin = time.monotonic()
    console = Console()
    say("Painting two synthetic heads (procedural, no person's data) ...")
    pair = two_subjects()
    say("Registering the moving head to the fixed head ...")
    registration = run(pair, console)
    console.step("Writing the result")
    write(pair, registration)
    say(figures(registration))
    say("Registering a head to itself after a known deformation ...")
    say(error_in_mm(console))
    say(f"\nDone in {time.monotonic() - begin:.0f} s. Open the report:  {OUT / 'report.html'}")
    say(f"The images are in {IMAGES}; with images of your own:\n  spatialreg register FIXED MOVING --out DIR")
    return 0


def run(pair: PhantomPair, console: Console) -> Registration:
    """The registration of a pair, its label maps scored on the way."""
    companions = Companions(fixed_labels=pair.fixed_labels, moving_labels=pair.moving_labels)
    return register(
        pair.fixed, pair.moving, preset_settings(PRESET), companions=companions, monitor=console.progress
    )


def write(pair: PhantomPair, registration: Registration) -> None:
    """The result folder in place of an earlier one, and the images it was made from."""
    shutil.rmtree(IMAGES, ignore_errors=True)
    companions = Companions(fixed_labels=pair.fixed_labels, moving_labels=pair.moving_labels)
    about = {"title": "Demo: two synthetic heads"}
    write_result(OUT, registration, COMMAND, overwrite=True, companions=companions, about=about)
    IMAGES.mkdir()
    for name in ("fixed", "moving", "fixed_labels", "moving_labels"):
        write_volume(IMAGES / f"{name}.nii.gz", getattr(pair, name))


def figures(registration: Registration) -> str:
    """The main figures in two lines."""
    found = registration.figures
    before, after = (scores["mean"] for scores in (found.dice_before, found.dice_after))
    return (
        f"  Mean Dice of {len(LABELS)} structures {before:.3f} -> {after:.3f} in {registration.seconds:.1f} s on "
        f"{found.device}\n  Folded voxels {found.folding_percent:.2f} %, non-diffeomorphic volume "
        f"{found.ndv_percent:.2f} %, SDlogJ {found.sd_log_j:.3f}"
    )


def error_in_mm(console: Console) -> str:
    """How far the estimated from the true position is, in the brain of a pair whose deformation is known."""
    pair = known_deformation(seed=3)
    registration = run(pair, console)
    truth = pair.displacement.vectors.double()
    estimate = total_displacement(registration.transform, pair.fixed.grid).vectors.double()
    brain = sum(pair.fixed_labels.data[0] == label for label in LABELS if label not in FREE_OF_BRAIN) > 0
    before, after = (field.norm(dim=0)[brain].mean() for field in (truth, estimate - truth))
    return f"  Mean distance from the true position, inside the brain: {before:.2f} mm -> {after:.2f} mm"


def say(text: str) -> None:
    """One line for the user, at once."""
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
