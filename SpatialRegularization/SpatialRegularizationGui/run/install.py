"""Install what is missing before the first computation: after asking, never at start-up; and restart Slicer where that is needed.

PyTorch comes through the extension of that name, which knows the right build for the machine; everything else through
`slicer.packaging`, or through `slicer.util.pip_install` where Slicer is older than 5.12.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

TORCH = "torch>=2.2"
REQUIREMENTS = Path(__file__).resolve().parents[2] / "Resources" / "requirements.txt"
REQUESTER = "SpatialRegularization"
BY_HAND = "without a network, install it by hand: PythonSlicer -m pip install"
NOW = "Slicer must be restarted to finish the installation. Restart it now? Changes that are not saved can be saved first."
LOSE = "The scene has changes that are not saved. Restart all the same and lose them?"
MODULE_OF = {"torch": "torch", "nibabel": "nibabel", "safetensors": "safetensors"}
"""Name of a package → what is imported of it."""


class Readiness(Enum):
    """How the installation stands."""

    READY = "ready"
    NEEDS_RESTART = "needs restart"
    DECLINED = "declined"
    FAILED = "failed"


@dataclass(frozen=True)
class Installed:
    """How the installation stands, and why."""

    state: Readiness
    reason: str = ""

    @property
    def sentence(self) -> str:
        """For the panel."""
        return {
            Readiness.READY: "Everything that is needed is installed.",
            Readiness.NEEDS_RESTART: f"Restart Slicer to finish the installation{self._because}.",
            Readiness.DECLINED: f"Nothing was installed, as you chose{self._because}; press Apply again to be asked again.",
            Readiness.FAILED: f"The installation failed{self._because}.",
        }[self.state]

    @property
    def _because(self) -> str:
        return f" ({self.reason.rstrip('.')})" if self.reason else ""


class Installer:
    """Installs what is missing, after asking.

    Args:
        confirm: takes a question, returns the answer; None asks with a window of Slicer.
        requirements: file with one package a line.
    """

    def __init__(self, confirm: Callable[[str], bool] | None = None, requirements: Path = REQUIREMENTS) -> None:
        self._confirm = confirm or _ask
        self._requirements = requirements

    def check(self) -> bool:
        """True where nothing is missing; imports none of it."""
        return not any(map(_problem, self._wanted()))

    def ensure(self) -> Installed:
        """Install what is missing; on the main thread, at a moment the user has chosen.

        Where Slicer has to be restarted, the user is asked, and may save the scene first.
        """
        done = self._install()
        if done.state is Readiness.NEEDS_RESTART:
            offer_restart(self._confirm)
        return done

    def _install(self) -> Installed:
        if self.check():  # without a look into PyTorch, which would load it into this process
            return Installed(Readiness.READY)
        loaded = {name: _version(name) for name in map(_name, self._wanted()) if MODULE_OF.get(name, name) in sys.modules}
        for step in (self._torch, self._packages):
            done = step()
            if done.state is not Readiness.READY:
                return done
        replaced = [name for name, version in loaded.items() if _version(name) != version]
        if replaced:
            return Installed(Readiness.NEEDS_RESTART, f"{replaced[0]} was loaded already and has been replaced")
        return Installed(Readiness.READY)

    def _wanted(self) -> list[str]:
        lines = (line.split("#")[0].strip() for line in self._requirements.read_text(encoding="utf-8").splitlines())
        return [TORCH, *(line for line in lines if line)]

    def _torch(self) -> Installed:
        try:
            utils = importlib.import_module("PyTorchUtils")
        except ImportError:
            return self._torch_without_extension()
        logic = utils.PyTorchUtilsLogic
        try:
            present = logic.torchInstalled()
        except Exception:  # half an installation raises TypeError and worse
            return Installed(Readiness.FAILED, "PyTorch looks damaged: reinstall it through the PyTorch Utils module")
        if not present:
            try:
                found = logic().installTorch(askConfirmation=True, torchVersionRequirement=TORCH.removeprefix("torch"))
            except Exception as error:
                return _failed("PyTorch", error)
            if found is None:
                return Installed(Readiness.DECLINED, "PyTorch is missing")
        return self._checked([TORCH])

    def _torch_without_extension(self) -> Installed:
        problem = _problem(TORCH)
        if not problem:
            return Installed(Readiness.READY)
        question = (
            "PyTorch is needed to compute. Install the PyTorch extension now? Slicer must be restarted afterwards; you are asked "
            "before that."
        )
        if not self._confirm(question):
            return Installed(Readiness.DECLINED, "the PyTorch extension is missing")
        try:
            done = _install_extension(importlib.import_module("slicer").app.extensionsManagerModel(), "PyTorch")
        except Exception as error:
            return _failed("the PyTorch extension", error)
        if not done:
            return Installed(
                Readiness.FAILED, f"the PyTorch extension: install it in the Extensions Manager; {BY_HAND} '{TORCH}'"
            )
        return Installed(Readiness.NEEDS_RESTART, "the PyTorch extension is new")

    def _packages(self) -> Installed:
        wanted = self._wanted()[1:]
        missing = [line for line in wanted if _problem(line)]
        if not missing:
            return Installed(Readiness.READY)
        packaging = _packaging()
        try:
            if packaging is not None:
                packaging.pip_ensure(packaging.load_requirements(str(self._requirements)), requester=REQUESTER)
            elif self._confirm(f"The Python packages {', '.join(missing)} are needed. Install them now?"):
                importlib.import_module("slicer.util").pip_install(missing)
            else:
                return Installed(Readiness.DECLINED, f"{missing[0]} is missing")
        except RuntimeError as error:
            if packaging is not None and not _pip_failed(error):
                return Installed(Readiness.DECLINED, f"{missing[0]} is missing")
            return _failed(missing[0], error)
        except Exception as error:
            return _failed(missing[0], error)
        return self._checked(wanted)

    def _checked(self, wanted: list[str]) -> Installed:
        """READY, or the first package that is still not as it has to be."""
        importlib.invalidate_caches()
        problems = [problem for problem in map(_problem, wanted) if problem]
        if not problems:
            return Installed(Readiness.READY)
        names = " ".join(repr(line) for line in wanted)
        return Installed(Readiness.FAILED, f"{problems[0]}: install it in the PyTorch Utils module, or by hand: "
                         f"PythonSlicer -m pip install {names}")  # fmt: skip


def _install_extension(manager: Any, name: str) -> bool:
    """Install an extension that the user has agreed to, without a restart; True where it was installed.

    Args:
        manager: qSlicerExtensionsManagerModel. Its `installExtensionFromServer(name, restart=True, update=False)` asks nothing
            where it is not interactive, and takes no arguments by name.
    """
    interactive = manager.interactive
    manager.interactive = False
    try:
        return bool(manager.installExtensionFromServer(name, False))
    finally:
        manager.interactive = interactive


def _ask(question: str) -> bool:
    """A window with OK and Cancel; False where there are no windows."""
    util = getattr(importlib.import_module("slicer"), "util", None)
    ask = getattr(util, "confirmOkCancelDisplay", None)
    return bool(ask(question)) if ask is not None else False


def _packaging() -> Any:
    """`slicer.packaging`, or None in Slicer 5.10 and older."""
    try:
        return importlib.import_module("slicer.packaging")
    except ImportError:
        return None


def _pip_failed(error: RuntimeError) -> bool:
    """True where pip ran and failed; a refusal names no exit."""
    return bool(re.search(r"exit|code|pip|install failed|returned", str(error).lower()))


def _failed(what: str, error: Exception) -> Installed:
    words = " ".join(str(error).split()) or type(error).__name__
    return Installed(Readiness.FAILED, f"{what}: {words:.200}; {BY_HAND}")


def _name(requirement: str) -> str:
    return re.split(r"[<>=!~; \[]", requirement, maxsplit=1)[0]


def _version(name: str) -> str | None:
    from importlib import metadata  # late: it takes half the time of opening the module

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _problem(requirement: str) -> str:
    """What is wrong with a package, "" where nothing is. Looks for it without importing it."""
    name = _name(requirement)
    if importlib.util.find_spec(MODULE_OF.get(name, name)) is None:
        return f"{name} is missing"
    version, least = _version(name), requirement.removeprefix(name).removeprefix(">=")
    if version is not None and _numbers(version) < _numbers(least):
        return f"{name} {version} is installed and {least} or newer is needed"
    return ""


def _numbers(version: str) -> tuple[int, ...]:
    """The release part: "2.13.0+cpu" → (2, 13, 0)."""
    return tuple(int(part) for part in re.findall(r"\d+", re.split(r"[+abrcd-]", version)[0]))


def offer_restart(confirm: Callable[[str], bool]) -> bool:
    """Ask, let the user save, and restart; True where Slicer restarts.

    Nothing is asked where there are no windows: tests and scripts restart themselves.

    Args:
        confirm: takes a question, returns the answer.
    """
    slicer = importlib.import_module("slicer")
    app, util, scene = (getattr(slicer, name, None) for name in ("app", "util", "mrmlScene"))
    if not _has_windows(app, util) or not confirm(NOW):
        return False
    if _unsaved(scene):
        util.openSaveDataDialog()
        if _unsaved(scene) and not confirm(LOSE):
            return False
    app.restart()
    return True


def _has_windows(app: Any, util: Any) -> bool:
    testing, window = getattr(app, "testingEnabled", None), getattr(util, "mainWindow", None)
    return testing is not None and window is not None and not testing() and window(verbose=False) is not None


def _unsaved(scene: Any) -> bool:
    """What the application itself asks before it closes."""
    return bool(scene.GetStorableNodesModifiedSinceRead() or scene.GetModifiedSinceRead())
