"""Hold the pair of the worker: load it, answer a condition, write a finished registration."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..io.companions import read_companions
from ..io.volumes import read_volume
from ..measures.memory import memory_mb, peak_memory_mb
from ..registration.choices import chosen_device
from ..registration.preview import PairPreview, Start
from ..registration.session import PairSession
from ..report.result_folder import check_destination, claimed_folder
from ..report.results import write_result
from ..report.summary import plain
from .arrays import ArrayFiles
from .models import manage_models
from .protocol import MASKS, Check, Request, Tell, check_condition, initial_of, monitor_of, needed, settings_of
from .register import ModelShelf, Registrations


class LoadedPair:
    """The pair that is loaded, and what can be asked about it; and everything else that takes time."""

    def __init__(self) -> None:
        self._session: PairSession | PairPreview | None = None
        self._files: ArrayFiles | None = None
        self._shelf = ModelShelf()
        self._registrations = Registrations(self._shelf)

    @property
    def loaded(self) -> bool:
        """True where there is a pair."""
        return self._session is not None

    def do(self, request: Request, check: Check, tell: Tell) -> dict[str, Any]:
        """The values of the answer to a request that takes time.

        Raises:
            Exception: what the work raises; `Cancelled` by `check`.
        """
        jobs = {
            "load": self._load, "preview": self._preview, "predict": self._predict, "save": self._save,
            "register": self._registrations.register, "report": self._registrations.report, "models": manage_models,
        }  # fmt: skip
        return plain(jobs[request.kind](request.values, check, tell))

    def memory(self) -> dict[str, float | None]:
        """Megabytes: of the process, of the CUDA device, of the array files."""
        files = 0.0 if self._files is None else self._files.megabytes
        cuda = torch.cuda.memory_allocated() / 2**20 if torch.cuda.is_available() else None
        peak = peak_memory_mb(torch.device("cpu"))
        return plain({"resident_mb": memory_mb(), "peak_mb": peak, "device_mb": cuda, "files_mb": files})

    def after_error(self, kind: str) -> None:
        """Give back what can be missed after an error of the kind "memory"."""
        if kind == "memory":
            self._registrations.forget()
            self._shelf.clear()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()

    def close(self) -> None:
        """Forget everything and delete its files."""
        self._forget_pair()
        self._registrations.forget()

    def _forget_pair(self) -> None:
        self._session = None
        if self._files is not None:
            self._files.remove()
            self._files = None

    def _load(self, values: dict[str, Any], check: Check, tell: Tell) -> dict[str, Any]:
        start = time.perf_counter()
        needed(values, "load", "model", "fixed", "moving")
        settings, initial = settings_of(values), initial_of(values)
        fixed, moving = read_volume(values["fixed"]), read_volume(values["moving"])
        check()
        model = self._shelf.model(values["model"], chosen_device(settings.device))
        session = PairSession(fixed, moving, model, settings, initial=initial, monitor=monitor_of(check, tell))
        return self._take(session, values, check) | {"seconds": time.perf_counter() - start}

    def _preview(self, values: dict[str, Any], check: Check, tell: Tell) -> dict[str, Any]:
        start = time.perf_counter()
        needed(values, "preview", "fixed", "moving")
        settings = settings_of(values)
        fixed, moving = read_volume(values["fixed"]), read_volume(values["moving"])
        inputs = {name: Path(values[name]) for name in MASKS if values.get(name)}
        begin = Start(read_companions(inputs, fixed, moving), initial_of(values))
        check()
        session = PairPreview(fixed, moving, settings, start=begin, monitor=monitor_of(check, tell))
        return self._take(session, values, check) | {"seconds": time.perf_counter() - start}

    def _take(self, session: PairSession | PairPreview, values: dict[str, Any], check: Check) -> dict[str, Any]:
        """From now on this is the pair; only now, since a load that fails leaves the pair before."""
        check()
        files = ArrayFiles(Path(values["folder"]) if values.get("folder") else None)
        self._forget_pair()
        self._session, self._files = session, files
        return _about(session)

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
        with claimed_folder(folder):
            check_destination(folder, overwrite=force)
            condition = check_condition(values.get("condition", {}))
            inputs = {name: Path(values[name]) for name in values if name.endswith(("labels", "points"))}
            companions = read_companions(inputs, session.fixed, session.moving)
            settings = replace(session.settings, refine_steps=values.get("refine_steps", 0))
            found = session.save(condition, settings=settings, companions=companions, monitor=monitor_of(check, tell))
            check()
            content = write_result(folder, found, "spatialreg worker", overwrite=force, companions=companions)
        return {"folder": str(folder)} | content

    def _loaded(self) -> PairSession | PairPreview:
        if self._session is None:
            raise ValueError('No pair is loaded: send {"load": {"model": NAME, "fixed": FILE, "moving": FILE}} first.')
        return self._session


def _about(session: PairSession | PairPreview) -> dict[str, Any]:
    """What a client must know to use the answers."""
    grid = session.grid
    return {
        "model": None if isinstance(session, PairPreview) else session.card.name,
        "hyperparameters": [
            {"name": h.name, "low": h.low, "high": h.high, "default": h.default} for h in session.hyperparameters
        ],
        "shape": list(grid.shape),
        "index_to_lps_mm": grid.affine.tolist(),
        "affine": np.asarray(session.affine).tolist(),
        "device": str(session.device),
        "settings": session.settings.to_dict(),
        "notes": list(session.notes),
    }
