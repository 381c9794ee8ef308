"""Opening the module: no torch, nothing heavy, no process (how long it takes: scripts/benchmarks/panel.py)."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
GUI = REPOSITORY / "SpatialRegularization" / "SpatialRegularizationGui"
ROOMS = [f"{path.parent.name}.{path.stem}" for path in sorted(GUI.glob("*/*.py")) if path.parent.name in ("scene", "run")]
LOGIC = (*(name for name in ROOMS if name != "run.run_section"), "inputs.files", "inputs.request", "inputs.samples", "logic")
"""Everything that works without a panel."""
HEAVY = (
    "torch", "jinja2", "nibabel", "SimpleITK", "safetensors", "optuna", "tensorboard", "sklearn", "yaml", "scipy", "matplotlib",
)  # fmt: skip

PROGRAM = """
    import importlib, importlib.machinery, json, subprocess, sys
    sys.path[:0] = {path!r}
    {before}

    class Forbidden:
        def find_spec(self, name, path=None, target=None):
            if name.split(".")[0] in {heavy!r}:
                raise AssertionError("imports " + name)
            return None

    def no_process(*values, **options):
        raise AssertionError("starts a process")

    subprocess.Popen.__init__ = no_process
    sys.meta_path.insert(0, Forbidden())
    for name in {names!r}:
        importlib.import_module("SpatialRegularizationGui." + name)
    from SpatialRegularizationGui.logic import RegistrationLogic
    logic = RegistrationLogic()
    logic.poll()
    state = logic.state, logic.device, logic.pid, logic.can_undo, logic.devices
    logic.close()
    print(json.dumps({{"heavy": [n for n in {heavy!r} if n in sys.modules]}}))
"""

HEAVY_MODULE = """import slicer
    class Loader:
        def find_spec(self, name, path=None, target=None):
            return importlib.machinery.ModuleSpec(name, self) if name == "SpatialRegularizationGui.heavy" else None
        def create_module(self, spec):
            return None
        def exec_module(self, module):
            import nibabel
    sys.meta_path.append(Loader())"""


def opened(names: tuple[str, ...], before: str = "import slicer, vtk, numpy, vtk.util.numpy_support") -> dict:
    """What the program tells."""
    path = [str(GUI.parent), str(REPOSITORY)]
    program = textwrap.dedent(PROGRAM.format(path=path, before=before, heavy=HEAVY, names=names))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slicer
def test_logic_and_worker_are_imported_and_made_without_anything_heavy() -> None:
    pytest.importorskip("slicer", reason="needs the slicer-core package")
    assert opened(LOGIC)["heavy"] == []


@pytest.mark.slicer
def test_the_watch_sees_a_heavy_import() -> None:
    """A control: the program above fails where something is imported that must not be."""
    pytest.importorskip("slicer", reason="needs the slicer-core package")
    with pytest.raises(AssertionError, match="imports nibabel"):
        opened(("run.install", "heavy"), before=HEAVY_MODULE)
