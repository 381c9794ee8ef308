"""The search covers all rotations and names the right one among its few."""

from __future__ import annotations

import numpy as np
import pytest

from SpatialRegularizationLib.geometry import Grid, Volume
from SpatialRegularizationLib.geometry.transform import degrees_apart
from SpatialRegularizationLib.pose.search import ROTATIONS, search, spread_rotations
from SpatialRegularizationLib.pose.structure import structure_of
from Testing.lib.pose.test_structure import blobs, cube


def posed(rotation: np.ndarray) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = rotation
    return matrix


def drawn(seed: int) -> np.ndarray:
    rotation, upper = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    rotation = rotation * np.sign(np.diag(upper))
    return posed(rotation * np.sign(np.linalg.det(rotation)))


def test_every_rotation_is_near_one_of_the_spread_ones() -> None:
    spread = spread_rotations(ROTATIONS)
    np.testing.assert_allclose(np.einsum("nab,ncb->nac", spread, spread), np.broadcast_to(np.eye(3), spread.shape), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(spread), 1, atol=1e-12)
    nearest = [
        np.degrees(np.arccos(np.clip((np.einsum("nab,ab->n", spread, drawn(n)[:3, :3]).max() - 1) / 2, -1, 1)))
        for n in range(400)
    ]
    assert max(nearest) < 30
    assert np.mean(nearest) < 19


@pytest.mark.parametrize("seed", range(6))
def test_a_turned_and_shifted_image_is_found_whatever_its_contrast(seed: int) -> None:
    fixed = blobs(cube())
    pose = drawn(seed)
    pose[:3, 3] = np.random.default_rng(seed).uniform(-200, 200, 3)
    moving = Volume(3 - 2 * fixed.data, Grid.from_affine(pose @ fixed.grid.affine, fixed.grid.shape))
    found = search(*(structure_of(image, None, 5.0, blocks=2) for image in (fixed, moving)), wanted=3)
    assert [f.score for f in found] == sorted((f.score for f in found), reverse=True)
    near = [f for f in found if degrees_apart(f.matrix, pose) < 30]
    assert near
    center = np.append(fixed.grid.center, 1.0)
    assert min(np.linalg.norm((f.matrix - pose) @ center) for f in near) < 12
