"""Run a trial of the per-pair mode: register all pairs of a list with the trial's parameters, score them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from ..geometry.companions import Companions
from ..geometry.transform import SpatialTransform
from ..geometry.volume import Volume
from ..registration.register import register
from ..registration.result import Figures
from ..registration.settings import RegistrationSettings
from .search import Objective
from .trials import RunningTrial

TUNABLE = tuple(f.name for f in fields(RegistrationSettings) if f.metadata.get("kind") is float)
"""Settings of a registration that are numbers, apart from whole ones."""
DICE, TRE = "Dice", "-TRE (mm)"
"""What the score is: the mean Dice of the labels, or minus the mean distance of the landmarks."""


@dataclass(frozen=True)
class TunedPair:
    """A pair of a list; its files are read anew in every trial.

    Args:
        name: for messages.
        read: gives fixed, moving, and the labels or landmarks that score the result.
        settings: how to register, apart from what is tuned.
        initial: reads the transform to start from, or gives None.
    """

    name: str
    read: Callable[[], tuple[Volume, Volume, Companions]]
    settings: RegistrationSettings
    initial: Callable[[], SpatialTransform | None] = lambda: None


def per_pair_objective(pairs: Sequence[TunedPair], *, on_pair: Callable[[str], None] = lambda text: None) -> Objective:
    """Registers every pair of a trial; reports the mean score after each, so that a hopeless trial can stop.

    The affine part does not depend on what is tuned: it is found in the first trial and kept.

    Args:
        pairs: all with labels, or all with landmarks.
        on_pair: told what is being done.

    Raises:
        ValueError: no pairs; while running: a pair that has neither labels nor landmarks on both sides.
    """
    if not pairs:
        raise ValueError("Tuning needs at least one pair of images, got none.")
    starts: dict[int, np.ndarray] = {}

    def run(trial: RunningTrial) -> float:
        scores: list[float] = []
        for number, pair in enumerate(pairs):
            on_pair(f"Trial {trial.number}: pair {number + 1} of {len(pairs)}, {pair.name}")
            scores.append(_score(pair, trial, starts, number))
            trial.report(number, float(np.mean(scores)))
        return float(np.mean(scores))

    return run


def score_name(companions: Companions) -> str:
    """Dice where both sides have labels, else minus the landmark error.

    Raises:
        ValueError: neither is there.
    """
    if companions.fixed_labels is not None and companions.moving_labels is not None:
        return DICE
    if companions.fixed_points is not None and companions.moving_points is not None:
        return TRE
    raise ValueError(
        "Tuning needs label maps or landmarks of both images to score a registration by, got none: similarity alone would ask "
        "for no regularization at all."
    )


def _score(pair: TunedPair, trial: RunningTrial, starts: dict[int, np.ndarray], number: int) -> float:
    fixed, moving, companions = pair.read()
    kind = score_name(companions)
    settings, initial = pair.settings.changed(**trial.values), pair.initial()
    bends = initial is not None and initial.displacement is not None
    if number in starts and not bends:
        settings, initial = replace(settings, affine="none"), SpatialTransform(starts[number])
    registration = register(fixed, moving, settings, companions=companions, initial=initial)
    starts[number] = registration.affine
    return _figure(registration.figures, kind, pair.name)


def _figure(figures: Figures, kind: str, name: str) -> float:
    values = figures.dice_after if kind == DICE else figures.tre_after_mm
    if not values or values.get("mean") is None:
        raise ValueError(f"The pair {name} has no {kind}: its label maps share no label, or its landmarks lie outside.")
    return values["mean"] if kind == DICE else -values["mean"]
