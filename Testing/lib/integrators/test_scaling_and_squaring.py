"""The exponential map against closed-form flows and a plain autograd implementation."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from analytic import Affine, SeparableSine, Sine, determinant, lattice
from conformance import check_gradient
from SpatialRegularizationLib.fields.sampling import warp
from SpatialRegularizationLib.integrators.scaling_and_squaring import integrate_velocity, steps_for

SHAPE = (9, 8, 10)
SPIRAL = Affine(torch.tensor([[-0.6, -0.5, 0.1], [0.5, -0.7, 0.0], [0.0, 0.2, -0.5]], dtype=torch.float64), (4.0, 3.5, 4.5))
"""Inwards, so that no path leaves the lattice; linear, so that interpolation is exact."""


def _smooth(shape: tuple[int, ...], amplitude: float = 1.0) -> Tensor:
    d = len(shape)
    field = Sine(tuple(float(n) for n in shape), (amplitude, -0.8 * amplitude, 0.6 * amplitude)[:d])
    return field.value(lattice(shape))[None]


def _plain(velocity: Tensor, steps: int) -> Tensor:
    """Scaling and squaring through `grid_sample` and autograd alone."""
    shape = velocity.shape[2:]
    sizes = torch.tensor(shape, dtype=velocity.dtype)
    identity = lattice(tuple(shape)).to(velocity)
    u = velocity / 2**steps
    for _ in range(steps):
        grid = (2 * (identity + u).movedim(1, -1) / (sizes - 1) - 1).flip(-1)
        u = u + F.grid_sample(u, grid, mode="bilinear", padding_mode="border", align_corners=True)
    return u


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 7])
@pytest.mark.parametrize("shape", [(5, 6, 4), (7, 9)])
def test_value_and_gradient_are_those_of_plain_autograd(steps: int, shape: tuple[int, ...]) -> None:
    velocity = torch.cat([_smooth(shape, 2.0), _smooth(shape, -0.7)]).requires_grad_(True)
    weight = torch.randn(velocity.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    u, expected = integrate_velocity(velocity, steps=steps), _plain(velocity, steps)
    torch.testing.assert_close(u, expected)
    found = torch.autograd.grad((u * weight).sum(), velocity)[0]
    torch.testing.assert_close(found, torch.autograd.grad((expected * weight).sum(), velocity)[0])


def test_a_volume_of_one_plane_moves_as_the_plane_does() -> None:
    plane = _smooth((7, 9), 2.0)
    volume = torch.cat([torch.zeros_like(plane[:, :1]), plane], dim=1)[:, :, None]
    torch.testing.assert_close(integrate_velocity(volume)[:, 1:, 0], integrate_velocity(plane))


@pytest.mark.parametrize("steps", [0, 1, 4])
def test_the_gradient_agrees_with_finite_differences(steps: int) -> None:
    check_gradient(lambda v: integrate_velocity(v, steps=steps), [_smooth((4, 5, 3))])


def test_the_error_halves_with_every_squaring() -> None:
    x = lattice(SHAPE)
    velocity, exact = SPIRAL.value(x)[None], SPIRAL.flow(x)[None]
    errors = [float((integrate_velocity(velocity, steps=n) - exact).abs().max()) for n in range(4, 13)]
    orders = [math.log2(a / b) for a, b in pairwise(errors)]
    assert orders == pytest.approx([1.0] * len(orders), abs=0.06)


def test_the_error_of_interpolation_falls_with_the_square_of_the_resolution() -> None:
    errors = []
    for n in (33, 65, 129):
        field = SeparableSine((n, n), (0.1 * (n - 1), -0.08 * (n - 1)))
        x = lattice((n, n))
        u = integrate_velocity(field.value(x)[None], steps=18)[0]
        errors.append(float((u - field.flow(x)).abs().max()) / (n - 1))
    orders = [math.log2(a / b) for a, b in pairwise(errors)]
    assert min(orders) > 1.7


@pytest.mark.parametrize("shape", [(13, 12, 11), (24, 5, 7), (31, 29)])
@pytest.mark.parametrize("steps", [3, 5, 7])
def test_the_inverse_is_the_exponential_of_the_opposite(shape: tuple[int, ...], steps: int) -> None:
    field = SeparableSine(shape, tuple(0.08 * n for n in shape))
    velocity = field.value(lattice(shape))[None]
    forward, backward = integrate_velocity(velocity, steps=steps), integrate_velocity(-velocity, steps=steps)
    for first, second in ((forward, backward), (backward, forward)):
        residual = first + warp(second, first)
        assert float(residual.abs().max()) < 0.05 * float(forward.abs().max())


def test_residual_of_the_inverse_falls_with_the_number_of_steps() -> None:
    velocity = SPIRAL.value(lattice(SHAPE))[None]
    residuals = []
    for steps in (2, 4, 6, 8):
        forward, backward = integrate_velocity(velocity, steps=steps), integrate_velocity(-velocity, steps=steps)
        residuals.append(float((forward + warp(backward, forward))[:, :, 3:6, 3:6, 3:6].abs().max()))
    assert all(later < earlier for earlier, later in pairwise(residuals))


def test_a_flow_from_a_strong_velocity_does_not_fold() -> None:
    shape = (17, 17)
    field = SeparableSine(shape, (6.0, -5.0))
    velocity = field.value(lattice(shape))[None]
    for u, folds in ((velocity, True), (integrate_velocity(velocity, steps=8), False)):
        gradients = [u[0].diff(dim=1 + axis)[:, :16, :16] for axis in range(2)]
        smallest = float(determinant(torch.stack(gradients, dim=1)).min())
        assert (smallest <= 0) == folds


def test_constant_velocities_translate_and_no_velocity_stays() -> None:
    velocity = torch.ones(1, 3, 4, 5, 6) * torch.tensor([1.5, -7.0, 0.25]).view(1, 3, 1, 1, 1)
    torch.testing.assert_close(integrate_velocity(velocity), velocity)
    assert torch.equal(integrate_velocity(torch.zeros(1, 3, 4, 5, 6)), torch.zeros(1, 3, 4, 5, 6))


def test_the_input_is_left_alone_and_the_dtype_kept() -> None:
    velocity = _smooth(SHAPE).float()
    before = velocity.clone()
    for steps in (0, 3):
        assert integrate_velocity(velocity, steps=steps).dtype == torch.float32
    assert torch.equal(velocity, before)


def test_the_number_of_steps_follows_the_speed() -> None:
    def moving(speed: float) -> Tensor:
        return torch.full((1, 3, 2, 2, 2), speed / 3**0.5)

    assert [steps_for(moving(s)) for s in (0.0, 0.2, 0.9, 7.9, 1e6)] == [1, 1, 2, 5, 10]
    assert steps_for(moving(0.9), largest_step=1.0) == 1
    assert steps_for(torch.zeros(0, 3, 2, 2, 2)) == 1


def test_a_negative_number_of_steps_is_refused() -> None:
    with pytest.raises(ValueError, match="squaring steps must be at least 0, got -1"):
        integrate_velocity(_smooth(SHAPE), steps=-1)
