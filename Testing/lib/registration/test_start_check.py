"""What speaks against an affine start is told, and nothing is told of a good one."""

from __future__ import annotations

import numpy as np
import physical
import pytest
import torch

from SpatialRegularizationLib.geometry import Grid, Volume
from SpatialRegularizationLib.phantoms.heads import two_subjects
from SpatialRegularizationLib.registration.register import register
from SpatialRegularizationLib.registration.settings import RegistrationSettings
from SpatialRegularizationLib.registration.start_check import doubts

QUICK = RegistrationSettings(levels=((4, 4, 2),), global_search="off", threads=1)
NO_MASKS = (None, None)


def head(where: Grid, shift: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Volume:
    """An egg with a face: a large blob, a nose, two unequal eyes and a bright crown; no symmetry."""
    points = physical.voxel_centers(where) - physical.CENTER - np.array(shift)
    values = np.zeros(where.shape)
    parts = ((100, (0, 0, 0), 16), (80, (0, -17, -4), 4), (60, (7, -10, 8), 4), (90, (-8, -9, 7), 3), (70, (2, 6, 17), 6))
    for height, center, width in parts:
        values += height * np.exp(-((points - np.array(center)) ** 2).sum(-1) / (2 * width**2))
    return Volume(torch.from_numpy(values.astype(np.float32))[None], where)


def cube(count: int = 40, spacing: float = 2.0) -> Grid:
    return physical.grid("LPS", shape=(count,) * 3, spacing=(spacing,) * 3)


def turned(volume: Volume, turn: np.ndarray) -> Volume:
    """The same voxels under a header that is turned about the middle of the image."""
    about = np.eye(4)
    about[:3, :3] = turn
    about[:3, 3] = np.array(volume.grid.center) - turn @ np.array(volume.grid.center)
    return Volume(volume.data, Grid.from_affine(about @ volume.grid.affine, volume.grid.shape))


def noted(fixed: Volume, moving: Volume) -> list[str]:
    """The notes of a registration about its start."""
    return [note for note in register(fixed, moving, QUICK).notes if "not to be trusted" in note]


def test_a_good_start_is_not_doubted() -> None:
    assert noted(head(cube()), head(cube(), (6.0, -4.0, 3.0))) == []
    pair = two_subjects((48, 56, 48))
    assert noted(pair.fixed, pair.moving) == []


TURNS = {"x": np.diag([1.0, -1, -1]), "y": np.diag([-1.0, 1, -1]), "quarter": physical.rotation(np.pi / 2, 0, 0)}


@pytest.mark.parametrize("turn", TURNS.values(), ids=TURNS)
def test_an_image_upside_down_or_turned_is_told(turn: np.ndarray) -> None:
    fixed = head(cube())
    moving = turned(fixed, turn)
    right = np.eye(4)
    right[:3, :3] = turn
    right[:3, 3] = np.array(fixed.grid.center) - turn @ np.array(fixed.grid.center)
    assert doubts((fixed, moving), NO_MASKS, right, np.eye(4)) == ()
    sentences = doubts((fixed, moving), NO_MASKS, np.eye(4), np.eye(4))
    assert any("turned by" in sentence and "upside down" in sentence for sentence in sentences)


def test_a_small_overlap_is_told() -> None:
    fixed, other = head(cube()), cube()
    moving = head(Grid(other.shape, other.spacing, tuple(np.array(other.origin) + np.array([45.0, 0, 0])), other.direction))
    sentences = doubts((fixed, moving), NO_MASKS, np.eye(4), np.eye(4))
    assert any("share only" in sentence for sentence in sentences)
    assert not any("share only" in s for s in doubts((fixed, fixed), NO_MASKS, np.eye(4), np.eye(4)))


def test_content_in_a_corner_of_an_empty_image_is_told_unless_a_mask_names_it() -> None:
    small = head(cube(24, 2.0))
    wide = torch.zeros(1, 80, 80, 80)
    wide[:, :24, :24, :24] = small.data
    image = Volume(wide, Grid((80,) * 3, small.grid.spacing, small.grid.origin, small.grid.direction))
    sentences = doubts((image, image), NO_MASKS, np.eye(4), np.eye(4))
    assert [s for s in sentences if "fills only" in s and "fixed" in s]
    assert [s for s in sentences if "fills only" in s and "moving" in s]
    mask = image.with_data((wide > 1).to(torch.uint8))
    assert not any("fills only" in s for s in doubts((image, image), (mask, mask), np.eye(4), np.eye(4)))


def test_a_start_that_leaves_structures_less_alike_is_told() -> None:
    fixed = head(cube())
    textured = fixed.with_data(fixed.data + 5 * torch.randn(fixed.data.shape, generator=torch.Generator().manual_seed(0)))
    away = np.eye(4)
    away[:3, 3] = 12
    assert any("less alike" in sentence for sentence in doubts((textured, textured), NO_MASKS, away, np.eye(4)))
    assert not any("less alike" in sentence for sentence in doubts((textured, textured), NO_MASKS, np.eye(4), away))
