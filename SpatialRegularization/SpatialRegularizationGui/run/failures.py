"""What a run needs besides nodes and a worker: a folder that goes away, a policy for sliders, and another way after a failure."""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from SpatialRegularizationLib.registration.settings import RegistrationSettings

from .request import RegistrationRequest

PAUSE = 0.2
"""Seconds without a change after which a slider counts as resting."""
LONGEST_PAUSE = 0.4
"""Seconds after which a slider that keeps moving is answered all the same."""
FIRST_ESTIMATE = 0.03
"""Share of the work that must be done before a time left is told."""


class JobFolders:
    """Temporary folders; each is removed when its job ends, whatever its end was.

    Args:
        parent: tells where to make them; None is the system's folder for temporary files.
    """

    def __init__(self, parent: Callable[[], str | None] = lambda: None) -> None:
        self._parent = parent
        self._open: list[Path] = []

    def make(self) -> Path:
        """A new folder."""
        folder = Path(tempfile.mkdtemp(prefix="spatialreg-job-", dir=self._parent()))
        self._open.append(folder)
        return folder

    def remove(self, folder: Path | None) -> None:
        """Delete one; where another process still holds a file open (on Windows), `remove_all` tries again."""
        if folder in self._open:
            shutil.rmtree(folder, ignore_errors=True)
            if not folder.exists():
                self._open.remove(folder)

    def remove_all(self) -> None:
        """Delete all."""
        for folder in tuple(self._open):
            self.remove(folder)


@dataclass
class Debounce:
    """When a slider is answered: at its first move, when it rests for `pause`, and every `longest` while it moves.

    The newest value counts, those before it are dropped.

    Args:
        now: the clock, s.
        pause, longest: s.
    """

    now: Callable[[], float]
    pause: float = PAUSE
    longest: float = LONGEST_PAUSE

    def __post_init__(self) -> None:
        self.dropped = 0
        self._value: Any = None
        self._changed = self._since = float("-inf")
        self._first = False

    @property
    def waiting(self) -> bool:
        """True where there is a value that was not given out."""
        return self._value is not None

    def change(self, value: Any) -> None:
        """A newer value; the one that waits is dropped."""
        before, self._changed = self._changed, self.now()
        if self._value is None:
            self._since = self._changed
            self._first = self._changed - before >= self.pause
        else:
            self.dropped += 1
        self._value = value

    def due(self) -> Any:
        """The value that is to be answered now, once; None where there is none yet."""
        now = self.now()
        rests, late = now - self._changed >= self.pause, now - self._since >= self.longest
        if self._value is None or not (self._first or rests or late):
            return None
        value, self._value = self._value, None
        return value

    def clear(self) -> None:
        """Forget what waits."""
        self._value = None


def seconds_left(fraction: float, seconds: float) -> float | None:
    """Of a run that has done this share in these seconds; None where nobody can say."""
    return seconds * (1 - fraction) / fraction if FIRST_ESTIMATE < fraction < 1 else None


def device_of(settings: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """(settings, environment of the worker): a numbered GPU, "cuda:1", is the only one that the worker then sees."""
    device = str(settings.get("device", "auto"))
    if not device.startswith("cuda:"):
        return dict(settings), {}
    return {**settings, "device": "cuda"}, {"CUDA_VISIBLE_DEVICES": device.split(":")[1]}


def with_remedy(
    request: RegistrationRequest, remedy: str, shape: Sequence[int], spacing_mm: Sequence[float]
) -> RegistrationRequest:
    """The same request as it may work after a failure.

    Args:
        request: that failed.
        remedy: "half-resolution" or "cpu".
        shape, spacing_mm: of the fixed volume.

    Raises:
        ValueError: another remedy.
    """
    if remedy == "half-resolution":
        volume = math.prod(n * mm for n, mm in zip(shape, spacing_mm, strict=True))
        asked = request.settings.get("working_spacing_mm")
        voxels = volume / asked**3 if asked else math.prod(shape)
        most = request.settings.get("max_voxels") or RegistrationSettings().max_voxels
        present = (volume / min(voxels, most)) ** (1 / 3)  # of the lattice that was too large
        return replace(request, settings={**request.settings, "working_spacing_mm": round(2 * present, 3)})
    if remedy == "cpu":
        return replace(request, settings={**request.settings, "device": "cpu"})
    raise ValueError(f"A remedy is half-resolution or cpu, got {remedy!r}: choose one of these.")
