"""TM-SPR and conditional TM-SPR: priors and ranges belong together, and a small one learns."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from SpatialRegularizationLib.fields.sampling import warp
from SpatialRegularizationLib.models.base import RegistrationModel
from SpatialRegularizationLib.models.catalogue import build_model
from SpatialRegularizationLib.networks.heads import WeightRange

SWIN = {"channels": 8, "patch": 2, "depths": [1, 1, 1], "heads": [2, 2, 2], "window": [1, 1, 1], "time_steps": 2}


def _blob(center: float) -> Tensor:
    axes = [torch.arange(n, dtype=torch.float32) - c for n, c in zip((24, 24, 24), (center, 11.5, 11.5), strict=True)]
    distance = sum(a.square() for a in torch.meshgrid(*axes, indexing="ij"))
    return torch.exp(-distance / 32)[None, None]


def _energy(model: RegistrationModel, moving: Tensor, fixed: Tensor) -> Tensor:
    condition = model.condition()
    prediction = model(moving, fixed, condition)
    u = model.displacement(prediction, tuple(fixed.shape[2:]))
    return model.objective(condition)(warp(moving, u), fixed, u, model.lambda_on(prediction, tuple(fixed.shape[2:]))).total


@pytest.mark.parametrize("backbone", [SWIN, {"kind": "unet", "encoder": [8, 8, 8], "decoder": [8, 8], "final": []}])
def test_a_small_network_learns_to_register_a_pair(backbone: dict) -> None:
    model = build_model({"system": "tm-spr", "backbone": backbone, "prior": {"kind": "beta", "lambda_max": 0.5}})
    moving, fixed = _blob(10.0), _blob(13.0)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(40):
        optimizer.zero_grad()
        _energy(model, moving, fixed).backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        u = model.displacement(model(moving, fixed), (24, 24, 24))
    before, after = ((image - fixed).square().mean() for image in (moving, warp(moving, u)))
    assert float(after) < 0.3 * float(before)


def test_the_gaussian_prior_has_weights_without_upper_limit_and_the_beta_prior_relative_ones() -> None:
    gaussian = build_model({"system": "tm-spr", "backbone": SWIN, "prior": {"kind": "gaussian", "lambda_mean": 2.0}})
    beta = build_model({"system": "tm-spr", "backbone": SWIN, "prior": {"kind": "beta", "lambda_max": 2.0}})
    assert (gaussian.settings.head.range, beta.settings.head.range) == (WeightRange.SOFTPLUS, WeightRange.SIGMOID)
    pair = torch.rand(1, 1, 16, 16, 16), torch.rand(1, 1, 16, 16, 16)
    for model in (gaussian, beta):
        torch.nn.init.constant_(model.head.out.bias, 50.0)
    assert float(gaussian(*pair).lambda_map.detach().min()) > 50
    assert torch.allclose(beta(*pair).lambda_map, torch.full((), 2.0))


def test_the_released_sigmoid_head_goes_with_the_gaussian_prior_where_a_checkpoint_needs_it() -> None:
    model = build_model(
        {"system": "tm-spr", "backbone": SWIN, "prior": {"kind": "gaussian"}, "head": {"range": "sigmoid", "tap": "fine"}}
    )
    assert model.settings.head.range is WeightRange.SIGMOID


def test_conditional_tm_spr_has_the_beta_prior_with_eta_over_log_epsilon() -> None:
    model = build_model({"system": "conditional-tm-spr", "backbone": SWIN, "epsilon": 1e-4})
    prior = model.objective(model.condition({"eta": 0.8})).prior
    assert prior.alpha_prime == pytest.approx(0.8 / abs(math.log(1e-4)))
    assert prior.lambda_max == 5.0
    assert float(model.condition({"eta": 0.8})[0, 0]) == pytest.approx(0.4)


@pytest.mark.parametrize("form", ["paper", "released"])
def test_conditional_tm_spr_answers_differently_to_different_conditions(form: str) -> None:
    model = build_model({"system": "conditional-tm-spr", "backbone": SWIN, "conditioning": {"form": form}}).eval()
    for step in model.network.steps:
        torch.nn.init.normal_(step.out.weight, std=0.05)
    pair = torch.rand(1, 1, 16, 16, 16), torch.rand(1, 1, 16, 16, 16)
    with torch.no_grad():
        answers = [model(*pair, model.condition({"eta": eta})) for eta in (0.1, 1.9)]
    for a, b in zip(*[(p.parameters.velocity, p.lambda_map) for p in answers], strict=True):
        assert not torch.allclose(a, b, atol=1e-4)
    with pytest.raises(ValueError, match="needs a condition"):
        model(*pair)
    with pytest.raises(ValueError, match="needs a condition"):
        model.objective()


def test_released_and_paper_conditioning_differ_in_what_they_steer() -> None:
    paper, released = (
        build_model({"system": "conditional-tm-spr", "backbone": SWIN, "conditioning": {"form": form}})
        for form in ("paper", "released")
    )
    styles = [{name for name, _ in m.named_parameters() if ".style." in name} for m in (paper, released)]
    assert any(name.startswith("network.up.") for name in styles[0])
    assert not any(name.startswith("network.up.") for name in styles[1])
    assert styles[1] < styles[0]


def test_a_conditional_network_for_more_than_eta_is_refused() -> None:
    with pytest.raises(ValueError, match="one hyperparameter"):
        build_model({"system": "conditional-tm-spr", "conditioning": {"size": 2}})
