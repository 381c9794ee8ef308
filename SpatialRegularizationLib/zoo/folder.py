"""Find models where they are kept: in the user's zoo folder, and in the package.

A model is two files there, NAME.safetensors and NAME.json. The user's folder is never inside the installation:

    SPATIALREG_ZOO, else  Linux    $XDG_DATA_HOME/spatialreg/models, or ~/.local/share/spatialreg/models
                          macOS    ~/Library/Application Support/spatialreg/models
                          Windows  %LOCALAPPDATA%\\spatialreg\\models
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path

from ..declaration import nearest

ENVIRONMENT = "SPATIALREG_ZOO"
PARAMETERS, CARD = ".safetensors", ".json"
"""Endings of a model's two files."""
BUNDLED = Path(__file__).resolve().parent / "bundled"
"""Models that come with the package; read only."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")


def zoo_folder() -> Path:
    """The user's folder of models; it need not exist yet."""
    named = os.environ.get(ENVIRONMENT)
    return Path(named).expanduser() if named else _data_folder() / "spatialreg" / "models"


def _data_folder() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")


def check_name(name: str) -> str:
    """The name of a model, as it is.

    Raises:
        ValueError: it cannot be the name of a file everywhere.
    """
    if not _NAME.fullmatch(name) or name.endswith("."):
        raise ValueError(
            f"A model's name is made of letters, digits and . _ + - and begins with a letter or digit, got {name!r}; "
            "choose another name."
        )
    return name


def installed() -> dict[str, Path]:
    """Name → file of the parameters, the user's models before bundled ones of the same name."""
    found: dict[str, Path] = {}
    for folder in (zoo_folder(), BUNDLED):
        if folder.is_dir():
            for path in sorted(folder.glob(f"*{PARAMETERS}")):
                if not path.name.startswith("."):
                    found.setdefault(path.name.removesuffix(PARAMETERS), path)
    return found


def is_shipped(path: Path) -> bool:
    """Whether a model's file comes with the package."""
    return path.parent == BUNDLED


def locate(name: str | os.PathLike, known: Iterable[str] = ()) -> Path:
    """File of the parameters of a model.

    Args:
        name: of a model in the zoo, or the path of a .safetensors file (or of its card).
        known: names of models that could be fetched, for the message.

    Raises:
        FileNotFoundError: there is none; the nearest name is suggested.
        ValueError: the path of something else.
    """
    models = installed()
    if isinstance(name, str) and name in models:
        return models[name]
    path = Path(name)
    if path.suffix == CARD:
        path = path.with_suffix(PARAMETERS)
    if path.suffix == PARAMETERS and path.is_file():
        return path
    if path.is_file():
        raise ValueError(
            f"{path} is not a model (.safetensors with its card .json): checkpoints of others become one with "
            f"'spatialreg models import {path}'."
        )
    if path.suffix == PARAMETERS or len(path.parts) > 1:
        raise FileNotFoundError(f"The model {path} does not exist: give a name from 'spatialreg models list' or another path.")
    raise FileNotFoundError(unknown_model(str(name), models, known))


def unknown_model(name: str, models: Iterable[str], known: Iterable[str] = ()) -> str:
    """The sentence for a name that no model has: the nearest one, or where to look."""
    models, known = list(models), list(known)
    if name in known:
        return f"The model {name} is not on this machine: download it with 'spatialreg models fetch {name}'."
    near = nearest(name, [*models, *known], cutoff=0.5)
    if near:
        return f"There is no model {name!r}: did you mean {near!r}?"
    have = f"there are: {', '.join(sorted(models))}" if models else f"none is in {zoo_folder()}"
    return f"There is no model {name!r}; {have}; 'spatialreg models import FILE' adds one."
