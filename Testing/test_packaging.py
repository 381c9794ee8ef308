"""The extension's package: what is installed, the index entry, and an installation with a double of Slicer's CMake."""

from __future__ import annotations

import fnmatch
import importlib.util
import json
import os
import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
PARTS = ("SpatialRegularization", "SpatialRegularizationLib")
CATEGORIES = {"Registration"}
SCHEMA = "https://raw.githubusercontent.com/Slicer/Slicer/main/Schemas/slicer-extension-catalog-entry-schema-v1.0.1.json#"
KEYS = {
    "$schema", "build_dependencies", "build_subdirectory", "category", "enabled", "scm_revision", "scm_type", "scm_url", "tier",
}  # fmt: skip


def _script(name: str) -> ModuleType:
    """A file of scripts/ as a module."""
    spec = importlib.util.spec_from_file_location(name, REPOSITORY / "scripts" / f"{name}.py")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


icon = _script("icon")


def top() -> dict[str, str]:
    """The variables that the top CMakeLists.txt sets, each a literal on one line."""
    text = (REPOSITORY / "CMakeLists.txt").read_text(encoding="utf-8")
    found = dict(re.findall(r'^set\((EXTENSION_\w+) "([^"\n]*)"\)$', text, flags=re.MULTILINE))
    found["project"] = re.search(r"^project\((\w+)\)$", text, flags=re.MULTILINE)[1]
    return found


def as_arguments(value: str) -> list[str]:
    """What a command of CMake gets for `${VARIABLE}` without quotes, as Slicer passes these on: `;` separates arguments."""
    return [part for part in value.split(";") if part]


def entry() -> dict:
    return json.loads((REPOSITORY / "SpatialRegularization.json").read_text(encoding="utf-8"))


def files_of(part: str) -> list[str]:
    """What a folder of the extension holds, caches and build files apart, as paths relative to it."""
    folder = REPOSITORY / part
    files = [path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file()]
    return [path.as_posix() for path in files if "__pycache__" not in path.parts and path.name != "CMakeLists.txt"]


@pytest.mark.parametrize("part", PARTS)
def test_every_file_of_the_tree_is_of_a_kind_that_is_installed(part: str) -> None:
    text = (REPOSITORY / part / "CMakeLists.txt").read_text(encoding="utf-8")
    patterns = re.findall(r'"((?:Resources/)?\*\.\w+)"', text)
    left = [name for name in files_of(part) if not any(fnmatch.fnmatch(name, pattern) for pattern in patterns)]
    assert left == [], f"{part}/CMakeLists.txt does not install these: add the ending, or move them"
    assert "*.py" in patterns


def test_only_the_module_lies_beside_the_module_and_resource_names_are_unique() -> None:
    scripts = [path.name for path in (REPOSITORY / PARTS[0]).glob("*.py")]
    assert scripts == ["SpatialRegularization.py"], "Slicer takes any other script here for a broken module"
    names = [path.name for path in (REPOSITORY / PARTS[0] / "Resources").rglob("*") if path.is_file()]
    assert len(names) == len(set(names))


def test_the_index_entry_is_what_the_index_accepts() -> None:
    text = (REPOSITORY / "SpatialRegularization.json").read_text(encoding="utf-8")
    content = entry()
    assert list(content) == sorted(content), "keys are sorted"
    assert "\r" not in text
    assert text.endswith("}\n")
    assert set(content) <= KEYS
    assert {"$schema", "category", "scm_url"} <= set(content)
    assert content["$schema"] == SCHEMA
    assert content["category"] in CATEGORIES
    assert content["scm_url"].endswith(".git")
    assert content["tier"] in (1, 3, 5)
    name = content["scm_url"].rsplit("/", 1)[1].removesuffix(".git")
    assert name == "SlicerSpatialRegularization", "the repository's name starts with Slicer, the extension's does not"


def test_cmake_and_the_index_entry_say_the_same() -> None:
    found, content = top(), entry()
    assert found["project"] == "SpatialRegularization"
    assert found["EXTENSION_CATEGORY"] == content["category"]
    assert found["EXTENSION_DEPENDS"].split() == content["build_dependencies"] == ["PyTorch"]
    assert found["EXTENSION_HOMEPAGE"] + ".git" == content["scm_url"]


