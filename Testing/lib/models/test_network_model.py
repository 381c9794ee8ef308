"""From the network's grid to the image's: exact geometry, padding, inverses, and images that do not fit."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from SpatialRegularizationLib.fields.parameters import Displacement, StationaryVelocity
from SpatialRegularizationLib.fields.sampling import warp
from SpatialRegularizationLib.integrators.scaling_and_squaring import integrate_velocity
from SpatialRegularizationLib.models.base import Prediction
from SpatialRegularizationLib.models.catalogue import build_model
from SpatialRegularizationLib.models.network_model import NetworkModel
from SpatialRegularizationLib.networks.transmorph_tvf import WarpForm

SWIN = {"channels": 4, "patch": 2, "depths": [1, 1, 1], "heads": [2, 2, 2], "window": [1, 2, 1], "time_steps": 2}


def _model(**settings) -> NetworkModel:
    return build_model({"system": "tm-spr", "backbone": SWIN, **settings}).eval()


def _smooth(shape: tuple[int, ...], size: float) -> Tensor:
    coarse = size * torch.randn(1, 3, *(max(2, n // 6) for n in shape))
    return torch.nn.functional.interpolate(coarse, size=shape, mode="trilinear", align_corners=True)


def test_an_affine_field_of_the_half_lattice_is_the_same_affine_map_on_the_image() -> None:
    """u = a x in millimeters, whatever the lattice: at image voxel q = 2h + 1/2, 2 u_half(h) = a (q - 1/2)."""
    model, slope = _model(integration_steps=0), 0.05
    h = torch.arange(8.0).view(1, 1, 8, 1, 1).expand(1, 3, 8, 8, 8)
    u = model.displacement(Prediction(Displacement(slope * h), None), (16, 16, 16))
    q = torch.arange(16.0).view(16, 1, 1)
    assert torch.allclose(u[0, 0, 1:-1], slope * (q[1:-1] - 0.5).expand(-1, 16, 16), atol=1e-6)


def test_a_uniform_velocity_moves_everything_by_itself() -> None:
    velocity = torch.tensor([0.5, -0.25, 0.75]).view(1, 3, 1, 1, 1).expand(1, 3, 8, 8, 8).contiguous()
    u = _model().displacement(Prediction(StationaryVelocity(velocity), None), (15, 16, 13))
    assert torch.allclose(u, 2 * velocity[:, :, :1, :1, :1].expand(1, 3, 15, 16, 13), atol=1e-6)


def test_the_inverse_displacement_takes_every_point_back() -> None:
    model, shape = _model(), (32, 32, 32)
    prediction = Prediction(StationaryVelocity(_smooth((16, 16, 16), 1.0)), None)
    u, inverse = model.displacement(prediction, shape), model.inverse_displacement(prediction, shape)
    residual = (inverse + warp(u, inverse))[..., 4:-4, 4:-4, 4:-4]
    assert float(u.abs().max()) > 1.5
    assert float(residual.norm(dim=1).mean()) < 0.05


def test_the_velocity_on_the_images_lattice_integrates_to_the_displacement() -> None:
    model, shape = _model(), (31, 32, 30)
    prediction = Prediction(StationaryVelocity(_smooth((16, 16, 16), 1.0)), None)
    v, u = model.velocity(prediction, shape), model.displacement(prediction, shape)
    middle = (..., slice(4, -4), slice(4, -4), slice(4, -4))
    assert float(u[middle].abs().max()) > 1.5
    assert float((integrate_velocity(v, steps=7) - u)[middle].norm(dim=1).mean()) < 0.02
    with pytest.raises(ValueError, match="it has no velocity"):
        _model(integration_steps=0).velocity(Prediction(Displacement(u), None), shape)


@pytest.mark.parametrize("form", list(WarpForm))
def test_a_slow_velocity_is_its_displacement_however_the_network_reads_its_images(form: WarpForm) -> None:
    model, shape = _model(backbone=SWIN | {"warp": form.value}), (16, 16, 16)
    prediction = Prediction(StationaryVelocity(0.01 * _smooth((8, 8, 8), 1.0)), None)
    v, u = model.velocity(prediction, shape), model.displacement(prediction, shape)
    assert float((v - u)[..., 2:-2, 2:-2, 2:-2].abs().max()) < 1e-3


@pytest.mark.parametrize("backbone", [SWIN, {"kind": "unet", "encoder": [4, 4, 4], "decoder": [4, 4], "final": []}])
def test_images_of_any_size_are_padded_and_cut_again(backbone: dict) -> None:
    model, shape = _model(backbone=backbone), (19, 17, 26)
    moving, fixed = torch.rand(2, 1, *shape), torch.rand(2, 1, *shape)
    prediction = model(moving, fixed)
    assert model.displacement(prediction, shape).shape == (2, 3, *shape)
    assert model.inverse_displacement(prediction, shape).shape == (2, 3, *shape)
    assert model.lambda_on(prediction, shape).shape == (2, 1, *shape)


def test_padding_is_zeros_at_the_end_of_each_axis() -> None:
    model = _model()
    moving, fixed = torch.rand(1, 1, 16, 17, 30), torch.rand(1, 1, 16, 17, 30)
    padded = [torch.nn.functional.pad(image, (0, 2, 0, 15, 0, 0)) for image in (moving, fixed)]
    ours, theirs = model(moving, fixed), model(*padded)
    assert torch.equal(ours.parameters.velocity, theirs.parameters.velocity)
    shape = (16, 17, 30)
    assert torch.equal(model.displacement(ours, shape), model.displacement(theirs, (16, 32, 32))[..., :17, :30])


def test_without_lambda_the_field_is_the_same_and_lambda_is_none() -> None:
    model, pair = _model(), (torch.rand(1, 1, 16, 16, 16), torch.rand(1, 1, 16, 16, 16))
    whole, bare = model(*pair), model(*pair, with_lambda=False)
    assert torch.equal(whole.parameters.velocity, bare.parameters.velocity)
    assert bare.lambda_map is None
    assert model.lambda_on(bare, (16, 16, 16)) is None


def test_sixteen_bit_networks_give_fields_and_lambda_in_single_precision() -> None:
    model, pair = _model(), (torch.rand(1, 1, 16, 16, 16), torch.rand(1, 1, 16, 16, 16))
    for step in model.network.steps:
        torch.nn.init.normal_(step.out.weight, std=0.05)
    with torch.no_grad():
        single = model(*pair)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            half = model(*pair)
    assert half.parameters.velocity.dtype == half.lambda_map.dtype == torch.float32
    assert float((half.parameters.velocity - single.parameters.velocity).abs().mean()) < 0.03
    assert not torch.equal(half.parameters.velocity, single.parameters.velocity)


def test_the_backbone_is_evaluated_the_same_way_every_time() -> None:
    model, pair = _model(), (torch.rand(1, 1, 16, 16, 16), torch.rand(1, 1, 16, 16, 16))
    assert torch.equal(model(*pair).parameters.velocity, model(*pair).parameters.velocity)


@pytest.mark.parametrize(
    ("moving", "fixed", "words"),
    [
        (torch.zeros(1, 1, 16, 7, 16), torch.zeros(1, 1, 16, 7, 16), "too small for the windows"),
        (torch.zeros(1, 1, 16, 16, 16), torch.zeros(1, 1, 16, 16, 18), "of one shape"),
        (torch.zeros(1, 2, 16, 16, 16), torch.zeros(1, 2, 16, 16, 16), "of one shape"),
        (torch.full((1, 1, 16, 16, 16), torch.nan), torch.zeros(1, 1, 16, 16, 16), "moving image has values that are NaN"),
        (torch.zeros(1, 1, 16, 16, 16), torch.full((1, 1, 16, 16, 16), torch.inf), "fixed image has values that are NaN"),
    ],
)
def test_images_that_no_network_can_take_are_refused_in_a_sentence(moving: Tensor, fixed: Tensor, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        _model()(moving, fixed)


def test_a_displacement_has_no_inverse_in_closed_form() -> None:
    model, pair = _model(integration_steps=0), (torch.rand(1, 1, 16, 16, 16), torch.rand(1, 1, 16, 16, 16))
    with pytest.raises(ValueError, match="no inverse in closed form"):
        model.inverse_displacement(model(*pair), (16, 16, 16))


def test_checkpointing_reaches_the_backbone() -> None:
    model = _model()
    model.use_checkpointing()
    assert model.network.checkpointing
    model.use_checkpointing(False)
    assert not model.network.checkpointing
