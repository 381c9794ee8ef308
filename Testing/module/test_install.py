"""Installation at the first use, with doubles of PyTorchUtils and of both generations of Slicer's packaging."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from SpatialRegularizationGui.run import install
from SpatialRegularizationGui.run.install import REQUIREMENTS, Installed, Installer, Readiness


class Machine:
    """A machine on which packages are what the test says, and Slicer what it has to be."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.versions: dict[str, str] = {}
        self.asked: list[str] = []
        self.answer = True
        self.calls: list[Any] = []
        self.torch_imports = 0
        self._patch = monkeypatch
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: object() if name in self.versions else None)
        monkeypatch.setattr(importlib.metadata, "version", self._version)
        self.module("slicer", util=types.SimpleNamespace())
        for absent in ("PyTorchUtils", "slicer.packaging", "slicer.util"):
            monkeypatch.setitem(sys.modules, absent, None)  # importing it raises ImportError
        for name in ("torch", "nibabel", "safetensors"):
            monkeypatch.delitem(sys.modules, name, raising=False)

    def _version(self, name: str) -> str:
        if name not in self.versions:
            raise importlib.metadata.PackageNotFoundError(name)
        return self.versions[name]

    def module(self, name: str, **content: Any) -> types.ModuleType:
        made = types.ModuleType(name)
        made.__dict__.update(content)
        self._patch.setitem(sys.modules, name, made)
        return made

    def confirm(self, question: str) -> bool:
        self.asked.append(question)
        return self.answer

    def application(self, **manager: Any) -> Application:
        """Slicer with windows, a scene and a manager of extensions; see `Application`."""
        made = Application(**manager)
        slicer = sys.modules["slicer"]
        slicer.app, slicer.util, slicer.mrmlScene = made, made, made
        return made

    def installer(self) -> Installer:
        return Installer(self.confirm)

    def has(self, **versions: str) -> Machine:
        self.versions |= versions
        return self

    def torch_utils(self, result: Any = "torch", present: Any = None) -> None:
        """PyTorchUtils; `result` is returned or raised by installTorch, `present` raised by torchInstalled."""
        machine = self

        class Logic:
            @staticmethod
            def torchInstalled() -> bool:
                machine.torch_imports += 1  # as in the real one
                if present is not None:
                    raise present
                return "torch" in machine.versions

            def installTorch(
                self, askConfirmation: bool = False, forceComputationBackend: Any = None, torchVersionRequirement: Any = None
            ) -> Any:
                machine.calls.append(("installTorch", askConfirmation, torchVersionRequirement))
                if isinstance(result, Exception):
                    raise result
                if result is not None:
                    machine.versions["torch"] = "2.6.0+cu124"
                return result

        self.module("PyTorchUtils", PyTorchUtilsLogic=Logic)

    def packaging(self, arrive: dict[str, str] | None = None, error: Exception | None = None) -> None:
        """slicer.packaging of 5.12 and newer."""

        def pip_ensure(requirements: list[str], *, requester: str) -> None:
            self.calls.append(("pip_ensure", requirements, requester))
            if error is not None:
                raise error
            self.versions |= arrive or {}

        def load_requirements(path: str) -> list[str]:
            lines = Path(path).read_text(encoding="utf-8").splitlines()
            return [line for line in lines if line and not line.startswith("#")]

        self.module("slicer.packaging", pip_ensure=pip_ensure, load_requirements=load_requirements)

    def pip_install(self, arrive: dict[str, str] | None = None, error: Exception | None = None) -> None:
        """slicer.util.pip_install of 5.10."""

        def run(requirements: list[str]) -> None:
            self.calls.append(("pip_install", requirements))
            if error is not None:
                raise error
            self.versions |= arrive or {}

        self.module("slicer.util", pip_install=run)


class Application:
    """Slicer's application, utilities, scene and manager of extensions in one, as far as a restart needs them.

    Facts of qSlicerExtensionsManagerModel::installExtensionFromServer(name, restart = true, update = false): where it is not
    `interactive` nothing is asked, and with `restart` the application restarts at once. Arguments have no names in PythonQt.

    Args:
        interactive: before the installation.
        installs: what the installation returns, or raises.
        unsaved: whether the scene has changes, at first and after the user has seen the dialog for saving.
    """

    def __init__(self, *, interactive: bool = True, installs: Any = True, unsaved: tuple[bool, bool] = (False, False)) -> None:
        self.interactive, self._installs, self._unsaved = interactive, installs, unsaved
        self.told: list[str] = []
        self.window, self.testing = object(), False

    def extensionsManagerModel(self) -> Application:
        return self

    def installExtensionFromServer(self, name: str, restart: bool = True, update: bool = False, /) -> bool:
        if self.interactive:
            self.told.append("asks by itself")
        if isinstance(self._installs, Exception):
            raise self._installs
        self.told.append(f"installs {name}")
        if restart and self._installs and not self.interactive:
            self.restart()
        return self._installs

    def restart(self) -> None:
        self.told.append("restarts")

    def testingEnabled(self) -> bool:
        return self.testing

    def mainWindow(self, verbose: bool = True) -> Any:
        return self.window

    def openSaveDataDialog(self) -> bool:
        self.told.append("offers to save")
        self._unsaved = self._unsaved[1:] * 2
        return not self._unsaved[0]

    def GetStorableNodesModifiedSinceRead(self) -> bool:
        return self._unsaved[0]

    def GetModifiedSinceRead(self) -> bool:
        return False


