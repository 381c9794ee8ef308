"""The rules of the house that a machine can decide: imports point down, files stay small, words are kept."""

from __future__ import annotations

import ast
import functools
import re
import subprocess
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
LIBRARY = REPOSITORY / "SpatialRegularizationLib"
FILES = sorted(LIBRARY.rglob("*.py"))
ALL_FILES = [*FILES, *sorted((REPOSITORY / "scripts").rglob("*.py")), *sorted((REPOSITORY / "Testing").rglob("*.py"))]
PACKAGE = LIBRARY.name

FACTORS = {"fields", "priors", "similarity", "regularizers", "integrators", "networks"}
SPACE = {"geometry", "fields", "transforms", "images"}
FILES_AND_FIGURES = SPACE | {"measures", "io", "zoo"}
REGISTERING = FILES_AND_FIGURES | {"declaration", "models", "pose", "registration", "report"}
MAY_IMPORT: dict[str, set[str]] = {
    "__init__": set(),
    "declaration": set(),
    "geometry": set(),
    "fields": set(),
    "priors": {"declaration"},
    "similarity": {"declaration", "fields"},
    "regularizers": {"fields"},
    "integrators": {"fields"},
    "networks": {"fields"},
    "objective": FACTORS,
    "models": FACTORS | {"declaration", "objective"},
    "transforms": {"geometry", "fields", "integrators"},
    "images": {"geometry", "transforms"},
    "pose": {"geometry", "fields", "transforms", "images"},
    "measures": SPACE | {"similarity"},
    "io": SPACE,
    "zoo": {"declaration", "geometry", "priors", "models", "networks", "io"},
    "phantoms": {"geometry", "fields", "integrators", "transforms", "zoo"},
    "registration": FACTORS | SPACE | {"pose", "declaration", "objective", "models", "measures", "zoo"},
    "report": SPACE | {"similarity", "measures", "io", "registration"},
    "training": FACTORS | REGISTERING | {"objective", "phantoms"},
    "tuning": REGISTERING | {"objective", "training"},
    "studies": REGISTERING,
    "commands": REGISTERING | {"training", "tuning", "studies"},
    "worker": REGISTERING | {"commands"},
    "__main__": {"commands", "worker", "io"},
}
"""What each folder (or top-level file) may import of ours, itself apart: only what stands above its own line. A new folder adds
its line where it belongs."""

LINES_PER_FILE = 400
LINES_PER_FUNCTION = 60
FORBIDDEN_IMPORTS = {"slicer", "qt", "ctk", "scipy", "matplotlib"}
FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "misc", "common"}


def _name(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


@functools.cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def _module(path: Path) -> tuple[str, ...]:
    """Dotted name of a file, in parts, below the package."""
    parts = path.relative_to(LIBRARY).with_suffix("").parts
    return parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts


def _unit(path: Path) -> str:
    return _module(path)[0]


@functools.cache
def _imports(path: Path) -> list[tuple[ast.AST, tuple[str, ...]]]:
    """Every import statement of a file, at any depth, as absolute dotted parts."""
    found = []
    here = (PACKAGE, *path.relative_to(LIBRARY).parent.parts) if path.is_relative_to(LIBRARY) else ()
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found.append((node, tuple(alias.name.split("."))))
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level + 1] if node.level else ()
            module = (*base, *(node.module.split(".") if node.module else ()))
            for alias in node.names:
                found.append((node, (*module, alias.name)))
    return found


def _own_imports(path: Path) -> Iterator[tuple[str, ...]]:
    for _, parts in _imports(path):
        if parts[0] == PACKAGE and len(parts) > 1:
            yield parts[1:]


def _functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_imports_point_down(path: Path) -> None:
    unit = _unit(path)
    assert unit in MAY_IMPORT, f"{unit} has no line in MAY_IMPORT: say what it may import."
    targets = {parts[0] for parts in _own_imports(path)} - {unit, "__version__"}
    known = {t for t in targets if t in MAY_IMPORT or (LIBRARY / t).is_dir()}
    assert known <= MAY_IMPORT[unit], f"{_name(path)} may not import {sorted(known - MAY_IMPORT[unit])}."


def test_the_folders_stand_in_one_strict_order() -> None:
    order = list(MAY_IMPORT)
    for unit, targets in MAY_IMPORT.items():
        upward = [target for target in targets if order.index(target) >= order.index(unit)]
        assert not upward, f"{unit} may not import {upward}, which stand on or below its line."


def test_the_page_about_the_architecture_is_what_the_imports_say() -> None:
    script = [sys.executable, str(REPOSITORY / "scripts" / "architecture.py"), "--check"]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_benchmarks_import_each_other_in_one_direction() -> None:
    folder = REPOSITORY / "scripts" / "benchmarks"
    edges = {
        path.stem: {parts[0] for _, parts in _imports(path) if (folder / f"{parts[0]}.py").is_file()}
        for path in folder.glob("*.py")
    }
    both = [(a, b) for a, targets in edges.items() for b in targets if a in edges[b]]
    assert not both, f"These scripts import each other: {both}."


