"""Trainings that are interrupted and resumed: how to interrupt them, and how to compare them."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import torch

from SpatialRegularizationLib.registration.progress import Progress
from SpatialRegularizationLib.training.checkpoints import LAST


def states(out: Path) -> dict[str, Any]:
    """Everything with a state in last.pt."""
    return torch.load(out / LAST, weights_only=True)["states"]


def same(a: Any, b: Any) -> bool:
    """Equal to the last bit, however nested."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return a == b


def without_time(history: tuple) -> list[dict]:
    """The figures of a history that do not depend on the clock."""
    return [{name: value for name, value in row.items() if name != "seconds"} for row in history]


class InterruptAt:
    """A monitor that sends this process a termination signal after a number of steps."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def __call__(self, progress: Progress) -> None:
        if progress.message.startswith("step"):
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGTERM)
