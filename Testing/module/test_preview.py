"""Live updates on a real scene with a real worker: the newest wins, the nodes follow, and everything can be put back."""

from __future__ import annotations

import dataclasses
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("slicer", reason="needs the slicer-core package")
pytestmark = pytest.mark.slicer

from SpatialRegularizationGui.inputs.request import Outputs  # noqa: E402
from SpatialRegularizationGui.run.events import Outcome, Preview  # noqa: E402
from SpatialRegularizationGui.run.worker import ProcessWorker  # noqa: E402
from watched_logic import QUICK, SECONDS, Watched, request  # noqa: E402


@pytest.fixture
def watched(scene: Any, worker: ProcessWorker) -> Iterator[Watched]:
    made = Watched(worker)
    yield made
    made.logic.stop_preview()


def slid(scene: Any, model: str, value: float, **more: Any) -> Any:
    """The request at one position of the slider of α′."""
    if model:
        return request(scene, model=model, condition={"alpha_prime": value}, **more)
    return request(scene, settings=QUICK | {"alpha_prime": value}, **more)


@pytest.mark.parametrize("with_model", [True, False])
def test_every_rest_of_the_slider_is_shown_in_the_same_nodes(
    scene: Any, watched: Watched, model: str, with_model: bool
) -> None:
    name = model if with_model else ""
    shown, texts = [], []
    for n, value in enumerate((0.01, 0.19), start=1):
        id = watched.logic.preview(slid(scene, name, value))
        shown.append(watched.until("previewed", count=n))
        texts.append(scene.fingerprint())
        assert shown[-1].id == id
    assert shown[0].outputs.nodes == shown[1].outputs.nodes
    assert set(shown[0].outputs.nodes) == {"transform", "warped", "lambda_map", "jacobian"}
    assert texts[0] != texts[1]
    assert shown[0].figures["lambda_max"] > 0
    assert watched.logic.device == "cpu"
    assert "Loading the pair for live updates." in watched.named("preview_said")
    assert watched.named("preview_said")[-1] == ""


def test_where_the_pair_decides_updates_show_its_choice_and_a_slider_that_was_moved(scene: Any, watched: Watched) -> None:
    for n, given in enumerate(({}, {"alpha_prime": 0.07}, {}), start=1):
        watched.logic.preview(request(scene, preset="auto", settings=QUICK | given))
        watched.until("previewed", count=n)
    first, moved, back = (preview.settings for preview in watched.named("previewed"))
    assert first["automatic"] == "off"
    assert (moved, back) == (first | {"alpha_prime": 0.07}, first)
    whole = watched.run(request(scene, preset="auto"))
    assert whole.settings == first


def test_stopping_puts_the_scene_back_as_it_was(scene: Any, watched: Watched, model: str) -> None:
    finished = watched.run(request(scene))
    before = scene.fingerprint()
    for n, value in enumerate((0.02, 0.1), start=1):
        watched.logic.preview(slid(scene, model, value, outputs=dataclasses.replace(finished.outputs, warped=None)))
        watched.until("previewed", count=n)
    assert scene.fingerprint() != before
    watched.logic.stop_preview()
    assert scene.fingerprint() == before


def test_a_slider_that_is_dragged_is_answered_at_its_newest_place_and_what_is_stale_is_dropped(
    scene: Any, watched: Watched, model: str
) -> None:
    watched.logic.preview(slid(scene, model, 0.1))
    watched.until("previewed")
    dropped = watched.logic.dropped
    asked = {}
    for n in range(40):
        asked[watched.logic.preview(slid(scene, model, 0.001 * n))] = 0.001 * n
        watched.logic.poll(0.005)
    last = max(asked)
    end = time.monotonic() + SECONDS
    while watched.named("previewed")[-1].id != last:
        assert time.monotonic() < end
        watched.logic.poll(0.02)
    shown = [preview.id for preview in watched.named("previewed") if preview.id in asked]
    assert shown == sorted(shown)
    assert len(shown) + watched.logic.dropped - dropped == len(asked)
    assert watched.logic.dropped > dropped
    assert watched.named("previewed")[-1].request.condition["alpha_prime"] == asked[last]


def test_the_pair_is_loaded_again_only_when_something_other_than_the_slider_changes(
    scene: Any, watched: Watched, model: str
) -> None:
    def loads() -> int:
        return watched.named("preview_said").count("Loading the pair for live updates.")

    outputs = Outputs()
    for n, (value, expected) in enumerate(((0.01, 1), (0.02, 1), (0.03, 2), (0.04, 2)), start=1):
        if n == 3:
            fixed = scene.named("fixed")
            scene.slicer.util.arrayFromVolume(fixed)[...] += 1
            scene.slicer.util.arrayFromVolumeModified(fixed)
        watched.logic.preview(slid(scene, model, value, outputs=outputs))
        outputs = watched.until("previewed", count=n).outputs
        assert loads() == expected


def test_a_start_ends_the_live_session_first(scene: Any, watched: Watched, model: str) -> None:
    outputs = Outputs(transform=scene.add("vtkMRMLTransformNode", "mine"))
    watched.logic.preview(slid(scene, model, 0.1, outputs=outputs))
    watched.until("previewed")
    made = watched.named("previewed")[0].outputs.warped
    outcome = watched.run(slid(scene, model, 0.1, outputs=outputs))
    assert isinstance(outcome, Outcome)
    assert made.GetScene() is None
    assert outcome.outputs.transform.GetName() == "mine"
    assert not outcome.outputs.transform.GetAttribute("SpatialRegularization.Preview")


def test_what_cannot_be_previewed_is_a_sentence_and_the_next_update_comes(
    scene: Any, watched: Watched, model: str
) -> None:
    watched.logic.preview(slid(scene, model, 7.0))
    while not any("alpha_prime must be from 0" in said for said in watched.named("preview_said")):
        watched.logic.poll(0.02)
    watched.logic.preview(slid(scene, model, 0.1))
    assert isinstance(watched.until("previewed"), Preview)
    asked = slid(scene, model, 0.1)
    watched.logic.preview(dataclasses.replace(asked, moving=asked.fixed))
    while not any("two different volumes" in said for said in watched.named("preview_said")):
        watched.logic.poll(0.02)


@pytest.mark.skipif(os.name != "posix", reason="a process is killed by a signal of POSIX")
def test_a_killed_worker_is_a_sentence_and_the_next_update_loads_the_pair_again(
    scene: Any, watched: Watched, model: str
) -> None:
    watched.logic.preview(slid(scene, model, 0.1))
    watched.until("previewed")
    os.kill(watched.logic.pid, signal.SIGKILL)
    while watched.logic.pid is not None:
        watched.logic.poll(0.02)
    watched.logic.preview(slid(scene, model, 0.15))
    assert watched.until("previewed", count=2).request.condition == {"alpha_prime": 0.15}
    assert watched.named("preview_said").count("Loading the pair for live updates.") == 2


def test_closing_the_scene_forgets_the_live_session(scene: Any, watched: Watched, model: str) -> None:
    watched.logic.preview(slid(scene, model, 0.1))
    watched.until("previewed")
    watched.logic.preview(slid(scene, model, 0.15))
    watched.logic.scene_closed()
    scene.mrml.Clear(False)
    watched.told.clear()
    for _ in range(10):
        watched.logic.poll(0.02)
    assert watched.told == []
    assert not list(Path(scene.temporary).glob("spatialreg-*"))