def test_no_two_files_import_each_other_in_a_circle() -> None:
    modules = {_module(path): path for path in FILES if path.name != "__init__.py"}
    edges = {
        module: {parts[:n] for parts in _own_imports(path) for n in (1, 2, 3) if parts[:n] in modules} - {module}
        for module, path in modules.items()
    }
    while True:
        leaves = [module for module, targets in edges.items() if not targets & edges.keys()]
        if not leaves:
            break
        for module in leaves:
            del edges[module]
    assert not edges, f"These files import each other in a circle: {sorted('/'.join(m) for m in edges)}."


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_the_library_imports_no_slicer_and_vtk_only_in_meshes_and_late(path: Path) -> None:
    roots = {parts[0] for _, parts in _imports(path)}
    assert not roots & FORBIDDEN_IMPORTS, f"{_name(path)} imports {sorted(roots & FORBIDDEN_IMPORTS)}."
    vtk = [node.lineno for node, parts in _imports(path) if parts[0] in ("vtk", "vtkmodules")]
    assert not vtk or path == LIBRARY / "io" / "meshes.py", f"{_name(path)} imports vtk: only io/meshes.py may."
    late = {node.lineno for function in _functions(path) for node in ast.walk(function) if isinstance(node, ast.stmt)}
    early = [line for line in vtk if line not in late]
    assert not early, f"{_name(path)} imports vtk at line {early}: import it inside the function that needs it."


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_no_file_or_folder_is_a_drawer_for_everything(path: Path) -> None:
    words = {part for name in _module(path) for part in name.split("_")}
    assert not words & FORBIDDEN_NAMES, f"{_name(path)}: name the concept that is missing."


def test_every_folder_has_at_least_two_files() -> None:
    folders = {path.parent for path in FILES} - {LIBRARY}
    lonely = [_name(f) for f in sorted(folders) if len([p for p in f.glob("*.py") if p.name != "__init__.py"]) < 2]
    assert not lonely, f"A folder has at least two files: {lonely}."


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_files_and_functions_stay_small(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= LINES_PER_FILE, f"{_name(path)} has {lines} lines, at most {LINES_PER_FILE}."
    long = [f"{f.name} ({n})" for f in _functions(path) if (n := f.end_lineno - f.lineno + 1) > LINES_PER_FUNCTION]
    assert not long, f"{_name(path)}: functions above {LINES_PER_FUNCTION} lines: {long}."


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_no_assert_print_bare_except_or_hasattr(path: Path) -> None:
    found = []
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Assert):
            found.append(f"assert at {node.lineno}")
        elif isinstance(node, ast.ExceptHandler) and node.type is None:
            found.append(f"bare except at {node.lineno}")
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("print", "hasattr"):
            found.append(f"{node.func.id} at {node.lineno}")
    assert not found, f"{_name(path)}: {found}."


def _documented_on_a_base() -> set[str]:
    """Methods of the interfaces (abstract, with a docstring): an interface is documented once."""
    return {
        function.name
        for path in FILES
        for function in _functions(path)
        if ast.get_docstring(function)
        and any(isinstance(d, ast.Name) and d.id == "abstractmethod" for d in function.decorator_list)
    }


INTERFACES = _documented_on_a_base()


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_every_public_name_says_what_it_is(path: Path) -> None:
    tree = _tree(path)
    assert ast.get_docstring(tree), f"{_name(path)} has no docstring."
    silent = []
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            silent += [node.name] if not ast.get_docstring(node) else []
            methods = node.body if isinstance(node, ast.ClassDef) else []
            silent += [
                f"{node.name}.{m.name}"
                for m in methods
                if isinstance(m, ast.FunctionDef) and not m.name.startswith("_") and not ast.get_docstring(m)
                # forward and backward belong to torch
                and m.name not in ("forward", "backward")
                and not (node.bases and m.name in INTERFACES)
            ]
    assert not silent, f"{_name(path)}: without docstring: {silent}."


def test_what_the_library_defines_is_used_outside_of_the_tests() -> None:
    gui, scripts = (sorted((REPOSITORY / top).rglob("*.py")) for top in ("SpatialRegularization", "scripts"))
    used = Counter(w for path in [*FILES, *gui, *scripts] for w in re.findall(r"\w+", path.read_text(encoding="utf-8")))
    alone = [
        f"{_name(path)}: {node.name}"
        for path in FILES
        for node in _tree(path).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and used[node.name] < 2 and not node.name.startswith("__")
    ]
    assert not alone, f"Only tests use these: {alone}."


GONE_IN_3_12 = {"asynchat", "asyncore", "distutils", "imp", "smtpd"}


def _modules(node: ast.AST) -> list[str]:
    """The modules that a statement imports by their full name."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []


@pytest.mark.parametrize("path", ALL_FILES, ids=_name)
def test_the_syntax_is_that_of_python_3_10_to_3_12(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    ast.parse(source, filename=str(path), feature_version=(3, 10))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # what Python 3.12 and later warn of, or refuse
        compile(source, str(path), "exec")
    tree = _tree(path)
    imported = {name.split(".")[0] for node in ast.walk(tree) for name in _modules(node)}
    assert not imported & GONE_IN_3_12, f"{_name(path)} imports {imported & GONE_IN_3_12}, which Python 3.12 does not have."
    if sys.version_info < (3, 12):
        return
    stars = [n for n in ast.walk(tree) if type(n).__name__ in ("TryStar", "TypeAlias")]
    assert not stars, f"{_name(path)} uses syntax newer than Python 3.10."


def test_importing_the_package_imports_no_heavy_package() -> None:
    source = (LIBRARY / "__init__.py").read_text(encoding="utf-8")
    roots = {parts[0] for _, parts in _imports(LIBRARY / "__init__.py")}
    assert roots <= {"importlib", "typing", "__future__"}, f"The package imports {sorted(roots)} at import."
    assert "__version__" in source


def test_the_public_names_of_the_package_exist() -> None:
    import SpatialRegularizationLib as library

    missing = [name for name in library._HOME if not _has(library, name)]
    assert not missing, f"Public names without a home: {missing}."


def _has(library: object, name: str) -> bool:
    try:
        return getattr(library, name) is not None
    except (AttributeError, ModuleNotFoundError):
        return False
