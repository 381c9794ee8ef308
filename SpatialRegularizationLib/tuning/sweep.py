"""Measure a model over a dense grid of its condition, on validation pairs: the surface that tuning only samples.

What a model computes before the condition enters is computed once for each pair.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..declaration import check_fields, integer
from ..io.atomic import write_text
from ..io.claims import claimed
from ..models.base import EncodingModel, Prediction, RegistrationModel
from ..training.pairs import Batch
from ..training.preparation import Prepared
from ..training.validation import pair_figures
from .ranges import Range

FIGURES = ("dice", "tre_mm", "ndv_percent", "folding_percent", "sd_log_j", "similarity")
"""What is kept at each point, where the images have it."""
STATE = "sweep.json"
AXES = 2
"""Hyperparameters that vary at once, at most."""


@dataclass(frozen=True)
class SweepSettings:
    """Which points.

    Args:
        ranges: of one or two hyperparameters of the model.
        points: along each of them, ends included.
        others: values of further hyperparameters by name; defaults where a name is missing.
    """

    ranges: Mapping[str, Range]
    points: int = integer(21, 2, 1001, "", "along each range")
    others: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 1 <= len(self.ranges) <= AXES:
            raise ValueError(f"A sweep varies one or two hyperparameters, got {', '.join(self.ranges) or 'none'}.")
        check_fields(self)

    def axis(self, name: str) -> list[float]:
        """The values of one hyperparameter."""
        return [self.ranges[name].value(n / (self.points - 1)) for n in range(self.points)]

    def values(self) -> list[dict[str, float]]:
        """All points, the first hyperparameter slowest."""
        axes = [self.axis(name) for name in self.ranges]
        return [dict(self.others) | dict(zip(self.ranges, point, strict=True)) for point in itertools.product(*axes)]

    def plain(self) -> dict[str, Any]:
        """In types that JSON keeps."""
        return {
            "ranges": {name: span.plain() for name, span in self.ranges.items()},
            "points": self.points,
            "others": {name: float(value) for name, value in sorted(self.others.items())},
        }


@dataclass(frozen=True)
class SweepRecord:
    """Figures over the grid, mean over the pairs.

    Args:
        settings: the grid.
        figures: {name: array of shape (points,) * number of ranges}.
        pairs: names of the pairs that are in the mean.
        wanted: number of pairs that shall be.
    """

    settings: SweepSettings
    figures: Mapping[str, np.ndarray]
    pairs: tuple[str, ...]
    wanted: int

    @property
    def score_name(self) -> str:
        """The figure that is best where it is largest: "dice", or "tre_mm" where it is smallest."""
        return "dice" if "dice" in self.figures else "tre_mm"

    def best(self) -> tuple[dict[str, float], float]:
        """The point of the best figure, and the figure."""
        values = self.figures[self.score_name]
        place = int(np.argmax(values) if self.score_name == "dice" else np.argmin(values))
        return self.settings.values()[place], float(values.reshape(-1)[place])


def sweep_ranges(model: RegistrationModel, given: Mapping[str, Range]) -> dict[str, Range]:
    """Ranges of the sweep: those given, else all that the model was trained on.

    Raises:
        ValueError: a model without condition, an unknown hyperparameter, or a range beyond the trained one.
    """
    if not model.hyperparameters:
        raise ValueError(
            f"A sweep needs a model that takes a condition, and {model.system} takes none: tune it with 'spatialreg tune'."
        )
    for name, span in given.items():
        model.condition({name: span.low})
        model.condition({name: span.high})
    return dict(given) or {h.name: Range(h.low, h.high) for h in model.hyperparameters[:AXES]}


def sweep(
    model: RegistrationModel,
    pairs: Sequence[tuple[Prepared, Prepared]],
    settings: SweepSettings,
    folder: Path,
    *,
    identity: str = "",
    after_pair: Callable[[SweepRecord], None] = lambda record: None,
) -> SweepRecord:
    """Measures every pair at every point; goes on where an earlier sweep of the same grid stopped.

    Args:
        model: takes a condition; on its device.
        pairs: (moving, fixed) with labels or landmarks.
        settings: the grid.
        folder: gets sweep.json after each pair.
        identity: of the model; an earlier sweep of another one is started anew.
        after_pair: told the means so far.

    Raises:
        ValueError: no pairs, or a pair without labels and landmarks.
        TakenError: another sweep is writing into the folder.
    """
    if not pairs:
        raise ValueError("A sweep needs validation pairs, got none: give a list of images with labels or landmarks.")
    model.eval()
    device = next(model.parameters(), torch.zeros(0)).device
    about = {"model": identity, "grid": settings.plain()}
    with claimed(folder):
        done = _earlier(folder / STATE, about)
        for moving, fixed in pairs:
            name = f"{moving.entry.name} to {fixed.entry.name}"
            if name not in done:
                done[name] = _one_pair(model, (moving, fixed), settings, device)
                write_text(folder / STATE, json.dumps(about | {"pairs": done}, allow_nan=False))
            after_pair(_record(settings, done, len(pairs)))
    return _record(settings, done, len(pairs))


def read_sweep(folder: Path) -> SweepRecord:
    """What a sweep has found so far.

    Args:
        folder: of the sweep.

    Raises:
        FileNotFoundError: there is no sweep.
        ValueError: its state is damaged, or no pair is finished.
    """
    path = folder / STATE
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: give the folder of a finished 'spatialreg sweep'.")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        grid, done = content["grid"], content["pairs"]
        ranges = {name: Range.of(span, name) for name, span in grid["ranges"].items()}
        if not done:
            raise ValueError("no pair is finished")
        return _record(SweepSettings(ranges, grid["points"], grid["others"]), done, len(done))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} holds no sweep that can be shown ({error}): run it again.") from error


def _earlier(path: Path, about: Mapping[str, Any]) -> dict[str, dict[str, list[float]]]:
    """What is there of the same sweep."""
    if not path.is_file():
        return {}
    content = json.loads(path.read_text(encoding="utf-8"))
    return content.pop("pairs") if {k: content[k] for k in about if k in content} == about else {}


@torch.no_grad()
def _one_pair(
    model: RegistrationModel, pair: tuple[Prepared, Prepared], settings: SweepSettings, device: torch.device
) -> dict[str, list[float]]:
    batch = Batch.of([pair], device)
    answer = _answering(model, batch)
    rows = []
    for values in settings.values():
        condition = model.condition(values, device=device)
        rows.append(pair_figures(model, answer(condition), condition, pair, batch)[0])
    if "dice" not in rows[0] and "tre_mm" not in rows[0]:
        raise ValueError(f"The pair {batch.names[0]} has no common labels or landmarks to score it by: give them in the list.")
    return {name: [row[name] for row in rows] for name in FIGURES if all(name in row for row in rows)}


def _answering(model: RegistrationModel, batch: Batch) -> Callable[[Tensor | None], Prediction]:
    """The model for one pair, with its first half kept where that does not depend on the condition."""
    if not isinstance(model, EncodingModel) or model.encoder_conditioned:
        return lambda condition: model(batch.moving, batch.fixed, condition)
    encoded = model.encode(batch.moving, batch.fixed)
    return lambda condition: model.decode(encoded, condition)


def _record(settings: SweepSettings, done: Mapping[str, Mapping[str, list[float]]], wanted: int) -> SweepRecord:
    shape = (settings.points,) * len(settings.ranges)
    common = [name for name in FIGURES if all(name in figures for figures in done.values())]
    means = {name: np.mean([figures[name] for figures in done.values()], axis=0).reshape(shape) for name in common}
    return SweepRecord(settings, means, tuple(done), wanted)
