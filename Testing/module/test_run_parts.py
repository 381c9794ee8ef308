"""The slider's policy with a clock of our own, folders that go away, and requests that may work after a failure."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from SpatialRegularizationGui.inputs.files import TemporaryFolders
from SpatialRegularizationGui.inputs.request import RegistrationRequest
from SpatialRegularizationGui.run.failures import with_remedy
from SpatialRegularizationGui.run.pending import seconds_left
from SpatialRegularizationGui.run.preview import LONGEST_PAUSE, PAUSE, Debounce
from SpatialRegularizationGui.run.protocol import device_of

from SpatialRegularizationLib.geometry.grid import Grid
from SpatialRegularizationLib.images.preparation import working_grid
from SpatialRegularizationLib.registration.settings import RegistrationSettings


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_first_move_is_answered_at_once_and_the_next_when_the_slider_rests() -> None:
    clock = Clock()
    policy = Debounce(clock)
    policy.change("a")
    assert policy.due() == "a"
    assert policy.due() is None
    clock.now += 0.05
    policy.change("b")
    assert policy.due() is None
    clock.now += PAUSE
    assert policy.due() == "b"


def test_a_slider_that_never_rests_is_answered_all_the_same_with_the_newest_value() -> None:
    clock = Clock()
    policy = Debounce(clock)
    policy.change(-1)
    policy.due()
    given = []
    for n in range(100):
        clock.now += 0.02
        policy.change(n)
        value = policy.due()
        given += [] if value is None else [(value, n)]
    assert all(value == n for value, n in given)
    assert len(given) == pytest.approx(100 * 0.02 / LONGEST_PAUSE, abs=1)
    assert policy.dropped == 100 - len(given) - int(policy.waiting)


def test_what_is_cleared_never_comes() -> None:
    clock = Clock()
    policy = Debounce(clock)
    policy.change("a")
    policy.clear()
    clock.now += 10
    assert policy.due() is None
    assert not policy.waiting


def test_folders_lie_where_they_are_wanted_and_go_one_by_one_or_all(tmp_path: Path) -> None:
    folders = TemporaryFolders(lambda: str(tmp_path))
    made = [folders.make() for _ in range(3)]
    (made[0] / "file").write_text("x")
    assert {folder.parent for folder in made} == {tmp_path}
    folders.remove(made[0])
    folders.remove(None)
    folders.remove(tmp_path)  # not ours to delete
    assert sorted(tmp_path.iterdir()) == sorted(made[1:])
    folders.remove_all()
    assert not any(tmp_path.iterdir())


def test_a_numbered_gpu_is_the_only_one_that_the_worker_sees() -> None:
    assert device_of({"device": "cuda:1", "seed": 3}) == ({"device": "cuda", "seed": 3}, {"CUDA_VISIBLE_DEVICES": "1"})
    assert device_of({"device": "cpu"}) == ({"device": "cpu"}, {})
    assert device_of({}) == ({}, {})


def test_remedies_change_what_has_failed_and_nothing_else() -> None:
    asked = RegistrationRequest("f", "m", settings={"seed": 3})
    fixed = (100, 100, 80), (1.5, 1.5, 1.5)
    assert with_remedy(asked, "half-resolution", *fixed).settings == {"seed": 3, "working_spacing_mm": 3.0}
    twice = with_remedy(with_remedy(asked, "half-resolution", *fixed), "half-resolution", *fixed)
    assert twice.settings["working_spacing_mm"] == 6.0
    assert with_remedy(asked, "cpu", *fixed).settings == {"seed": 3, "device": "cpu"}
    with pytest.raises(ValueError, match="half-resolution or cpu"):
        with_remedy(asked, "pray", *fixed)


@pytest.mark.parametrize("spacing", [(0.7, 0.7, 0.7), (0.5, 0.5, 1.0)])
def test_half_resolution_is_half_of_what_was_worked_at_however_large_the_image(spacing: tuple[float, ...]) -> None:
    grid = Grid((512, 512, 600), spacing, (0.0, 0.0, 0.0), ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)))
    most = RegistrationSettings().max_voxels
    before = working_grid(grid, max_voxels=most)
    asked = with_remedy(RegistrationRequest("f", "m"), "half-resolution", grid.shape, grid.spacing)
    after = working_grid(grid, spacing_mm=asked.settings["working_spacing_mm"], max_voxels=most)
    assert math.prod(after.shape) == pytest.approx(math.prod(before.shape) / 8, rel=0.06)


def test_the_time_left_is_told_when_there_is_something_to_tell_it_from() -> None:
    assert seconds_left(0.25, 10.0) == 30.0
    assert seconds_left(0.01, 10.0) is None
    assert seconds_left(1.0, 10.0) is None
