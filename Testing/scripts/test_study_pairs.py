"""scripts/study_pairs.py: pairs of random shapes as files."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from SpatialRegularizationLib.io.lists import read_images
from SpatialRegularizationLib.io.volumes import read_volume

CONFIGS = Path(__file__).resolve().parents[2] / "scripts" / "configs"
CONFIG = """
model: {system: tm-spr, size: tiny}
name: shapes
out: run
pairs: warped
shape: [16, 16, 16]
spacing_mm: [2, 2, 2]
steps_per_epoch: 1
synthesis: {source: shapes, warp_voxels: 2.0}
"""


@pytest.fixture
def study_pairs(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("study_pairs")


def run(module: ModuleType, monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr("sys.argv", ["study_pairs.py", *map(str, arguments)])
    return module.main()


def test_pairs_of_shapes_become_files_in_a_list(study_pairs: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("yaml")
    (tmp_path / "shapes.yaml").write_text(CONFIG)
    out = tmp_path / "pairs of shapes"
    assert run(study_pairs, monkeypatch, tmp_path / "shapes.yaml", "--out", out, "--pairs", 2) == 0
    with (out / "validation_pairs.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["name"] for row in rows] == ["pair_001", "pair_002"]
    for row in rows:
        fixed, moving = (read_volume(out / row[side]) for side in ("fixed", "moving"))
        fixed_labels, moving_labels = (read_volume(out / row[f"{side}_labels"], labels=True) for side in ("fixed", "moving"))
        assert {one.grid for one in (fixed, moving, fixed_labels, moving_labels)} == {fixed.grid}
        assert (fixed.grid.shape, fixed.grid.spacing) == ((16, 16, 16), (2.0, 2.0, 2.0))
        assert fixed.data.std() > 0.05
        assert len(fixed_labels.data.unique()) > 3
        share = (fixed_labels.data == moving_labels.data).float().mean()
        assert 0.3 < share < 1.0  # the same shapes, deformed
    images = read_images(out / "validation_images.csv")
    assert [image.group for image in images] == ["pair_001", "pair_001", "pair_002", "pair_002"]
    assert {str(image.image) for image in images} == {str(out / row[side]) for row in rows for side in ("fixed", "moving")}


def test_a_configuration_of_listed_images_is_refused(
    study_pairs: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    pytest.importorskip("yaml")
    (tmp_path / "lists.yaml").write_text("model: {system: tm-spr, size: tiny}\nname: lists\ntrain: train.csv\nout: run\n")
    assert run(study_pairs, monkeypatch, tmp_path / "lists.yaml", "--out", tmp_path / "out") == 1
    assert "does not synthesize from random shapes" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
