"""The logic on a real scene with a real worker process: whatever happens, one end, and the scene as it has to be."""

from __future__ import annotations

import dataclasses
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("slicer", reason="needs the slicer-core package")
pytestmark = pytest.mark.slicer

from SpatialRegularizationGui.inputs.request import OUTPUT_NAMES, Outputs, RegistrationRequest  # noqa: E402
from SpatialRegularizationGui.run import pending  # noqa: E402
from SpatialRegularizationGui.run.channels import InProcessChannel, PipeChannel  # noqa: E402
from SpatialRegularizationGui.run.events import Outcome, RunState  # noqa: E402
from SpatialRegularizationGui.run.install import Installed, Readiness  # noqa: E402
from SpatialRegularizationGui.run.protocol import FIGURES  # noqa: E402
from SpatialRegularizationGui.run.worker import ProcessWorker  # noqa: E402
from watched_logic import ENDLESS, QUICK, Watched, request, volume  # noqa: E402

from SpatialRegularizationLib.registration.result import Figures  # noqa: E402

ALL = frozenset(OUTPUT_NAMES)


@pytest.fixture
def watched(scene: Any, worker: ProcessWorker) -> Iterator[Watched]:
    made = Watched(worker)
    yield made
    made.logic.stop_preview()
    if made.logic.state is not RunState.IDLE:
        made.logic.close()


def jobs_of(scene: Any) -> list[str]:
    return [path.name for path in Path(scene.temporary).glob("spatialreg-*")]


def test_a_run_ends_in_nodes_with_what_was_found(scene: Any, watched: Watched) -> None:
    outcome = watched.run(request(scene, outputs=Outputs(wanted=ALL)))
    assert isinstance(outcome, Outcome)
    assert set(outcome.outputs.nodes) == ALL
    assert outcome.device == watched.logic.device == "cpu"
    assert outcome.figures["folding_percent"] == 0
    assert outcome.figures["similarity_after"] > outcome.figures["similarity_before"]
    assert watched.named("state_changed") == [RunState.RUNNING, RunState.IDLE]
    steps = watched.named("progressed")
    assert all(0 <= step.fraction <= 1 for step in steps)
    assert any(step.seconds_left is not None for step in steps)
    warped = scene.array(outcome.outputs.warped).astype(float)
    fixed, moving = (scene.array(scene.named(name)).astype(float) for name in ("fixed", "moving"))
    assert np.abs(warped - fixed).mean() < 0.9 * np.abs(moving - fixed).mean()
    assert outcome.outputs.transform.GetAttribute("SpatialRegularization.Preset") == "generic"
    assert outcome.outputs.transform.GetAttribute("SpatialRegularization.ChosenPreset") == ""


def test_without_a_preset_the_pair_decides_and_the_nodes_say_what_was_used(scene: Any, watched: Watched) -> None:
    asked = request(scene)
    plain = RegistrationRequest(asked.fixed, asked.moving, settings=QUICK | {"similarity": "mse"})
    outcome = watched.run(plain)
    noted = {name: outcome.outputs.transform.GetAttribute(f"SpatialRegularization.{name}") for name in ("Preset", "ChosenPreset")}
    assert noted["Preset"] == "auto"
    assert any(f"The preset {noted['ChosenPreset']} was chosen automatically" in note for note in outcome.notes)
    assert (outcome.settings["automatic"], outcome.settings["similarity"]) == ("off", "mse")


def test_only_the_report_is_left_of_the_files_and_it_can_be_saved(scene: Any, watched: Watched, tmp_path: Path) -> None:
    outcome = watched.run(request(scene))
    watched.logic.save_report(tmp_path / "saved.html")
    assert "moving to fixed" in (tmp_path / "saved.html").read_text(encoding="utf-8")
    assert [Path(outcome.report).parent.name] == jobs_of(scene)
    watched.logic.close()
    assert jobs_of(scene) == []
    with pytest.raises(ValueError, match="There is no report"):
        watched.logic.save_report(tmp_path / "again.html")


def test_a_second_run_updates_the_same_nodes_and_undo_brings_the_first_back(scene: Any, watched: Watched) -> None:
    first = watched.run(request(scene))
    before = scene.fingerprint()
    second = watched.run(request(scene, outputs=first.outputs, settings=QUICK | {"lambda_max": 20.0}))
    assert second.outputs.nodes == first.outputs.nodes
    assert scene.fingerprint() != before
    assert watched.logic.can_undo
    watched.logic.undo()
    assert scene.fingerprint() == before
    assert not watched.logic.can_undo


def test_a_model_answers_and_its_condition_is_noted(scene: Any, watched: Watched, model: str) -> None:
    outcome = watched.run(request(scene, model=model, condition={"alpha_prime": 0.1}))
    assert isinstance(outcome, Outcome), outcome
    assert '"alpha_prime": 0.1' in outcome.outputs.transform.GetAttribute("SpatialRegularization.Condition")