PACKAGES = {"nibabel": "5.3.2", "safetensors": "0.5.0"}


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


def test_where_all_is_there_nothing_is_asked_or_imported(machine: Machine) -> None:
    machine.has(torch="2.13.0+cpu", **PACKAGES)
    assert machine.installer().check()
    assert machine.installer().ensure() == Installed(Readiness.READY)
    assert machine.asked == machine.calls == []
    assert "torch" not in sys.modules


def test_where_all_is_there_the_pytorch_extension_is_not_asked_since_it_imports_torch(machine: Machine) -> None:
    machine.has(torch="2.13.0+cpu", **PACKAGES).torch_utils()
    assert machine.installer().ensure() == Installed(Readiness.READY)
    assert machine.torch_imports == 0


@pytest.mark.parametrize("missing", ["torch", "nibabel", "safetensors"])
def test_each_missing_package_is_noticed(machine: Machine, missing: str) -> None:
    machine.has(torch="2.13.0", **PACKAGES)
    del machine.versions[missing]
    assert not machine.installer().check()


def test_a_fresh_slicer_gets_all_of_it(machine: Machine) -> None:
    machine.torch_utils()
    machine.packaging(PACKAGES)
    assert machine.installer().ensure().state is Readiness.READY
    assert machine.calls == [
        ("installTorch", True, ">=2.2"),
        ("pip_ensure", ["nibabel>=5.2", "safetensors>=0.4"], "SpatialRegularization"),
    ]
    assert machine.installer().check()


def test_slicer_5_10_asks_once_and_uses_its_pip(machine: Machine) -> None:
    machine.has(torch="2.5.1", nibabel="5.3.2")
    machine.pip_install(PACKAGES)
    assert machine.installer().ensure().state is Readiness.READY
    assert machine.calls == [("pip_install", ["safetensors>=0.4"])]
    assert machine.asked == ["The Python packages safetensors>=0.4 are needed. Install them now?"]


@pytest.mark.parametrize("generation", ["5.10", "5.12"])
def test_a_refusal_is_a_refusal_in_both(machine: Machine, generation: str) -> None:
    machine.has(torch="2.5.1")
    machine.answer = False
    if generation == "5.12":
        machine.packaging(error=RuntimeError("User declined to install packages"))
    else:
        machine.pip_install(PACKAGES)
    done = machine.installer().ensure()
    assert done.state is Readiness.DECLINED
    assert "Nothing was installed, as you chose (nibabel>=5.2 is missing)" in done.sentence


@pytest.mark.parametrize(
    ("generation", "error"),
    [
        ("5.10", RuntimeError("pip returned 1")),
        ("5.12", RuntimeError("pip install failed with exit code 1")),
        ("5.12", OSError("no network")),
    ],
)
def test_pip_that_fails_is_a_failure_with_the_way_by_hand(machine: Machine, generation: str, error: Exception) -> None:
    machine.has(torch="2.5.1")
    (machine.packaging if generation == "5.12" else machine.pip_install)(error=error)
    done = machine.installer().ensure()
    assert done.state is Readiness.FAILED
    assert str(error) in done.sentence
    assert "PythonSlicer -m pip install" in done.sentence


def test_an_installation_that_silently_did_nothing_is_a_failure(machine: Machine) -> None:
    """As `pip_ensure` does in testing mode."""
    machine.has(torch="2.5.1")
    machine.packaging()
    done = machine.installer().ensure()
    assert done.state is Readiness.FAILED
    assert "nibabel is missing" in done.sentence


def test_pytorch_that_is_declined_ends_there(machine: Machine) -> None:
    machine.torch_utils(result=None)
    machine.packaging(PACKAGES)
    assert machine.installer().ensure() == Installed(Readiness.DECLINED, "PyTorch is missing")
    assert [call[0] for call in machine.calls] == ["installTorch"]


def test_half_an_installation_of_pytorch_is_named(machine: Machine) -> None:
    machine.torch_utils(present=TypeError("expected string or bytes-like object, got 'NoneType'"))
    done = machine.installer().ensure()
    assert done.state is Readiness.FAILED
    assert "PyTorch looks damaged: reinstall it through the PyTorch Utils module" in done.sentence


def test_pytorch_that_cannot_be_installed_says_why(machine: Machine) -> None:
    machine.torch_utils(result=ValueError("no build for this machine"))
    assert "no build for this machine" in machine.installer().ensure().sentence


