"""The worker as the panel uses it: previews without a model, whole registrations, reports, models, and its end."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import bending
import numpy as np
import pytest
import torch
from worker_talk import GRID, SECONDS, SETTINGS, Conversation

from SpatialRegularizationLib.commands.console import is_memory_error
from SpatialRegularizationLib.geometry import Volume
from SpatialRegularizationLib.io.points import write_points
from SpatialRegularizationLib.io.volumes import read_volume, write_volume
from SpatialRegularizationLib.registration.register import register
from SpatialRegularizationLib.registration.settings import RegistrationSettings
from SpatialRegularizationLib.report.result_folder import FILES, MAPS
from SpatialRegularizationLib.worker import loaded_pair as loaded_pair
from SpatialRegularizationLib.worker import register as worker_register
from SpatialRegularizationLib.worker.server import PROTOCOL, Worker, devices

REPOSITORY = Path(__file__).resolve().parent.parent
MANY_STEPS = SETTINGS | {"levels": [[1, 1, 10_000]], "tolerance": 0.0}
"""A registration that nobody waits for."""


def pair(folder: Path, /, **more: Any) -> dict[str, Any]:
    files = {"fixed": str(folder / "f.nii.gz"), "moving": str(folder / "m.nii.gz"), "folder": str(folder / "arrays")}
    return files | {"preset": "generic", "settings": SETTINGS} | more


def test_ready_tells_the_protocol_and_where_it_can_compute(talk: Conversation) -> None:
    assert talk.ready["protocol"] == PROTOCOL == 2
    assert talk.ready["devices"] == devices()
    assert talk.ready["devices"][0]["device"] == "cpu"


def test_without_a_preset_the_pair_decides_but_settings_that_are_sent(talk: Conversation, folder: Path, tmp_path: Path) -> None:
    fixed = read_volume(folder / "f.nii.gz")
    write_volume(tmp_path / "f.nii.gz", fixed.with_data(900 - fixed.data))
    asked = {name: value for name, value in pair(folder, fixed=str(tmp_path / "f.nii.gz")).items() if name != "preset"}
    answer = talk.ask({"register": asked})
    assert (answer["settings"]["automatic"], answer["settings"]["similarity"]) == ("off", "mind")
    kept = talk.ask({"register": asked | {"settings": SETTINGS | {"similarity": "lncc"}}})
    assert kept["settings"]["similarity"] == "lncc"
    assert kept["chosen_preset"] == answer["chosen_preset"]
    assert talk.ask({"preview": asked})["settings"] == answer["settings"]
    assert talk.ask({"register": pair(folder)})["chosen_preset"] is None


def test_a_registration_hands_over_what_the_library_finds(talk: Conversation, folder: Path) -> None:
    answer = talk.ask({"register": pair(folder), "id": 1})
    assert (answer["event"], answer["id"], answer["folder"]) == ("result", 1, None)
    settings = RegistrationSettings.from_dict(SETTINGS)
    whole = register(read_volume(folder / "f.nii.gz"), read_volume(folder / "m.nii.gz"), settings)
    arrays = {name: np.load(path, mmap_mode="r") for name, path in answer["arrays"].items()}
    assert np.array_equal(arrays["displacement"], whole.displacement.vectors.numpy())
    assert np.array_equal(arrays["warped"], whole.warped.data.numpy())
    assert np.array_equal(arrays["lambda"], whole.lambda_map.data.numpy())
    assert np.array_equal(arrays["jacobian"], whole.jacobian.data.numpy())
    assert np.allclose(answer["index_to_lps_mm"], GRID.affine, atol=1e-4)
    assert answer["shape"] == answer["warped_shape"] == list(GRID.shape)
    assert answer["affine"] == np.eye(4).tolist()
    assert answer["folding_percent"] == whole.figures.folding_percent


def test_a_linear_registration_hands_over_the_matrix_and_the_warped_image_alone(
    talk: Conversation, folder: Path, tmp_path: Path
) -> None:
    asked = pair(folder, preset="rigid", settings={"device": "cpu", "threads": 1}, out=str(tmp_path / "out"))
    answer = talk.ask({"register": asked})
    assert set(answer["arrays"]) == {"warped"}
    assert np.load(answer["arrays"]["warped"]).shape == (1, *GRID.shape)
    assert answer["shape"] == answer["warped_shape"] == list(GRID.shape)
    linear = np.array(answer["affine"])[:3, :3]
    assert np.allclose(linear.T @ linear, np.eye(3), atol=1e-9)
    assert answer["folding_percent"] is answer["displacement_mm"] is None
    assert answer["affine_part"]["rotation_degrees"] >= 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == set(answer["files"]) == set(FILES) - set(MAPS)
    assert talk.ask({"report": {"out": str(tmp_path / "r.html")}})["out"] == str(tmp_path / "r.html")
    refused = talk.ask({"preview": pair(folder, preset="rigid", settings={})})
    assert refused["kind"] == "input"
    assert refused["message"].startswith("Live updates show what the weight of a deformation changes")


def test_where_the_field_is_coarser_the_warped_image_is_not(talk: Conversation, folder: Path) -> None:
    answer = talk.ask({"register": pair(folder, settings=SETTINGS | {"max_voxels": 5000})})
    assert answer["warped_shape"] == list(GRID.shape)
    assert np.load(answer["arrays"]["warped"]).shape == (1, *answer["warped_shape"])
    assert np.load(answer["arrays"]["displacement"]).shape == (3, *answer["shape"])
    assert answer["shape"] < answer["warped_shape"]
    corner = np.array(answer["index_to_lps_mm"]) @ [*(np.array(answer["shape"]) - 1), 1]
    assert np.allclose(corner, np.array(answer["warped_index_to_lps_mm"]) @ [*(np.array(GRID.shape) - 1), 1], atol=1e-3)


def test_a_model_answers_a_registration_at_a_condition_and_is_refined(talk: Conversation, folder: Path) -> None:
    model = {"model": str(folder / "model.safetensors"), "condition": {"alpha_prime": 0.1}}
    plain = talk.ask({"register": pair(folder, **model)})
    assert plain["model"]["condition"]["alpha_prime"] == 0.1
    assert plain["history"] == []
    refined = talk.ask({"register": pair(folder, **model, settings=SETTINGS | {"refine_steps": 3})})
    assert sum(len(level["total"]) for level in refined["history"]) == 3


def test_masks_labels_points_and_an_initial_transform_come_along(talk: Conversation, folder: Path, tmp_path: Path) -> None:
    labels = {"fixed": bending.labels(GRID, bending.Bend()), "moving": bending.labels(GRID)}
    inputs = {}
    for side, volume in labels.items():
        write_volume(tmp_path / f"{side}_labels.nrrd", volume)
        write_volume(tmp_path / f"{side}_mask.nrrd", Volume((volume.data > 0).to(torch.uint8), GRID))
        write_points(tmp_path / f"{side}_points.csv", np.array([[5.0, 1.0, 2.0], [9.0, -4.0, 0.0]]))
        inputs |= {f"{side}_labels": str(tmp_path / f"{side}_labels.nrrd"), f"{side}_mask": str(tmp_path / f"{side}_mask.nrrd")}
        inputs[f"{side}_points"] = str(tmp_path / f"{side}_points.csv")
    shift = "#Insight Transform File V1.0\n#Transform 0\nTransform: AffineTransform_double_3_3\n"
    shift += "Parameters: 1 0 0 0 1 0 0 0 1 0.5 0 0\nFixedParameters: 0 0 0\n"
    (tmp_path / "start.tfm").write_text(shift)
    answer = talk.ask({"register": pair(folder, **inputs, initial=str(tmp_path / "start.tfm"))})
    assert answer["event"] == "result", answer
    assert set(answer["dice_after"]) >= {"1", "2", "mean"}
    assert answer["tre_before_mm"]["mean"] == 0
    assert answer["affine"][0][3] == 0.5
    plain = talk.ask({"register": pair(folder)})
    assert plain["dice_after"] is None


def test_a_folder_is_written_where_one_is_asked_for_and_a_report_afterwards(
    talk: Conversation, folder: Path, tmp_path: Path
) -> None:
    assert talk.ask({"report": {"out": str(tmp_path / "r.html")}})["message"].startswith("There is no registration to report")
    answer = talk.ask({"register": pair(folder, out=str(tmp_path / "out"), title="A to B")})
    assert answer["folder"] == str(tmp_path / "out")
    assert set(FILES) <= {path.name for path in (tmp_path / "out").iterdir()}
    again = talk.ask({"register": pair(folder, out=str(tmp_path / "out"))})
    assert "holds an earlier result" in again["message"]
    assert talk.ask({"report": {"out": str(tmp_path / "r.html")}})["out"] == str(tmp_path / "r.html")
    assert "A to B" in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_the_arrays_of_a_registration_go_with_the_next_one_and_with_the_worker(folder: Path, tmp_path: Path) -> None:
    talk = Conversation()
    first = talk.ask({"register": pair(folder, folder=str(tmp_path))})
    second = talk.ask({"register": pair(folder, folder=str(tmp_path))})
    assert not Path(first["arrays"]["warped"]).exists()
    assert Path(second["arrays"]["warped"]).exists()
    talk.end()
    assert not any(tmp_path.iterdir())


def test_a_preview_answers_sliders_without_a_model_and_can_be_saved(
    talk: Conversation, folder: Path, tmp_path: Path
) -> None:
    loaded = talk.ask({"preview": pair(folder, folder=str(tmp_path / "arrays")), "id": "p"})
    assert (loaded["event"], loaded["model"]) == ("result", None)
    assert {h["name"]: h["default"] for h in loaded["hyperparameters"]} == {"alpha_prime": 0.03, "lambda_max": 2.0}
    answers = [talk.ask({"predict": {"lambda_max": value}}) for value in (0.3, 3.0)]
    smoothness = [answer["figures"]["sd_log_j"] for answer in answers]
    assert smoothness[0] > smoothness[1]
    assert np.load(answers[0]["arrays"]["displacement"]).shape == (3, *loaded["shape"])
    saved = talk.ask({"save": {"out": str(tmp_path / "out"), "condition": {"lambda_max": 0.3}}})
    assert saved["settings"]["lambda_max"] == 0.3
    refused = talk.ask({"predict": {"eta": 1.0}})
    assert (refused["kind"], refused["event"]) == ("input", "error")
    assert "the beta prior takes lambda_max, alpha_prime" in refused["message"]


def test_a_registration_is_cancelled_in_the_middle_and_the_loaded_pair_stays(talk: Conversation, folder: Path) -> None:
    talk.ask({"preview": pair(folder)})
    talk.say({"register": pair(folder, settings=MANY_STEPS), "id": "long"})
    while "level" not in talk.next().get("stage", ""):
        pass
    begin = time.monotonic()
    talk.say({"cancel": {}, "id": "c"})
    assert {answer["event"] for answer in talk.last_answers(2)} == {"cancelled", "result"}
    assert time.monotonic() - begin < 5
    assert talk.ask({"predict": {}})["event"] == "result"


class Scarce:
    """In place of the library's work: memory has run out."""

    def __call__(self, *_: Any, **__: Any) -> None:
        raise MemoryError


