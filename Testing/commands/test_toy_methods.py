"""A prior or a similarity that is one line in its tuple can be chosen on the command line, checked, tuned and reported."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import QUICK, REPOSITORY

TOYS = '''
import sys
from dataclasses import dataclass
from typing import ClassVar
import SpatialRegularizationLib.priors as priors
import SpatialRegularizationLib.similarity as similarity
from SpatialRegularizationLib.declaration import number
from SpatialRegularizationLib.priors.prior import Prior
from SpatialRegularizationLib.similarity.similarity import Similarity

@dataclass(frozen=True)
class ToyPrior(Prior):
    """lambda = stiffness everywhere."""

    name: ClassVar[str] = "toy"
    summary: ClassVar[str] = "a toy of the tests"
    stiffness: float = number(0.5, 0.25, 8.0, "", "how stiff the toy is", symbol="ν", live=True, search=(0.5, 4.0))

    @property
    def reference(self):
        return self.stiffness

    def __call__(self, lambda_map):
        return 0 * lambda_map.mean()

    def optimal_lambda(self, energy):
        return 0 * energy + self.stiffness

@dataclass(frozen=True)
class Absolute(Similarity):
    """Mean absolute difference, to a power."""

    name: ClassVar[str] = "absolute"
    summary: ClassVar[str] = "absolute difference"
    title: ClassVar[str] = "Absolute difference, negative"
    good: ClassVar[str] = "0 is perfect."
    prefix: ClassVar[str] = "absolute_"
    exact: ClassVar[float] = 0.0
    power: float = number(1.0, 1.0, 2.0, "", "power of the difference")

    def __call__(self, warped, fixed, mask=None):
        return (warped - fixed).abs().pow(self.power).mean()

priors.PRIORS = (*priors.PRIORS, ToyPrior)
similarity.SIMILARITIES = (*similarity.SIMILARITIES, Absolute)
'''
COMMAND = TOYS + "from SpatialRegularizationLib.__main__ import main\nsys.exit(main(sys.argv[1:]))\n"


def spatialreg(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", COMMAND, *arguments]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture(scope="module")
def help_text() -> str:
    return " ".join(spatialreg("register", "--help").stdout.split())


def test_the_help_lists_a_new_method_and_its_parameter(help_text: str) -> None:
    assert re.search(r"--prior \{beta,[\w,]*toy\}", help_text)
    assert "toy: a toy of the tests" in help_text
    assert "--stiffness X how stiff the toy is (0.25 to 8)" in help_text
    assert re.search(r"--similarity \{lncc,[\w,]*absolute\}", help_text)
    assert "--absolute-power X power of the difference (1 to 2)" in help_text


def test_a_registration_uses_a_new_method_and_reports_it(pair: Path) -> None:
    images = str(pair / "f.nii.gz"), str(pair / "m.nii.gz")
    methods = "--prior", "toy", "--stiffness", "0.75", "--similarity", "absolute", "--absolute-power", "1.5"
    done = spatialreg("register", *images, "--out", str(pair / "out"), *QUICK, *methods)
    assert done.returncode == 0, done.stderr
    settings = json.loads((pair / "out" / "report.json").read_text(encoding="utf-8"))["settings"]
    assert {name: settings[name] for name in ("prior", "stiffness", "similarity", "absolute_power")} == {
        "prior": "toy", "stiffness": 0.75, "similarity": "absolute", "absolute_power": 1.5,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--prior", "toy", "--stiffness", "9"), "--stiffness must be a number from 0.25 to 8, got 9.0"),
        (("--stiffness", "1"), "--stiffness has an effect with --prior toy only, and it is beta"),
        (("--prior", "toy", "--alpha-prime", "1"), "--alpha-prime has an effect with --prior beta only, and it is toy"),
    ],
)
def test_a_new_parameter_is_checked_like_all_others(pair: Path, options: tuple[str, ...], sentence: str) -> None:
    images = str(pair / "f.nii.gz"), str(pair / "m.nii.gz")
    done = spatialreg("register", *images, "--out", str(pair / "out"), *options)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert not (pair / "out").exists()


def test_tuning_knows_where_to_search_and_how_to_write_a_new_parameter() -> None:
    code = TOYS + (
        "from SpatialRegularizationLib.tuning.drawings import word\n"
        "from SpatialRegularizationLib.tuning.ranges import per_pair_ranges\n"
        "from SpatialRegularizationLib.registration.settings import live_settings\n"
        "print(per_pair_ranges('toy')['stiffness'], word('stiffness'), live_settings('toy'))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0.5 to 4 (logarithmic) ν ('stiffness',)"
