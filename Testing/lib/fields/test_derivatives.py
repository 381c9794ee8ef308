"""Determinants of digital maps: closed forms, identities of every map, and SimpleITK through patient space."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
import torch

import analytic
from SpatialRegularizationLib.fields import derivatives
from SpatialRegularizationLib.fields.derivatives import determinant_slabs, jacobian_determinant
from SpatialRegularizationLib.geometry import DisplacementField, Grid

SHAPE = (7, 8, 9)


def _linear(matrix: torch.Tensor, shape: tuple[int, ...] = SHAPE) -> torch.Tensor:
    """u with φ = A p."""
    x = analytic.lattice(shape)
    return torch.einsum("ca,aijk->cijk", matrix.double(), x) - x


def _summary(u: torch.Tensor, *, interior: bool = False) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    slabs = determinant_slabs(u, interior=interior)
    parts = [(s.central.clone(), s.smallest_corner.clone(), s.negative_volume.clone()) for s in slabs]
    return tuple(torch.cat(values) for values in zip(*parts, strict=True))


def _all_ten(u: torch.Tensor) -> torch.Tensor:
    """(10, i, j, k) of a periodic displacement, from the definition, one determinant at a time."""
    steps = {"+": 1, "-": -1}

    def moved(*step: int) -> torch.Tensor:
        rolled = torch.roll(u, [-s for s in step], dims=(1, 2, 3))
        return rolled - u + torch.tensor(step, dtype=u.dtype).view(3, 1, 1, 1)

    def det(*columns: torch.Tensor) -> torch.Tensor:
        return torch.linalg.det(torch.stack(columns).permute(2, 3, 4, 1, 0))

    ten = []
    for sx in "+-":
        for sy in "+-":
            for sz in "+-":
                x, y, z = steps[sx], steps[sy], steps[sz]
                ten.append(det(x * moved(x, 0, 0), y * moved(0, y, 0), z * moved(0, 0, z)))
    ten.append(det(moved(-1, -1, 0), moved(-1, 0, -1), moved(0, -1, -1)))
    ten.append(det(moved(1, 1, 0), moved(0, 1, 1), moved(1, 0, 1)))
    return torch.stack(ten)


@pytest.mark.parametrize("shift", [0.0, 3.7])
def test_identity_and_translation_have_determinant_one_everywhere(shift) -> None:
    u = torch.full((3, *SHAPE), shift, dtype=torch.float64)
    central, smallest, negative = _summary(u)
    torch.testing.assert_close(central, torch.ones(SHAPE, dtype=torch.float64))
    torch.testing.assert_close(smallest, central)
    assert negative.abs().max() == 0


def test_an_affine_map_has_the_determinant_of_its_matrix_and_twice_in_the_central_tetrahedra() -> None:
    matrix = torch.tensor([[1.2, 0.1, -0.2], [0.3, 0.9, 0.1], [0.0, -0.1, 1.1]]).double()
    u = _linear(matrix)
    expected = torch.linalg.det(matrix)
    central, smallest, _ = _summary(u, interior=True)
    torch.testing.assert_close(central, expected.expand_as(central))
    torch.testing.assert_close(smallest, expected.expand_as(smallest))
    ten = _all_ten(u)[:, 1:-1, 1:-1, 1:-1]
    torch.testing.assert_close(ten[8:], (2 * expected).expand_as(ten[8:]))
    torch.testing.assert_close(jacobian_determinant(u[None], interior=True)[0, 0], central)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_reflection_is_one_non_diffeomorphic_voxel_per_voxel(axis) -> None:
    matrix = torch.eye(3)
    matrix[axis, axis] = -1
    central, smallest, negative = _summary(_linear(matrix), interior=True)
    torch.testing.assert_close(central, -torch.ones_like(central))
    torch.testing.assert_close(smallest, central)
    torch.testing.assert_close(negative, torch.ones_like(central))


def test_summaries_equal_the_ten_determinants_by_definition() -> None:
    u = torch.randn(3, *SHAPE, dtype=torch.float64)
    ten = _all_ten(u)[:, 1:-1, 1:-1, 1:-1]
    central, smallest, negative = _summary(u, interior=True)
    torch.testing.assert_close(central, ten[:8].mean(0))
    torch.testing.assert_close(smallest, ten[:8].amin(0))
    torch.testing.assert_close(negative, (-ten).clamp(min=0).sum(0) / 12)


def test_the_central_determinant_is_the_mean_of_the_eight_corners() -> None:
    u = torch.randn(2, 3, *SHAPE, dtype=torch.float64)
    direct = jacobian_determinant(u)
    for field, expected in zip(u, direct, strict=True):
        torch.testing.assert_close(_summary(field)[0], expected[0])


def test_the_tetrahedra_of_a_periodic_map_fill_the_volume_exactly() -> None:
    u = torch.randn(3, *SHAPE, dtype=torch.float64)
    assert float(_all_ten(u).sum() / 12) == pytest.approx(np.prod(SHAPE))


def test_one_displaced_voxel_is_seen_by_the_corners_and_not_by_the_central_determinant() -> None:
    u = torch.zeros(3, *SHAPE, dtype=torch.float64)
    u[0, 3, 4, 4] = 1.4
    central, smallest, negative = _summary(u)
    assert central[3, 4, 4] == 1
    assert smallest[3, 4, 4] < 0
    assert negative[3, 4, 4] > 0


@pytest.mark.parametrize("axes", [(1, 0, 2), (0, 2, 1), (2, 1, 0)])
def test_swapping_two_axes_with_their_components_changes_nothing(axes) -> None:
    u = torch.randn(3, *SHAPE, dtype=torch.float64)
    swapped = u[list(axes)].permute(0, *[1 + a for a in axes])
    for value, other in zip(_summary(u), _summary(swapped), strict=True):
        torch.testing.assert_close(other, value.permute(axes))


def test_border_voxels_see_the_displacement_repeated() -> None:
    u = torch.randn(3, *SHAPE, dtype=torch.float64)
    padded = torch.nn.functional.pad(u[None], (1,) * 6, mode="replicate")[0]
    for value, other in zip(_summary(u), _summary(padded, interior=True), strict=True):
        torch.testing.assert_close(other, value)


def test_slabs_of_any_thickness_give_the_same(monkeypatch) -> None:
    u = torch.randn(3, 11, 6, 5, dtype=torch.float64)
    whole = _summary(u)
    for voxels in (30, 60, 150):
        monkeypatch.setattr(derivatives, "CPU_SLAB_VOXELS", voxels)
        for value, other in zip(whole, _summary(u), strict=True):
            torch.testing.assert_close(other, value, rtol=0, atol=0)


@pytest.mark.parametrize("shape", [(1, 5, 6), (2, 2, 2), (5, 1, 1)])
def test_thin_lattices_work(shape) -> None:
    central, _, negative = _summary(torch.zeros(3, *shape))
    assert central.shape == shape
    assert torch.equal(central, torch.ones(shape))
    assert negative.max() == 0


def test_single_precision_agrees_with_double() -> None:
    u = torch.randn(1, 3, *SHAPE, dtype=torch.float64)
    single = jacobian_determinant(u.float())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), jacobian_determinant(u), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("interior", [False, True])
def test_the_central_determinant_is_differentiable(interior) -> None:
    u = torch.randn(1, 3, 3, 4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: jacobian_determinant(x, interior=interior), u)


ROTATION = ((0.9553, -0.2404, 0.1721), (0.2955, 0.7773, -0.5557), (0.0, 0.5817, 0.8134))
DIRECTIONS = {
    "LPS": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "RAS": ((-1, 0, 0), (0, -1, 0), (0, 0, 1)),
    "LAS": ((1, 0, 0), (0, -1, 0), (0, 0, 1)),
    "LIA": ((1, 0, 0), (0, 0, -1), (0, -1, 0)),
    "oblique": tuple(map(tuple, np.linalg.qr(np.array(ROTATION))[0])),
}


def _smooth_displacement(grid: Grid) -> torch.Tensor:
    knots = torch.randn(1, 3, 4, 4, 4)
    return torch.nn.functional.interpolate(knots, size=grid.shape, mode="trilinear")[0].double()


def _vector_image(vectors: torch.Tensor, grid: Grid) -> sitk.Image:
    image = sitk.GetImageFromArray(vectors.permute(3, 2, 1, 0).contiguous().numpy(), isVector=True)
    image.SetSpacing(grid.spacing)
    image.SetOrigin(grid.origin)
    image.SetDirection(np.ravel(grid.direction).tolist())
    return image


@pytest.mark.parametrize("name", DIRECTIONS)
def test_voxel_determinants_equal_those_of_the_physical_map_in_simpleitk(name) -> None:
    grid = Grid((7, 8, 6), (0.8, 1.5, 3.0), (-20.0, 31.0, 7.0), DIRECTIONS[name])
    u = _smooth_displacement(grid)
    transform = sitk.DisplacementFieldTransform(_vector_image(DisplacementField.from_voxels(u, grid).vectors, grid))
    inner = np.stack(np.meshgrid(*[np.arange(1, n - 1) for n in grid.shape], indexing="ij"), -1)

    def mapped(step: np.ndarray) -> np.ndarray:
        points = grid.index_to_point(inner + step).reshape(-1, 3)
        return np.array([transform.TransformPoint(point) for point in points.tolist()]).reshape(inner.shape)

    columns = [(mapped(step) - mapped(-step)) / 2 for step in np.eye(3)]
    physical = np.stack(columns, -1) @ np.linalg.inv(grid.affine[:3, :3])
    found = jacobian_determinant(u[None], interior=True)[0, 0]
    np.testing.assert_allclose(found.numpy(), np.linalg.det(physical), rtol=1e-6, atol=1e-6)


def test_voxel_determinants_equal_simpleitks_jacobian_filter() -> None:
    """On axes along LPS only: ITK's filter takes no account of the direction of a grid."""
    grid = Grid((10, 12, 9), (0.8, 1.5, 3.0), (-20.0, 31.0, 7.0), DIRECTIONS["LPS"])
    u = _smooth_displacement(grid)
    image = _vector_image(DisplacementField.from_voxels(u, grid).vectors, grid)
    filtered = sitk.GetArrayFromImage(sitk.DisplacementFieldJacobianDeterminant(image))
    expected = torch.as_tensor(filtered).permute(2, 1, 0)[1:-1, 1:-1, 1:-1].double()
    torch.testing.assert_close(jacobian_determinant(u[None], interior=True)[0, 0], expected, rtol=1e-5, atol=1e-5)
