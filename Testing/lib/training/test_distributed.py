"""Two processes of `torchrun` are one training with the double batch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from blobs import settings_dict
from safetensors.torch import load_file

from SpatialRegularizationLib.training.loop import train
from SpatialRegularizationLib.training.settings import TrainingSettings

REPOSITORY = Path(__file__).resolve().parents[3]


TRAIN = ("-m", "SpatialRegularizationLib", "train")


def launched(config: Path, program: tuple[str, ...] = TRAIN) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *program, str(config)]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=180)


CHANGES = {"deformed": {"deform_voxels": 0.5}, "synthesized": {"synthesis": {"warp_voxels": 1.0}}}
"""What is random about the images of the two trainings."""


@pytest.fixture(scope="module", params=CHANGES)
def pair_of_runs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The folders of a training by one process with batch 2 and of one by two processes with batch 1."""
    folder = tmp_path_factory.mktemp("two")
    common = {"epochs": 1, "steps_per_epoch": 1, "accumulate": 2, "dice_weight": 0.5} | CHANGES[request.param]
    common |= {"shape": [16, 16, 24]}  # part of the lattice lies outside of the images
    train(TrainingSettings.from_dict(settings_dict(folder, out=str(folder / "one"), batch=2, **common)))
    config = folder / "config.json"
    config.write_text(json.dumps(settings_dict(folder, out=str(folder / "two"), batch=1, **common)))
    done = launched(config)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Trained 1 epochs") == 1  # the leading process speaks alone
    return folder / "one", folder / "two"


def _states(folder: Path) -> dict:
    return torch.load(folder / "last.pt", weights_only=True)["states"]


def test_their_averaged_gradients_are_those_of_the_double_batch(pair_of_runs: tuple[Path, Path]) -> None:
    one, two = (_states(folder)["optimizer"]["state"] for folder in pair_of_runs)
    assert len(one) == len(two) > 0
    for number in one:
        gradient, averaged = (state[number]["exp_avg"] for state in (one, two))  # 0.1 times the first gradient
        assert torch.allclose(averaged, gradient, rtol=1e-3, atol=1e-3 * float(gradient.abs().max()) + 1e-9), number


def test_they_report_the_same_figures_over_all_pairs(pair_of_runs: tuple[Path, Path]) -> None:
    rows = [torch.load(folder / "last.pt", weights_only=True)["position"]["history"][0] for folder in pair_of_runs]
    assert rows[0].keys() == rows[1].keys()
    for name in rows[0].keys() - {"seconds"}:
        assert rows[0][name] == pytest.approx(rows[1][name], abs=5e-3), name


def test_they_leave_one_model(pair_of_runs: tuple[Path, Path]) -> None:
    one, two = (load_file(folder / "best.safetensors") for folder in pair_of_runs)
    assert one.keys() == two.keys()
    assert (pair_of_runs[1] / "best.json").is_file()


THREADS_AFTERWARDS = """
import sys
from pathlib import Path
from SpatialRegularizationLib.training.loop import train
from SpatialRegularizationLib.training.settings import TrainingSettings

def threads():
    return [comm.read_text().strip() for comm in Path("/proc/self/task").glob("*/comm")]

during = []
train(TrainingSettings.from_file(Path(sys.argv[1])), monitor=lambda progress: during.extend(threads()))
print("during", any("gloo" in name for name in during), "afterwards", any("gloo" in name for name in threads()), flush=True)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="threads are listed in /proc, which only Linux has")
def test_their_connection_ends_with_the_training(tmp_path: Path) -> None:
    config, script = tmp_path / "config.json", tmp_path / "threads.py"
    config.write_text(json.dumps(settings_dict(tmp_path, epochs=1, steps_per_epoch=1, out=str(tmp_path / "run"))))
    script.write_text(THREADS_AFTERWARDS)
    done = launched(config, (str(script),))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("afterwards False") == 2
    assert "during True" in done.stdout


def test_a_problem_with_the_data_ends_all_of_them_with_one_sentence(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps(settings_dict(tmp_path)))
    (tmp_path / "person1.nii.gz").unlink()
    done = launched(config)
    assert done.returncode != 0
    assert "1 problem with the 6 images; repair or remove them: person1: the image" in done.stderr
