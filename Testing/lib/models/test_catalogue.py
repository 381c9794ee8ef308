"""Every system can be described, built again from its description, and complains about what it does not know."""

from __future__ import annotations

import json

import pytest
import torch

from SpatialRegularizationLib.models.catalogue import SIZES, SYSTEMS, build_model, describe

SWIN = {"channels": 4, "patch": 2, "depths": [1, 1, 1], "heads": [2, 2, 2], "window": [1, 1, 1], "time_steps": 2}
UNET = {"kind": "unet", "encoder": [4, 4, 4], "decoder": [4, 4], "final": []}
with torch.device("meta"):
    KINDS = {system: describe(build_model({"system": system}))["backbone"]["kind"] for system in SYSTEMS}
BACKBONES = {system: UNET if kind == "unet" else SWIN for system, kind in KINDS.items()}


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_model_built_from_its_own_description_takes_its_parameters_and_answers_alike(system: str) -> None:
    model = build_model({"system": system, "backbone": BACKBONES[system]}).eval()
    description = json.loads(json.dumps(describe(model)))
    again = build_model(description).eval()
    assert describe(again) == description
    again.load_state_dict(model.state_dict())
    pair = torch.rand(1, 1, 16, 16, 16), torch.rand(1, 1, 16, 16, 16)
    condition = model.condition()
    ours, theirs = model(*pair, condition), again(*pair, again.condition())
    shape = (16, 16, 16)
    assert torch.equal(model.displacement(ours, shape), again.displacement(theirs, shape))


KNOWN = {
    "tm-spr": (37357, 0.905925, 0.9227458),
    "conditional-tm-spr": (86517, 0.7600441, 0.8484616),
    "transmorph-tvf": (36384, 0.8951593, 0.7652121),
    "voxelmorph": (3155, 0.01087454, 0.7569366),
    "hyper-tm-spr": (89493, 0.7197688, 0.7808871),
    "hyper-transmorph": (86168, 0.7755701, 0.6005588),
    "hypermorph": (37139, 0.1843522, 0.5944895),
}
"""System → parameters, mean length of the displacement (voxels), energy; measured before systems of one kind shared a page."""


@torch.no_grad()
@pytest.mark.parametrize("system", SYSTEMS)
def test_every_system_answers_as_it_always_did(system: str) -> None:
    torch.manual_seed(5)
    generator = torch.Generator().manual_seed(1)
    model = build_model({"system": system, "backbone": BACKBONES[system]}).eval()
    for parameter in model.parameters():
        parameter.add_(0.02 * torch.randn(parameter.shape, generator=generator))
    moving, fixed = (torch.rand(1, 1, 16, 16, 16, generator=generator) for _ in range(2))
    condition = model.condition({h.name: h.low + 0.2 * (h.high - h.low) for h in model.hyperparameters})
    prediction = model(moving, fixed, condition)
    u, lambda_map = (f(prediction, (16, 16, 16)) for f in (model.displacement, model.lambda_on))
    energy = model.objective(condition)(moving, fixed, u, lambda_map)
    found = sum(p.numel() for p in model.parameters()), float(u.norm(dim=1).mean()), float(energy.total)
    assert found == pytest.approx(KNOWN[system], rel=1e-5)


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_objective_of_every_system_is_finite_and_has_gradients(system: str) -> None:
    model = build_model({"system": system, "backbone": BACKBONES[system], "lncc_window": 5})
    moving, fixed = torch.rand(1, 1, 16, 16, 16), torch.rand(1, 1, 16, 16, 16)
    condition = model.condition()
    prediction = model(moving, fixed, condition)
    u, lambda_map = (f(prediction, (16, 16, 16)) for f in (model.displacement, model.lambda_on))
    energy = model.objective(condition)(moving + u.mean(1, keepdim=True), fixed, u, lambda_map)
    energy.total.backward()
    assert energy.numbers()["total"] > 0
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert gradients
    assert all(bool(torch.isfinite(g).all()) for g in gradients)


@pytest.mark.parametrize("kind", SIZES)
def test_tiny_models_have_at_most_a_million_parameters_and_sizes_grow(kind: str) -> None:
    system = {"transmorph-tvf": "tm-spr", "unet": "voxelmorph"}[kind]
    with torch.device("meta"):
        models = [build_model({"system": system, "size": size}) for size in ("tiny", "small", "paper")]
    counts = [sum(p.numel() for p in model.parameters()) for model in models]
    assert counts[0] <= 1_000_000
    assert counts == sorted(set(counts))


def test_the_shape_of_the_images_decides_the_windows_unless_they_are_given() -> None:
    with torch.device("meta"):
        fitted = build_model({"system": "tm-spr", "size": "tiny", "image_shape": [45, 64, 47]})
        given = build_model(
            {"system": "tm-spr", "size": "tiny", "image_shape": [45, 64, 47], "backbone": {"window": [2, 2, 2]}}
        )
    assert fitted.settings.backbone.window == (3, 4, 3)
    assert given.settings.backbone.window == (2, 2, 2)


def test_the_weight_head_fits_every_backbone() -> None:
    model = build_model({"system": "tm-spr", "size": "tiny", "backbone": {"kind": "unet"}})
    prediction = model(torch.rand(1, 1, 16, 16, 16), torch.rand(1, 1, 16, 16, 16))
    assert prediction.lambda_map.shape == (1, 1, 8, 8, 8)


@pytest.mark.parametrize(
    ("description", "words"),
    [
        ({}, "needs its system"),
        ({"system": "tmspr"}, "did you mean 'tm-spr'"),
        ({"system": "tm-spr", "pior": {}}, "did you mean 'prior'"),
        ({"system": "tm-spr", "backbone": {"chanels": 8}}, "did you mean 'channels'"),
        ({"system": "tm-spr", "backbone": {"kind": "unett"}}, "did you mean 'unet'"),
        ({"system": "tm-spr", "size": "tinny"}, "did you mean 'tiny'"),
        ({"system": "tm-spr", "size": "tiny", "image_shape": [3, 0, 2]}, "image_shape must be three positive whole numbers"),
        ({"system": "tm-spr", "prior": {"kind": "beta", "lambda_max": "3"}}, "must be of type float"),
        ({"system": "tm-spr", "prior": {"kind": "beta", "lambda_max": -3}}, "lambda_max must be positive"),
        ({"system": "tm-spr", "head": {"tap": "middle"}}, "cannot be 'middle'"),
        ({"system": "tm-spr", "head": {"range": "softplus"}}, "needs weights in"),
        ({"system": "tm-spr", "backbone": {"depths": 3}}, "must be a list"),
        ({"system": "tm-spr", "backbone": 3}, "must be a mapping"),
        ({"system": "tm-spr", "integration_steps": True}, "must be of type int"),
        ({"system": "tm-spr", "backbone": SWIN, "integration_steps": -1}, "integration_steps must be"),
    ],
)
def test_what_is_not_known_or_does_not_fit_is_named(description: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        build_model(description)