def test_memory_that_runs_out_is_told_as_such_and_the_worker_goes_on(
    talk: Conversation, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as scarce:
        scarce.setattr(worker_register, "register", Scarce())
        failed = talk.ask({"register": pair(folder)})
    assert (failed["event"], failed["kind"]) == ("error", "memory")
    assert failed["message"].startswith("Not enough memory")
    assert "MemoryError" in failed["details"]
    assert talk.ask({"register": pair(folder)})["event"] == "result"


@pytest.mark.parametrize(
    "words",
    [
        "CUDA out of memory. Tried to allocate 2.00 GiB",
        "DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes. Error code 12 (Cannot allocate memory)",
        "DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes.",
    ],
)
def test_what_pytorch_says_about_memory_is_understood(words: str) -> None:
    assert is_memory_error(RuntimeError(words))
    assert not is_memory_error(RuntimeError("the energy is not finite"))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"action": "improt", "what": "x"}, "did you mean 'import'?"),
        ({"action": "import"}, "models needs what"),
        ({"action": "import", "what": "nowhere.safetensors"}, "nowhere.safetensors"),
        ({"action": "fetch", "what": "no-such-model"}, "no-such-model"),
        ({"action": "import", "what": "x", "choices": {"nmae": "y"}}, "did you mean name?"),
    ],
)
def test_what_cannot_be_done_with_models_gets_a_sentence(talk: Conversation, values: dict, words: str) -> None:
    answer = talk.ask({"models": values})
    assert (answer["event"], answer["kind"]) == ("error", "input")
    assert words in answer["message"]


