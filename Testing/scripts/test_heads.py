"""scripts/heads.py on heads of ellipsoids, the committed facts about the head label maps, and scripts/train_all.sh."""

from __future__ import annotations

import csv
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from SpatialRegularizationLib.geometry.grid import Grid
from SpatialRegularizationLib.geometry.volume import Volume
from SpatialRegularizationLib.io.volumes import read_volume, write_volume
from SpatialRegularizationLib.training.anatomy import Anatomy
from SpatialRegularizationLib.training.settings import TrainingSettings

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
CONFIGS = SCRIPTS / "configs"
STRUCTURES = {
    2: (-30, 0, 10),
    41: (30, 0, 10),
    10: (-10, 12, 0),
    49: (10, 12, 0),
    16: (0, 25, -40),
    8: (0, 50, -30),
    4: (0, -8, 14),
}
"""Center of each structure of a head, mm LPS around its own center."""


@pytest.fixture(scope="module")
def heads(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("heads")


def head(scale: float, shift: tuple[float, float, float]) -> Volume:
    """Balls of 7 mm for the structures within a ball of skin, 4 mm voxels, axes L, I, A as those of the published maps."""
    shape = (56, 60, 60)
    direction = ((1.0, 0.0, 0.0), (0.0, 0.0, -1.0), (0.0, -1.0, 0.0))
    grid = Grid(shape, (4.0, 4.0, 4.0), (-110.0, 118.0, 118.0), direction)
    index = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), axis=-1)
    points = (grid.index_to_point(index) - shift) / scale
    labels = np.where(np.linalg.norm(points, axis=-1) < 85, 511, 0)
    for label, center in STRUCTURES.items():
        labels[np.linalg.norm(points - center, axis=-1) < 12] = label
    return Volume(torch.from_numpy(labels.astype(np.int32))[None], grid)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("heads")
    for number, (scale, shift) in {1: (1.0, (0, 0, 0)), 2: (0.9, (8, -4, 6)), 4: (1.1, (-6, 8, -8))}.items():
        write_volume(folder / f"head_{number:02d}.nii.gz", head(scale, shift))
    return folder


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_heads_of_any_size_and_place_come_together_on_one_lattice_and_in_two_lists(
    heads: ModuleType, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["heads.py", "--data", str(data), "--out", str(tmp_path)])
    assert heads.main() == 0
    assert [row["name"] for row in table(tmp_path / "train.csv")] == ["head_01", "head_02"]
    assert [row["name"] for row in table(tmp_path / "validation.csv")] == ["head_04"]
    maps = [read_volume(tmp_path / "labels" / f"head_{n:02d}.nii.gz", labels=True) for n in (1, 2, 4)]
    assert {one.grid.shape for one in maps} == {(96, 112, 96)}
    assert {one.grid for one in maps} == {maps[0].grid}
    assert np.allclose(maps[0].grid.direction, np.eye(3))
    for label in STRUCTURES:
        centers = [np.argwhere(one.data[0].numpy() == label).mean(0) for one in maps]
        for center in centers[1:]:
            assert np.linalg.norm(center - centers[0]) < 1.0  # voxels of 2 mm
    left, right = (np.argwhere(maps[0].data[0].numpy() == label).mean(0) for label in (41, 2))
    assert left[0] > right[0] + 20  # L grows along the first axis


def test_the_affine_map_of_points_is_recovered(heads: ModuleType) -> None:
    random = np.random.default_rng(1)
    points = random.normal(size=(9, 3)) * 40
    matrix, shift = np.eye(3) + 0.1 * random.normal(size=(3, 3)), random.normal(size=3)
    found = heads.affine_between(points, points @ matrix.T + shift)
    assert np.allclose(found[:3, :3], matrix)
    assert np.allclose(found[:3, 3], shift)
    turned, _ = np.linalg.qr(random.normal(size=(3, 3)))
    turned *= np.sign(np.linalg.det(turned))
    centered, moved = points - points.mean(0), points @ turned.T
    assert np.allclose((moved - moved.mean(0)) @ heads.rotation_between(moved, centered), centered)


def test_a_folder_without_heads_is_refused(
    heads: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr("sys.argv", ["heads.py", "--data", str(tmp_path), "--out", str(tmp_path / "out")])
    assert heads.main() == 1
    assert "needs head_NN.nii.gz of both sides of head_split.txt" in capsys.readouterr().err


def test_the_split_of_the_heads_names_three() -> None:
    lines = (CONFIGS / "head_split.txt").read_text().splitlines()
    numbers = [int(word) for line in lines if not line.startswith("#") for word in line.split()]
    assert len(set(numbers)) == 3
    assert set(numbers) < set(range(1, 15))


def test_the_anatomy_of_the_heads_lists_every_label_of_the_published_maps(shared_data: Path) -> None:
    anatomy = Anatomy.of(CONFIGS / "anatomy" / "heads.yaml")
    files = sorted((shared_data / "head_label_maps").glob("*.nii.gz"))[:2]
    assert files
    for file in files:
        assert set(read_volume(file, labels=True).data.unique().tolist()) <= {0, *anatomy.labels}
    assert set(anatomy.counted) <= set(anatomy.stays) < set(anatomy.labels)
    pairs = [(2, 41), (3, 42), (7, 46), (8, 47), (10, 49), (11, 50), (12, 51), (13, 52), (17, 53), (18, 54)]
    parts = [part for tissue in anatomy.tissues for part in tissue]
    assert all(any({left, right} <= set(part) for part in parts) for left, right in pairs)


def test_the_configurations_of_heads_differ_only_in_the_system_and_its_prior() -> None:
    """The twin starts where beta starts, Hyper where beta ends."""
    pytest.importorskip("yaml")
    files = [CONFIGS / f"head_any_{kind}.yaml" for kind in ("beta", "uniform", "hyper")]
    beta, uniform, hyper = (TrainingSettings.from_file(file).to_dict() for file in files)
    for other, more in (uniform, set()), (hyper, {"start", "epochs"}):
        assert {name for name, value in other.items() if value != beta[name]} == {"model", "name", "out"} | more
        assert other["model"]["backbone"] == beta["model"]["backbone"]
    assert hyper["start"] == str(Path(beta["out"]) / "best.safetensors")


def dry_run(*arguments: str) -> subprocess.CompletedProcess:
    """scripts/train_all.sh with `echo` in place of Python."""
    command = ["bash", str(SCRIPTS / "train_all.sh"), *arguments]
    return subprocess.run(command, env={"PATH": "/usr/bin:/bin", "PYTHON": "echo"}, capture_output=True, text=True, timeout=30)


def test_train_all_names_every_configuration_of_a_shipped_model_with_the_device() -> None:
    done = dry_run("--device", "cuda")
    lines = [line for line in done.stdout.splitlines() if line.startswith("scripts/train.py")]
    assert done.returncode == 0
    assert len(lines) == 12
    for line in lines:
        _, config, *options = line.split()
        assert (SCRIPTS.parent / config).is_file()
        assert options == ["--set", "device=cuda"]
    one = dry_run("--threads", "2", "head_any_beta")
    config = "scripts/configs/head_any_beta.yaml"
    assert one.stdout.splitlines()[1:] == [f"scripts/train.py {config} --set device=auto --set threads=2"]


@pytest.mark.parametrize("arguments", [["--devise", "cuda"], ["head_any"]])
def test_train_all_refuses_what_it_does_not_know(arguments: list[str]) -> None:
    done = dry_run(*arguments)
    assert done.returncode == 2
    assert "Unknown" in done.stderr