@pytest.mark.parametrize("name", [name for name in top() if name.startswith("EXTENSION_")])
def test_every_text_about_the_extension_reaches_the_server_whole(name: str) -> None:
    value = top()[name]
    assert as_arguments(value) == [value]
    assert not set(value) & set('"\\$@`'), "CMake and the shells that it calls read these in their own way"


def test_icon_and_screenshots_are_raw_addresses_of_files_that_exist() -> None:
    found = top()
    raw = "https://raw.githubusercontent.com/" + found["EXTENSION_HOMEPAGE"].removeprefix("https://github.com/") + "/main/"
    addresses = [found["EXTENSION_ICONURL"], *found["EXTENSION_SCREENSHOTURLS"].split()]
    assert len(addresses) >= 2
    for address in addresses:
        assert address.startswith(raw)
        assert (REPOSITORY / address.removeprefix(raw)).is_file(), address
        assert address.endswith(".png")


def test_the_description_is_short_enough_to_be_read_and_names_patents() -> None:
    description = top()["EXTENSION_DESCRIPTION"]
    assert 80 < len(description) < 450
    assert "patents" in description


def test_the_icon_is_128_pixels_and_what_the_script_draws(tmp_path: Path) -> None:
    stored = (REPOSITORY / PARTS[0] / "Resources" / "Icons" / "SpatialRegularization.png").read_bytes()
    assert stored.startswith(b"\x89PNG")
    assert struct.unpack(">II", stored[16:24]) == (128, 128)
    icon.write(tmp_path)
    assert (tmp_path / "SpatialRegularization.png").read_bytes() == stored, "run: python scripts/icon.py"


def test_the_icon_keeps_its_contrast_at_32_pixels() -> None:
    small = icon.icon(32).astype(float)
    light = small[..., :3].mean(-1)[small[..., 3] > 200]
    assert (light > 200).mean() > 0.15, "lines"
    assert (light < 60).mean() > 0.05, "the dark middle"


def test_nothing_large_is_in_the_repository() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout: nothing to measure")
    sizes = {n: (REPOSITORY / n).stat().st_size for n in filter(None, listed.stdout.split("\0")) if (REPOSITORY / n).is_file()}
    assert max(sizes.values()) <= 8_400_000, max(sizes, key=sizes.get)
    assert sum(sizes.values()) < 90_000_000, "the index takes repositories up to 100 MB, history included"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """qt-scripted-modules of the extension, configured and installed against the double of Slicer's CMake."""
    if shutil.which("cmake") is None:
        pytest.skip("needs the Debian package cmake")
    build, prefix = tmp_path_factory.mktemp("build"), tmp_path_factory.mktemp("prefix")
    double = REPOSITORY / "Testing" / "cmake"
    works = [f"-DCMAKE_{language}_COMPILER_WORKS=1" for language in ("C", "CXX")]
    compilers = [] if shutil.which("cc") else ["-DCMAKE_C_COMPILER=/bin/true", "-DCMAKE_CXX_COMPILER=/bin/true"]
    configure = ["cmake", "-S", str(REPOSITORY), "-B", str(build), f"-DSlicer_DIR={double}", "-DBUILD_TESTING=ON"]
    for command in ([*configure, *works, *compilers], ["cmake", "--install", str(build), "--prefix", str(prefix)]):
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    (modules,) = prefix.glob("lib/Slicer-*/qt-scripted-modules")
    return modules


def test_library_panel_and_resources_land_where_slicer_looks_for_them(installed: Path) -> None:
    for name in (
        "SpatialRegularization.py",
        "SpatialRegularizationGui/widget.py",
        "SpatialRegularizationLib/__init__.py",
        "SpatialRegularizationLib/report/templates/registration.html",
        "SpatialRegularizationLib/zoo/manifest.json",
        "Resources/UI/SpatialRegularization.ui",
        "Resources/Icons/SpatialRegularization.png",
    ):
        assert (installed / name).is_file(), name
    for part, folder in ((PARTS[0], installed), (PARTS[1], installed / PARTS[1])):
        missing = [name for name in files_of(part) if not (folder / name).is_file()]
        assert missing == [], part


