"""What one registration carries through its stages, and how it tells of them."""

from __future__ import annotations

import time
from dataclasses import dataclass

from ..geometry.volume import Volume
from .choices import ComputeChoices
from .prepare import fit_mask
from .result import Companions, Monitor, Progress
from .settings import RegistrationSettings


class Reporter:
    """Turns stages with a share of the whole into `Progress`."""

    def __init__(self, monitor: Monitor | None) -> None:
        self.monitor = monitor
        self.start = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Since the start, s."""
        return time.perf_counter() - self.start

    def tell(self, stage: str, fraction: float, energy: float | None = None, message: str = "") -> None:
        """Tell the monitor, which may raise `Cancelled`."""
        if self.monitor is not None:
            self.monitor(Progress(stage, min(1.0, fraction), self.seconds, energy, message))


@dataclass(frozen=True)
class Job:
    """A pair, what goes with it, and how it is to be registered."""

    fixed: Volume
    moving: Volume
    settings: RegistrationSettings
    companions: Companions
    choices: ComputeChoices
    reporter: Reporter

    def masks(self) -> tuple[Volume | None, Volume | None]:
        """Of the fixed and the moving image, on their grids."""
        given = (self.companions.fixed_mask, self.fixed.grid, "fixed mask"), (
            self.companions.moving_mask, self.moving.grid, "moving mask",
        )  # fmt: skip
        return tuple(None if mask is None else fit_mask(mask, grid, name) for mask, grid, name in given)
