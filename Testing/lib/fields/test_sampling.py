"""Reading between the voxels: exact on linear images, equal to `grid_sample`, the same in slabs, fill as drawn."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from analytic import lattice
from conformance import check_gradient
from SpatialRegularizationLib.fields import sampling
from SpatialRegularizationLib.fields.sampling import sample_linear, sample_nearest, voxel_coordinates, warp

ROW = torch.tensor([1.0, 2.0, 4.0, 8.0], dtype=torch.float64).view(1, 1, 4, 1)


@pytest.fixture
def three_threads() -> Iterator[None]:
    """Three chunks of points, and a remainder for most shapes."""
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def _noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _plain(image: Tensor, coordinates: Tensor) -> Tensor:
    """The same through PyTorch's own function and autograd."""
    sizes = torch.tensor(image.shape[2:], dtype=image.dtype)
    grid = (2 * coordinates.movedim(1, -1) / (sizes - 1) - 1).flip(-1)
    return F.grid_sample(image, grid, mode="bilinear", padding_mode="border", align_corners=True)


def _along_the_row(positions: list[float]) -> Tensor:
    """Coordinates (1, 2, n, 1) along the first axis of ROW."""
    first = torch.tensor(positions, dtype=torch.float64)
    return torch.stack([first, torch.zeros_like(first)]).view(1, 2, -1, 1)


@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 5), (1, 4, 3)])
def test_at_the_voxel_centres_the_image_comes_back(shape: tuple[int, ...]) -> None:
    coordinates = voxel_coordinates(shape, dtype=torch.float64)
    assert torch.equal(coordinates, lattice(shape))
    image = _noise(2, 3, *shape)
    batch = coordinates.expand(2, *coordinates.shape)
    torch.testing.assert_close(sample_linear(image, batch), image)
    assert torch.equal(sample_nearest(image, batch), image)
    torch.testing.assert_close(warp(image, torch.zeros_like(batch)), image)


def test_a_linear_image_is_reproduced_between_the_voxels() -> None:
    slope = torch.tensor([0.7, -1.3, 0.2], dtype=torch.float64).view(3, 1, 1, 1)
    image = (lattice((6, 5, 7)) * slope).sum(0)[None, None]
    sizes = torch.tensor([5.0, 4.0, 6.0], dtype=torch.float64).view(1, 3, 1, 1, 1)
    positions = torch.rand(1, 3, 4, 4, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * sizes
    torch.testing.assert_close(sample_linear(image, positions), (positions * slope).sum(1, keepdim=True))


@pytest.mark.usefixtures("three_threads")
@pytest.mark.parametrize(("shape", "points"), [((5, 4, 7), (3, 5, 4)), ((5, 4, 7), (1, 1, 2)), ((6, 9), (7, 5))])
def test_values_and_gradients_are_those_of_grid_sample(shape: tuple[int, ...], points: tuple[int, ...]) -> None:
    image = _noise(2, 3, *shape).requires_grad_(True)
    positions = (2 + 2.5 * _noise(2, len(shape), *points, seed=1)).requires_grad_(True)
    weight = _noise(2, 3, *points, seed=2)
    ours = sample_linear(image, positions)
    plain = _plain(image, positions)
    torch.testing.assert_close(ours, plain)
    for mine, theirs in zip(
        torch.autograd.grad((ours * weight).sum(), (image, positions)),
        torch.autograd.grad((plain * weight).sum(), (image, positions)),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.usefixtures("three_threads")
@pytest.mark.parametrize("points", [1, 24, 10**6])
def test_warping_in_slabs_is_warping_at_once(points: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "SLAB_POINTS", points)
    image = _noise(2, 2, 5, 4, 3).requires_grad_(True)
    u = _noise(2, 3, 5, 4, 3, seed=1).requires_grad_(True)
    weight = _noise(2, 2, 5, 4, 3, seed=2)
    ours, plain = warp(image, u), _plain(image, u + lattice((5, 4, 3)))
    torch.testing.assert_close(ours, plain)
    expected = torch.autograd.grad((plain * weight).sum(), (image, u))
    found = torch.autograd.grad((ours * weight).sum(), (image, u))
    torch.testing.assert_close(found, expected)
    only_u = torch.autograd.grad((warp(image.detach(), u) * weight).sum(), u)
    torch.testing.assert_close(only_u[0], expected[1])


@pytest.mark.parametrize("fill", [None, -3.0])
@pytest.mark.parametrize("shape", [(4, 3, 5), (4, 5)])
def test_the_gradients_of_warping_agree_with_finite_differences(shape: tuple[int, ...], fill: float | None) -> None:
    check_gradient(lambda i, u: warp(i, u, fill=fill), [_noise(1, 2, *shape), _noise(1, len(shape), *shape, seed=1)])


def test_an_offset_reads_the_rest_of_a_larger_image() -> None:
    image, u = _noise(1, 2, 8, 7, 9), _noise(1, 3, 8, 7, 9, seed=1)
    part = u[:, :, 2:6, 1:5, 3:9]
    torch.testing.assert_close(warp(image, part, offset=(2, 1, 3)), warp(image, u)[:, :, 2:6, 1:5, 3:9])
    filled = warp(image, part, fill=9.0, offset=(2, 1, 3))
    torch.testing.assert_close(filled, warp(image, u, fill=9.0)[:, :, 2:6, 1:5, 3:9])
    check_gradient(lambda i, v: warp(i, v, offset=(2.25, 1, 3)), [image, part])


@pytest.mark.parametrize("sample", [sample_linear, sample_nearest])
def test_the_border_value_is_repeated_for_ever_or_for_half_a_voxel(sample) -> None:
    far = _along_the_row([-9.0, -0.51, -0.5, -0.4, 3.5, 3.51, 12.0])
    assert sample(ROW, far).flatten().tolist() == [1, 1, 1, 1, 8, 8, 8]
    assert sample(ROW, far, fill=5.0).flatten().tolist() == [5, 5, 1, 1, 8, 5, 5]


def test_between_two_centres_lie_their_weighted_mean_and_the_nearer_one() -> None:
    positions = _along_the_row([0.25, 0.5, 1.5, 2.75])
    torch.testing.assert_close(sample_linear(ROW, positions).flatten().tolist(), [1.25, 1.5, 3.0, 7.0])
    assert sample_nearest(ROW, positions).flatten().tolist() == [1, 2, 4, 8]


def test_nearest_keeps_the_integers_of_labels() -> None:
    labels = torch.arange(24, dtype=torch.int32).view(1, 1, 2, 3, 4)
    picked = sample_nearest(labels, voxel_coordinates((2, 3, 4))[None] + 0.3)
    assert picked.dtype == torch.int32
    assert torch.equal(picked, labels)


def test_an_axis_of_one_voxel_is_constant_and_moves_nothing() -> None:
    image, u = _noise(1, 1, 1, 5, 6), 0.4 * _noise(1, 3, 1, 5, 6, seed=1)
    in_plane = warp(image[:, :, 0], u[:, 1:, 0])
    torch.testing.assert_close(warp(image, u)[:, :, 0], in_plane)