def test_configuring_stops_where_a_listed_file_does_not_exist(tmp_path: Path) -> None:
    if shutil.which("cmake") is None:
        pytest.skip("needs the Debian package cmake")
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.20.6...3.28.0)\nproject(X NONE)\nfind_package(Slicer REQUIRED)\n"
        "include(${Slicer_USE_FILE})\nslicerMacroBuildScriptedModule(NAME X SCRIPTS absent.py)\n"
    )
    command = ["cmake", "-S", ".", "-B", "build", f"-DSlicer_DIR={REPOSITORY / 'Testing' / 'cmake'}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode != 0
    assert "absent.py" in done.stderr


def test_the_installed_library_registers_and_writes_its_report(installed: Path, tmp_path: Path) -> None:
    """Templates and style sheets are read from the package: only what is listed is there."""
    code = """
import sys, pathlib, dataclasses
sys.path.insert(0, sys.argv[1])
import SpatialRegularizationLib
assert pathlib.Path(SpatialRegularizationLib.__file__).is_relative_to(sys.argv[1]), SpatialRegularizationLib.__file__
from SpatialRegularizationLib import PRESETS, register, write_result
from SpatialRegularizationLib.phantoms.heads import two_subjects
from SpatialRegularizationLib.__main__ import main
pair = two_subjects((24, 28, 24))
quick = dataclasses.replace(PRESETS["brain-mri"], affine="none", levels=((2, 4, 2),))
write_result(sys.argv[2], register(pair.fixed, pair.moving, quick))
sys.exit(main(["models", "list"]))
"""
    done = _python(code, str(installed), str(tmp_path / "result"))
    assert done.returncode == 0, done.stderr[-2000:]
    report = (tmp_path / "result" / "report.html").read_text(encoding="utf-8")
    assert "<style>" in report
    assert (tmp_path / "result" / "transform.h5").is_file()


@pytest.mark.slicer
def test_the_installed_module_opens_and_registers_in_a_scene(installed: Path, tmp_path: Path) -> None:
    """Panel, logic and worker process, all from the package; the test's doubles stand for what only the application has."""
    pytest.importorskip("slicer", reason="needs the slicer-core package")
    pytest.importorskip("PySide6", reason="needs the PySide6-Essentials package")
    code = """
import sys, pathlib, time
modules, doubles = map(pathlib.Path, sys.argv[1:3])
sys.path[:0] = [str(modules), str(doubles)]
import slicer_scene, slicer_module
host = slicer_scene.fresh_scene()
slicer_module.install(host.slicer)
import SpatialRegularization, SpatialRegularizationGui, SpatialRegularizationLib
for module in (SpatialRegularization, SpatialRegularizationGui, SpatialRegularizationLib):
    assert pathlib.Path(module.__file__).is_relative_to(modules), module.__file__
widget = SpatialRegularization.SpatialRegularizationWidget()
assert widget.panel.ui.applyButton.text == "Select a fixed volume"
assert "torch" not in sys.modules, "opening the module imports torch"
import numpy as np
from SpatialRegularizationGui.scene.images import Image
from SpatialRegularizationGui.scene.nodes import set_image
from SpatialRegularizationLib.geometry.grid import Grid
grid = Grid((24, 24, 24), (2.0, 2.0, 2.0), (0.0, 0.0, 0.0), ((1.0, 0, 0), (0, 1.0, 0), (0, 0, 1.0)))
index = np.stack(np.meshgrid(*[np.arange(24.0)] * 3, indexing="ij"))
nodes = []
for name, shift in (("fixed", 0), ("moving", 1.5)):
    away = np.sqrt(((index - 11.5) ** 2).sum(0) + shift * index[0])
    node = host.add("vtkMRMLScalarVolumeNode", name)
    set_image(node, Image((100 * (away < 8) + 10 * np.sin(index[1])).astype(np.float32), grid))
    nodes.append(node)
outcome = widget.logic.register(*nodes, affine="none", levels=((2, 4, 2),), global_search="off", threads=1)
assert outcome.outputs.transform is not None and outcome.figures["folding_percent"] == 0
widget.logic.save_report(sys.argv[3])
assert "<style>" in pathlib.Path(sys.argv[3]).read_text(encoding="utf-8")
widget.cleanup()
print("registered")
"""
    done = _python(code, str(installed), str(REPOSITORY / "Testing" / "module"), str(tmp_path / "report.html"))
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-3000:]
    assert "registered" in done.stdout


def _python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A new interpreter outside the checkout."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "QT_QPA_PLATFORM": "offscreen"}
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, cwd="/", capture_output=True, text=True, timeout=300, env=environment, check=False)
