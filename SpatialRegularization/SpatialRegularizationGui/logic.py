"""Register volumes of a scene for the panel, the console and scripts. No qt, no widget, nothing heavy at import.

    start ─▶ files ─▶ worker ─▶ arrays ─▶ nodes ─▶ finished | failed | cancelled      exactly one for each start
    preview ─▶ run/preview.py ─▶ previewed

Everything happens in the thread that calls `poll` (or in the event loop, under Qt). Nodes change only just before `finished` and
`previewed`; a run that fails or is cancelled changes none, and leaves no file and no process that works for nobody.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .inputs.files import TemporaryFolders, check_inputs, export_inputs
from .inputs.request import RegistrationRequest, request_of_options
from .run.events import Outcome, Preview, RunState, Signal, Step
from .run.failures import failure_of_error
from .run.install import Installer, Readiness
from .run.outputs import Found, Stored, left_alone, store
from .run.pending import Ends, PendingRequest
from .run.preview import PreviewSession
from .run.protocol import FIGURES, device_of, facts_of, message_of
from .run.worker import ProcessWorker, best_worker

REPORT_SECONDS = 120.0
"""A report takes no longer."""


class RegistrationLogic:
    """Registers volumes of a scene.

    Args:
        worker: who computes; None: the one that fits this program, made at the first use.
        installer: of what is missing; None: the default one, made at the first use.
        clock: s.

    Attributes:
        state_changed(RunState), progressed(Step), finished(Outcome), failed(Failure), cancelled(), previewed(Preview),
        preview_said(str), catalogue_changed(): signals.
    """

    def __init__(
        self,
        worker: ProcessWorker | None = None,
        installer: Installer | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.state_changed, self.progressed, self.finished = Signal(), Signal(), Signal()
        self.failed, self.cancelled, self.previewed = Signal(), Signal(), Signal()
        self.preview_said, self.catalogue_changed = Signal(), Signal()
        self._chosen_worker, self._installer, self._clock = worker, installer, clock
        self._state = RunState.IDLE
        self._pending: PendingRequest | None = None
        self._folders = TemporaryFolders(_temporary_path)
        self._reports: Path | None = None
        self._report = ""
        self._stored: Stored | None = None
        self._device, self._devices = "", ()
        told = self._previewed, self.preview_said.emit
        self._session = PreviewSession(lambda: self.worker, self._folders, clock, *told)

    @property
    def worker(self) -> ProcessWorker:
        """Who computes."""
        if self._chosen_worker is None:
            self._chosen_worker = best_worker(self._breathe)
        return self._chosen_worker

    @property
    def installer(self) -> Installer:
        """Of what is missing."""
        if self._installer is None:
            self._installer = Installer()
        return self._installer

    @property
    def state(self) -> RunState:
        """What is being done."""
        return self._state

    @property
    def device(self) -> str:
        """Where the last computation ran, "" until that is known."""
        return self._device

    @property
    def devices(self) -> tuple[Mapping[str, str], ...]:
        """Where a worker that sees the whole computer can compute, as it says after its start; empty before."""
        if self._chosen_worker is not None and not self._chosen_worker.environment:
            self._devices = tuple(self._chosen_worker.ready.get("devices", ())) or self._devices
        return self._devices

    @property
    def awaits(self) -> bool:
        """True while something is to come that `poll` hands over: a run, a live update, a report."""
        busy = self._chosen_worker is not None and self._chosen_worker.busy
        return busy or self._pending is not None or self._session.active

    @property
    def can_undo(self) -> bool:
        """True where `undo` has something to put back."""
        return self._stored is not None and not self._stored.undo.empty

    @property
    def dropped(self) -> int:
        """Live updates that a newer one has made stale."""
        return self._session.dropped

    @property
    def pid(self) -> int | None:
        """Of the process that computes."""
        return None if self._chosen_worker is None else self._chosen_worker.pid

    def prepare(self, device: str) -> None:
        """Let the worker's process start while the user still chooses, so that the first run need not wait for it.

        Args:
            device: where it will compute, as in `RegistrationSettings`.
        """
        if self._state is not RunState.IDLE or self._session.active:
            return
        self.worker.use(device_of({"device": device})[1])
        self.worker.prepare()

    def start(self, request: RegistrationRequest) -> None:
        """Begin a registration; signals tell how it goes.

        Raises:
            ValueError: what is wrong with the request, in one sentence.
            RuntimeError: something is being done already.
        """
        self._must_be_idle()
        self._session.stop()
        check_inputs(request)
        folder = self._folders.make()
        try:
            files = export_inputs(request, folder)
            values, environment = message_of(request, files, folder)
        except BaseException:
            self._folders.remove(folder)
            raise
        self.worker.use(environment)
        self._begin("register", values, lambda answer: self._finish(request, answer), folder)

    def cancel(self) -> None:
        """Stop what is being done: first politely, then by ending the worker's process."""
        if self._state is RunState.RUNNING:
            self._set_state(RunState.CANCELLING)
            self._pending.cancel()

    def manage(self, action: str, what: str, **choices: Any) -> None:
        """Import a file, fetch or remove a model: `catalogue_changed`, `failed` or `cancelled` comes.

        Args:
            action: "import", "fetch" or "remove".
            what: path of a file, or name of a model.
            choices: of an import or fetch, see `worker/protocol.md`.
        """
        self._must_be_idle()
        values = {"action": action, "what": str(what), "choices": choices}
        self._begin("models", values, lambda answer: self.catalogue_changed.emit, None)

    def preview(self, request: RegistrationRequest) -> int:
        """Show soon what this request would give, in its output nodes; the newest wins. Returns the id of the update."""
        if self._state is not RunState.IDLE:
            return 0
        id = self._session.ask(request)
        self._session.poll()
        return id

    def stop_preview(self) -> None:
        """Put back what the nodes held before the first preview."""
        self._session.stop()

    def undo(self) -> None:
        """Put back what the output nodes held before the last finished run."""
        self._session.stop()
        if self._stored is not None:
            self._stored.undo.restore()
            self._stored = None

    def save_report(self, path: str | Path) -> None:
        """Write the report of the last finished run.

        Raises:
            ValueError: there is none.
            OSError: it cannot be written.
        """
        end = time.monotonic() + REPORT_SECONDS
        while self._report and not Path(self._report).exists() and self.pid and time.monotonic() < end:
            self.worker.poll(0.05)
            self._breathe()
        if not self._report or not Path(self._report).exists():
            raise ValueError("There is no report: register first, and save it before the next run.")
        shutil.copyfile(self._report, path)

    def register(self, fixedNode: Any, movingNode: Any, **options: Any) -> Outcome:
        """Register and wait; for the console and for scripts.

        Args:
            fixedNode, movingNode: volumes.
            options: `model`, `condition`, `preset`, `outputs`, `fixedMask`, `movingLabels`, `initial`, ... as in
                `RegistrationRequest`, and every field of `RegistrationSettings`, such as `lambda_max=3, device="cpu"`.

        Returns:
            What was found; `.outputs.transform`, `.outputs.warped`, ... are the nodes.

        Raises:
            ValueError: what is wrong with the request.
            RuntimeError: it failed or was cancelled; one sentence.
        """
        request = request_of_options(fixedNode, movingNode, options)
        check_inputs(request)
        installed = self.installer.ensure()
        if installed.state is not Readiness.READY:
            raise RuntimeError(installed.sentence)
        ends: list[Any] = []
        listeners = (self.finished, ends.append), (self.failed, ends.append), (self.cancelled, lambda: ends.append(None))
        for signal, listener in listeners:
            signal.connect(listener)
        try:
            self.start(request)
            while self._state is not RunState.IDLE:
                self.poll(0.05)
                self._breathe()
        finally:
            for signal, listener in listeners:
                signal.disconnect(listener)
        if isinstance(ends[0], Outcome):
            return ends[0]
        raise RuntimeError("The registration was cancelled; every node is as it was." if ends[0] is None else ends[0].sentence)

    def poll(self, seconds: float = 0.0) -> None:
        """Hand over what the worker has answered; waits up to that long where there is nothing."""
        if self._chosen_worker is not None:
            self._chosen_worker.poll(seconds)
        if self._pending is not None:
            self._pending.poll()
        if self._state is RunState.IDLE:
            self._session.poll()

    def scene_closed(self) -> None:
        """Stop everything and forget every node; only `state_changed` is told."""
        self._pending = None
        self._session.forget()
        self._stored = None
        self._end_worker()
        if self._state is not RunState.IDLE:
            self._set_state(RunState.IDLE)

    def close(self) -> None:
        """End the worker's process and delete every file; the logic can be used again."""
        if self._pending is not None:
            self._set_state(RunState.CANCELLING)
            self._pending.cancel()
        self._session.stop()
        self._session.forget()
        self._end_worker()

    def _end_worker(self) -> None:
        if self._chosen_worker is not None:
            self._chosen_worker.stop()
        self._report, self._reports = "", None
        self._folders.remove_all()

    def _begin(
        self, kind: str, values: Mapping[str, Any], done: Callable[[Mapping[str, Any]], Callable[[], None]], folder: Path | None
    ) -> None:
        """Submit a request; whichever way it ends, its folder goes and the state is IDLE afterwards.

        Args:
            kind, values: of the worker's request.
            done: takes the result, returns what tells of it; what it raises makes a failure.
            folder: of its files.
        """

        def end(call: Callable[..., None], *values: Any) -> None:
            if self._pending is not pending:
                return  # the scene was closed meanwhile
            self._pending = None
            self._folders.remove(folder)
            try:
                call(*values)
            finally:
                self._set_state(RunState.IDLE)

        def finish(answer: Mapping[str, Any]) -> None:
            if self._pending is pending:
                try:
                    tell = done(answer)
                except Exception as error:
                    end(self.failed.emit, failure_of_error(error))
                else:
                    end(tell)

        ends = Ends(self.progressed.emit, finish, lambda f: end(self.failed.emit, f), lambda: end(self.cancelled.emit))
        device = str(values.get("settings", {}).get("device", "auto"))
        self._pending = pending = PendingRequest(self.worker, self._clock, ends, device)
        self._set_state(RunState.RUNNING)
        if self.pid is None:
            self.progressed.emit(Step("starting", 0.0))
        pending.submit(kind, values)

    def _finish(self, request: RegistrationRequest, answer: Mapping[str, Any]) -> Callable[[], None]:
        """The result into the nodes; returns what tells of it."""
        gone = [name for name in ("fixed", "moving") if getattr(request, name).GetScene() is None]
        if gone:
            raise ValueError(f"The {gone[0]} volume has left the scene during the run: nothing was changed; select it again.")
        facts = facts_of(request, answer)
        stored = store(request.fixed.GetScene(), request, Found.from_answer(answer), facts)
        self._stored, self._device = stored, facts["Device"]
        self._order_report()
        figures = {name: answer[name] for name in FIGURES if answer.get(name) is not None}
        notes = tuple(filter(None, (*answer["notes"], left_alone(request, stored))))
        outcome = Outcome(
            stored.outputs, figures, float(answer["seconds"]), self._device, request, answer["settings"], notes, self._report
        )
        return lambda: self.finished.emit(outcome)

    def _order_report(self) -> None:
        """The worker writes the page while the user looks at the images."""
        self._folders.remove(self._reports)
        self._reports = self._folders.make()
        self._report = str(self._reports / "report.html")
        self.worker.submit("report", {"out": self._report}, lambda event: None)

    def _previewed(self, preview: Preview) -> None:
        self._device = preview.device or self._device
        self.previewed.emit(preview)

    def _must_be_idle(self) -> None:
        if self._state is not RunState.IDLE:
            raise RuntimeError("A registration is running: wait until it has ended, or cancel it.")

    def _set_state(self, state: RunState) -> None:
        self._state = state
        self.state_changed.emit(state)

    @staticmethod
    def _breathe() -> None:
        """Lets the application handle its events, where there is one."""
        app = getattr(sys.modules.get("slicer"), "app", None)
        process_events = getattr(app, "processEvents", None)
        if process_events is not None:
            process_events()


def _temporary_path() -> str | None:
    """Of the application; None where there is none, which is the system's."""
    path = getattr(getattr(sys.modules.get("slicer"), "app", None), "temporaryPath", None)
    return path if isinstance(path, str) and path else None
