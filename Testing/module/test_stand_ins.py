"""The list of stand-ins in README.md is that of the files, and each says what it does not prove."""

from __future__ import annotations

import ast
import re
from pathlib import Path

FOLDER = Path(__file__).parent
IMITATING = ("slicer_scene", "slicer_module", "parameter_wrapper", "parameter_types", "qt_layer", "qt_stand_ins", "offscreen")
"""Files whose public classes are stand-ins."""
NO_STAND_INS = {"Form", "Case", "Pair", "Run", "Watched", "Reviewed", "Note", "ToyPrior", "ToySimilarity"}
"""Classes of tests that imitate nothing; `Note` is the base of three that are listed."""
WATCHES = {"Forbid", "Forbidden"}
"""Refuse imports."""


def rows() -> dict[str, str]:
    """Stand-in → what it does not prove."""
    lines = re.findall(r"^\| (`[^|]+`) \| [^|]+ \| ([^|]+) \|$", (FOLDER / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    return {name: proves for names, proves in lines for name in re.findall(r"`([\w.]+)`", names)}


def classes(path: Path) -> set[str]:
    """The classes of a file, also those within functions and within programs that are kept as text."""
    trees = [ast.parse(path.read_text(encoding="utf-8"))]
    texts = [n.value for n in ast.walk(trees[0]) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    written = {name for text in texts for name in re.findall(r"^\s*class (\w+)[(:]", text, re.MULTILINE)}
    return {node.name for node in ast.walk(trees[0]) if isinstance(node, ast.ClassDef)} | written


def test_every_stand_in_is_listed_with_what_it_does_not_prove() -> None:
    listed = rows()
    assert all(len(proves) > 8 for proves in listed.values())
    for name in IMITATING:
        public = {kind for kind in classes(FOLDER / f"{name}.py") if not kind.startswith("_")} - NO_STAND_INS
        assert {f"{name}.{kind}" for kind in public} <= set(listed), name


def test_classes_of_tests_that_imitate_something_are_listed_too() -> None:
    found = {f"{path.stem}.{kind}" for path in FOLDER.glob("test_*.py") for kind in classes(path) if path != Path(__file__)}
    imitating = {name for name in found if name.split(".")[1] not in NO_STAND_INS | WATCHES | {"Wrapped", "Logic", "Loader"}}
    assert imitating <= set(rows()), sorted(imitating - set(rows()))


def test_nothing_is_listed_that_is_not_there() -> None:
    for name in rows():
        module, kind = name.split(".")
        text = (FOLDER / f"{module}.py").read_text(encoding="utf-8")
        assert re.search(rf"^\s*(class|def) {kind}\b", text, re.MULTILINE), name
