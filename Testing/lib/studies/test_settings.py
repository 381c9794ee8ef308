"""Studies as they are written: what is understood, and what is refused with the nearest name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from SpatialRegularizationLib.registration.presets import PRESETS
from SpatialRegularizationLib.studies.aims import Aim
from SpatialRegularizationLib.studies.baselines import LIST, Baselines
from SpatialRegularizationLib.studies.methods import START, read_methods
from SpatialRegularizationLib.studies.settings import StudySettings

NONE = Baselines(Path("nowhere"))
SYN = Baselines(Path("nowhere"), {"syn_mi": {"script": "ants_syn.py", "own_start": False}})
REPOSITORY = Path(__file__).resolve().parents[3]


def study(**values: Any) -> StudySettings:
    return StudySettings.from_dict({"pairs": "pairs.csv", "methods": ["brain-mri"]} | values)


def test_methods_may_be_names_or_objects() -> None:
    methods = read_methods(
        ["brain-mri", {"name": "soft", "preset": "generic", "settings": {"lambda_max": 0.5}}, "syn_mi"], SYN
    )
    assert [(m.name, m.kind) for m in methods] == [("brain-mri", "preset"), ("soft", "preset"), ("syn_mi", "baseline")]
    assert methods[1].registration_settings().lambda_max == 0.5
    assert methods[0].registration_settings().affine == "none", "all start from the shared affine map"
    (rigid,) = read_methods(["rigid"], NONE)
    assert rigid.registration_settings().affine == "rigid", "the alignment is all that is asked for"


def test_the_preset_of_the_pair_is_the_one_of_its_line() -> None:
    (method,) = read_methods([{"name": "own", "preset": "pair"}], NONE)
    assert method.registration_settings("multi-modal").similarity == PRESETS["multi-modal"].similarity
    assert method.registration_settings().levels == PRESETS["generic"].levels


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (["brian-mri"], "Unknown method 'brian-mri'; did you mean 'brain-mri'"),
        (["syn-mi"], "did you mean 'syn_mi'"),
        ([{"preset": "genric"}], "Unknown preset 'genric'; did you mean 'generic'"),
        ([{"baseline": "sin_mi"}], "Unknown baseline 'sin_mi'; did you mean 'syn_mi'"),
        ([{"presett": "generic"}], "did you mean preset?"),
        ([{"name": "x"}], "must name one of preset, model or baseline"),
        ([{"preset": "generic", "baseline": "syn_mi"}], "must name one of"),
        (["generic", "generic"], "Two methods are called 'generic'"),
        ([{"name": START, "preset": "generic"}], "Two methods are called 'start'"),
        ([{"preset": "generic", "settings": {"lamda_max": 1}}], "did you mean lambda_max"),
        ([{"preset": "generic", "settings": {"lambda_max": -1}}], "lambda_max must be"),
        ([{"preset": "generic", "settings": {"threads": 2}}], "set threads for the whole study"),
        ([{"preset": "generic", "refine": 20}], "has no model"),
        ([{"model": "any-shapes-hyper", "preset": "rigid"}], "A model answers with a deformation, and nothing is to deform"),
        ([{"baseline": "syn_mi", "settings": {"lambda_max": 1}}], "takes no settings"),
        ([], "at least one preset, model or baseline"),
        ("generic", "must be a list"),
        ([3], "A method must be a name"),
    ],
)
def test_methods_that_cannot_be_are_refused_in_a_sentence(value: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read_methods(value, SYN)


def test_an_unknown_model_is_told_apart_from_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="There is no model 'head-any'"):
        read_methods([{"model": "head-any"}], NONE)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        read_methods([{"model": str(tmp_path / "best.safetensors")}], NONE)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"mehtods": ["generic"]}, "did you mean methods"),
        ({"pairs": None}, "either pairs .* or images"),
        ({"images": "images.csv"}, "either pairs .* or images"),
        ({"affine": "afine"}, "Did you mean 'affine'"),
        ({"processes": 0}, "processes must be a whole number from 1"),
        ({"labels": [1, 1]}, "name each number once"),
        ({"labels": {"a": -1}}, "list of numbers above 0"),
        ({"labels": "all"}, "list of numbers above 0"),
        ({"regions": {"cortex": "3"}}, "must be a list of labels"),
        ({"regions": {"cortex": {"labels": [3], "prat": "whole"}}}, "did you mean part"),
        ({"regions": {"cortex": {"labels": [3], "part": "rim"}}}, "must be one of whole, inside, border"),
        ({"regions": {"cortex": {"labels": [3], "width_mm": 0}}}, "width_mm"),
        ({"regions": [3]}, "must hold names with values"),
        ({"reference": "brain"}, "did you mean brain-mri"),
        ({"aims": [{"figure": "dice", "method": "brian-mri", "at_least": 0.8}]}, "did you mean brain-mri"),
        ({"aims": [{"figure": "dice", "method": "brain-mri"}]}, "has no bound"),
        ({"aims": [{"figure": "dice", "method": "brain-mri", "p_at_most": 0.01}]}, "needs the method to compare with"),
        ({"aims": [{"figure": "dice", "method": "brain-mri", "atleast": 1}]}, "did you mean at_least"),
        ({"aims": [{"figure": "dice", "method": "brain-mri", "at_least": "x"}]}, "must be a number"),
        ({"sweeps": "folder"}, "list of folders"),
        ({"title": 3}, "title must be a text"),
    ],
)
def test_settings_that_cannot_be_are_refused_in_a_sentence(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        study(**values)


def test_a_baseline_without_an_interpreter_is_refused(tmp_path: Path) -> None:
    (tmp_path / LIST).write_text('{"other": {"script": "other.py"}}')
    with pytest.raises(ValueError, match="baseline_python"):
        study(methods=["other"], baselines=str(tmp_path))
    assert study(methods=["other"], baselines=str(tmp_path), baseline_python="python").methods[0].kind == "baseline"
    with pytest.raises(FileNotFoundError, match="folder of the baselines"):
        study(baselines=str(tmp_path / "nowhere"))
    (tmp_path / LIST).write_text('["other"]')
    with pytest.raises(ValueError, match="no list of baselines"):
        study(baselines=str(tmp_path))


def test_some_methods_of_a_study_take_their_aims_along() -> None:
    aims = [{"figure": "dice", "method": "generic", "at_least": 0.5}]
    aims += [{"figure": "dice", "method": "brain-mri", "against": "generic", "difference_at_least": 0}]
    values = {"pairs": "p.csv", "methods": ["brain-mri", "generic"], "aims": aims, "reference": "brain-mri"}
    chosen = StudySettings.from_dict(values, ["generic"])
    assert chosen.method_names == (START, "generic")
    assert [a.method for a in chosen.aims] == ["generic"]
    assert chosen.compared_with == "generic"
    with pytest.raises(ValueError, match="did you mean generic"):
        StudySettings.from_dict(values, ["genric"])


def test_an_aim_may_compare_with_the_affine_start() -> None:
    aim = {"figure": "mind", "method": "brain-mri", "against": START, "better_on_all": True}
    assert study(aims=[aim]).aims == (Aim("mind", "brain-mri", START, better_on_all=True),)


def test_the_baselines_of_the_repository_have_their_scripts() -> None:
    found = Baselines.of(REPOSITORY / "scripts" / "benchmarks" / "baselines", None)
    assert Baselines.of(None, None) == found
    assert "syn_mi" in found.scripts
    for entry in found.scripts.values():
        assert (found.folder / entry["script"]).is_file()
