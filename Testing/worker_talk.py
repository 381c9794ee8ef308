"""A worker in this process, spoken to through queues, and the files of a tiny pair and a tiny network for it."""

from __future__ import annotations

import json
import queue
import threading
from pathlib import Path
from typing import Any

import bending
import physical
import torch
from known_model import card_of

from SpatialRegularizationLib.io.volumes import write_volume
from SpatialRegularizationLib.models.catalogue import build_model, describe
from SpatialRegularizationLib.worker.server import Worker
from SpatialRegularizationLib.zoo.card import save_model

GRID = physical.grid("LIA", shape=(32, 32, 32), spacing=(3.0, 3.0, 3.0))
SETTINGS = {"affine": "none", "global_search": "off", "levels": [[2, 2, 2]], "device": "cpu"}
SECONDS = 60


def write_files(folder: Path) -> Path:
    """model.safetensors (a tiny network of random parameters), f.nii.gz, m.nii.gz."""
    torch.manual_seed(1)
    model = build_model({"system": "hyper-tm-spr", "size": "tiny", "image_shape": list(GRID.shape)})
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    save_model(model, card_of(GRID, description=describe(model)), folder / "model.safetensors")
    write_volume(folder / "f.nii.gz", bending.image(GRID, bending.Bend()))
    write_volume(folder / "m.nii.gz", bending.image(GRID))
    return folder


class Conversation:
    """A worker in this process, spoken to through queues."""

    def __init__(self, **options: Any) -> None:
        self._lines: queue.Queue[bytes] = queue.Queue()
        self._answers: queue.Queue[dict[str, Any]] = queue.Queue()
        self.worker = Worker(self, **options)
        self.thread = threading.Thread(target=self.worker.serve, args=(self,), daemon=True)
        self.thread.start()
        self.ready = self.next()

    def readline(self, _: int) -> bytes:
        return self._lines.get()

    def write(self, text: str) -> None:
        self._answers.put(json.loads(text))

    def flush(self) -> None:
        pass

    def say(self, *messages: Any) -> None:
        for message in messages:
            self._lines.put(message if isinstance(message, bytes) else json.dumps(message).encode() + b"\n")

    def next(self) -> dict[str, Any]:
        return self._answers.get(timeout=SECONDS)

    def last_answers(self, count: int) -> list[dict[str, Any]]:
        """The next answers that are not progress."""
        found = []
        while len(found) < count:
            answer = self.next()
            found += [answer] if answer["event"] != "progress" else []
        return found

    def ask(self, message: Any) -> dict[str, Any]:
        self.say(message)
        return self.last_answers(1)[0]

    def end(self) -> None:
        self._lines.put(b"")
        self.thread.join(SECONDS)
        assert not self.thread.is_alive()
