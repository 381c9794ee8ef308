"""Preview while a slider moves ("Update live"): the newest position is computed, shown in the output nodes, and can be put back.

    ask ─▶ Debounce ─▶ load (or preview, without a model) where the pair is another one ─▶ predict ─▶ the nodes

One request is on its way at a time; what was asked meanwhile waits, and only the newest of it is sent.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from SpatialRegularizationLib.registration.settings import RULES

from ..inputs.files import TemporaryFolders, check_inputs, export_inputs
from ..inputs.request import Outputs, RegistrationRequest
from ..scene.nodes import grid_of
from ..scene.undo import Undo
from .events import Preview
from .failures import failure_of, failure_of_error
from .outputs import Found, store
from .protocol import device_of
from .worker import ProcessWorker

PAUSE = 0.2
"""Seconds without a change after which a slider counts as resting."""
LONGEST_PAUSE = 0.4
"""Seconds after which a slider that keeps moving is answered all the same."""
STEERED = tuple(name for name, rules in RULES.items() if rules.get("live"))
"""Settings that a preview without a model takes with every update; which of them, its prior decides."""


class Debounce:
    """When a slider is answered: at its first move, when it rests for `PAUSE`, and every `LONGEST_PAUSE` while it moves.

    The newest value counts, those before it are dropped.

    Args:
        now: the clock, s.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self.now, self.dropped = now, 0
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
            self._first = self._changed - before >= PAUSE
        else:
            self.dropped += 1
        self._value = value

    def due(self) -> Any:
        """The value that is to be answered now, once; None where there is none yet."""
        now = self.now()
        rests, late = now - self._changed >= PAUSE, now - self._since >= LONGEST_PAUSE
        if self._value is None or not (self._first or rests or late):
            return None
        value, self._value = self._value, None
        return value

    def clear(self) -> None:
        """Forget what waits."""
        self._value = None


