"""The demo on a small phantom: the per-pair result as ever; where the network for heads is installed, both on one page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
from shippable import complete_card, tiny_model

from SpatialRegularizationLib.commands.console import Console
from SpatialRegularizationLib.phantoms import heads as phantom
from SpatialRegularizationLib.registration.presets import preset_settings
from SpatialRegularizationLib.registration.settings import RegistrationSettings
from SpatialRegularizationLib.report.result_folder import FILES
from SpatialRegularizationLib.training.shipping import ship_model
from SpatialRegularizationLib.zoo.folder import ENVIRONMENT

SMALL = (24, 28, 24)


@pytest.fixture
def demo(script: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module, on small images, no model installed, writing into a temporary folder."""
    monkeypatch.setenv(ENVIRONMENT, str(tmp_path / "zoo"))
    monkeypatch.setattr("SpatialRegularizationLib.zoo.folder.BUNDLED", tmp_path / "bundled")
    module = script("demo")
    monkeypatch.setattr(module, "OUT", tmp_path / "result")
    monkeypatch.setattr(module, "preset_settings", lambda name: quick(preset_settings(name)))
    monkeypatch.setattr(module, "two_subjects", lambda: phantom.two_subjects(SMALL))
    monkeypatch.setattr(module, "known_deformation", lambda seed: phantom.known_deformation(SMALL, seed=seed))
    return module


def quick(settings: RegistrationSettings) -> RegistrationSettings:
    """The same steps of the way, few iterations."""
    return replace(settings, levels=((8, 8, 2), (4, 4, 2)), affine="none")


def ship_head_model(folder: Path, shape: tuple[int, int, int], spacing_mm: tuple[float, float, float]) -> None:
    """A tiny network under the name of the network for heads."""
    card = complete_card("head-any-beta", shape=shape, spacing_mm=spacing_mm, orientation="RAS")
    ship_model(tiny_model(), card, folder=folder)


def test_without_a_model_the_demo_leaves_the_per_pair_result(demo: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert demo.main() == 0
    said = capsys.readouterr().out
    assert f"Open the report:  {demo.OUT / 'report.html'}" in said
    assert "network" not in said
    assert all((demo.OUT / name).is_file() for name in FILES)
    assert not (demo.OUT / "network").exists()


def test_with_the_model_both_answers_stand_on_one_page_and_go_with_the_next_demo(
    demo: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ship_head_model(tmp_path / "bundled", (32, 32, 32), (7.0, 7.0, 7.0))
    assert demo.main() == 0
    said = capsys.readouterr().out
    assert f"Open the report:  {demo.OUT / 'side-by-side.html'}" in said
    assert "network head-any-beta: " in said
    page = (demo.OUT / "side-by-side.html").read_text(encoding="utf-8")
    links = ('href="report.html">per-pair mode<', 'href="network/report.html">network head-any-beta<')
    for part in (*links, "Deformation grid: network"):
        assert part in page
    assert all((demo.OUT / "network" / name).is_file() for name in FILES)
    pair = demo.two_subjects()
    demo.write(demo.OUT, pair, demo.run(pair, Console(quiet=True)))
    assert not (demo.OUT / "network").exists()
    assert not (demo.OUT / "side-by-side.html").exists()


def test_a_model_that_does_not_fit_is_left_out_with_its_sentence(
    demo: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ship_head_model(tmp_path / "bundled", (32, 32, 32), (1.0, 1.0, 1.0))
    pair = demo.two_subjects()
    registration = demo.run(pair, Console(quiet=True))
    demo.write(demo.OUT, pair, registration)
    page = demo.beside(demo.OUT, pair, registration, "head-any-beta", Console(quiet=True))
    assert page == demo.OUT / "report.html"
    assert "Left out: The fixed image" in capsys.readouterr().out
