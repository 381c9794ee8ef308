"""spatialreg in this process, on two small images: what the tests of the command line share."""

from __future__ import annotations

from pathlib import Path

import bending
import numpy as np
import pytest
import torch

from SpatialRegularizationLib.__main__ import main
from SpatialRegularizationLib.geometry import Grid, Volume
from SpatialRegularizationLib.io.points import write_points
from SpatialRegularizationLib.io.volumes import write_volume
from SpatialRegularizationLib.registration.presets import PRESETS

REPOSITORY = Path(__file__).resolve().parent.parent
IDENTITY = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
GRID = Grid((24, 24, 24), (2.0, 2.0, 2.0), (-23.0, -23.0, -23.0), IDENTITY)
STEPS = ",".join("3" for _ in PRESETS["generic"].levels)
QUICK = ["--preset", "generic", "--affine", "none", "--global-search", "off", "--iterations", STEPS, "--threads", "2"]
POINTS = np.array([[-5.0, 0.0, 0.0], [6.0, 2.0, 1.0], [0.0, 7.0, -3.0]])


def blob(shift_mm: float = 0.0) -> torch.Tensor:
    """Two nested ellipsoids with soft borders, moved along x."""
    index = np.moveaxis(np.indices(GRID.shape), 0, -1)
    x, y, z = np.moveaxis(GRID.index_to_point(index), -1, 0)
    radius = np.sqrt((x - shift_mm) ** 2 + (1.2 * y) ** 2 + z**2)
    return torch.from_numpy(1 / (1 + np.exp(radius - 14)) + 0.6 / (1 + np.exp(radius - 7)))[None].float()


def write_pair(folder: Path) -> Path:
    """Fills a folder with f.nii.gz and m.nii.gz, labels, masks and points of both."""
    for name, shift in (("f", 0.0), ("m", 2.0)):
        image = blob(shift)
        write_volume(folder / f"{name}.nii.gz", Volume(image, GRID))
        write_volume(folder / f"{name}_labels.nii.gz", Volume((image > 0.5).int() + (image > 1.2).int(), GRID))
        write_volume(folder / f"{name}_mask.nii.gz", Volume((image > 0.01).to(torch.uint8), GRID))
        write_points(folder / f"{name}_points.csv", POINTS + np.array([shift, 0, 0]))
    return folder


def write_verdict_pairs(folder: Path) -> Path:
    """Fills a folder with body.nii.gz and bent.nii.gz, which can be brought together, and noise.nii.gz, which nothing fits."""
    grid = bending.cube(28, 3.5)
    noise = torch.rand((1, *grid.shape), generator=torch.Generator().manual_seed(2))
    images = {"body": bending.image(grid), "bent": bending.image(grid, bending.Bend(height=4.0)), "noise": Volume(noise, grid)}
    for name, image in images.items():
        write_volume(folder / f"{name}.nii.gz", image)
    return folder


def run(*arguments: object) -> int:
    """One command in this process."""
    return main([str(a) for a in arguments])


def register(folder: Path, *more: object, fixed: str = "f.nii.gz", moving: str = "m.nii.gz") -> int:
    """Register two files of a folder into folder/out."""
    return run("register", folder / fixed, folder / moving, "--out", folder / "out", *QUICK, *more)


def the_sentence(capsys: pytest.CaptureFixture[str]) -> str:
    """The error message, checked to be one line without a traceback, with standard output empty."""
    captured = capsys.readouterr()
    errors = [line for line in captured.err.splitlines() if line.startswith("spatialreg: ")]
    assert len(errors) == 1, captured.err
    assert captured.err.rstrip().endswith(errors[0]), "the error is the last thing said"
    assert "Traceback" not in captured.err
    assert captured.out == ""
    return errors[0]