def test_models_come_and_go(
    talk: Conversation, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPATIALREG_ZOO", str(tmp_path))
    model = str(folder / "model.safetensors")
    came = talk.ask({"models": {"action": "import", "what": model, "choices": {"name": "mine"}}})
    assert came["event"] == "result", came
    assert came["name"] == "mine"
    assert talk.ask({"register": pair(folder, model="mine")})["model"]["name"] == "mine"
    assert talk.ask({"models": {"action": "remove", "what": "mine"}})["removed"] == "mine"
    assert "mine" in talk.ask({"register": pair(folder, model="mine")})["message"]


def test_a_model_is_read_once_for_many_requests(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    load_model = worker_register.load_model
    monkeypatch.setattr(worker_register, "load_model", lambda *a: read.append(1) or load_model(*a))
    jobs = loaded_pair.LoadedPair()
    name = str(folder / "model.safetensors")
    for request in ("load", "register", "register"):
        jobs.do(_request(request, pair(folder, model=name)), lambda: None, lambda told: None)
    assert len(read) == 1
    os.utime(name)  # another file under the same name
    jobs.do(_request("register", pair(folder, model=name)), lambda: None, lambda told: None)
    assert len(read) == 2
    jobs.close()


def _request(kind: str, values: dict[str, Any]) -> Any:
    from SpatialRegularizationLib.worker.protocol import parse_request

    return parse_request(json.dumps({kind: values}).encode())


def test_work_in_this_thread_answers_as_the_process_does(folder: Path) -> None:
    output = io.StringIO()
    worker = Worker(output)
    for message in ({"register": pair(folder), "id": 1}, {"ping": {}, "id": 2}, {"nonsense": {}}):
        worker.take(json.dumps(message).encode() + b"\n")
    worker.work()
    worker.close()
    answers = [json.loads(line) for line in output.getvalue().splitlines()]
    last = {answer.get("id"): answer["event"] for answer in answers}
    assert last == {2: "result", None: "error", 1: "result"}


@pytest.mark.skipif(os.name != "posix", reason="process groups are POSIX's")
def test_an_attached_worker_leads_its_group_and_gives_work_up_when_its_input_ends(folder: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "SpatialRegularizationLib", "worker", "--attached"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=REPOSITORY, **pipes) as process:
        ready = json.loads(process.stdout.readline())
        assert ready["group"] == ready["pid"] == os.getpgid(process.pid)
        message = {"register": pair(folder, settings=MANY_STEPS, folder=str(tmp_path))}
        process.stdin.write(json.dumps(message).encode() + b"\n")
        process.stdin.flush()
        while "level" not in json.loads(process.stdout.readline()).get("stage", ""):
            pass
        process.stdin.close()
        assert process.wait(SECONDS) == 0
        assert json.loads(process.stdout.read().splitlines()[-1])["event"] == "cancelled"
    assert not any(tmp_path.iterdir())