def test_pytorch_that_is_too_old_is_no_success(machine: Machine) -> None:
    machine.has(torch="1.13.1", **PACKAGES)
    machine.torch_utils()
    done = machine.installer().ensure()
    assert done.state is Readiness.FAILED
    assert "torch 1.13.1 is installed and 2.2 or newer is needed" in done.sentence


@pytest.mark.parametrize(
    ("answer", "found", "state"),
    [(True, True, Readiness.NEEDS_RESTART), (True, False, Readiness.FAILED), (False, True, Readiness.DECLINED)],
)
def test_without_the_pytorch_extension_it_is_offered_and_needs_a_restart(
    machine: Machine, answer: bool, found: bool, state: Readiness
) -> None:
    machine.answer = answer
    slicer = machine.application(installs=found)
    slicer.window = None
    done = machine.installer().ensure()
    assert done.state is state
    assert slicer.told == (["installs PyTorch"] if answer else [])
    assert len(machine.asked) == 1
    assert "restart" in machine.asked[0].lower()
    if state is Readiness.NEEDS_RESTART:
        assert done.sentence.startswith("Restart Slicer to finish the installation")


@pytest.mark.parametrize("interactive", [True, False])
@pytest.mark.parametrize("installs", [True, False, RuntimeError("no network")])
def test_the_manager_of_extensions_asks_and_is_silent_afterwards_as_before(
    machine: Machine, interactive: bool, installs: Any
) -> None:
    slicer = machine.application(interactive=interactive, installs=installs)
    machine.installer().ensure()
    assert slicer.interactive is interactive
    assert "asks by itself" not in slicer.told


def _answers(machine: Machine, *answers: bool) -> Installer:
    given = iter(answers)
    return Installer(lambda question: machine.asked.append(question) or next(given))


@pytest.mark.parametrize(
    ("answers", "unsaved", "told"),
    [
        ((True, False), (True, True), []),
        ((True, True), (False, False), ["restarts"]),
        ((True, True), (True, False), ["offers to save", "restarts"]),
        ((True, True, False), (True, True), ["offers to save"]),
        ((True, True, True), (True, True), ["offers to save", "restarts"]),
    ],
)
def test_slicer_restarts_only_when_the_user_agrees_and_what_is_not_saved_can_be_saved_first(
    machine: Machine, answers: tuple[bool, ...], unsaved: tuple[bool, bool], told: list[str]
) -> None:
    slicer = machine.application(unsaved=unsaved)
    done = _answers(machine, *answers).ensure()
    assert slicer.told == ["installs PyTorch", *told]
    assert len(machine.asked) == len(answers)
    assert done.sentence.startswith("Restart Slicer to finish the installation")


def test_a_package_that_was_replaced_leads_to_the_same_questions(machine: Machine) -> None:
    slicer = machine.has(torch="2.5.1", nibabel="4.0.0", safetensors="0.5.0").application(unsaved=(True, False))
    machine.module("nibabel")
    machine.packaging(PACKAGES)
    assert _answers(machine, True).ensure().state is Readiness.NEEDS_RESTART
    assert slicer.told == ["offers to save", "restarts"]


@pytest.mark.parametrize("how", ["testing", "no window"])
def test_where_nobody_could_answer_slicer_is_not_restarted(machine: Machine, how: str) -> None:
    slicer = machine.application(unsaved=(True, True))
    slicer.testing, slicer.window = how == "testing", None if how == "no window" else slicer.window
    assert machine.installer().ensure().state is Readiness.NEEDS_RESTART
    assert slicer.told == ["installs PyTorch"]


def test_a_package_that_was_loaded_and_replaced_needs_a_restart(machine: Machine) -> None:
    machine.has(torch="2.5.1", nibabel="4.0.0", safetensors="0.5.0")
    machine.module("nibabel")
    machine.packaging(PACKAGES)
    done = machine.installer().ensure()
    assert done == Installed(Readiness.NEEDS_RESTART, "nibabel was loaded already and has been replaced")


def test_pytorch_that_was_installed_by_hand_is_taken(machine: Machine) -> None:
    machine.has(torch="2.5.1", **PACKAGES)
    assert machine.installer().ensure().state is Readiness.READY
    assert machine.asked == []


def test_nobody_is_asked_where_there_are_no_windows(machine: Machine) -> None:
    assert install.Installer().ensure().state is Readiness.DECLINED


def test_the_requirements_leave_out_what_others_bring_and_fit_the_package() -> None:
    lines = [line for line in REQUIREMENTS.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    project = (REQUIREMENTS.parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    assert not [line for line in lines if line.lower().startswith(("torch", "simpleitk", "numpy"))]
    assert all(f'"{line}"' in project for line in (*lines, install.TORCH))


@pytest.mark.parametrize("state", list(Readiness))
def test_every_outcome_is_a_sentence(state: Readiness) -> None:
    for reason in ("", "nibabel is missing."):
        sentence = Installed(state, reason).sentence
        assert sentence.endswith(".")
        assert ".." not in sentence
        assert ".)" not in sentence
