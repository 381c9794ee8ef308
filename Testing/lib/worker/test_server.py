"""The worker: a conversation in JSON lines, with a tiny network and a tiny pair; and what it says to everything else."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from worker_talk import GRID, SECONDS, SETTINGS, Conversation

from SpatialRegularizationLib.report.result_folder import FILES
from SpatialRegularizationLib.worker.arrays import SLOTS, ArrayFiles
from SpatialRegularizationLib.worker.protocol import KEYS, LONGEST, MessageError, parse_request
from SpatialRegularizationLib.worker.server import Worker

REPOSITORY = Path(__file__).resolve().parents[3]


def load(folder: Path, /, **more: Any) -> dict[str, Any]:
    files = {"model": str(folder / "model.safetensors"), "fixed": str(folder / "f.nii.gz"), "moving": str(folder / "m.nii.gz")}
    return {"load": files | {"settings": SETTINGS, "folder": str(folder / "arrays")} | more, "id": "load"}


def test_a_pair_is_loaded_and_conditions_are_answered_with_arrays(talk: Conversation, folder: Path) -> None:
    assert talk.ready["event"] == "ready"
    loaded = talk.ask(load(folder))
    assert (loaded["event"], loaded["request"], loaded["id"]) == ("result", "load", "load")
    assert {h["name"] for h in loaded["hyperparameters"]} == {"alpha_prime", "lambda_max"}
    assert np.allclose(loaded["index_to_lps_mm"], GRID.affine, atol=1e-4)
    answers = [talk.ask({"predict": {"alpha_prime": value}, "id": n}) for n, value in enumerate((0.0, 0.2))]
    arrays = [{name: np.load(path, mmap_mode="r") for name, path in answer["arrays"].items()} for answer in answers]
    channels = {"displacement": 3, "lambda": 1, "jacobian": 1, "warped": 1}
    assert {name: array.shape[0] for name, array in arrays[0].items()} == channels
    assert all(array.shape[1:] == tuple(loaded["shape"]) == GRID.shape for array in arrays[0].values())
    assert all(array.dtype == np.float32 for array in arrays[0].values())
    assert not np.array_equal(arrays[0]["lambda"], arrays[1]["lambda"])
    assert answers[1]["condition"]["alpha_prime"] == 0.2
    assert answers[1]["condition"].keys() == {"alpha_prime", "lambda_max"}
    figures = answers[1]["figures"]
    assert figures["lambda_max"] == pytest.approx(float(arrays[1]["lambda"].max()))
    longest = float(np.linalg.norm(arrays[1]["displacement"], axis=0).max())
    assert figures["displacement_max_mm"] == pytest.approx(longest, rel=1e-4)


def test_the_newest_of_waiting_requests_wins(talk: Conversation, folder: Path) -> None:
    talk.say(load(folder), *({"predict": {"alpha_prime": 0.01 * n}, "id": n} for n in range(10)))
    answers = talk.last_answers(11)
    events = {answer["id"]: answer["event"] for answer in answers}
    assert len(events) == 11  # exactly one last answer each
    assert events["load"] == events[9] == "result"
    assert {events[n] for n in range(9)} == {"dropped"}
    assert answers[-1]["id"] == 9
    assert answers[-1]["condition"]["alpha_prime"] == pytest.approx(0.09)


def test_cancel_stops_what_runs_and_empties_the_queue_and_the_worker_goes_on(talk: Conversation, folder: Path) -> None:
    talk.say(load(folder), {"predict": {}, "id": "late"}, {"cancel": {}, "id": "c"})
    answers = {answer["id"]: answer for answer in talk.last_answers(3)}
    assert answers["late"]["event"] == answers["load"]["event"] == "cancelled"
    assert set(answers["c"]["cancelled"]) == {"load", "late"}
    assert talk.ask({"predict": {}, "id": 1})["message"].startswith("No pair is loaded: send")
    assert talk.ask(load(folder))["event"] == "result"
    assert talk.ask({"predict": {}})["event"] == "result"
    assert talk.ask({"cancel": {"id": "nothing"}})["cancelled"] == []


def test_a_newer_load_drops_what_belongs_to_the_pair_before(talk: Conversation, folder: Path) -> None:
    talk.say(load(folder), {"predict": {}, "id": "old"}, load(folder) | {"id": "new"})
    answers = {answer["id"]: answer["event"] for answer in talk.last_answers(3)}
    assert answers == {"load": "dropped", "old": "dropped", "new": "result"}


def test_ping_and_memory_are_answered_during_work(talk: Conversation, folder: Path) -> None:
    talk.say(load(folder), {"ping": {}, "id": "p"}, {"memory": {}, "id": "m"})
    answers = talk.last_answers(3)
    assert {answer["id"] for answer in answers[:2]} == {"p", "m"}
    ping, memory = (next(answer for answer in answers if answer["id"] == id) for id in ("p", "m"))
    assert ping["loaded"] is False
    assert ping["busy"] == {"request": "load", "id": "load"} or ping["waiting"] == 1
    assert 1.05 * memory["peak_mb"] > memory["resident_mb"] > 50
    talk.ask({"predict": {}})
    assert talk.ask({"memory": {}})["files_mb"] == pytest.approx(6 * 4 * 32**3 / 2**20)
    assert talk.ask({"ping": {}})["busy"] is None


def test_save_writes_a_result_folder(talk: Conversation, folder: Path, tmp_path: Path) -> None:
    talk.ask(load(folder))
    saved = talk.ask({"save": {"out": str(tmp_path / "out"), "condition": {"alpha_prime": 0.1}, "refine_steps": 2}, "id": "s"})
    assert saved["event"] == "result"
    assert saved["model"]["condition"]["alpha_prime"] == 0.1
    assert sum(len(level["total"]) for level in saved["history"]) == 2
    assert set(FILES) <= {path.name for path in (tmp_path / "out").iterdir()}
    again = talk.ask({"save": {"out": str(tmp_path / "out")}})
    assert again["event"] == "error"
    assert "holds an earlier result" in again["message"]


BAD_LINES = [
    (b"hello\n", "The message 'hello' is not JSON; send one object per line"),
    (b'{"predict": {"alpha_prime": 0.1}\n', "is not JSON"),
    (b"\xff\xfe\x00\n", "is not JSON"),
    (b"[" * 100_000 + b"\n", "is not JSON"),
    (b"[1, 2]\n", "is no JSON object"),
    (b"null\n", "is no JSON object"),
    (b"{}\n", "names no request"),
    (b'{"id": 3}\n', "names no request"),
    (b'{"ping": {}, "memory": {}}\n', "names 2 requests"),
    (b'{"predct": {}}\n', "Unknown request 'predct'; did you mean predict?"),
    (b'{"predict": [1]}\n', "What predict takes is an object, got [1]"),
    (b'{"predict": {"alpha_prime": "much"}}\n', "alpha_prime must be a number, got 'much'"),
    (b'{"predict": {"alpha_prime": true}}\n', "alpha_prime must be a number, got True"),
    (b'{"load": {"modell": "x"}}\n', "Unknown entry of load 'modell'; did you mean model?"),
    (b'{"ping": {"loud": 1}}\n', "Unknown entry of ping 'loud'"),
    (b'{"ping": {}, "id": {"a": 1}}\n', "The id of a message is a string or a number"),
    (b'{"ping": {}, "id": NaN}\n', "The id of a message is a string or a number"),
    (b'"' + b"x" * (2 * LONGEST) + b'"\n', f"A message may have {LONGEST} bytes, got more"),
]


def test_garbage_gets_a_sentence_and_the_worker_goes_on(talk: Conversation) -> None:
    for line, sentence in BAD_LINES:
        answer = talk.ask(_pieces(line))
        assert answer["event"] == "error"
        assert answer["request"] is None
        assert sentence in answer["message"]
        assert "\n" not in answer["message"]
        assert len(answer["message"]) < 400
    assert talk.ask({"ping": {}})["event"] == "result"


def _pieces(line: bytes) -> bytes:
    """What a reader of at most LONGEST + 1 bytes gets first; `Conversation` has no stream behind it."""
    return line if len(line) <= LONGEST else line[: LONGEST + 1][:-1] + b"xx\n"


def test_a_line_that_is_too_long_is_read_to_its_end_and_answered_once() -> None:
    output = io.StringIO()
    lines = b'{"ping": "' + b"x" * (3 * LONGEST) + b'"}\n{"ping": {}, "id": 1}\n'
    assert Worker(output).serve(io.BytesIO(lines)) == 0
    answers = [json.loads(line) for line in output.getvalue().splitlines()]
    assert [answer["event"] for answer in answers] == ["ready", "error", "result"]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"model": "no-such-model"}, "no-such-model"),
        ({"fixed": "no/such/file.nii.gz"}, "no/such/file.nii.gz"),
        ({"model": None}, "load needs model"),
        ({"settings": {"affin": "none"}}, "Unknown setting 'affin'; did you mean affine?"),
        ({"settings": 3}, "settings is an object of settings"),
        ({"preset": "brain"}, "Unknown preset 'brain'"),
    ],
)
def test_a_load_that_fails_says_why_and_keeps_the_pair_before(
    talk: Conversation, folder: Path, values: dict, sentence: str
) -> None:
    assert talk.ask(load(folder))["event"] == "result"
    failed = talk.ask(load(folder, **values))
    assert failed["event"] == "error"
    assert sentence in failed["message"]
    assert "Internal error" not in failed["message"]
    assert talk.ask({"predict": {}})["event"] == "result"


@pytest.mark.parametrize(
    ("values", "sentence"),
    [({"alpha_prime": 7}, "alpha_prime must be from 0 to 0.2"), ({"alpha": 0.1}, "Unknown hyperparameter 'alpha'")],
)
def test_a_condition_that_the_model_does_not_take_gets_a_sentence(
    talk: Conversation, folder: Path, values: dict, sentence: str
) -> None:
    talk.ask(load(folder))
    refused = talk.ask({"predict": values, "id": 5})
    assert (refused["event"], refused["id"]) == ("error", 5)
    assert sentence in refused["message"]
    assert talk.ask({"predict": {}})["event"] == "result"


def test_the_process_speaks_json_only_and_ends_with_its_input(folder: Path) -> None:
    messages = [load(folder), {"predict": {}, "id": 2}, {"memory": {}}, b"nonsense"]
    lines = b"".join(m + b"\n" if isinstance(m, bytes) else json.dumps(m).encode() + b"\n" for m in messages)
    command = [sys.executable, "-m", "SpatialRegularizationLib", "worker"]
    done = subprocess.run(command, input=lines, capture_output=True, cwd=REPOSITORY, timeout=120)
    assert done.returncode == 0, done.stderr.decode()
    answers = [json.loads(line) for line in done.stdout.decode().splitlines()]
    last = {(answer.get("request"), answer.get("id")): answer["event"] for answer in answers}
    assert last == {
        (None, None): "error", ("load", "load"): "result", ("predict", 2): "result", ("memory", None): "result",
    }  # fmt: skip
    assert answers[0]["event"] == "ready"
    assert not any((folder / "arrays").iterdir())


@pytest.mark.parametrize(("end", "code"), [("quit", 0), ("terminate", 143)])
def test_the_process_ends_cleanly_while_its_input_stays_open(folder: Path, tmp_path: Path, end: str, code: int) -> None:
    if end == "terminate" and sys.platform == "win32":
        pytest.skip("Windows ends a process without asking it")
    command = [sys.executable, "-m", "SpatialRegularizationLib", "worker"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=REPOSITORY, **pipes) as process:
        process.stdin.write(json.dumps(load(folder, folder=str(tmp_path))).encode() + b"\n")
        process.stdin.flush()
        while json.loads(process.stdout.readline())["event"] != "result":
            pass
        assert any(tmp_path.iterdir())
        if end == "quit":
            process.stdin.write(b'{"quit": {}}\n')
            process.stdin.flush()
        else:
            process.terminate()
        assert process.wait(SECONDS) == code
        assert b"Fatal" not in process.stderr.read()
    assert not any(tmp_path.iterdir())


def test_quit_ends_at_once(folder: Path) -> None:
    output = io.StringIO()
    lines = b"".join(json.dumps(m).encode() + b"\n" for m in (load(folder), {"predict": {}, "id": 2}, {"quit": {}}))
    assert Worker(output).serve(io.BytesIO(lines)) == 0
    events = {a.get("id"): a["event"] for a in map(json.loads, output.getvalue().splitlines()) if a["event"] != "progress"}
    assert events == {None: "ready", "load": "cancelled", 2: "cancelled"}


def test_array_files_keep_their_content_for_two_further_answers(tmp_path: Path) -> None:
    files = ArrayFiles(tmp_path)
    paths = [files.write({"a": torch.full((1, 2, 2), float(n))})["a"] for n in range(SLOTS)]
    assert [float(np.load(path).mean()) for path in paths] == list(range(SLOTS))
    assert files.write({"a": torch.full((1, 2, 2), 9.0)})["a"] == paths[0]
    assert float(np.load(paths[0], mmap_mode="r")[0, 0, 0]) == 9
    files.remove()
    assert not any(tmp_path.iterdir())


def test_every_request_of_the_protocol_document_is_known() -> None:
    document = (REPOSITORY / "SpatialRegularizationLib" / "worker" / "protocol.md").read_text(encoding="utf-8")
    for kind, keys in KEYS.items():
        assert f"**{kind}**" in document
        assert all(f"`{key}`" in document for key in keys if key != "id")
    assert parse_request(b'{"predict": null}').values == {}
    with pytest.raises(MessageError) as caught:
        parse_request(b'{"predict": {"a": "b"}, "id": 4}')
    assert caught.value.id == 4
