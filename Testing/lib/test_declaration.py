"""Declared fields: what is given in a wrong kind, range or name is refused in one sentence, the rest gets its right type."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field
from typing import Any

import pytest

from SpatialRegularizationLib.declaration import (
    built,
    check_fields,
    choice,
    entry,
    file_path,
    flag,
    integer,
    nearest,
    number,
    parts,
    refuse_unknown,
    suggestion,
)


@dataclass(frozen=True)
class Part:
    """A dataclass inside of another one."""

    depth: int = integer(2, 1, 9, "mm", "how deep")

    def __post_init__(self) -> None:
        check_fields(self, "part.")


@dataclass(frozen=True)
class Settings:
    """A field of every kind, declared or told by its annotation alone."""

    needed: float = number(MISSING, 0.0, 1.0, "", "a share")
    word: str = choice("one", ("one", "two_words"), "a word")
    maybe: float | None = number(None, 0.0, 1.0, "s", "a time")
    on: bool = flag(False, "a switch")
    place: str | None = file_path("a file")
    several: tuple[int, ...] = entry((), "a list", check=lambda name, given: tuple(given))
    part: Part | None = parts(Part, "another one")
    text: str = ""
    names: tuple[str, ...] = ()
    table: Mapping[str, Any] = field(default_factory=dict)
    count: int = 3
    share: float | None = None

    def __post_init__(self) -> None:
        check_fields(self, "its ")


def test_values_get_the_type_of_their_field() -> None:
    made = built(Settings, {"needed": 1, "several": [1, 2], "part": {"depth": 3.0}, "share": 2, "table": {"a": 1}}, "a test")
    assert made == Settings(1.0, several=(1, 2), part=Part(3), share=2, table={"a": 1})
    assert (type(made.needed), type(made.part.depth)) == (float, int)
    assert built(Settings, made, "a test") is made


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"needed": None}, "its needed must be a number from 0 to 1, got None"),
        ({"needed": True}, "its needed must be a number"),
        ({"needed": math.nan}, "its needed must be a number"),
        ({"needed": 10**400}, "its needed must be a number"),
        ({"word": "two-word"}, r"its word must be one of one, two_words, got 'two-word'\. Did you mean 'two_words'\?"),
        ({"maybe": 2}, "its maybe must be a number from 0 to 1 s, got 2"),
        ({"on": 1}, "its on must be true or false, got 1"),
        ({"place": 5}, "its place must be a path, got 5"),
        ({"part": {"depth": 2.5}}, r"part\.depth must be a whole number from 1 to 9 mm, got 2\.5"),
        ({"part": {"depht": 2}}, "Unknown entry of its part 'depht'; did you mean depth"),
        ({"part": 3}, "its part must be an object with depth, got 3"),
        ({"text": 3}, "its text must be a text, got 3"),
        ({"text": None}, "its text must be a text, got None"),
        ({"names": "one"}, "its names must be a list, got 'one'"),
        ({"table": [1]}, r"its table must be names with values, got \[1\]"),
        ({"count": 2.0}, "its count must be a whole number, got 2.0"),
        ({"share": "half"}, "its share must be a number, got 'half'"),
        ({"nedeed": 1}, "Unknown entry of a test 'nedeed'; did you mean needed"),
    ],
)
def test_a_wrong_value_or_name_is_refused_in_a_sentence(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        built(Settings, {"needed": 0.5} | changes, "a test")


def test_what_must_be_said_is_asked_for() -> None:
    with pytest.raises(ValueError, match="The entry 'needed' of a test is missing"):
        built(Settings, {}, "a test")
    with pytest.raises(ValueError, match="a test must be an object with needed, word, maybe, on, …, got 3"):
        built(Settings, 3, "a test")


def test_a_misspelt_name_is_answered_with_the_nearest_whatever_its_case_and_dashes() -> None:
    known = ("brain-mri", "chest-ct", "generic")
    assert nearest("Brain_MRI", known) == "brain-mri"
    assert nearest("genric", known) == "generic"
    assert nearest("x", known) is None
    assert suggestion("chestct", known) == "did you mean 'chest-ct'?"
    assert suggestion("x", known) == "expected one of: brain-mri, chest-ct, generic."
    refuse_unknown(known, known, "preset")
    with pytest.raises(ValueError, match=r"Unknown preset 'x'; choose from brain-mri, chest-ct, generic\."):
        refuse_unknown(["generic", "x"], known, "preset")
