"""Measure several pairs at once, each in a process of its own; one that dies costs one measurement, not the study."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

import torch

from ..registration.choices import threads
from .measured_pair import Measured, Measuring, Task
from .settings import StudySettings

Explain = Callable[[BaseException], str]
PATIENCE_S = 5.0
"""How long an ended process may take to go."""


def run_tasks(tasks: Sequence[Task], settings: StudySettings, explain: Explain) -> Iterator[Measured]:
    """Everything that the tasks ask for, as it is finished.

    Args:
        tasks: pairs and methods.
        settings: of the study; `processes` says how many at once.
        explain: an error as one sentence; a function of a module, so that other processes find it.
    """
    if settings.processes == 1 or len(tasks) < 2:
        measuring = Measuring(settings, explain)
        with threads(settings.threads):
            for task in tasks:
                yield from measuring.run(task)
        return
    crew = _Crew(settings, explain)
    try:
        yield from crew.run(tasks)
    finally:
        crew.dismiss()


@dataclass
class _Worker:
    """A process, its end of the line, and what it has still to do."""

    process: BaseProcess
    line: Connection
    task: Task | None = None
    left: deque[str] = field(default_factory=deque)


class _Crew:
    """Processes that take one task after the other."""

    def __init__(self, settings: StudySettings, explain: Explain) -> None:
        self._settings = settings
        self._explain = explain
        self._context = multiprocessing.get_context("spawn")
        self._workers: list[_Worker] = []

    def run(self, tasks: Sequence[Task]) -> Iterator[Measured]:
        waiting = deque(tasks)
        while waiting or any(worker.task for worker in self._workers):
            self._hand_out(waiting)
            lines = {worker.line: worker for worker in self._workers if worker.task}
            for line in wait(list(lines)):
                measured = self._hear(lines[line], waiting)
                if measured is not None:
                    yield measured

    def dismiss(self) -> None:
        """End all processes, and what they have started."""
        for worker in self._workers:
            worker.line.close()
            worker.process.terminate()
        for worker in self._workers:
            worker.process.join(PATIENCE_S)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
        self._workers.clear()

    def _hand_out(self, waiting: deque[Task]) -> None:
        while waiting:
            idle = next((worker for worker in self._workers if worker.task is None), None)
            if idle is None:
                if len(self._workers) >= self._settings.processes:
                    return
                idle = self._hire()
            idle.task = waiting.popleft()
            idle.left = deque(method.name for method in idle.task.methods)
            with contextlib.suppress(OSError):  # it died while idle: `_hear` finds out
                idle.line.send(idle.task)

    def _hire(self) -> _Worker:
        here, there = self._context.Pipe()
        process = self._context.Process(
            target=_work, args=(there, self._settings, self._explain), daemon=True, name="spatialreg-study"
        )
        process.start()
        there.close()
        worker = _Worker(process, here)
        self._workers.append(worker)
        return worker

    def _hear(self, worker: _Worker, waiting: deque[Task]) -> Measured | None:
        """The next measurement of a process; None where it has finished its task."""
        task = worker.task
        try:
            measured = worker.line.recv()
        except (EOFError, OSError):
            return self._bury(worker, task, waiting)
        if measured is None:
            worker.task = None
        else:
            worker.left.remove(measured.method)
        return measured

    def _bury(self, worker: _Worker, task: Task, waiting: deque[Task]) -> Measured | None:
        """A process has died: what it was doing has failed, what was still to come goes back into the row."""
        worker.process.join(PATIENCE_S)
        self._workers.remove(worker)
        worker.line.close()
        if not worker.left:
            return None
        failed = worker.left.popleft()
        if worker.left:
            waiting.appendleft(replace(task, methods=tuple(m for m in task.methods if m.name in worker.left)))
        code = worker.process.exitcode
        how = f"was ended by signal {-code}" if code is not None and code < 0 else f"ended with status {code}"
        reason = f"The process {how} while measuring, perhaps for want of memory: use fewer processes, or smaller images."
        return Measured(task.pair.name, failed, error=reason)


def _work(line: Connection, settings: StudySettings, explain: Explain) -> None:
    """The life of one process: tasks in, measurements and a None out, until the line is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C reaches the parent, which ends this one
    signal.signal(signal.SIGTERM, _leave)  # unwinds, so that programs it has started are ended, too
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    measuring = Measuring(settings, explain)
    with contextlib.suppress(EOFError, OSError, SystemExit):
        while True:
            task = line.recv()
            for measured in measuring.run(task):
                line.send(measured)
            line.send(None)


def _leave(*_: object) -> None:
    raise SystemExit(0)
