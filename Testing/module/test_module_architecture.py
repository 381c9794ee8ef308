"""The rules of the house for the Slicer module: who may use Qt, that nothing heavy is imported, that files stay small."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

MODULE = Path(__file__).resolve().parents[2] / "SpatialRegularization"
FILES = sorted(MODULE.rglob("*.py"))
MAIN = MODULE / "SpatialRegularization.py"
MAY_USE_QT = {
    "channels.py",
    "dialogs.py",
    "preferences.py",
    "review_controls.py",
    "review_panel.py",
    "widget.py",
}
"""Logic, scene and what is shown where are free of widgets, so that the console and tests run without them."""
HEAVY = {"torch", "scipy", "nibabel", "safetensors", "matplotlib", "optuna", "requests"}
LIGHT = {
    "SpatialRegularizationLib.report.lengths",
    "SpatialRegularizationLib.report.pixels",
    "SpatialRegularizationLib.report.verdicts",
    "SpatialRegularizationLib.geometry.grid",
    "SpatialRegularizationLib.registration.presets",
    "SpatialRegularizationLib.registration.settings",
    "SpatialRegularizationLib.zoo.folder",
    "SpatialRegularizationLib.zoo.manifest",
}
"""What of the library may be imported at file scope: nothing of it needs torch."""
LINES_OF_MAIN = 120
LINES_PER_FILE = 400
LINES_PER_FUNCTION = 60


def _name(path: Path) -> str:
    return path.name


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 10))


def _modules(nodes: list[ast.stmt] | ast.Module) -> list[str]:
    """Every module that is imported by these statements, at any depth; relative ones with a leading dot."""
    found = []
    for node in ast.walk(nodes) if isinstance(nodes, ast.Module) else nodes:
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append("." * node.level + (node.module or ""))
    return found


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_only_files_of_widgets_import_qt_or_ctk(path: Path) -> None:
    used = {module.split(".")[0] for module in _modules(_tree(path))} & {"qt", "ctk"}
    assert not used or path.name in MAY_USE_QT or _only_asks_whether_it_is_there(path), f"{path.name} imports {sorted(used)}."


def _only_asks_whether_it_is_there(path: Path) -> bool:
    """`import qt` inside a `try` in a function, to see which program this is."""
    tries = [node for node in ast.walk(_tree(path)) if isinstance(node, ast.Try)]
    inside = sum("qt" in _modules(node.body) for node in tries)
    return inside == _modules(_tree(path)).count("qt")


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_nothing_heavy_is_imported_anywhere_and_of_the_library_only_what_is_light(path: Path) -> None:
    tree = _tree(path)
    heavy = {module.split(".")[0] for module in _modules(tree)} & HEAVY
    assert not heavy, f"{path.name} imports {sorted(heavy)}: that is for the worker."
    at_start = {module for module in _modules(tree.body) if module.startswith("SpatialRegularizationLib")}
    assert at_start <= LIGHT, f"{path.name} imports {sorted(at_start - LIGHT)} at file scope."


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_files_and_functions_of_the_module_stay_small_and_say_what_they_are(path: Path) -> None:
    tree, lines = _tree(path), len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= (LINES_OF_MAIN if path == MAIN else LINES_PER_FILE), f"{path.name} has {lines} lines."
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    long = [f.name for f in functions if f.end_lineno - f.lineno + 1 > LINES_PER_FUNCTION]
    assert not long, f"{path.name}: functions above {LINES_PER_FUNCTION} lines: {long}."
    assert ast.get_docstring(tree), f"{path.name} has no docstring."
    silent = [node.name for node in _public(tree) if not ast.get_docstring(node)]
    assert not silent, f"{path.name}: without docstring: {silent}."


def _public(tree: ast.Module | ast.ClassDef) -> list[ast.FunctionDef | ast.ClassDef]:
    """Public functions and classes of a file, and the public methods of its public classes."""
    found = []
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            found += [node, *(_public(node) if isinstance(node, ast.ClassDef) else [])]
    return found


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_the_module_prints_and_asserts_nothing_and_catches_nothing_unnamed(path: Path) -> None:
    found = []
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Assert) and path != MAIN:  # its test class may
            found.append(f"assert at {node.lineno}")
        elif isinstance(node, ast.ExceptHandler) and node.type is None:
            found.append(f"bare except at {node.lineno}")
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("print", "hasattr"):
            found.append(f"{node.func.id} at {node.lineno}")
    assert not found, f"{path.name}: {found}."


def test_only_modules_lie_beside_the_module_file() -> None:
    assert [path.name for path in MODULE.glob("*.py")] == [MAIN.name]


def test_every_file_that_may_use_qt_is_there_and_does() -> None:
    using = {path.name for path in FILES if {module.split(".")[0] for module in _modules(_tree(path))} & {"qt", "ctk"}}
    assert using >= MAY_USE_QT


def test_what_is_called_light_needs_no_heavy_package() -> None:
    code = f"""
import sys
class Forbid:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in {sorted(HEAVY)}:
            raise ImportError(name)
sys.meta_path.insert(0, Forbid())
for name in {sorted(LIGHT)}:
    __import__(name)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=MODULE.parent)
    assert done.returncode == 0, done.stderr
