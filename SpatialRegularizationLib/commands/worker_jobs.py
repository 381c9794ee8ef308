"""What the worker does with a pair: load it, answer a condition, write a finished registration."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..evaluation.summary import plain, summary
from ..io.companions import read_companions
from ..io.results import check_destination, write_result
from ..io.transforms import read_transform
from ..io.volumes import read_volume
from ..registration.presets import preset_settings
from ..registration.result import Progress
from ..registration.scores import memory_mb, peak_memory_mb
from ..registration.session import PairSession
from ..registration.settings import RegistrationSettings, setting_names
from .console import SHORTEST_PAUSE
from .worker_arrays import ArrayFiles
from .worker_messages import Request, check_condition

Check = Callable[[], None]
"""Raises `Cancelled` when the request is no longer wanted."""
Tell = Callable[[dict[str, Any]], None]
"""Takes the progress of a request."""


class PairJobs:
    """The pair that is loaded, and what can be asked about it."""

    def __init__(self) -> None:
        self._session: PairSession | None = None
        self._files: ArrayFiles | None = None

    @property
    def loaded(self) -> bool:
        """True where there is a pair."""
        return self._session is not None

    def do(self, request: Request, check: Check, tell: Tell) -> dict[str, Any]:
        """The values of the answer to `load`, `predict` or `save`.

        Raises:
            Exception: what the work raises; `Cancelled` by `check`.
        """
        jobs = {"load": self._load, "predict": self._predict, "save": self._save}
        return plain(jobs[request.kind](request.values, check, tell))

    def memory(self) -> dict[str, float | None]:
        """Megabytes: of the process, of the CUDA device, of the array files."""
        files = 0.0 if self._files is None else self._files.megabytes
        cuda = torch.cuda.memory_allocated() / 2**20 if torch.cuda.is_available() else None
        peak = peak_memory_mb(torch.device("cpu"))
        return plain({"resident_mb": memory_mb(), "peak_mb": peak, "device_mb": cuda, "files_mb": files})

    def close(self) -> None:
        """Forget the pair and delete its files."""
        self._session = None
        if self._files is not None:
            self._files.remove()
            self._files = None

    def _load(self, values: dict[str, Any], check: Check, tell: Tell) -> dict[str, Any]:
        start = time.perf_counter()
        missing = [name for name in ("model", "fixed", "moving") if not isinstance(values.get(name), str)]
        if missing:
            raise ValueError(f"load needs {missing[0]}: the name or path of a model, and the paths of two images.")
        settings = _settings(values)
        fixed, moving = read_volume(values["fixed"]), read_volume(values["moving"])
        initial = read_transform(values["initial"]) if values.get("initial") else None
        check()
        session = PairSession(
            fixed, moving, values["model"], settings, initial=initial, monitor=_monitor(check, tell)
        )
        check()
        files = ArrayFiles(Path(values["folder"]) if values.get("folder") else None)
        self.close()  # only now: a load that fails leaves the pair before
        self._session, self._files = session, files
        return {"seconds": time.perf_counter() - start} | _about(session)

    def _predict(self, values: dict[str, Any], check: Check, tell: Tell) -> dict[str, Any]:
        session = self._loaded()
        start = time.perf_counter()
        answer = session.predict(values, check=check)
        arrays = {
            "displacement": answer.displacement, "lambda": answer.lambda_map,
            "jacobian": answer.jacobian, "warped": answer.warped,
        }  # fmt: skip
        check()
        paths = self._files.write(arrays)
        return {
            "condition": session.condition(values), "arrays": paths, "figures": answer.figures,
            "seconds": time.perf_counter() - start,
        }  # fmt: skip

    def _save(self, values: dict[str, Any], check: Check, tell: Tell) -> dict[str, Any]:
        session = self._loaded()
        if not isinstance(values.get("out"), str):
            raise ValueError("save needs out: the folder of the result.")
        folder, force = Path(values["out"]), values.get("force", False) is True
        check_destination(folder, overwrite=force)
        condition = check_condition(values.get("condition", {}))
        inputs = {name: Path(values[name]) for name in values if name.endswith(("labels", "points"))}
        companions = read_companions(inputs, session.fixed, session.moving)
        settings = replace(session.settings, refine_steps=values.get("refine_steps", 0))
        found = session.save(condition, settings=settings, companions=companions, monitor=_monitor(check, tell))
        check()
        write_result(folder, found, "spatialreg worker", overwrite=force, companions=companions)
        return {"folder": str(folder)} | summary(found, "spatialreg worker")

    def _loaded(self) -> PairSession:
        if self._session is None:
            raise ValueError('No pair is loaded: send {"load": {"model": NAME, "fixed": FILE, "moving": FILE}} first.')
        return self._session


def _about(session: PairSession) -> dict[str, Any]:
    """What a client must know to use the answers."""
    grid = session.grid
    return {
        "model": session.card.name,
        "hyperparameters": [
            {"name": h.name, "low": h.low, "high": h.high, "default": h.default} for h in session.hyperparameters
        ],
        "shape": list(grid.shape),
        "index_to_lps_mm": grid.affine.tolist(),
        "affine": np.asarray(session.affine).tolist(),
        "device": str(session.device),
        "notes": list(session.notes),
    }


def _settings(values: dict[str, Any]) -> RegistrationSettings:
    """The preset with the settings that were given."""
    given = values.get("settings") or {}
    if not isinstance(given, dict):
        raise ValueError(f"settings is an object of settings ({', '.join(setting_names()[:3])}, ...), got {given!r:.60}.")
    base = preset_settings(str(values.get("preset") or "generic"))
    return RegistrationSettings.from_dict(base.to_dict() | given)


def _monitor(check: Check, tell: Tell) -> Callable[[Progress], None]:
    """Passes progress on, but not more often than people can read, and stops when nobody wants the result."""
    told = {"stage": "", "time": 0.0}

    def monitor(progress: Progress) -> None:
        check()
        now = time.monotonic()
        if progress.stage == told["stage"] and now - told["time"] < SHORTEST_PAUSE:
            return
        told.update(stage=progress.stage, time=now)
        tell({"stage": progress.stage, "fraction": progress.fraction, "seconds": progress.seconds})

    return monitor
