"""Configuration files: what is read, and that hostile ones end in a sentence."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest

from SpatialRegularizationLib.io.lists import read_images, read_pairs
from SpatialRegularizationLib.studies.settings import StudySettings
from SpatialRegularizationLib.training.config_file import read_config
from SpatialRegularizationLib.training.settings import TrainingSettings
from SpatialRegularizationLib.tuning.settings import TuningSettings

yaml = pytest.importorskip("yaml", reason="configurations in YAML need PyYAML")


def written(folder: Path, text: str, name: str = "c.yaml") -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def test_values_are_those_of_json_and_aliases_are_followed(tmp_path: Path) -> None:
    text = "rate: 1e-4\nday: 2020-01-31\nempty:\nbase: &base {a: 1, b: [2, yes]}\nmore: {<<: *base, a: 3}\nsame: *base\n"
    assert read_config(written(tmp_path, text)) == {
        "rate": 1e-4,
        "day": "2020-01-31",
        "empty": None,
        "base": {"a": 1, "b": [2, True]},
        "more": {"a": 3, "b": [2, True]},
        "same": {"a": 1, "b": [2, True]},
    }


BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join(['*' + before] * 10)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
HOSTILE = {
    "bomb": (BOMB, "more than 100000 values"),
    "itself": ("a: &a [1, *a]\n", "holds itself"),
    "itself in a mapping": ("&a x: {y: &b {z: *b}}\n", "holds itself"),
    "deep": ("a: " + "[" * 200 + "]" * 200, "nested deeper than 60"),
    "deeper": ("a: " + "[" * 5000 + "]" * 5000, "nested deeper than 60"),
    "large": ("a: [" + "1, " * 400_000 + "1]", "larger than 1 MB"),
    "no date": ("a: !!timestamp x\nb: !!int z\n", "ValueError|invalid literal"),
    "no flag": ("a: !!bool maybe\n", "not of the kind"),
    "no number": ("a: !!int ''\n", "not of the kind"),
    "bytes": ("a: !!binary aGVsbG8=\n", "line 1 holds a tag:yaml.org,2002:binary"),
    "code": ("a: !!python/object/apply:os.system ['true']\n", "line 1 holds a tag"),
    "control": ("a: \x07\n", "not a readable configuration"),
    "no mapping": ("- 1\n", "must hold names with values"),
    "numbers as names": ("1: 2\n", "must hold names with values"),
    "a list as name": ("? [1, 2]\n: 3\n", "not a readable configuration"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_yaml_ends_in_one_short_sentence(tmp_path: Path, name: str) -> None:
    text, message = HOSTILE[name]
    with pytest.raises(ValueError, match=message) as caught:
        read_config(written(tmp_path, text))
    assert "c.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("depth", [200, 100_000])
def test_deep_json_is_refused_wherever_json_is_read(tmp_path: Path, depth: int) -> None:
    path = written(tmp_path, '{"a":' + "[" * depth + "]" * depth + "}", "c.json")
    for read in (read_config, read_images, read_pairs):
        with pytest.raises(ValueError, match=r"c\.json .*nested deeper than 60"):
            read(path)


VALUES = (3, 1.5, True, "word", [], [[1]], {"a": {"b": 1}}, 10**400, float("nan"), None)
TRAINING = {
    "model": {"system": "tm-spr", "size": "tiny"}, "train": "a.csv", "out": "run", "name": "n", "purpose": "p",
    "flips": ["left-right"], "atlas": "x", "pairs": "atlas-to-subject", "orientation": "LPS",
    "shape": [16, 16, 16], "spacing_mm": [1, 1, 1], "start": "s",
    "learning_rate": 1e-3, "epochs": 3, "symmetric": True, "synthesis": {"source": "labels"}, "score": "dice",
}  # fmt: skip
STUDY = {
    "methods": ["generic", {"preset": "brain-mri", "name": "b", "settings": {}, "condition": {}, "refine": 0}], "pairs": "p.csv",
    "title": "t", "out": "o", "labels": {"a": 1}, "regions": {"a": {"labels": [1], "part": "border", "width_mm": 2.0}},
    "reference": "b", "aims": [{"figure": "dice", "method": "b", "at_least": 0.5, "against": "generic", "better_on_all": True}],
    "sweeps": [], "timeout_s": 10.0, "baselines": None, "baseline_python": "python",
}  # fmt: skip
TUNING = {
    "out": "o", "training": "t.yaml", "settings": {"epochs": 1}, "ranges": {"alpha_prime": [0.1, 0.2, "log"]}, "trials": 3,
    "pruning": {"interval": 1}, "heartbeat": {"interval_s": 1.0}, "preset": "generic", "task": "ixi", "study": "s",
    "storage": "u",
}  # fmt: skip


def _places(value: object, place: tuple = ()) -> list[tuple]:
    """Where a value of a configuration stands, outermost first."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place] * bool(place) + [p for key, item in inner for p in _places(item, (*place, key))]


@pytest.mark.parametrize(
    ("settings", "values"), [(TrainingSettings, TRAINING), (StudySettings, STUDY), (TuningSettings, TUNING)], ids=lambda x: ""
)
def test_a_value_of_a_wrong_kind_anywhere_is_a_sentence(settings: type, values: dict) -> None:
    for place in _places(values):
        for value in VALUES:
            changed = json.loads(json.dumps(values))
            part = changed
            for key in place[:-1]:
                part = part[key]
            part[place[-1]] = value
            with contextlib.suppress(ValueError, FileNotFoundError):
                made = settings.from_dict(changed)
                if settings is TuningSettings:
                    made.plan(made.wanted_ranges("beta", ("alpha_prime", "lambda_max")), {})
