"""Less weight across the edges of an image: closed forms of the shares, special cases, and two organs that slide."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from conformance import check_gradient, displacement, textures, weights
from SpatialRegularizationLib.regularizers.diffusion import weighted_diffusion
from SpatialRegularizationLib.regularizers.edges import EdgeDiffusion, edge_shares

SHAPE = (12, 10, 8)


def _step(axis: int, shape: tuple[int, ...] = SHAPE) -> Tensor:
    """An image that jumps from 0 to 1 in the middle of an axis."""
    image = torch.zeros(1, 1, *shape, dtype=torch.float64)
    image.narrow(2 + axis, shape[axis] // 2, shape[axis] - shape[axis] // 2).fill_(1.0)
    return image


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_flat_border_relieves_the_axis_across_it_and_no_other(axis: int) -> None:
    shares = edge_shares(_step(axis), SHAPE, relief=0.9)
    assert shares.shape == (1, 3, *SHAPE)
    for other in {0, 1, 2} - {axis}:
        assert float(shares[0, other].min()) == 1.0
    across = shares[0, axis].movedim(axis, 0).flatten(1)
    middle = SHAPE[axis] // 2
    assert float(across[middle - 1 : middle + 1].max()) < 0.4
    assert float(across[0].min()) == 1.0
    assert float(shares.min()) > 0.1


def test_a_ramp_takes_half_of_the_relief() -> None:
    """T equals its mean but for the ends of the axis, where the slope is taken as none."""
    ramp = torch.arange(400, dtype=torch.float64).view(1, 1, -1, 1, 1).expand(1, 1, 400, 3, 3)
    shares = edge_shares(ramp.contiguous(), (400, 3, 3), relief=0.8)
    assert float(shares[0, 0, 200, 1, 1]) == pytest.approx(1 - 0.8 / 2, abs=0.004)


def test_slopes_are_physical() -> None:
    """An oblique ramp that is as steep along voxels of 3 mm as of 1 mm has 9 times the squared slope along the second."""
    i, j = torch.meshgrid(torch.arange(40.0), torch.arange(40.0), indexing="ij")
    ramp = (i + j)[None, None, :, :, None].expand(1, 1, 40, 40, 3).double().contiguous()
    shares = edge_shares(ramp, (40, 40, 3), relief=0.5, spacing=(1.0, 3.0, 1.0))[0, :, 20, 20, 1]
    assert float((1 - shares[0]) / (1 - shares[1])) == pytest.approx(9.0)


def test_no_relief_and_flat_images_are_weighted_diffusion() -> None:
    u, lambda_map = displacement(SHAPE), weights(SHAPE)
    expected = weighted_diffusion(u, lambda_map, spacing=(1.0, 1.5, 3.0))
    for image, relief in ((textures(SHAPE)[0], 0.0), (torch.full((1, 1, *SHAPE), 0.3, dtype=torch.float64), 0.9)):
        shares = edge_shares(image, SHAPE, relief=relief, spacing=(1.0, 1.5, 3.0))
        assert float(EdgeDiffusion(shares, (1.0, 1.5, 3.0))(u, lambda_map)) == pytest.approx(float(expected), rel=1e-9)


def test_a_channel_for_each_axis_weighs_the_differences_along_it() -> None:
    u, weight = displacement(SHAPE), torch.tensor([2.0, 0.0, 0.5], dtype=torch.float64).view(1, 3, 1, 1, 1)
    found = weighted_diffusion(u, weight.expand(1, 3, *SHAPE).contiguous())
    terms = [float((u.diff(dim=2 + axis) ** 2).sum()) for axis in range(3)]
    assert float(found) == pytest.approx((2.0 * terms[0] + 0.5 * terms[2]) / (3 * u.numel()), rel=1e-12)


def test_the_gradient_is_that_of_the_value() -> None:
    shares = edge_shares(textures(SHAPE)[0], SHAPE, relief=0.7)
    lambda_map = weights(SHAPE)
    check_gradient(lambda u: EdgeDiffusion(shares)(u, lambda_map), [displacement(SHAPE)])


def test_sliding_costs_less_than_the_same_shear_elsewhere() -> None:
    """Two halves move along their border in opposite directions."""
    shares = edge_shares(_step(0), SHAPE, relief=0.9)
    energies = []
    for at in (SHAPE[0] // 2, 2):
        u = torch.zeros(1, 3, *SHAPE, dtype=torch.float64)
        u[0, 2, :at], u[0, 2, at:] = 1.0, -1.0
        energies.append(float(EdgeDiffusion(shares)(u, torch.ones(1, 1, *SHAPE, dtype=torch.float64))))
    assert energies[0] < 0.4 * energies[1]


def test_the_shares_lie_on_the_lattice_of_the_velocity() -> None:
    shares = edge_shares(textures((20, 18, 16))[0], (10, 9, 8), relief=0.7)
    assert shares.shape == (1, 3, 10, 9, 8)
    assert 0.3 <= float(shares.min()) <= float(shares.max()) <= 1.0