def test_what_is_wrong_at_once_is_raised_and_leaves_nothing(scene: Any, watched: Watched) -> None:
    asked = request(scene)
    with pytest.raises(ValueError, match="Select two different volumes"):
        watched.logic.start(dataclasses.replace(asked, moving=asked.fixed))
    assert watched.told == []
    assert watched.logic.state is RunState.IDLE


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"preset": "brain"}, "Unknown preset 'brain'"),
        ({"model": "no-such-model"}, "no-such-model"),
        ({"settings": QUICK | {"lambda_max": -1}}, "lambda_max must be"),
    ],
)
def test_what_the_worker_refuses_is_a_sentence_and_the_scene_is_as_it_was(
    scene: Any, watched: Watched, more: dict, words: str
) -> None:
    asked = request(scene, **more)
    before = scene.fingerprint()
    failure = watched.run(asked)
    assert words in failure.sentence
    assert "\n" not in failure.sentence
    assert scene.fingerprint() == before
    assert watched.logic.state is RunState.IDLE
    assert isinstance(watched.run(request(scene)), Outcome)


def test_a_cancelled_run_changes_nothing_and_the_worker_stays_warm(scene: Any, watched: Watched) -> None:
    watched.begin(request(scene, settings=ENDLESS))
    before, pid = scene.fingerprint(), watched.logic.pid
    watched.logic.cancel()
    assert watched.logic.state is RunState.CANCELLING
    watched.idle()
    assert len(watched.named("finished", "failed", "cancelled")) == len(watched.named("cancelled")) == 1
    assert watched.named("state_changed") == [RunState.RUNNING, RunState.CANCELLING, RunState.IDLE]
    assert scene.fingerprint() == before
    assert isinstance(watched.run(request(scene)), Outcome)
    assert watched.logic.pid == pid


@pytest.mark.skipif(os.name != "posix", reason="a process is stopped by a signal of POSIX")
def test_a_worker_that_does_not_listen_is_killed_and_the_next_run_starts_another(
    scene: Any, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pending, "GRACE", 0.2)
    watched.begin(request(scene, settings=ENDLESS))
    pid = watched.logic.pid
    os.kill(pid, signal.SIGSTOP)  # it hears nothing any more
    watched.logic.cancel()
    watched.idle()
    assert len(watched.named("cancelled")) == 1
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert isinstance(watched.run(request(scene)), Outcome)


@pytest.mark.skipif(os.name != "posix", reason="a process is killed by a signal of POSIX")
def test_a_worker_that_is_killed_from_outside_is_a_sentence_and_the_next_run_starts_another(
    scene: Any, watched: Watched
) -> None:
    watched.begin(request(scene, settings=ENDLESS))
    before = scene.fingerprint()
    os.kill(watched.logic.pid, signal.SIGKILL)
    watched.idle()
    (failure,) = watched.named("finished", "failed", "cancelled")
    assert "ended from outside" in failure.sentence
    assert "half-resolution" in failure.remedies
    assert scene.fingerprint() == before
    assert isinstance(watched.run(request(scene)), Outcome)


def test_a_scene_that_is_closed_in_the_middle_ends_everything_without_a_word(scene: Any, watched: Watched) -> None:
    watched.begin(request(scene, settings=ENDLESS))
    pid = watched.logic.pid
    watched.told.clear()
    watched.logic.scene_closed()
    scene.mrml.Clear(False)
    assert [name for name, _ in watched.told] == ["state_changed"]
    assert watched.logic.state is RunState.IDLE
    assert jobs_of(scene) == []
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert isinstance(watched.run(request(scene)), Outcome)


def test_a_volume_that_leaves_the_scene_in_the_middle_is_a_sentence(scene: Any, watched: Watched) -> None:
    asked = request(scene)
    watched.told.clear()
    watched.logic.start(asked)
    scene.mrml.RemoveNode(asked.moving)
    watched.idle()
    assert "The moving volume has left the scene" in watched.named("failed")[0].sentence


