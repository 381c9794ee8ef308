"""Structure tensors do not know contrasts, and turn with the image."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from SpatialRegularizationLib.geometry import Grid, Volume
from SpatialRegularizationLib.pose.structure import evenly, held, structure_of, turning

AXES = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


def cube(count: int = 24, spacing: float = 2.0) -> Grid:
    return Grid((count,) * 3, (spacing,) * 3, (-20.0, 10.0, 5.0), AXES)


def blobs(grid: Grid, seed: int = 0) -> Volume:
    random = np.random.default_rng(seed)
    index = np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), -1)
    data = np.zeros(grid.shape)
    for _ in range(8):
        center, width = random.uniform(6, 18, 3), random.uniform(2, 5)
        data += random.uniform(0.2, 1) * np.exp(-((index - center) ** 2).sum(-1) / width**2)
    return Volume(torch.from_numpy(data.astype(np.float32))[None], grid)


def test_inverted_and_scaled_intensities_give_the_same_tensors() -> None:
    image = blobs(cube())
    plain, inverted = (
        structure_of(image.with_data(f(image.data)), None, 4.0, blocks=2) for f in (lambda d: d, lambda d: 5 - 3 * d)
    )
    torch.testing.assert_close(plain.values, inverted.values, atol=1e-5, rtol=1e-4)


def test_a_plane_has_the_tensor_of_its_normal() -> None:
    grid = cube()
    ramp = torch.arange(24.0)[:, None, None].expand(24, 24, 24)[None].contiguous()
    structure = structure_of(Volume(ramp, grid), None, 4.0, blocks=2)
    expected = torch.tensor([0.5, 0, 0, 0, 0, 0])  # g gᵀ / (|g|² + ε²) with ε² = |g|² where every gradient is equal
    torch.testing.assert_close(structure.values, expected[:, None, None, None].expand_as(structure.values))


def test_turning_an_image_turns_its_tensors() -> None:
    image = blobs(cube())
    turn = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    pose = np.eye(4)
    pose[:3, :3] = turn
    turned = Volume(image.data, Grid.from_affine(pose @ image.grid.affine, image.grid.shape))
    here, there = (structure_of(v, None, 4.0, blocks=2).values for v in (image, turned))
    back = turning(torch.from_numpy(turn)).float()
    torch.testing.assert_close(torch.einsum("ab,bijk->aijk", back, there), here, atol=1e-5, rtol=1e-4)


def test_turning_is_the_conjugation_of_the_matrix_for_any_rotation() -> None:
    random = np.random.default_rng(1)
    rotation, _ = np.linalg.qr(random.normal(size=(3, 3)))
    matrix = random.normal(size=(3, 3))
    matrix = matrix + matrix.T
    stored = np.array(
        [matrix[0, 0], matrix[1, 1], matrix[2, 2], *(np.sqrt(2) * matrix[a, b] for a, b in ((0, 1), (0, 2), (1, 2)))]
    )
    wanted = rotation.T @ matrix @ rotation
    found = turning(torch.from_numpy(rotation)).numpy() @ stored
    np.testing.assert_allclose(found[:3], wanted.diagonal(), atol=1e-12)
    assert np.linalg.norm(found) == pytest.approx(np.linalg.norm(matrix))


def test_a_mask_leaves_nothing_outside() -> None:
    image = blobs(cube())
    mask = image.with_data((torch.arange(24) < 12).float()[:, None, None].expand(1, 24, 24, 24).contiguous())
    structure = structure_of(image, mask, 4.0, blocks=2)
    assert float(structure.values[:, 6:].abs().max()) == 0
    assert float(structure.inside[:6].min()) == 1
    assert float(held(mask, image.grid).mean()) == 0.5


@pytest.mark.parametrize("shape", [(24, 24, 1), (24, 24, 2), (90, 24, 3)])
def test_thin_images_have_tensors_too(shape: tuple[int, int, int]) -> None:
    grid = Grid(shape, (2.0, 2.0, 3.0), (0, 0, 0), AXES)
    image = Volume(torch.rand(1, *shape, generator=torch.Generator().manual_seed(0)), grid)
    structure = structure_of(image, None, 6.0, blocks=3)
    assert bool(structure.values.isfinite().all())
    assert float(structure.strength.max()) > 0


def test_an_even_lattice_keeps_the_place_of_things() -> None:
    grid = Grid((40, 30, 10), (1.0, 1.5, 5.0), (3, -2, 7), AXES)
    points = np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), -1)
    data = torch.from_numpy(grid.index_to_point(points) @ np.array([1.0, 2.0, -0.5])).float()[None]
    even = evenly(Volume(data, grid), 3.0)
    assert max(even.grid.spacing) < 1.3 * min(even.grid.spacing)
    points = np.stack(np.meshgrid(*[np.arange(n) for n in even.grid.shape], indexing="ij"), -1)
    np.testing.assert_allclose(even.data[0], even.grid.index_to_point(points) @ np.array([1.0, 2.0, -0.5]), atol=1e-3)
