"""Fixtures of every test: two threads (one where processes share the tests), fixed seeds, and real images where there are any."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

# Threads that wait spin briefly and then sleep: several times faster where other programs use the cores too.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

import numpy as np
import pytest
import torch

if TYPE_CHECKING:
    from worker_talk import Conversation

REPOSITORY = Path(__file__).resolve().parent.parent

torch.set_num_threads(1 if "PYTEST_XDIST_WORKER" in os.environ else 2)


@pytest.fixture(autouse=True)
def _seeds() -> None:
    """Every test starts from the same random state, whatever ran before it."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real images that are not part of the repository; skips where it is absent.

    The environment variable SPATIALREG_SHARED_DATA names it; otherwise it is `shared/data` beside the checkout.
    """
    folder = Path(os.environ.get("SPATIALREG_SHARED_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real images not found at {folder}: set SPATIALREG_SHARED_DATA to a folder that holds them")
    return folder


@pytest.fixture(scope="session")
def shared_cases(shared_data: Path) -> Path:
    """Folder of damaged files, `cases/files` beside the real images; skips where it is absent."""
    folder = shared_data.parent / "cases" / "files"
    if not folder.is_dir():
        pytest.skip(f"damaged files not found at {folder}")
    return folder


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    """A folder with f.nii.gz and m.nii.gz, labels, masks and points of both: what the command line is tested on."""
    from command_line import write_pair  # late: the other tests need none of it

    return write_pair(tmp_path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """model.safetensors (a tiny Hyper model), f.nii.gz and m.nii.gz: what a worker is tested on."""
    from worker_talk import write_files

    return write_files(tmp_path_factory.mktemp("worker"))


@pytest.fixture
def talk() -> Iterator[Conversation]:
    """A worker to talk to."""
    from worker_talk import Conversation

    conversation = Conversation()
    yield conversation
    conversation.end()