class PreviewSession:
    """The live updates of one panel.

    Args:
        worker: who computes.
        folders: where the worker gets and puts files.
        now: the clock, s.
        shown: takes a `Preview`, when the nodes hold it.
        said: takes one sentence for the panel, "" where there is nothing to say.
    """

    def __init__(
        self,
        worker: Callable[[], ProcessWorker],
        folders: TemporaryFolders,
        now: Callable[[], float],
        shown: Callable[[Preview], None],
        said: Callable[[str], None],
    ) -> None:
        self._worker, self._folders, self._tell_shown, self._tell_said = worker, folders, shown, said
        self._debounce = Debounce(now)
        self._last = self._stale = self._epoch = 0
        self._flight: int | None = None
        self._said = ""
        self._about: Mapping[str, Any] = {}
        self._pair: tuple[Any, ...] = ()
        self._folder: Path | None = None
        self._nodes: dict[str, Any] = {}
        self._undos: list[Undo] = []

    @property
    def active(self) -> bool:
        """True where something waits or is on its way."""
        return self._flight is not None or self._debounce.waiting

    @property
    def dropped(self) -> int:
        """Updates that a newer one, or the end of the session, made stale."""
        return self._debounce.dropped + self._stale

    @property
    def device(self) -> str:
        """Where the loaded pair is."""
        return str(self._about.get("device", ""))

    def ask(self, request: RegistrationRequest) -> int:
        """Update the preview; returns the id of this update. What is wrong is told."""
        self._last += 1
        self._debounce.change((self._last, request))
        return self._last

    def poll(self) -> None:
        """Send what is due."""
        if self._flight is not None:
            return
        due = self._debounce.due()
        if due is not None:
            self._send(*due)

    def stop(self, *, restore: bool = True) -> None:
        """End it: nothing comes any more.

        Args:
            restore: put back what the nodes held before the first update; otherwise they stay as they are.
        """
        self._epoch += 1
        self._debounce.clear()
        if self._flight is not None:
            self._stale += 1
            self._worker().cancel(self._flight)
            self._flight = None
        if restore:
            for undo in reversed(self._undos):
                undo.restore()
        self._undos, self._nodes = [], {}
        if restore:
            self._say("")

    def forget(self) -> None:
        """End it without touching a node, and let the pair go."""
        self.stop(restore=False)
        self._pair, self._about, self._said = (), {}, ""
        self._folders.remove(self._folder)
        self._folder = None

    def _send(self, id: int, request: RegistrationRequest) -> None:
        request = replace(request, outputs=self._known(request.outputs))
        try:
            check_inputs(request)
            if self._pair and self._key(request) == self._pair:
                self._predict(id, request)
            else:
                self._load(id, request)
        except (ValueError, RuntimeError, OSError, MemoryError) as error:
            self._say(failure_of_error(error).sentence)

    def _say(self, text: str) -> None:
        """Tell the panel, once."""
        if text != self._said:
            self._said = text
            self._tell_said(text)

    def _key(self, request: RegistrationRequest) -> tuple[Any, ...]:
        """Of a pair that is loaded in this very process of the worker."""
        return (self._worker().generation, *_identity(request))

    def _known(self, outputs: Outputs) -> Outputs:
        """With the nodes of the updates before, where none is chosen."""
        missing = {n: node for n, node in self._nodes.items() if getattr(outputs, n) is None and node.GetScene() is not None}
        return replace(outputs, **missing)

    def _load(self, id: int, request: RegistrationRequest) -> None:
        self._pair, self._about = (), {}
        self._say("Loading the pair for live updates.")
        self._folders.remove(self._folder)
        self._folder = self._folders.make()
        bare = dict.fromkeys(("fixed_labels", "moving_labels", "fixed_points", "moving_points"))
        if request.model:
            bare |= dict.fromkeys(("fixed_mask", "moving_mask"))
        files = export_inputs(replace(request, **bare), self._folder)
        settings, environment = device_of(request.settings)
        self._worker().use(environment)
        if not request.model:
            settings = {name: value for name, value in settings.items() if name not in STEERED}
        values = {name: str(path) for name, path in files.items()} | {
            "preset": request.preset, "settings": settings, "folder": str(self._folder / "arrays"),
        }  # fmt: skip
        kind = "load" if request.model else "preview"
        if request.model:
            values["model"] = request.model
        self._fly(kind, values, lambda about: self._loaded(about, id, request))

    def _loaded(self, about: Mapping[str, Any], id: int, request: RegistrationRequest) -> None:
        self._about = about
        self._pair = self._key(request)
        self._say("")
        if self._debounce.waiting:
            self._stale += 1  # a newer one comes with the next poll
        else:
            self._predict(id, request)

    def _predict(self, id: int, request: RegistrationRequest) -> None:
        names = [h["name"] for h in self._about["hyperparameters"]]
        given = request.condition if request.model else request.settings
        values = {name: float(given[name]) for name in names if name in given}
        begin = time.perf_counter()
        self._fly("predict", values, lambda answer: self._show(answer, id, request, begin))

    def _show(self, answer: Mapping[str, Any], id: int, request: RegistrationRequest, begin: float) -> None:
        if request.fixed.GetScene() is None or request.moving.GetScene() is None:
            return
        found = Found.from_answer({**self._about, "arrays": answer["arrays"]})
        stored = store(request.fixed.GetScene(), request, found, {"Preview": "live"})
        if stored.outputs.nodes != self._nodes:
            self._undos.append(stored.undo)
            self._nodes = stored.outputs.nodes
        seconds = time.perf_counter() - begin
        settings = {**self._about["settings"], **answer["condition"]}
        self._tell_shown(Preview(stored.outputs, answer["figures"], seconds, self.device, request, settings, id))

    def _fly(self, kind: str, values: Mapping[str, Any], landed: Callable[[Mapping[str, Any]], None]) -> None:
        """Send one request; its answer counts unless the session has ended."""
        epoch = self._epoch

        def answer(event: Mapping[str, Any]) -> None:
            if epoch != self._epoch:
                return
            if event["event"] == "progress":
                self._say(f"Loading the pair for live updates: {event['stage']}.")
                return
            self._flight = None
            try:
                if event["event"] == "result":
                    landed(event)
                elif event["event"] == "error":
                    if event.get("kind") != "input":
                        self._pair = ()
                    self._say(failure_of(event, self.device or "auto").sentence)
            except Exception as error:
                self._say(failure_of_error(error).sentence)

        self._flight = 0  # an answer may come before submit returns
        try:
            id = self._worker().submit(kind, values, answer)
        except OSError:
            self._flight = None
            raise
        if self._flight == 0:
            self._flight = id


def _identity(request: RegistrationRequest) -> tuple[Any, ...]:
    """What a loaded pair depends on: equal while the worker need not load again."""
    below = request.outputs.transform
    steered = () if request.model else STEERED
    settings = tuple(sorted((name, repr(value)) for name, value in request.settings.items() if name not in steered))
    volumes = [
        (node.GetID(), node.GetImageData().GetMTime(), grid_of(node, below=below)) for node in (request.fixed, request.moving)
    ]
    others = [request.initial] if request.model else [request.initial, request.fixed_mask, request.moving_mask]
    rest = [None if node is None else (node.GetID(), node.GetMTime()) for node in others]
    return (id(request.fixed.GetScene()), request.model, request.preset, settings, *volumes, *rest)
