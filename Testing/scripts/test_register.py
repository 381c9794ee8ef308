"""scripts/register.py under plain Python, and under a program that runs scripts as Slicer does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from command_line import QUICK
from script_host import application_with, ended_with

from SpatialRegularizationLib.report.result_folder import FILES

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "register.py"


@pytest.fixture
def application(tmp_path: Path) -> list[str]:
    return application_with(tmp_path, SCRIPT)


def arguments(pair: Path) -> list[str]:
    return [str(pair / "f.nii.gz"), str(pair / "m.nii.gz"), "--out", str(pair / "out"), *QUICK]


def checked(done: subprocess.CompletedProcess, pair: Path) -> None:
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Registered in" in done.stdout
    assert set(FILES) <= {path.name for path in (pair / "out").iterdir()}


def test_plain_python_registers_and_ends_with_0_even_after_a_leading_dash_pair(pair: Path) -> None:
    checked(ended_with([sys.executable, str(SCRIPT), "--", *arguments(pair)]), pair)


def test_an_application_that_does_not_end_by_itself_is_ended_with_the_code(pair: Path, application: list[str]) -> None:
    done = ended_with([*application, "--", *arguments(pair)])
    checked(done, pair)
    assert "left with" not in done.stdout
    assert int(done.stdout.split("events")[1]) >= 3  # its window stayed alive


@pytest.mark.parametrize(("wrong", "code"), [(["no.nii", "no.nii", "--out", "o"], 1), (["--prest", "x"], 2), (["--help"], 0)])
def test_failures_reach_the_exit_code_of_both(application: list[str], wrong: list[str], code: int, tmp_path: Path) -> None:
    wrong = [word.replace("no.nii", str(tmp_path / "no.nii")) for word in wrong]
    assert ended_with([sys.executable, str(SCRIPT), *wrong]).returncode == code
    assert ended_with([*application, *wrong]).returncode == code
