"""A scene of the real MRML libraries without the desktop application: for tests marked `slicer`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from slicer_scene import Application
    from SpatialRegularizationGui.run.worker import ProcessWorker

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2] / "SpatialRegularization")]


@pytest.fixture
def scene() -> Iterator[Application]:
    """A fresh scene, installed as that of the process; skips where slicer-core is absent."""
    pytest.importorskip("slicer", reason="needs the slicer-core package")
    from slicer_scene import fresh_scene  # late: the folder of this file is on the path only now

    made = fresh_scene()
    yield made
    made.mrml.Clear(True)


@pytest.fixture(scope="module")
def worker() -> Iterator[ProcessWorker]:
    """A worker process of one thread."""
    from SpatialRegularizationGui.run.channels import PipeChannel
    from SpatialRegularizationGui.run.worker import ProcessWorker

    made = ProcessWorker(PipeChannel, environment={"OMP_NUM_THREADS": "1"})
    yield made
    made.stop()


@pytest.fixture(scope="module")
def model(folder: Path) -> str:
    """File of a tiny Hyper model."""
    return str(folder / "model.safetensors")