def test_a_node_that_cannot_hold_its_result_makes_a_failure_and_changes_nothing(
    scene: Any, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = request(scene)
    before = scene.fingerprint()

    def full(*_: Any, **__: Any) -> None:
        raise MemoryError("no room")

    with monkeypatch.context() as scarce:
        scarce.setattr("SpatialRegularizationGui.run.outputs.set_transform", full)
        failure = watched.run(asked)
    assert "every node is as it was" in failure.sentence
    assert "MemoryError" in failure.details
    assert scene.fingerprint() == before


def test_two_things_at_once_are_refused(scene: Any, watched: Watched) -> None:
    watched.begin(request(scene, settings=ENDLESS))
    with pytest.raises(RuntimeError, match="A registration is running"):
        watched.logic.start(request(scene))
    assert watched.logic.preview(request(scene)) == 0
    watched.logic.cancel()
    watched.idle()


class Refused:
    """An installer whose user says no."""

    def ensure(self) -> Installed:
        return Installed(Readiness.DECLINED, "PyTorch is missing")


def test_the_console_call_waits_and_returns_the_nodes(scene: Any, worker: ProcessWorker) -> None:
    logic = Watched(worker).logic
    asked = request(scene)
    outcome = logic.register(asked.fixed, asked.moving, **QUICK, lambda_max=3.0)
    assert outcome.outputs.transform.IsA("vtkMRMLTransformNode")
    assert '"lambda_max": 3.0' in outcome.outputs.transform.GetAttribute("SpatialRegularization.Settings")
    with pytest.raises(ValueError, match="did you mean lambda_max"):
        logic.register(asked.fixed, asked.moving, lambdaMaxx=1)
    with pytest.raises(ValueError, match="lambda_max must be"):
        logic.register(asked.fixed, asked.moving, lambda_max=-1)
    with pytest.raises(RuntimeError, match="no-such-model"):
        logic.register(asked.fixed, asked.moving, model="no-such-model")
    declined = Watched(worker, installer=Refused()).logic
    with pytest.raises(RuntimeError, match="Nothing was installed, as you chose"):
        declined.register(asked.fixed, asked.moving)


def test_the_snippet_of_the_readme_registers_a_folder(scene: Any, worker: ProcessWorker, tmp_path: Path) -> None:
    readme = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
    snippet = readme[readme.index("# a folder to one volume") : readme.index("# a series: every frame")]
    asked, util = request(scene), scene.slicer.util
    asked.fixed.SetName("MRBrainTumor1")
    (tmp_path / "in").mkdir(), (tmp_path / "out").mkdir()
    for name in ("one", "two"):
        util.saveNode(asked.moving, str(tmp_path / "in" / f"{name}.nrrd"))
    logic = Watched(worker).logic
    content = {"logic": logic, "slicer": scene.slicer, "getNode": util.getNode}
    folders = {"FOLDER": str(tmp_path / "in"), "WARPED": str(tmp_path / "out")}
    for old, new in (folders | {'{"preset": "brain-mri"}': repr(QUICK)}).items():
        assert old in snippet
        snippet = snippet.replace(old, new)
    exec(compile(snippet, "README.md", "exec"), content)
    once = len(scene.nodes())
    exec(compile(snippet.replace("fixed, options =", "fixed, _ =", 1), "README.md", "exec"), content)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["one.nrrd", "two.nrrd"]
    assert len(scene.nodes()) == once  # a second folder leaves no more than the outputs of the first
    warped, moving = (util.arrayFromVolume(node) for node in (content["outcome"].outputs.warped, asked.moving))
    assert warped.shape == util.arrayFromVolume(asked.fixed).shape
    assert warped.std() > 0.5 * moving.std()


def test_two_logics_do_not_mix(scene: Any, watched: Watched) -> None:
    other = Watched(ProcessWorker(PipeChannel, environment={"OMP_NUM_THREADS": "1"}))
    third = volume(scene, "third")
    watched.told.clear()
    watched.logic.start(request(scene))
    other.logic.start(dataclasses.replace(request(scene), fixed=third))
    watched.idle()
    other.idle()
    (one,), (two,) = watched.named("finished"), other.named("finished")
    assert one.request.fixed is not two.request.fixed
    assert not set(map(id, one.outputs.nodes.values())) & set(map(id, two.outputs.nodes.values()))
    other.logic.close()
    assert watched.logic.pid is not None


def test_models_come_and_go_through_the_worker(scene: Any, model: str, tmp_path: Path) -> None:
    watched = Watched(ProcessWorker(PipeChannel, environment={"OMP_NUM_THREADS": "1", "SPATIALREG_ZOO": str(tmp_path)}))
    watched.logic.manage("import", model, name="mine")
    watched.idle()
    assert len(watched.named("catalogue_changed")) == 1, watched.told
    assert (tmp_path / "mine.safetensors").exists()
    watched.told.clear()
    watched.logic.manage("remove", "nobody")
    watched.idle()
    assert "nobody" in watched.named("failed")[0].sentence
    watched.logic.close()


def test_the_figures_of_an_outcome_are_those_of_a_registration() -> None:
    assert set(FIGURES) == {field.name for field in dataclasses.fields(Figures)} | {"affine_part", "verdict"}


def test_without_an_interpreter_this_process_does_the_same_and_a_cancel_is_heard(scene: Any) -> None:
    waiting: list[Any] = []
    watched = Watched(ProcessWorker(lambda: InProcessChannel(lambda: [call() for call in waiting])))
    assert isinstance(watched.run(request(scene)), Outcome)
    before = scene.fingerprint()

    def cancel_at_level() -> None:
        if any("level" in step.stage for step in watched.named("progressed")):
            waiting.clear()
            watched.logic.cancel()

    waiting.append(cancel_at_level)
    assert watched.run(request(scene, settings=ENDLESS)) is None
    assert len(watched.named("cancelled")) == 1
    assert scene.fingerprint() == before
    watched.logic.close()
    assert jobs_of(scene) == []
