"""Run methods of other programs, each a script in a process of its own, in an environment that holds its packages.

The folder of scripts holds baselines.json: {variant: {"script": file, "own_start": bool}}. A script is called with a folder
and a variant; the folder holds fixed.nii and moving.nii on one grid (the moving image read through the shared affine start
B), moving_native.nii, masks where there are some, and job.json with {"preset", "start"}. It leaves displacement.npy,
(3, i, j, k) float32 mm LPS on the fixed grid, and result.json with "seconds" and "peak_memory_mb"; affine.npy where B is
another than the shared one.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..geometry.displacement import DisplacementField
from ..geometry.transform import SpatialTransform
from ..geometry.volume import Volume
from ..io.volumes import write_volume
from ..transforms.resample import resample
from .pairs import ReadPair

LIST = "baselines.json"
FOLDER = Path(__file__).resolve().parents[2] / "scripts" / "benchmarks" / "baselines"
"""Of a checkout of the repository."""


@dataclass(frozen=True)
class Baselines:
    """Where the scripts are, and what runs them.

    Args:
        folder: of the scripts.
        scripts: variant → {"script": file name, "own_start": whether it finds an affine part of its own}.
        python: interpreter with their packages; None where none was named.
        timeout_s: seconds that one registration may take.
    """

    folder: Path
    scripts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    python: str | None = None
    timeout_s: float = 1800.0

    @classmethod
    def of(cls, folder: str | os.PathLike | None, python: str | None, timeout_s: float = 1800.0) -> Baselines:
        """The baselines of a folder; those of the checkout where none is named, none at all where there is no checkout.

        Raises:
            FileNotFoundError: a named folder holds no list.
            ValueError: the list is damaged.
        """
        place = Path(folder or FOLDER)
        if not (place / LIST).is_file():
            if folder is None:
                return cls(place, {}, python, timeout_s)
            raise FileNotFoundError(f"{place / LIST} does not exist: give the folder of the baselines' scripts.")
        try:
            scripts = json.loads((place / LIST).read_text(encoding="utf-8"))
            scripts = {name: {"script": str(v["script"]), "own_start": bool(v.get("own_start"))} for name, v in scripts.items()}
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"{place / LIST} is no list of baselines ({error!r}): repair that place.") from error
        return cls(place, scripts, python, timeout_s)


def run_baseline(
    baselines: Baselines, variant: str, pair: ReadPair, *, threads: int | None
) -> tuple[SpatialTransform, dict[str, float]]:
    """The transform φ(x) = B(x + d(x)) of a baseline, and its seconds and memory.

    Args:
        baselines: where the scripts are.
        variant: which one.
        pair: with the shared start.
        threads: of the process; None leaves them to it.

    Raises:
        RuntimeError: it failed, ran out of time, or left no displacement of the right shape.
    """
    entry = baselines.scripts[variant]
    grid = pair.fixed.grid
    with tempfile.TemporaryDirectory(prefix="spatialreg-") as temporary:
        folder = Path(temporary)
        _write_job(folder, pair)
        command = [str(baselines.python), str(baselines.folder / entry["script"]), temporary, variant]
        _call(command, folder, baselines.timeout_s, threads)
        try:
            vectors = np.load(folder / "displacement.npy")
            result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
            figures = {name: float(result[name]) for name in ("seconds", "peak_memory_mb")}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RuntimeError(f"It left no readable displacement.npy and result.json ({type(error).__name__}).") from error
        own = folder / "affine.npy"
        start = np.load(own) if own.is_file() else np.eye(4) if entry["own_start"] else pair.start
    if vectors.shape != (3, *grid.shape):
        raise RuntimeError(f"It left a displacement of shape {vectors.shape}, expected {(3, *grid.shape)}.")
    field_ = DisplacementField(torch.from_numpy(np.ascontiguousarray(vectors, dtype=np.float32)), grid)
    return SpatialTransform(start, field_), figures


def _write_job(folder: Path, pair: ReadPair) -> None:
    fixed, native = (image.to(torch.float32) for image in (pair.fixed, pair.moving))
    moving = resample(native, SpatialTransform(pair.start), fixed.grid, fill=float(native.data.min()))
    files: dict[str, Volume | None] = {"fixed": fixed, "moving": moving, "moving_native": native}
    files |= {"fixed_mask": pair.companions.fixed_mask, "moving_mask": pair.companions.moving_mask}
    for name, volume in files.items():
        if volume is not None:
            write_volume(folder / f"{name}.nii", volume)
    job = {"preset": pair.preset or "generic", "start": np.asarray(pair.start).tolist()}
    (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")


def _call(command: list[str], folder: Path, timeout_s: float, threads: int | None) -> None:
    names = ("OMP_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS", "MKL_NUM_THREADS")
    environment = os.environ | ({} if threads is None else dict.fromkeys(names, str(threads)))
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=timeout_s, cwd=folder, check=False
        )
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"It was stopped after {timeout_s:g} s (timeout_s).") from None
    except OSError as error:
        reason = f"The interpreter {command[0]} cannot be started ({error.strerror}): check baseline_python."
        raise RuntimeError(reason) from error
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        last = said[-1][-300:].replace(str(folder), "…") if said else "nothing said"
        raise RuntimeError(f"It ended with status {done.returncode}: {last}")
