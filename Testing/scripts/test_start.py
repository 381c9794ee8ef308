"""The first command of a new user: when the environment is made, completed or rebuilt, and what comes back."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "start.py"


@pytest.fixture
def start(script: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module, its environment in a temporary folder; `start.done` records what it would install."""
    module = script("start")
    venv = tmp_path / ".venv"
    venv.mkdir()
    paths = {"VENV": venv, "STAMP": venv / "stamp.json", "LOG": venv / "log", "PYTHON": venv / "python"}
    for name, value in paths.items():
        monkeypatch.setattr(module, name, value)
    module.done = []
    monkeypatch.setattr(module, "create", lambda: module.done.append("create"))
    monkeypatch.setattr(module, "install", lambda wanted, index: module.done.append(("install", wanted["extras"])))
    return module


def _working_environment(start: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start, "works", lambda extras, by_import=False: True)


def test_a_fresh_checkout_gets_an_environment(start: ModuleType) -> None:
    start.prepare(test=False, torch_index=None)
    assert start.done == ["create", ("install", [])]


def test_a_complete_environment_is_used_as_it_is(start: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    _working_environment(start, monkeypatch)
    stamp = {"inputs": start.fingerprint(), "extras": ["test"], "torch_index": None}
    start.STAMP.write_text(json.dumps(stamp))
    start.prepare(test=True, torch_index=None)
    start.prepare(test=False, torch_index=None)
    assert start.done == []


def test_tests_complete_the_environment_of_the_demo(start: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    _working_environment(start, monkeypatch)
    start.STAMP.write_text(json.dumps({"inputs": start.fingerprint(), "extras": [], "torch_index": None}))
    start.prepare(test=True, torch_index=None)
    assert start.done == [("install", ["test"])]


def test_changed_versions_are_installed(start: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    _working_environment(start, monkeypatch)
    start.STAMP.write_text(json.dumps({"inputs": "of yesterday", "extras": ["test"], "torch_index": None}))
    start.prepare(test=False, torch_index=None)
    assert start.done == [("install", ["test"])]


def test_an_interrupted_installation_is_made_anew(start: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    _working_environment(start, monkeypatch)
    start.STAMP.write_text(json.dumps({"state": "installing"}))
    start.prepare(test=False, torch_index=None)
    assert start.done == ["create", ("install", [])]


def test_another_pytorch_index_is_honored_and_remembered(start: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    _working_environment(start, monkeypatch)
    stamp = {"inputs": start.fingerprint(), "extras": [], "torch_index": "https://example.org/cuda"}
    start.STAMP.write_text(json.dumps(stamp))
    start.prepare(test=False, torch_index=None)
    assert start.done == []
    start.prepare(test=False, torch_index="https://example.org/cpu")
    assert start.done == [("install", [])]


@pytest.mark.parametrize("code", [0, 1, 5])
def test_the_exit_code_of_the_task_is_forwarded(start: ModuleType, code: int) -> None:
    assert start.run([sys.executable, "-c", f"raise SystemExit({code})"]) == code


def test_an_old_python_is_refused_in_a_sentence(
    start: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(start.sys, "version_info", (3, 9, 1))
    assert start.main(["demo"]) == 1
    assert "Python 3.10 or newer is needed, this is 3.9.1" in capsys.readouterr().out


def test_an_unknown_task_is_refused() -> None:
    done = subprocess.run([sys.executable, str(SCRIPT), "deom"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "invalid choice" in done.stderr
