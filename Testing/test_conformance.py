"""Shape, gradient, error: the triad for every registered similarity, regularizer and prior."""

from __future__ import annotations

import pytest
import torch

import conformance as c
from SpatialRegularizationLib.priors.beta import BetaPrior
from SpatialRegularizationLib.priors.gaussian import GaussianPrior
from SpatialRegularizationLib.priors.uniform import UniformPrior
from SpatialRegularizationLib.similarity.lncc import Lncc
from SpatialRegularizationLib.similarity.mind import MindSsc

SHAPE = (6, 5, 7)


def _name(part: object) -> str:
    return repr(part).replace(" ", "")


@pytest.mark.parametrize("similarity", c.SIMILARITIES, ids=_name)
def test_a_similarity_is_a_differentiable_number(similarity) -> None:
    images = c.textures(SHAPE)
    c.check_scalar(similarity, images)
    c.check_gradient(similarity, images)
    c.check_single_precision(similarity, images, rtol=1e-3)


@pytest.mark.parametrize("similarity", c.SIMILARITIES, ids=_name)
def test_a_similarity_is_lowest_for_equal_images(similarity) -> None:
    warped, fixed = c.textures((12, 11, 10))
    assert float(similarity(fixed, fixed)) < 0.05
    assert float(similarity(warped, fixed)) > float(similarity(fixed, fixed))


@pytest.mark.parametrize("similarity", c.SIMILARITIES, ids=_name)
def test_an_image_of_one_value_gives_a_number_and_a_gradient(similarity) -> None:
    fixed = c.textures(SHAPE)[0]
    flat = torch.full_like(fixed, 0.3).requires_grad_(True)
    value = similarity(flat, fixed)
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(flat.grad).all()


@pytest.mark.parametrize("similarity", c.SIMILARITIES, ids=_name)
def test_a_masked_similarity_is_differentiable(similarity) -> None:
    warped, fixed = c.textures(SHAPE)
    mask = torch.zeros_like(fixed)
    mask[..., 1:5, 1:4, 2:6] = 1
    c.check_scalar(lambda a, b: similarity(a, b, mask), [warped, fixed])
    c.check_gradient(lambda a: similarity(a, fixed, mask), [warped])


@pytest.mark.parametrize("regularizer", c.REGULARIZERS, ids=_name)
def test_a_regularizer_is_a_differentiable_number_in_u_and_lambda(regularizer) -> None:
    u, lambda_map = c.displacement(SHAPE), c.weights(SHAPE)
    c.check_scalar(regularizer, [u, lambda_map])
    c.check_gradient(regularizer, [u, lambda_map])
    c.check_single_precision(regularizer, [u, lambda_map])


@pytest.mark.parametrize("regularizer", c.REGULARIZERS, ids=_name)
def test_a_constant_weight_multiplies_the_plain_regularizer(regularizer) -> None:
    u = c.displacement(SHAPE)
    constant = torch.full_like(c.weights(SHAPE), 0.7)
    torch.testing.assert_close(regularizer(u, constant), 0.7 * regularizer(u, torch.ones_like(constant)))
    torch.testing.assert_close(regularizer(u, constant), regularizer(u, 0.7))


@pytest.mark.parametrize("regularizer", c.REGULARIZERS, ids=_name)
def test_a_translation_costs_nothing_and_roughness_costs(regularizer) -> None:
    u = c.displacement(SHAPE)
    shift = torch.ones_like(u) * torch.tensor([1.0, -2.0, 0.5], dtype=u.dtype).view(1, 3, 1, 1, 1)
    lambda_map = c.weights(SHAPE)
    assert float(regularizer(shift, lambda_map)) == pytest.approx(0.0, abs=1e-15)
    assert float(regularizer(u, lambda_map)) > 0


@pytest.mark.parametrize("prior", c.PRIORS, ids=_name)
def test_a_prior_is_a_differentiable_number(prior) -> None:
    lambda_map = c.weights(SHAPE)
    c.check_scalar(prior, [lambda_map])
    if prior(lambda_map.requires_grad_(True)).requires_grad:
        c.check_gradient(prior, [lambda_map])


@pytest.mark.parametrize("prior", c.PRIORS, ids=_name)
def test_the_closed_form_weight_minimises_the_energy(prior) -> None:
    energy = torch.logspace(-4, 3, 300, dtype=torch.float64).view(1, 1, 10, 10, 3)
    c.check_closed_form(prior, energy)
    smooth = prior.optimal_lambda(torch.zeros_like(energy))
    assert torch.isfinite(smooth).all()


@pytest.mark.parametrize(
    ("part", "arguments", "message"),
    [
        (Lncc, {"window": 4}, "odd"),
        (MindSsc, {"dilation": 0}, "dilation"),
        (BetaPrior, {"lambda_max": 0.0}, "lambda_max must be positive"),
        (BetaPrior, {"alpha_prime": -1.0}, "alpha_prime must be at least 0"),
        (BetaPrior, {"lambda_floor": 2.0}, "lambda_floor"),
        (GaussianPrior, {"lambda_mean": float("nan")}, "lambda_mean must be positive"),
        (GaussianPrior, {"sigma_prime": -1.0}, "sigma_prime must be at least 0"),
        (UniformPrior, {"lambda_max": -1.0}, "lambda_max must be at least 0"),
    ],
)
def test_a_hyperparameter_outside_its_range_is_refused_in_a_sentence(part, arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        part(**arguments)


def test_parts_refuse_tensors_that_do_not_fit() -> None:
    small, large = c.textures((5, 5, 5))[0], c.textures((6, 6, 6))[0]
    c.check_refuses(Lncc(3), [small, large], "one shape")
    c.check_refuses(MindSsc().features, [small[0]], "MIND-SSC needs")
