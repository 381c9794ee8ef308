"""Answer requests for a whole registration: compute it, hand its arrays over, write its folder or its report."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ..geometry.companions import Companions
from ..geometry.grid import Grid
from ..io.atomic import write_text
from ..io.companions import read_companions
from ..io.volumes import read_volume
from ..models.base import RegistrationModel
from ..registration.choices import chosen_device
from ..registration.register import register
from ..registration.result import Registration
from ..report.report import report_html
from ..report.result_folder import check_destination, claimed_folder
from ..report.results import write_result
from ..report.summary import summary
from ..zoo.card import ModelCard, load_model
from ..zoo.folder import locate
from .arrays import ArrayFiles
from .protocol import MARKS, MASKS, Check, Tell, check_condition, initial_of, monitor_of, needed, settings_of

COMMAND = "spatialreg worker"


class ModelShelf:
    """The model that was used last, so that the next request need not read it again."""

    def __init__(self) -> None:
        self._key: tuple[Any, ...] | None = None
        self._model: tuple[RegistrationModel, ModelCard] | None = None

    def model(self, name: str, device: torch.device) -> tuple[RegistrationModel, ModelCard]:
        """(model, card) of a name or path.

        Raises:
            FileNotFoundError: no such model; the nearest name is suggested.
            ValueError: the file is damaged.
        """
        path = locate(name)
        key = (path, path.stat().st_mtime_ns, device)
        if key != self._key:
            self.clear()
            self._model, self._key = load_model(path, device), key
        return self._model

    def clear(self) -> None:
        """Forget it."""
        self._key = self._model = None


class Registrations:
    """Whole registrations, of which the last is kept for its report.

    Args:
        shelf: where models come from.
    """

    def __init__(self, shelf: ModelShelf) -> None:
        self._shelf = shelf
        self._last: tuple[Registration, Companions, dict[str, Any]] | None = None
        self._files: ArrayFiles | None = None

    def register(self, values: Mapping[str, Any], check: Check, tell: Tell) -> dict[str, Any]:
        """One pair; returns the arrays of the result and what stands in report.json."""
        start = time.perf_counter()
        needed(values, "register", "fixed", "moving")
        out, force = values.get("out"), values.get("force", False) is True
        with claimed_folder(out) if out else contextlib.nullcontext():
            if out:
                check_destination(out, overwrite=force)
            found, companions = self._registered(values, check, tell)
            about = {"title": str(values.get("title") or "")}
            if out:
                content = write_result(out, found, COMMAND, overwrite=force, companions=companions, about=about)
            else:
                content = summary(found, COMMAND) | about
        self._files = ArrayFiles(Path(values["folder"]) if values.get("folder") else None)
        self._last = found, companions, content
        about = {"folder": str(out) if out else None, "arrays": self._arrays(found)} | _lattices(found)
        return content | about | {"seconds_with_files": time.perf_counter() - start}

    def _registered(self, values: Mapping[str, Any], check: Check, tell: Tell) -> tuple[Registration, Companions]:
        settings = settings_of(values)
        model = self._shelf.model(values["model"], chosen_device(settings.device)) if values.get("model") else None
        condition = check_condition(values.get("condition") or {})
        check()
        fixed, moving = read_volume(values["fixed"]), read_volume(values["moving"])
        inputs = {name: Path(values[name]) for name in (*MASKS, *MARKS) if values.get(name)}
        companions = read_companions(inputs, fixed, moving)
        self.forget()  # the memory of the last one may be needed
        found = register(
            fixed, moving, settings, companions=companions, initial=initial_of(values), model=model,
            condition=condition, monitor=monitor_of(check, tell),
        )  # fmt: skip
        check()
        return found, companions

    def report(self, values: Mapping[str, Any], check: Check, tell: Tell) -> dict[str, Any]:
        """The page about the last registration, as one file."""
        needed(values, "report", "out")
        if self._last is None:
            raise ValueError('There is no registration to report: send {"register": {"fixed": FILE, "moving": FILE}} first.')
        found, companions, content = self._last
        write_text(values["out"], report_html(found, content, companions=companions))
        return {"out": str(values["out"])}

    def forget(self) -> None:
        """Let the last registration go, and delete its arrays."""
        self._last = None
        if self._files is not None:
            self._files.remove()
            self._files = None

    def _arrays(self, found: Registration) -> dict[str, str]:
        arrays = {"warped": found.warped.data}
        if found.displacement is not None:
            maps = {"displacement": found.displacement.vectors, "lambda": found.lambda_map.data, "jacobian": found.jacobian.data}
            arrays |= maps
        return self._files.write({name: array.detach().cpu() for name, array in arrays.items()})


def _lattices(found: Registration) -> dict[str, Any]:
    """Where the arrays lie; a linear result has the lattice of the fixed image for both."""
    grid = found.warped.grid if found.displacement is None else found.displacement.grid
    field, image = _lattice(grid), _lattice(found.warped.grid)
    return field | {f"warped_{name}": value for name, value in image.items()}


def _lattice(grid: Grid) -> dict[str, Any]:
    return {"shape": list(grid.shape), "index_to_lps_mm": grid.affine.tolist()}
