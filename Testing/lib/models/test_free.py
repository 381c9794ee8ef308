"""A velocity as the only parameter, with the weight in closed form at low resolution."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from analytic import Affine, gaussian_bump, lattice
from conformance import displacement
from SpatialRegularizationLib.fields.parameters import StationaryVelocity
from SpatialRegularizationLib.integrators.scaling_and_squaring import integrate_velocity
from SpatialRegularizationLib.models.free import Free, low_resolution_lambda
from SpatialRegularizationLib.priors.beta import BetaPrior
from SpatialRegularizationLib.regularizers.diffusion import gradient_energy

BETA = BetaPrior(1.0, 0.03)


def _unchanged(energy: Tensor) -> Tensor:
    return energy


def test_blocks_of_one_voxel_give_the_closed_form_at_every_voxel() -> None:
    u = displacement((5, 4, 6))
    expected = BETA.optimal_lambda(gradient_energy(u, spacing=(1.0, 2.0, 0.5)))
    found = low_resolution_lambda(u, BETA.optimal_lambda, pooling=1, spacing=(1.0, 2.0, 0.5))
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("pooling", [2, 3, 4])
@pytest.mark.parametrize("shape", [(12, 12, 12), (9, 7, 10), (3, 12, 2), (1, 5, 5)])
def test_the_weight_lies_between_those_of_the_blocks(shape: tuple[int, ...], pooling: int) -> None:
    u = displacement(shape)
    energy = gradient_energy(u)[0, 0]
    means = []
    sizes = [min(pooling, n) for n in shape]
    for i in range(0, shape[0], sizes[0]):
        for j in range(0, shape[1], sizes[1]):
            for k in range(0, shape[2], sizes[2]):
                part = energy[i : i + sizes[0], j : j + sizes[1], k : k + sizes[2]]
                means.append(BETA.optimal_lambda(part.mean()))
    found = low_resolution_lambda(u, BETA.optimal_lambda, pooling=pooling)
    assert found.shape == (1, 1, *shape)
    assert float(min(means)) - 1e-12 <= float(found.min())
    assert float(found.max()) <= float(max(means)) + 1e-12


@pytest.mark.parametrize("pooling", [3, 5])
def test_the_middle_of_a_block_has_the_weight_of_its_mean_energy(pooling: int) -> None:
    n = 3 * pooling
    u = displacement((n, n, n))
    found = low_resolution_lambda(u, BETA.optimal_lambda, pooling=pooling)[0, 0]
    half = pooling // 2
    for block in ((0, 0, 0), (1, 2, 0), (2, 2, 2), (1, 1, 1)):
        part = tuple(slice(pooling * b, pooling * (b + 1)) for b in block)
        middle = tuple(pooling * b + half for b in block)
        torch.testing.assert_close(found[middle], BETA.optimal_lambda(gradient_energy(u)[0, 0][part].mean()))


def test_upsampling_follows_a_linear_energy_between_the_blocks() -> None:
    u = torch.zeros(1, 3, 12, 4, 4, dtype=torch.float64)
    u[0, 1] = torch.cumsum(torch.arange(12, dtype=torch.float64).sqrt(), 0).roll(1).view(12, 1, 1)
    u[0, 1, 0] = 0  # forward differences √p along the first axis: the energy is p / 9
    energy = low_resolution_lambda(u, _unchanged, pooling=3)[0, 0, 1:7, 0, 0]
    torch.testing.assert_close(energy, torch.arange(1, 7, dtype=torch.float64) / 9)


def test_an_even_deformation_has_one_weight_and_a_local_one_is_less_bound_where_it_bends() -> None:
    matrix = torch.tensor([[0.1, 0.2, 0], [0, -0.1, 0], [0.3, 0, 0]], dtype=torch.float64)
    u = Affine(matrix, (6.0, 6.0, 6.0)).value(lattice((13, 13, 13)))[None]
    inside = low_resolution_lambda(u, BETA.optimal_lambda, pooling=4)[..., :6, :6, :6]
    torch.testing.assert_close(inside, BETA.optimal_lambda((matrix**2).sum() / 9).expand_as(inside))
    bump = gaussian_bump((16, 16, 16), height=(9.0, 0.0, 0.0), sigma=2.0)[None]
    weight = low_resolution_lambda(bump, BETA.optimal_lambda, pooling=4)[0, 0]
    assert float(weight[7, 7, 7]) < 0.5 * float(weight[0, 0, 0])
    assert float(weight[0, 0, 0]) == pytest.approx(1.0)


def test_the_weight_is_a_constant_for_the_gradient() -> None:
    u = displacement((6, 6, 6)).requires_grad_(True)
    weight = low_resolution_lambda(u, BETA.optimal_lambda, pooling=4)
    assert not weight.requires_grad
    assert weight.is_contiguous()


def test_the_velocity_is_the_only_parameter_and_starts_as_a_copy() -> None:
    start = displacement((6, 5, 7))
    model = Free(start, BETA.optimal_lambda, lambda_pooling=2, spacing=(1.0, 1.0, 2.0))
    assert [name for name, _ in model.named_parameters()] == ["velocity"]
    with torch.no_grad():
        model.velocity.zero_()
    assert float(start.abs().max()) > 0


def test_a_prediction_holds_the_velocity_and_its_weight() -> None:
    start = displacement((6, 5, 7))
    model = Free(start, BETA.optimal_lambda, lambda_pooling=2, spacing=(1.0, 1.0, 2.0))
    prediction = model()
    assert isinstance(prediction.parameters, StationaryVelocity)
    expected = low_resolution_lambda(start, BETA.optimal_lambda, pooling=2, spacing=(1.0, 1.0, 2.0))
    torch.testing.assert_close(prediction.lambda_map, expected)
    torch.testing.assert_close(model.lambda_map(start), expected)


def test_gradients_of_the_displacement_reach_the_velocity() -> None:
    start = displacement((6, 5, 7))
    model = Free(start, BETA.optimal_lambda)
    integrate_velocity(model.velocity, steps=4).square().sum().backward()
    assert float(model.velocity.grad.abs().max()) > 0
