"""A registration runs through few files: what a newcomer has to read to follow it is counted, and may not grow.

The search for the start (`pose/`, 4 files) and the verdict (`verdict`, `evidence`, `second_look`) come with every registration.
The verdict registers back on a small lattice, so a network's answer passes through the descent and its energy, too.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import bending

import SpatialRegularizationLib
from SpatialRegularizationLib import PRESETS, register
from SpatialRegularizationLib.phantoms.trial_pair import trial_pair
from SpatialRegularizationLib.zoo.card import load_model

LIBRARY = str(Path(SpatialRegularizationLib.__file__).parent)
QUICK = replace(PRESETS["generic"], global_search="on", levels=((4, 4, 2), (2, 4, 2)), max_voxels=30_000)


def files_of(*images: Any, **how: Any) -> set[str]:
    """The files of the library whose functions a registration calls."""
    files: set[str] = set()

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_name != "<module>" and frame.f_code.co_filename.startswith(LIBRARY):
            files.add(frame.f_code.co_filename)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        register(*images, QUICK, **how)
    finally:
        sys.setprofile(before)
    return files


def test_a_registration_without_a_network_runs_through_at_most_44_files() -> None:
    grid = bending.cube(24, 4.0)
    assert 30 < len(files_of(bending.image(grid, bending.Bend()), bending.image(grid))) <= 44


def test_a_registration_with_a_network_runs_through_at_most_63_files() -> None:
    name = "any-shapes-hyper"
    _, card = load_model(name)
    assert 44 < len(files_of(*trial_pair(card.training_grid, card.intensity), model=name)) <= 63
