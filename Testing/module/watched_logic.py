"""Volume nodes of a small pair with a known deformation, settings that take moments, and a logic with its signals noted."""

from __future__ import annotations

import time
from typing import Any

import bending
import numpy as np
import physical
from SpatialRegularizationGui.inputs.request import RegistrationRequest
from SpatialRegularizationGui.logic import RegistrationLogic
from SpatialRegularizationGui.run.events import RunState
from SpatialRegularizationGui.run.worker import ProcessWorker
from SpatialRegularizationGui.scene.images import Image
from SpatialRegularizationGui.scene.nodes import set_image

GRID = physical.grid("LIA", shape=(32, 32, 32), spacing=(3.0, 3.0, 3.0))
QUICK = {"affine": "none", "global_search": "off", "levels": [[2, 4, 3]], "device": "cpu", "threads": 1}
ENDLESS = QUICK | {"levels": [[1, 1, 10_000]], "tolerance": 0.0}
"""A registration that nobody waits for."""
SECONDS = 90.0
NAMES = ("state_changed", "progressed", "finished", "failed", "cancelled", "previewed", "preview_said", "catalogue_changed")


def volume(scene: Any, name: str, bend: bending.Bend = bending.REST) -> Any:
    """A volume node with the anatomy."""
    node = scene.add("vtkMRMLScalarVolumeNode", name)
    set_image(node, Image(np.ascontiguousarray(bending.image(GRID, bend).data[0].numpy()), GRID))
    return node


def request(scene: Any, **more: Any) -> RegistrationRequest:
    """Two volumes of the scene, made where they are missing, and quick settings."""
    volumes = {node.GetName(): node for node in scene.nodes("vtkMRMLScalarVolumeNode")}
    fixed = volumes.get("fixed") or volume(scene, "fixed", bending.Bend())
    moving = volumes.get("moving") or volume(scene, "moving")
    return RegistrationRequest(fixed, moving, **({"preset": "generic", "settings": QUICK} | more))


class Watched:
    """A logic whose signals are written down."""

    def __init__(self, worker: ProcessWorker, **options: Any) -> None:
        self.logic = RegistrationLogic(worker=worker, **options)
        self.told: list[tuple[str, Any]] = []
        for name in NAMES:
            getattr(self.logic, name).connect(self._note(name))

    def _note(self, name: str) -> Any:
        return lambda *values: self.told.append((name, values[0] if values else None))

    def named(self, *names: str) -> list[Any]:
        """What these signals carried."""
        return [value for name, value in self.told if name in names]

    def until(self, *names: str, count: int = 1) -> Any:
        """Poll until these signals have come so often; returns what the last of them carried."""
        end = time.monotonic() + SECONDS
        while len(self.named(*names)) < count:
            assert time.monotonic() < end, f"no {names} within {SECONDS} s: {self.told[-5:]}"
            self.logic.poll(0.02)
        return self.named(*names)[count - 1]

    def idle(self) -> None:
        """Poll until nothing is being done."""
        end = time.monotonic() + SECONDS
        while self.logic.state is not RunState.IDLE:
            assert time.monotonic() < end, f"still {self.logic.state} after {SECONDS} s"
            self.logic.poll(0.02)

    def run(self, asked: RegistrationRequest) -> Any:
        """Start and wait; returns what the one signal of its end carried."""
        self.told.clear()
        self.logic.start(asked)
        self.idle()
        (end,) = self.named("finished", "failed", "cancelled")
        return end

    def begin(self, asked: RegistrationRequest) -> None:
        """Start and wait until the worker is at the descent."""
        self.told.clear()
        self.logic.start(asked)
        end = time.monotonic() + SECONDS
        while not any("level" in step.stage for step in self.named("progressed")):
            assert time.monotonic() < end, f"no progress: {self.told[-5:]}"
            self.logic.poll(0.02)
