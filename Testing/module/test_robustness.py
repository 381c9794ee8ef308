"""Many registrations in a row, some cancelled, some with the worker killed: nothing leaks, of processes, nodes and files."""

from __future__ import annotations

import gc
import os
import signal
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("slicer", reason="needs the slicer-core package")
pytestmark = [
    pytest.mark.slicer,
    pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="processes and memory are counted in /proc"),
]

from SpatialRegularizationGui.run.channels import PipeChannel  # noqa: E402
from SpatialRegularizationGui.run.events import Outcome  # noqa: E402
from SpatialRegularizationGui.run.worker import ProcessWorker  # noqa: E402
from watched_logic import ENDLESS, Watched, request  # noqa: E402

RUNS = int(os.environ.get("SPATIALREG_ROBUSTNESS_RUNS", "20"))
CANCELLED = {n for n in range(RUNS) if n % 5 == 2}
KILLED = {n for n in range(RUNS) if n % 10 == 6}
GROWTH_MB = 20.0
WARM_UP = 5
"""Runs before memory is measured: caches of VTK and Python fill at first."""


def children() -> set[int]:
    """Processes that this one has started and that live, zombies among them."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text(encoding="utf-8").rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[1]) == os.getpid():
            found.add(int(path.parent.name))
    return found


def resident_mb() -> float:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def test_nothing_leaks_whatever_happens_to_the_runs(scene: Any) -> None:
    before, threads = children(), len(os.listdir("/proc/self/task"))
    handles = len(os.listdir("/proc/self/fd"))
    watched = Watched(ProcessWorker(PipeChannel, environment={"OMP_NUM_THREADS": "1"}))
    ends: dict[str, int] = {"finished": 0, "failed": 0, "cancelled": 0}
    outputs, nodes, memory = None, 0, 0.0
    for n in range(RUNS):
        asked = request(scene, **({} if outputs is None else {"outputs": outputs}))
        if n in CANCELLED | KILLED:
            watched.begin(request(scene, outputs=asked.outputs, settings=ENDLESS))
            if n in KILLED:
                os.kill(watched.logic.pid, signal.SIGKILL)
            else:
                watched.logic.cancel()
            watched.idle()
        else:
            outcome = watched.run(asked)
            assert isinstance(outcome, Outcome), outcome
            outputs = outcome.outputs
        for name in ends:
            ends[name] += len(watched.named(name))
        if n == WARM_UP:
            memory, nodes = resident_mb(), scene.mrml.GetNumberOfNodes()
        jobs = list(Path(scene.temporary).glob("spatialreg-*"))
        assert len(jobs) <= 1, "only the last report is kept"
        assert len(children() - before) <= 1
    assert ends == {"finished": RUNS - len(CANCELLED | KILLED), "failed": len(KILLED), "cancelled": len(CANCELLED)}
    assert resident_mb() - memory < GROWTH_MB
    assert scene.mrml.GetNumberOfNodes() == nodes
    watched.logic.close()
    assert children() == before
    assert not list(Path(scene.temporary).glob("spatialreg-*"))
    assert len(os.listdir("/proc/self/task")) <= threads, "those of tests before may end, none may be added"
    assert len(os.listdir("/proc/self/fd")) <= handles + 1
