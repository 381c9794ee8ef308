"""Small images with labels for tests of training: two nested blobs of different size and place for each person."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from SpatialRegularizationLib.geometry.grid import Grid
from SpatialRegularizationLib.geometry.volume import Volume
from SpatialRegularizationLib.io.volumes import write_volume

SHAPE = (16, 16, 16)
MODEL = {
    "system": "tm-spr",
    "backbone": {"kind": "unet", "encoder": [4, 8, 8], "decoder": [8, 8], "final": [4]},
    "lncc_window": 5,
    "prior": {"kind": "beta", "lambda_max": 0.5, "alpha_prime": 0.05},
}
"""A network of few parameters: a step takes hundredths of a second."""


def grid_of(shape: tuple[int, ...] = SHAPE, spacing: tuple[float, ...] = (1.0, 1.0, 1.0)) -> Grid:
    """A lattice along the patient's axes, LPS."""
    return Grid(shape, spacing, (5.0, -3.0, 8.0), ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)))


def person(number: int, grid: Grid | None = None) -> tuple[Volume, Volume]:
    """Image and labels (1: shell, 2: core) of one person."""
    grid = grid or grid_of()
    random = np.random.default_rng(number)
    center = (np.array(grid.shape) - 1) / 2 + random.uniform(-1.5, 1.5, 3)
    radius = random.uniform(4.0, 6.0)
    index = np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), axis=-1)
    distance = np.linalg.norm(index - center, axis=-1)
    labels = (distance < radius).astype(np.int32) + (distance < 0.55 * radius)
    image = 40.0 * labels + random.normal(0, 2, grid.shape)
    return Volume(torch.from_numpy(image.astype(np.float32))[None], grid), Volume(torch.from_numpy(labels)[None].int(), grid)


def write_person(folder: Path, number: int, grid: Grid | None = None) -> str:
    """Image and labels as files; returns the name."""
    image, labels = person(number, grid)
    name = f"person{number}"
    write_volume(folder / f"{name}.nii.gz", image)
    write_volume(folder / f"{name}_labels.nii.gz", labels)
    return name


def write_list(folder: Path, name: str, numbers: range) -> Path:
    """A list of people and their files."""
    lines = ["name,image,labels,group"]
    for number in numbers:
        who = write_person(folder, number)
        lines.append(f"{who},{who}.nii.gz,{who}_labels.nii.gz,{number // 2}")
    path = folder / name
    path.write_text("\n".join(lines) + "\n")
    return path


def settings_dict(folder: Path, **changes: Any) -> dict[str, Any]:
    """Settings of a training of seconds on four people, validated on two; the lists are written where they are missing."""
    for name, numbers in (("train.csv", range(4)), ("validation.csv", range(10, 12))):
        if not (folder / name).exists():
            write_list(folder, name, numbers)
    values = {
        "model": MODEL,
        "train": str(folder / "train.csv"),
        "validation": str(folder / "validation.csv"),
        "out": str(folder / "run"),
        "cache": str(folder / "cache"),
        "epochs": 2,
        "learning_rate": 3e-3,
        "schedule": "constant",
        "threads": 1,
        "device": "cpu",
    }
    return values | changes
