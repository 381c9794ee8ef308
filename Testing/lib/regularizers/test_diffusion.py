"""Weighted diffusion against its sum, voxel by voxel: both ends, voxel sizes, slabs, gradients."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import Tensor

from analytic import Affine, lattice
from conformance import check_gradient, displacement, weights
from SpatialRegularizationLib.regularizers import diffusion
from SpatialRegularizationLib.regularizers.diffusion import WeightedDiffusion, WeightEnd, gradient_energy, weighted_diffusion

SHAPES = [(4, 3, 5), (1, 4, 3), (6, 5)]
SPACINGS = [None, (1.0, 1.5, 3.0)]


def _direct(u: Tensor, lambda_map: Tensor, end: WeightEnd, spacing: tuple[float, ...] | None) -> float:
    """1/(d² N) Σ_p λ |∇u|² in Python numbers."""
    d, shape = u.shape[1], tuple(u.shape[2:])
    s = spacing or (1.0,) * d
    total = 0.0
    for n, axis in product(range(u.shape[0]), range(d)):
        for p in product(*(range(size) for size in shape)):
            q = tuple(v + (a == axis) for a, v in enumerate(p))
            if q[axis] == shape[axis]:
                continue
            weight = float(lambda_map[(n, 0, *(p if end is WeightEnd.NEAR else q))])
            for c in range(d):
                step = float(u[(n, c, *q)] - u[(n, c, *p)]) * s[c] / s[axis]
                total += weight * step**2
    return total / (d * u.numel())


def _plain(u: Tensor, lambda_map: Tensor, end: WeightEnd, spacing: tuple[float, ...] | None) -> Tensor:
    """The same through differences that autograd sees."""
    d = u.shape[1]
    s = torch.tensor(spacing or (1.0,) * d, dtype=u.dtype)
    total = u.new_zeros(())
    for axis in range(d):
        n = u.shape[2 + axis] - 1
        weight = lambda_map.narrow(2 + axis, end.value, n) if n else lambda_map.narrow(2 + axis, 0, 0)
        scaled = u.diff(dim=2 + axis) * (s / s[axis]).view(1, -1, *[1] * d)
        total = total + (weight * scaled**2).sum()
    return total / (d * u.numel())


def _pair(shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Two displacements in a batch, two weights."""
    u, lambda_map = displacement(shape), weights(shape)
    return torch.cat([u, u.flip(2) ** 2]), torch.cat([lambda_map, 0.5 - lambda_map])


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("end", list(WeightEnd))
@pytest.mark.parametrize("shape", SHAPES)
def test_the_value_is_the_sum_over_all_differences(shape, end: WeightEnd, spacing) -> None:
    u, lambda_map = _pair(shape)
    spacing = spacing and spacing[: len(shape)]
    found = weighted_diffusion(u, lambda_map, end=end, spacing=spacing)
    assert float(found) == pytest.approx(_direct(u, lambda_map, end, spacing), rel=1e-12)


@pytest.mark.parametrize("voxels", [1, 40, 10**6])
@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("end", list(WeightEnd))
@pytest.mark.parametrize("shape", [*SHAPES, (7, 4, 5)])
def test_value_and_gradients_are_those_of_autograd_in_slabs_of_any_size(
    shape, end: WeightEnd, spacing, voxels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diffusion, "PLANES_VOXELS", voxels)
    inputs = [x.requires_grad_(True) for x in _pair(shape)]
    spacing = spacing and spacing[: len(shape)]
    found = weighted_diffusion(*inputs, end=end, spacing=spacing)
    expected = _plain(*inputs, end, spacing)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(torch.autograd.grad(3 * found, inputs), torch.autograd.grad(3 * expected, inputs))


@pytest.mark.parametrize("end", list(WeightEnd))
@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("c", [0.0, 0.7, 12.0])
def test_one_weight_everywhere_is_that_many_times_the_plain_energy(end: WeightEnd, spacing, c: float) -> None:
    u = displacement((5, 4, 6))
    plain = weighted_diffusion(u, 1.0, end=end, spacing=spacing)
    torch.testing.assert_close(weighted_diffusion(u, c, end=end, spacing=spacing), c * plain)
    constant = torch.full((1, 1, 5, 4, 6), c, dtype=torch.float64)
    torch.testing.assert_close(weighted_diffusion(u, constant, end=end, spacing=spacing), c * plain)


def test_the_gradient_for_u_with_a_number_as_weight_agrees_with_finite_differences() -> None:
    check_gradient(lambda u: weighted_diffusion(u, 0.3, spacing=(1.0, 2.0, 0.5)), [displacement((4, 3, 5))])


def test_a_linear_displacement_has_the_norm_of_its_matrix() -> None:
    matrix = torch.tensor([[0.1, -0.3, 0.2], [0.0, 0.2, 0.5], [-0.4, 0.1, 0.3]], dtype=torch.float64)
    u = Affine(matrix, (2.0, 2.0, 2.0)).value(lattice((5, 5, 5)))[None]
    inside = gradient_energy(u)[..., :-1, :-1, :-1]
    torch.testing.assert_close(inside, (matrix**2).sum() / 9 * torch.ones_like(inside))


def test_voxel_sizes_measure_the_physical_displacement() -> None:
    matrix, s = torch.tensor([[0.1, -0.3, 0.2], [0.0, 0.2, 0.5], [-0.4, 0.1, 0.3]], dtype=torch.float64), (0.8, 1.0, 3.0)
    sizes = torch.tensor(s, dtype=torch.float64)
    in_voxels = matrix * sizes[None, :] / sizes[:, None]  # the map with this matrix in millimetres
    u = Affine(in_voxels, (2.0, 2.0, 2.0)).value(lattice((5, 5, 5)))[None]
    inside = gradient_energy(u, spacing=s)[..., :-1, :-1, :-1]
    torch.testing.assert_close(inside, (matrix**2).sum() / 9 * torch.ones_like(inside))
    doubled = tuple(2 * size for size in s)
    torch.testing.assert_close(gradient_energy(u, spacing=doubled), gradient_energy(u, spacing=s))


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_energy_is_the_mean_of_weight_times_gradient_energy(shape, spacing) -> None:
    u, lambda_map = _pair(shape)
    spacing = spacing and spacing[: len(shape)]
    expected = (lambda_map * gradient_energy(u, spacing=spacing)).mean()
    torch.testing.assert_close(weighted_diffusion(u, lambda_map, spacing=spacing), expected)


def test_the_regularizer_is_its_function() -> None:
    u, lambda_map = displacement((4, 5, 3)), weights((4, 5, 3))
    regularizer = WeightedDiffusion(WeightEnd.FAR, (1.0, 2.0, 3.0))
    expected = weighted_diffusion(u, lambda_map, end=WeightEnd.FAR, spacing=(1.0, 2.0, 3.0))
    assert torch.equal(regularizer(u, lambda_map), expected)
