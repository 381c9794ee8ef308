"""scripts/mixed_heads.py on three ellipsoids within a skin."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from SpatialRegularizationLib.geometry.grid import Grid
from SpatialRegularizationLib.geometry.volume import Volume
from SpatialRegularizationLib.io.volumes import read_volume, write_volume
from SpatialRegularizationLib.training.draws import Draws

GRID = Grid((32, 38, 32), (6.0, 6.0, 6.0), (-93.0, -111.0, -93.0), tuple(map(tuple, np.eye(3))))
BRAIN, SKIN = 2, 511
RADII = {"head_01": 36.0, "head_02": 52.0, "head_03": 44.0}
"""Half length of each brain from side to side, mm."""


@pytest.fixture(scope="module")
def mixed_heads(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("mixed_heads")


def head(radius: float) -> Volume:
    index = np.stack(np.meshgrid(*[np.arange(n) for n in GRID.shape], indexing="ij"), axis=-1)
    points = GRID.index_to_point(index)
    labels = np.where(np.linalg.norm(points / (80, 92, 80), axis=-1) < 1, SKIN, 0)
    labels[np.linalg.norm(points / (radius, 60, 48), axis=-1) < 1] = BRAIN
    return Volume(torch.from_numpy(labels.astype(np.int32))[None], GRID)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("heads")
    (folder / "labels").mkdir()
    for name, radius in RADII.items():
        write_volume(folder / "labels" / f"{name}.nii.gz", head(radius))
    lines = ["name,labels", *(f"{name},labels/{name}.nii.gz" for name in RADII)]
    (folder / "train.csv").write_text("\n".join(lines) + "\n")
    return folder


def half_length(labels: Volume) -> float:
    """Of the brain, from side to side, mm."""
    return (labels.data[0] == BRAIN).any(dim=2).any(dim=1).sum().item() * GRID.spacing[0] / 2


def run(module: ModuleType, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["mixed_heads.py", *arguments])
    return module.main()


def test_new_maps_have_shapes_between_those_of_the_heads_and_join_them_in_a_list(
    mixed_heads: ModuleType, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    coarse = replace(mixed_heads.SETTINGS, working_spacing_mm=6.0, global_search="off", levels=((2, 2, 20), (1, 2, 15)))
    monkeypatch.setattr(mixed_heads, "SETTINGS", coarse)
    assert run(mixed_heads, monkeypatch, str(folder), "--count", "4") == 0
    with (folder / "train_mixed.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["name"] for row in rows] == [*RADII, "mixed_001", "mixed_002", "mixed_003", "mixed_004"]
    maps = [read_volume(folder / row["labels"], labels=True) for row in rows]
    assert {one.grid for one in maps} == {maps[0].grid}
    assert all(set(one.data.unique().tolist()) == {0, BRAIN, SKIN} for one in maps)
    narrow, wide = (half_length(one) for one in maps[:2])
    of_narrow, of_narrow_too, of_wide, of_middle = (half_length(one) for one in maps[3:])
    assert all(narrow + 2 < found <= wide for found in (of_narrow, of_narrow_too))
    assert of_narrow != of_narrow_too or not torch.equal(maps[3].data, maps[4].data)
    assert narrow - 4 <= of_wide < wide - 2
    assert narrow < of_middle < wide


def test_a_mixture_of_displacements_stays_within_its_share(mixed_heads: ModuleType) -> None:
    """Two heads that lie 10 and 20 voxels away: the new one lies at t (10 … 20), t of 0.3 to 1.2, different ones."""
    labels = torch.zeros(1, 64, 8, 8, dtype=torch.int32)
    labels[:, 40] = BRAIN
    grid = Grid((64, 8, 8), (2.0, 2.0, 2.0), (0.0, 0.0, 0.0), GRID.direction)
    away = {name: torch.zeros(3, 64, 8, 8) for name in ("b", "c")}
    away["b"][0], away["c"][0] = 10.0, 20.0
    shifts = set()
    for index in range(12):
        moved = mixed_heads.between(Volume(labels, grid), away, Draws(torch.device("cpu"), 3, index))
        planes = (moved.data[0] == BRAIN).all(dim=2).all(dim=1).nonzero()
        assert len(planes) == 1
        shifts.add(40 - int(planes))
    assert min(shifts) >= 3
    assert max(shifts) <= 24
    assert len(shifts) > 5


@pytest.mark.parametrize(
    ("lines", "words"), [(None, "has no train.csv"), (["name,labels", "one,labels/one.nii.gz"], "three heads")]
)
def test_a_folder_without_enough_heads_is_refused(
    mixed_heads: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
    lines: list[str] | None,
    words: str,
) -> None:
    if lines:
        (tmp_path / "train.csv").write_text("\n".join(lines) + "\n")
    assert run(mixed_heads, monkeypatch, str(tmp_path)) == 1
    assert words in capsys.readouterr().err
