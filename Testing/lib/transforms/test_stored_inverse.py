"""The stored inverse: right at every voxel of the fixed image as SimpleITK reads it, honest about what it misses, no jump."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import physical
import pytest
import SimpleITK as sitk
import torch

from SpatialRegularizationLib.fields.resize import gaussian_smooth
from SpatialRegularizationLib.fields.sampling import warp
from SpatialRegularizationLib.geometry import DisplacementField, Grid, SpatialTransform
from SpatialRegularizationLib.io.transforms import read_transform, write_transform
from SpatialRegularizationLib.transforms.diffeomorphism import corrected_inverse, displacement_of, without_folds
from SpatialRegularizationLib.transforms.mapping import transform_points
from SpatialRegularizationLib.transforms.stored_inverse import round_trip, stored_inverse

SHAPE = (26, 24, 22)


def velocity(seed: int, largest: float = 6.0, sigma: float = 2.5) -> torch.Tensor:
    """Random velocity (1, 3, *SHAPE) that does not vanish at the border; largest component in voxels."""
    v = gaussian_smooth(torch.randn(1, 3, *SHAPE, generator=torch.Generator().manual_seed(seed)), (sigma,) * 3)
    return without_folds(v * (largest / v.abs().max()), SHAPE)[0]


def random_grid(seed: int) -> Grid:
    """Oblique, anisotropic, left-handed for every other seed."""
    random = np.random.default_rng(seed)
    direction = physical.rotation(*random.uniform(-1, 1, 3)) @ np.diag([1.0, 1.0, -1.0 if seed % 2 else 1.0])
    return Grid(SHAPE, tuple(random.uniform(0.6, 3.0, 3)), tuple(random.uniform(-90, 90, 3)), tuple(map(tuple, direction)))


def files_of(folder: Path, seed: int, start: bool = True) -> tuple[Path, Path, Grid, tuple[float, float]]:
    """transform.h5 and inverse.h5 of a random deformation with an affine part, and the reported errors."""
    grid, v = random_grid(seed), velocity(seed)
    u = displacement_of(v, SHAPE)
    inverse = stored_inverse(u, displacement_of(-v, SHAPE) if start else None)
    forward = SpatialTransform(physical.affine(), DisplacementField.from_voxels(u[0], grid))
    write_transform(folder / "transform.h5", forward)
    write_transform(folder / "inverse.h5", inverse.transform(physical.affine(), grid))
    return folder / "transform.h5", folder / "inverse.h5", grid, round_trip(inverse, u, grid, grid)


@pytest.mark.parametrize("start", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_every_voxel_of_the_fixed_image_comes_back_as_reported(tmp_path: Path, seed: int, start: bool) -> None:
    forward, back, grid, (most, largest) = files_of(tmp_path, seed, start)
    points = physical.voxel_centers(grid).reshape(-1, 3)
    there = physical.itk_points(sitk.ReadTransform(str(forward)), points)
    missed = np.linalg.norm(physical.itk_points(sitk.ReadTransform(str(back)), there) - points, axis=1)
    assert np.percentile(missed, 99) <= max(0.1, 0.1 * min(grid.spacing))
    assert missed.max() <= largest
    assert largest - missed.max() < 5e-3
    assert abs(np.percentile(missed, 99) - most) < 1e-2
    left = ~grid.contains(there @ np.linalg.inv(physical.affine())[:3, :3].T + np.linalg.inv(physical.affine())[:3, 3])
    assert left.any()  # points that the old inverse, on the fixed grid, knew nothing of


def test_the_library_reads_its_own_inverse_as_simpleitk_does(tmp_path: Path) -> None:
    _, back, grid, _ = files_of(tmp_path, 5)
    points = physical.inner_points(grid, 200, margin=-6.0)
    ours = transform_points(read_transform(back), points)
    np.testing.assert_allclose(ours, physical.itk_points(sitk.ReadTransform(str(back)), points), atol=1e-4)


def test_the_inverse_has_no_jump_where_its_lattice_ends(tmp_path: Path) -> None:
    """Far outside only the affine map is left; on the way there no step is longer than the map is steep."""
    back = files_of(tmp_path, 6)[1]
    transform = read_transform(back)
    lattice = transform.displacement.grid
    center = np.array(lattice.center)
    for axis in range(3):
        way = np.linspace(0, 1.2 * lattice.extent[axis], 4000)
        points = center + np.outer(way, np.array(lattice.direction)[:, axis])
        points = points @ physical.affine()[:3, :3].T + physical.affine()[:3, 3]
        found = transform_points(transform, points)
        longest = np.linalg.norm(np.diff(points, axis=0), axis=1).max()
        assert np.linalg.norm(np.diff(found, axis=0), axis=1).max() < 8 * longest
        affine = points @ np.linalg.inv(physical.affine())[:3, :3].T + np.linalg.inv(physical.affine())[:3, 3]
        np.testing.assert_allclose(found[-1], affine[-1], atol=1e-6)


def test_errors_are_measured_at_the_fixed_voxels_where_the_field_is_coarser() -> None:
    u = displacement_of(velocity(7), SHAPE)
    inverse = stored_inverse(u)
    coarse = random_grid(7)
    fine = coarse.resized(tuple(2 * n - 1 for n in SHAPE))
    at_nodes, between = round_trip(inverse, u, coarse, coarse), round_trip(inverse, u, coarse, fine)
    forward = SpatialTransform(displacement=DisplacementField.from_voxels(u[0], coarse))
    points = physical.voxel_centers(fine).reshape(-1, 3)
    back = transform_points(inverse.transform(np.eye(4), coarse), transform_points(forward, points))
    missed = np.linalg.norm(back - points, axis=1)
    assert abs(missed.max() - between[1]) < 5e-3
    assert between[0] > at_nodes[0]


def test_rest_is_its_own_inverse() -> None:
    rest = torch.zeros(1, 3, *SHAPE)
    inverse = stored_inverse(rest)
    assert not inverse.wide.any()
    assert not inverse.correction.any()
    grid = random_grid(0)
    assert round_trip(inverse, rest, grid, grid)[1] <= 1.1e-3


def test_a_shift_leads_out_of_the_lattice_and_back() -> None:
    u = torch.full((1, 3, *SHAPE), 7.0)
    grid = random_grid(1)
    assert round_trip(stored_inverse(u), u, grid, grid)[1] < 2e-3


@pytest.mark.parametrize("largest", [2.0, 6.0, 9.0])
def test_the_correction_of_a_first_inverse_reaches_its_tolerance(largest: float) -> None:
    v = velocity(2, largest, sigma=3.0)
    u = displacement_of(v, SHAPE)
    plain = displacement_of(-v, SHAPE)
    e = corrected_inverse(u, plain.clone(), tolerance=0.02)
    assert float(u.norm(dim=1).max()) > 0.7 * largest
    residual = (warp(u, e) + e).norm(dim=1)[0]
    position = e[0] + torch.stack(torch.meshgrid(*[torch.arange(n) for n in SHAPE], indexing="ij"))
    inside = ((position >= 0) & (position <= torch.tensor(SHAPE).view(3, 1, 1, 1) - 1)).all(0)
    assert float(residual[inside].max()) < 0.021
    assert float((warp(u, plain) + plain).norm(dim=1)[0][inside].max()) > 0.03
