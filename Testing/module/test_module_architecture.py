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
GUI = MODULE / "SpatialRegularizationGui"
PARTS = [path for path in FILES if path.is_relative_to(GUI)]
MAY_IMPORT: dict[str, set[str]] = {
    "scene": set(),
    "parameters": set(),
    "inputs": {"scene", "parameters"},
    "run": {"scene", "inputs"},
    "review": {"scene", "parameters", "inputs", "run"},
    "logic": {"scene", "inputs", "run"},
    "widget": {"parameters", "inputs", "run", "review", "logic"},
}
"""What each room (or file beside them) may import of the module's own, itself apart: only what stands above its own line."""
MAY_USE_QT = {
    "run/channels.py",
    "inputs/controls.py",
    "inputs/model_section.py",
    "review/controls.py",
    "review/review_section.py",
    "widget.py",
}
"""Logic, scene and what is shown where are free of widgets, so that the console and tests run without them."""
HEAVY = {"torch", "jinja2", "scipy", "nibabel", "safetensors", "matplotlib", "optuna", "requests"}
LIGHT = {
    "SpatialRegularizationLib.declaration",
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
SMALL = 50
EARNS_ITS_DOOR = {"inputs/steps.py", "review/table.py", "scene/images.py"}
"""Files below `SMALL` lines: free of qt or VTK where their neighbors are not."""
LINES_PER_FILE = 400
LINES_PER_FUNCTION = 60


def _name(path: Path) -> str:
    return path.relative_to(GUI if path.is_relative_to(GUI) else MODULE).as_posix()


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
    assert not used or _name(path) in MAY_USE_QT or _only_asks_whether_it_is_there(path), f"{path.name} imports {sorted(used)}."


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


def _public(tree: ast.Module) -> list[ast.FunctionDef | ast.ClassDef]:
    """Public functions and classes of a file, and the public methods of its public classes, those of a base apart: an interface
    is documented once, on its base."""
    found, methods = [], {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            inner = [n for n in getattr(node, "body", ()) if isinstance(n, ast.FunctionDef) and not n.name.startswith("_")]
            methods[node.name] = {n.name for n in inner} if isinstance(node, ast.ClassDef) else set()
            bases = [b.id for b in getattr(node, "bases", ()) if isinstance(b, ast.Name)]
            known = set().union(*(methods.get(base, set()) for base in bases))
            found += [node, *(n for n in inner if isinstance(node, ast.ClassDef) and n.name not in known)]
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


def _own_imports(path: Path) -> set[tuple[str, ...]]:
    """The module's own files that a file imports, at any depth, as parts of their dotted names below the package."""
    here, found = path.relative_to(GUI).parent.parts, set()
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = (*here[: len(here) - node.level + 1], *(node.module or "").split("."))
            found |= {tuple(filter(None, (*base, alias.name))) for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith(GUI.name):
            found.add(tuple(node.module.split(".")[1:]))
    return found


@pytest.mark.parametrize("path", [path for path in PARTS if path.name != "__init__.py"], ids=_name)
def test_imports_point_down_from_room_to_room(path: Path) -> None:
    room = path.relative_to(GUI).with_suffix("").parts[0]
    wrong = {".".join(parts) for parts in _own_imports(path) if parts[0] != room and parts[0] not in MAY_IMPORT[room]}
    assert not wrong, f"{_name(path)} imports {sorted(wrong)}."


def test_the_order_of_the_rooms_is_strict_and_names_all_of_them() -> None:
    above: set[str] = set()
    for room, allowed in MAY_IMPORT.items():
        assert allowed <= above, f"{room} may import {sorted(allowed - above)}, which stand below it."
        above.add(room)
    rooms = {path.name for path in GUI.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert rooms | {path.stem for path in GUI.glob("*.py")} == {*MAY_IMPORT, "__init__"}


def test_no_file_of_the_module_imports_itself_in_a_circle() -> None:
    names = {path.relative_to(GUI).with_suffix("").parts: path for path in PARTS}
    imported = {name: [parts[:n] for parts in _own_imports(path) for n in (1, 2)] for name, path in names.items()}
    graph = {name: names.keys() & set(parts) for name, parts in imported.items()}
    while graph:
        leaves = {name for name, needed in graph.items() if not needed & set(graph) - {name}}
        assert leaves, f"These import one another: {sorted('.'.join(name) for name in graph)}."
        graph = {name: needed for name, needed in graph.items() if name not in leaves}


def test_every_folder_of_the_module_is_a_package_of_two_files_or_more_and_no_file_is_small_without_a_reason() -> None:
    for folder in {path.parent for path in PARTS}:
        files = [path for path in folder.glob("*.py") if path.name != "__init__.py"]
        assert (folder / "__init__.py").is_file()
        assert len(files) > 1, folder.name
        small = {_name(path) for path in files if len(path.read_text(encoding="utf-8").splitlines()) < SMALL}
        assert small <= EARNS_ITS_DOOR, f"Join these with a neighbor: {sorted(small - EARNS_ITS_DOOR)}."


def test_only_modules_lie_beside_the_module_file() -> None:
    assert [path.name for path in MODULE.glob("*.py")] == [MAIN.name]


def test_every_file_that_may_use_qt_is_there_and_does() -> None:
    using = {_name(path) for path in FILES if {module.split(".")[0] for module in _modules(_tree(path))} & {"qt", "ctk"}}
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
