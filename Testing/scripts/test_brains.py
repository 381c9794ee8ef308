"""scripts/brains.py: the list of real pairs that the study of brains reads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from SpatialRegularizationLib.io.lists import read_pairs
from SpatialRegularizationLib.registration.presets import PRESETS

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "brains.py"
FILES = ["brain_t1/subject_a_image", "brain_t1/subject_a_labels", "brain_t1/subject_b", "brain_t1/subject_c"]
FILES += [f"brain_ms_longitudinal/patient01_study{d}_{c}" for d in (1, 2) for c in ("FLAIR", "T1W")]


def call(data: Path, out: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, str(SCRIPT), "--data", str(data), "--out", str(out)], capture_output=True, text=True, check=False
    )


def test_every_pair_of_the_list_is_there_with_a_preset(tmp_path: Path) -> None:
    for name in FILES:
        file = tmp_path / "data" / f"{name}.nii.gz"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"")
    done = call(tmp_path / "data", tmp_path / "lists")
    assert done.returncode == 0, done.stderr
    pairs = read_pairs(tmp_path / "lists" / "pairs.csv")
    assert len(pairs) == 12
    assert all(file.is_file() for p in pairs for file in (p.fixed, p.moving, *p.inputs.values()))
    assert all(p.preset in PRESETS and p.fixed != p.moving for p in pairs)
    assert [p.name for p in pairs if p.inputs] == ["b_to_a", "c_to_a"]
    assert {p.preset for p in pairs if "T1W" in p.moving.name and "FLAIR" in p.fixed.name} == {"multi-modal"}


def test_a_missing_image_is_named(tmp_path: Path) -> None:
    done = call(tmp_path, tmp_path / "lists")
    assert done.returncode == 1
    assert "subject_a_image.nii.gz does not exist" in done.stderr
    assert not (tmp_path / "lists").exists()
