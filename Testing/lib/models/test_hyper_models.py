"""Hyper systems: the condition steers the second half of a network, and each condition is a system we know."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from SpatialRegularizationLib.fields.sampling import warp
from SpatialRegularizationLib.models.catalogue import build_model, describe
from SpatialRegularizationLib.models.hyper_model import Conditioned, HyperModel
from SpatialRegularizationLib.models.hyper_tm_spr import PAPER, HyperTmSpr, HyperTmSprSettings
from SpatialRegularizationLib.models.tm_spr import TmSpr
from SpatialRegularizationLib.networks.blocks import ConvBlock
from SpatialRegularizationLib.networks.heads import HeadSettings, WeightRange
from SpatialRegularizationLib.networks.norms import NormKind
from SpatialRegularizationLib.priors.beta import BetaPrior

SHAPE = (32, 16, 16)
SWIN = {"channels": 8, "patch": 2, "depths": [1, 1, 1], "heads": [2, 2, 2], "window": [2, 1, 1], "time_steps": 2}
UNET = {"kind": "unet", "encoder": [4, 8, 8], "decoder": [8, 8], "final": [4]}
SYSTEMS = (
    {"system": "hyper-tm-spr", "backbone": SWIN},
    {"system": "hyper-tm-spr", "backbone": SWIN, "conditioned": "all"},
    {"system": "hyper-tm-spr", "backbone": SWIN, "hyper": {"mode": "low-rank", "rank": 2}},
    {"system": "hyper-tm-spr", "backbone": UNET},
    {"system": "hyper-transmorph", "backbone": SWIN},
    {"system": "hypermorph", "backbone": UNET},
    {"system": "hypermorph", "backbone": UNET, "conditioned": "all", "hyper": {"mode": "full", "widths": [4, 8]}},
)


def name_of(description: dict) -> str:
    return "-".join(str(v if isinstance(v, str) else v.get("kind", v.get("mode", ""))) for v in description.values())


def trained(description: dict) -> HyperModel:
    """A model in evaluation mode whose parameters are away from their start."""
    model = build_model(description).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            size = 0.05 if "generators" in name or name.endswith("out.weight") else 0.0
            parameter.add_(size * torch.randn(parameter.shape))
    return model


def pair() -> tuple[Tensor, Tensor]:
    return torch.rand(1, 1, *SHAPE), torch.rand(1, 1, *SHAPE)


def ends(model: HyperModel) -> tuple[Tensor, Tensor]:
    """The conditions at the lower and the upper end of all ranges."""
    low, high = ({h.name: getattr(h, end) for h in model.hyperparameters} for end in ("low", "high"))
    return model.condition(low), model.condition(high)


def velocity(model: HyperModel, images: tuple[Tensor, Tensor], condition: Tensor) -> Tensor:
    return model(*images, condition).parameters.velocity


@pytest.mark.parametrize("description", SYSTEMS, ids=name_of)
def test_the_condition_matters_to_the_field_and_to_lambda(description: dict) -> None:
    model, images = trained(description), pair()
    low, high = (model(*images, condition) for condition in ends(model))
    change = (low.parameters.velocity - high.parameters.velocity).abs().max()
    assert change > 1e-3 * low.parameters.velocity.abs().max()
    if description["system"] == "hyper-tm-spr":
        w = [model.lambda_on(p, SHAPE) / value for p, value in ((low, 0.05), (high, 5.0))]
        assert all(x.min() >= 0 and x.max() <= 1 for x in w)
        assert (w[0] - w[1]).abs().max() > 1e-3
    else:
        assert low.lambda_map is None


@pytest.mark.parametrize("description", SYSTEMS, ids=name_of)
def test_the_two_halves_are_the_whole(description: dict) -> None:
    model, images = trained(description), pair()
    kept = None if model.encoder_conditioned else model.encode(*images)
    for condition in ends(model):
        encoded = model.encode(*images, condition) if kept is None else kept
        halves, whole = model.decode(encoded, condition), model(*images, condition)
        assert torch.allclose(halves.parameters.velocity, whole.parameters.velocity, atol=1e-6)
        if whole.lambda_map is not None:
            assert torch.allclose(halves.lambda_map, whole.lambda_map, atol=1e-6)


def test_only_models_conditioned_everywhere_have_a_first_half_that_changes() -> None:
    for description in SYSTEMS:
        model, images = trained(description), pair()
        assert model.encoder_conditioned == (description.get("conditioned") == "all")
        if model.encoder_conditioned:
            low, high = (model.encode(*images, c).encoding.features[0] for c in ends(model))
            assert (low - high).abs().max() > 1e-4


@pytest.mark.parametrize("description", SYSTEMS, ids=name_of)
def test_every_generated_parameter_reaches_the_answer(description: dict) -> None:
    """No layer is conditioned whose scale or shift a norm takes away again."""
    model, images = trained(description), pair()
    prediction = model(*images, ends(model)[1])
    loss = prediction.parameters.velocity.square().mean()
    if prediction.lambda_map is not None:
        loss = loss + prediction.lambda_map.square().mean()
    loss.backward()
    sizes = {
        name: float(sum(p.grad.abs().sum() for p in generator.parameters()))
        for name, generator in zip(model.hyper.names, model.hyper.generators, strict=True)
    }
    assert min(sizes.values()) > 1e-4 * sorted(sizes.values())[len(sizes) // 2], sizes


def test_film_steers_the_norm_and_not_the_convolution_before_it() -> None:
    model = build_model(SYSTEMS[0])
    blocks = {name: block for name, block in model.inner.named_modules() if isinstance(block, ConvBlock)}
    assert blocks
    assert not {f"{name}.conv" for name in blocks} & set(model.hyper.names)
    assert all(block.norm.affine for block in blocks.values())
    assert model.inner.settings.backbone.norm is NormKind.AFFINE
    heads = {name for name in model.hyper.names if name.endswith("out")}
    steps = [name for name in blocks if name.startswith(("network.steps", "head"))]
    assert {f"{name}.norm" for name in steps} - {"network.steps.0.pair.norm"} == set(model.hyper.names) - heads


def test_a_frozen_condition_is_tm_spr() -> None:
    model, images = trained(SYSTEMS[1]), pair()
    condition = model.condition({"alpha_prime": 0.15, "lambda_max": 2.5})
    frozen = model.hyper.frozen(condition)
    assert type(frozen) is TmSpr
    expected, answer = frozen(*images), model(*images, condition)
    assert torch.equal(answer.parameters.velocity, expected.parameters.velocity)
    assert torch.allclose(answer.lambda_map, 2.5 * expected.lambda_map)


def test_the_objective_at_a_condition_is_that_of_tm_spr_there() -> None:
    model = build_model(SYSTEMS[0])
    settings = model.inner.settings
    tm_spr = TmSpr(replace(settings, prior=BetaPrior(lambda_max=1.25, alpha_prime=0.1)))
    warped, fixed = pair()
    u, lambda_map = 0.3 * torch.randn(1, 3, *SHAPE), 1.25 * torch.rand(1, 1, *SHAPE)
    condition = model.condition({"alpha_prime": 0.1, "lambda_max": 1.25})
    here, there = (o(warped, fixed, u, lambda_map).numbers() for o in (model.objective(condition), tm_spr.objective()))
    assert here == pytest.approx(there, rel=1e-5)


def test_hypermorph_weighs_similarity_against_diffusion() -> None:
    for description in (SYSTEMS[4], SYSTEMS[5]):
        model = build_model(description)
        warped, fixed = pair()
        u = 0.3 * torch.randn(1, 3, *SHAPE)
        none, half, all_ = (model.objective(model.condition({"lambda": x}))(warped, fixed, u, None) for x in (0.0, 0.5, 1.0))
        assert none.regularization == 0
        assert all_.similarity == 0
        assert float(half.total) == pytest.approx(0.5 * float(none.total + all_.total), rel=1e-5)


@pytest.mark.parametrize("description", [SYSTEMS[0], SYSTEMS[1], SYSTEMS[3]], ids=name_of)
def test_checkpointing_gives_the_same_gradients(description: dict) -> None:
    model, images = trained(description), pair()
    condition = model.condition({})

    def gradients() -> list[Tensor]:
        model.zero_grad()
        prediction = model(*images, condition)
        u = model.displacement(prediction, SHAPE)
        lambda_map = model.lambda_on(prediction, SHAPE)
        model.objective(condition)(warp(images[0], u), images[1], u, lambda_map).total.backward()
        return [p.grad.clone() for p in model.parameters() if p.grad is not None]

    kept = gradients()
    model.use_checkpointing()
    for a, b in zip(kept, gradients(), strict=True):
        assert torch.allclose(a, b, atol=1e-6 + 1e-4 * float(a.abs().max()))


def test_a_description_rebuilds_the_model() -> None:
    for description in SYSTEMS:
        model = build_model(description)
        again = build_model(describe(model))
        assert describe(again) == describe(model)
        again.load_state_dict(model.state_dict())
        assert again.hyperparameters == model.hyperparameters


def test_hyper_tm_spr_of_the_papers_size_costs_a_fiftieth_of_the_released_hypernetwork() -> None:
    model = HyperTmSpr()
    summary = model.summary()
    plain = sum(p.numel() for p in TmSpr().parameters())
    assert summary.total == sum(p.numel() for p in model.parameters())
    assert summary.total <= 1_611_830_520 / 50
    assert summary.total <= 1.02 * plain
    everywhere = HyperTmSpr(HyperTmSprSettings(conditioned=Conditioned.ALL)).summary()
    assert summary.total < everywhere.total <= 1_611_830_520 / 50


def test_the_papers_form_generates_every_layer_from_a_code_network_of_its_own() -> None:
    settings = HyperTmSpr(HyperTmSprSettings(**_small(), hyper=PAPER, conditioned=Conditioned.ALL))
    summary = settings.summary()
    code = sum(a * b + b for a, b in ((2, 32), (32, 64), (64, 64), (64, 128), (128, 128)))
    assert summary.code == code * len(summary.layers)
    assert all(layer.parameters == 128 * layer.conditioned for layer in summary.layers)
    assert settings.encoder_conditioned


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"head": HeadSettings(range=WeightRange.SOFTPLUS)}, "range sigmoid"),
        ({"lambda_max_range": (0.0, 5.0)}, "begin above 0"),
        ({"alpha_prime_range": (0.1,)}, "two numbers each"),
    ],
)
def test_settings_that_mean_nothing_are_refused(changes: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        HyperTmSprSettings(**changes)


def test_a_default_outside_of_its_range_is_refused() -> None:
    with pytest.raises(ValueError, match="alpha_prime must be"):
        HyperTmSpr(HyperTmSprSettings(**_small(), alpha_prime_range=(0.0, 0.1), default_alpha_prime=0.2))


def test_a_missing_condition_is_refused_with_the_names_it_needs() -> None:
    model = build_model(SYSTEMS[0])
    with pytest.raises(ValueError, match=r"\(1, 2\) of alpha_prime, lambda_max"):
        model(*pair())
    with pytest.raises(ValueError, match=r"alpha_prime must be from 0 to 0\.2"):
        model.condition({"alpha_prime": 0.3})


def _small() -> dict:
    return {"backbone": build_model(SYSTEMS[0]).settings.backbone}
