"""Register two synthetic heads and leave the result folder, with its report, in demo-result/.

Run it through `python3 scripts/start.py demo`. The heads are procedural (`phantoms/heads.py`): of no person, and
no measure of accuracy on patients. A second pair has a known deformation, so that the error is stated in millimeters.
Where the network for heads is installed, it registers the same images in one pass, and demo-result/side-by-side.html shows
both answers next to each other; its own result folder is demo-result/network/.
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

from torch import Tensor

from SpatialRegularizationLib.commands.console import Console
from SpatialRegularizationLib.geometry.companions import Companions
from SpatialRegularizationLib.io.atomic import write_text
from SpatialRegularizationLib.io.claims import TakenError, claimed
from SpatialRegularizationLib.io.volumes import write_volume
from SpatialRegularizationLib.phantoms.heads import LABELS, PhantomPair, known_deformation, two_subjects
from SpatialRegularizationLib.registration.presets import preset_settings
from SpatialRegularizationLib.registration.register import register
from SpatialRegularizationLib.registration.result import Registration
from SpatialRegularizationLib.report.results import write_result
from SpatialRegularizationLib.report.side_by_side import side_by_side_html
from SpatialRegularizationLib.transforms.resample import total_displacement
from SpatialRegularizationLib.zoo.folder import installed

OUT = Path(__file__).resolve().parent.parent / "demo-result"
IMAGES, NETWORK, BESIDE = "images", "network", "side-by-side.html"
"""What lies in OUT beside the result of the per-pair mode: images, the network's result, both on one page."""
PRESET = "brain-mri"
MODEL = "head-any-beta"
"""The network for heads, where it is installed."""
TITLE = "Demo: two synthetic heads"
COMMAND = "python3 scripts/start.py demo"
FREE_OF_BRAIN = (0, 1, 2)


def main() -> int:
    """Run the demo; returns the exit code."""
    try:
        with claimed(OUT):
            return demo()
    except TakenError as error:
        say(str(error))
        return 1


def demo() -> int:
    """Both registrations, with what they leave in OUT."""
    begin = time.monotonic()
    console = Console()
    say("Painting two synthetic heads (procedural, no person's data) ...")
    pair = two_subjects()
    say("Registering the moving head to the fixed head ...")
    registration = run(pair, console)
    console.step("Writing the result")
    write(OUT, pair, registration)
    say(figures(registration))
    model = MODEL if MODEL in installed() else None
    page = OUT / "report.html" if model is None else beside(OUT, pair, registration, model, console)
    say("Registering a head to itself after a known deformation ...")
    say(error_in_mm(console, model))
    say(f"\nDone in {time.monotonic() - begin:.0f} s. Open the report:  {page}")
    say(f"The images are in {OUT / IMAGES}; with images of your own:\n  spatialreg register FIXED MOVING --out DIR")
    return 0


def run(pair: PhantomPair, console: Console, model: str | None = None) -> Registration:
    """The registration of a pair, its label maps scored on the way; by a network where one is named."""
    settings = preset_settings(PRESET)
    return register(
        pair.fixed, pair.moving, settings, companions=companions_of(pair), model=model, monitor=console.progress
    )


def companions_of(pair: PhantomPair) -> Companions:
    """The label maps of a pair."""
    return Companions(fixed_labels=pair.fixed_labels, moving_labels=pair.moving_labels)


def write(out: Path, pair: PhantomPair, registration: Registration) -> None:
    """The result folder in place of an earlier demo's, and the images it was made from."""
    for name in (IMAGES, NETWORK):
        shutil.rmtree(out / name, ignore_errors=True)
    (out / BESIDE).unlink(missing_ok=True)
    companions, about = companions_of(pair), {"title": TITLE}
    write_result(out, registration, COMMAND, overwrite=True, companions=companions, about=about)
    (out / IMAGES).mkdir()
    for name in ("fixed", "moving", "fixed_labels", "moving_labels"):
        write_volume(out / IMAGES / f"{name}.nii.gz", getattr(pair, name))


def beside(out: Path, pair: PhantomPair, registration: Registration, model: str, console: Console) -> Path:
    """The network's answer for the same pair, written, and both on one page; returns the page to open."""
    say(f"Registering the same heads with the network {model}, in one pass ...")
    try:
        answer = run(pair, console, model)
    except ValueError as error:
        say(f"  Left out: {error}")
        return out / "report.html"
    console.step("Writing the result")
    companions, about = companions_of(pair), {"title": f"{TITLE}, network {model}"}
    write_result(out / NETWORK, answer, COMMAND, companions=companions, about=about)
    say(figures(answer))
    both = {"per-pair mode": registration, f"network {model}": answer}
    links = dict(zip(both, ("report.html", f"{NETWORK}/report.html"), strict=True))
    page = side_by_side_html(both, companions=companions, title=TITLE, links=links, command=COMMAND)
    write_text(out / BESIDE, page)
    return out / BESIDE


def figures(registration: Registration) -> str:
    """The main figures in two lines."""
    found = registration.figures
    before, after = (scores["mean"] for scores in (found.dice_before, found.dice_after))
    return (
        f"  Mean Dice of {len(LABELS)} structures {before:.3f} -> {after:.3f} in {registration.seconds:.1f} s on "
        f"{found.device}\n  Folded voxels {found.folding_percent:.2f} %, non-diffeomorphic volume "
        f"{found.ndv_percent:.2f} %, SDlogJ {found.sd_log_j:.3f}"
    )


def error_in_mm(console: Console, model: str | None = None) -> str:
    """How far the estimated from the true position is, in the brain of a pair whose deformation is known."""
    pair = known_deformation(seed=3)
    truth = pair.displacement.vectors.double()
    brain = sum(pair.fixed_labels.data[0] == label for label in LABELS if label not in FREE_OF_BRAIN) > 0

    def inside(field: Tensor) -> float:
        return float(field.norm(dim=0)[brain].mean())

    lines = [f"  Mean distance from the true position, inside the brain: {inside(truth):.2f} mm before"]
    for name, how in ({"per-pair mode": None} | ({f"network {model}": model} if model else {})).items():
        estimate = total_displacement(run(pair, console, how).transform, pair.fixed.grid).vectors.double()
        lines.append(f"    {name}: {inside(estimate - truth):.2f} mm")
    return "\n".join(lines)


def say(text: str) -> None:
    """One line for the user, at once."""
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
