"""TransMorph-TVF: the rearranged time loop gives what the plain one gives; halves, forms and gradients agree."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from SpatialRegularizationLib.fields.sampling import ZeroPadding, warp, warp_zero_padded
from SpatialRegularizationLib.networks.blocks import double
from SpatialRegularizationLib.networks.norms import NormKind
from SpatialRegularizationLib.networks.transmorph_tvf import Composition, TransMorphTvf, TransMorphTvfSettings, WarpForm

SETTINGS = TransMorphTvfSettings(
    channels=8, depths=(1, 2, 1), heads=(2, 2, 2), window=(1, 2, 1), time_steps=3, time_channels=4, drop_path=0.0
)


def _network(settings: TransMorphTvfSettings = SETTINGS) -> TransMorphTvf:
    """With heads large enough for fields of about a voxel."""
    network = TransMorphTvf(settings)
    for step in network.steps:
        torch.nn.init.normal_(step.out.weight, std=0.1)
    return network


def _pair() -> tuple[Tensor, Tensor]:
    return torch.rand(1, 1, 32, 64, 32), torch.rand(1, 1, 32, 64, 32)


def _plain(network: TransMorphTvf, moving: Tensor, fixed: Tensor) -> tuple[Tensor, Tensor]:
    """The time loop as the paper draws it: upsampling and concatenation in every step."""
    encoding = network.encode(moving, fixed)
    phi, total, moved = None, 0, encoding.moving
    for step in network.steps:
        s = step.pair(torch.cat([moved, encoding.fixed], dim=1))
        x = step.up.conv2(step.up.conv1(torch.cat([double(encoding.features[0]), s], dim=1)))
        increment = step.out(x)
        if network.settings.composition is Composition.SELF_WARPED:
            phi = (0 if phi is None else phi) + network.warp(increment, increment)
        else:
            phi = increment if phi is None else phi + network.warp(increment, phi)
        total, moved = total + x, network.warp(encoding.moving, phi)
    return phi, total


@pytest.mark.parametrize("composition", Composition)
@pytest.mark.parametrize("kind", [NormKind.INSTANCE, NormKind.AFFINE])
def test_the_rearranged_loop_gives_the_field_the_maps_and_the_gradients_of_the_plain_one(
    composition: Composition, kind: NormKind
) -> None:
    network = _network(replace(SETTINGS, composition=composition, decoder_norm=kind)).double()
    moving, fixed = (image.double() for image in _pair())
    decoding = network(moving, fixed)
    field, total = _plain(network, moving, fixed)
    assert float(field.detach().abs().max()) > 0.3
    assert torch.allclose(decoding.field, field, atol=1e-10)
    assert torch.allclose(decoding.fine, total, atol=1e-10)
    weight = torch.randn_like(field)
    ours = torch.autograd.grad((decoding.field * weight).sum(), list(network.parameters()), allow_unused=True)
    theirs = torch.autograd.grad((field * weight).sum(), list(network.parameters()), allow_unused=True)
    for a, b in zip(ours, theirs, strict=True):
        assert (a is None) == (b is None)
        assert a is None or torch.allclose(a, b, rtol=1e-6, atol=1e-9)


def test_recomputed_activations_give_the_same_gradients_with_stochastic_depth_too() -> None:
    network = _network(replace(SETTINGS, drop_path=0.5))
    gradients = []
    for network.checkpointing in (False, True):
        torch.manual_seed(3)
        network.zero_grad()
        network(*_pair()).field.square().sum().backward()
        gradients.append([p.grad for p in network.parameters()])
    assert all(a is b or torch.equal(a, b) for a, b in zip(*gradients, strict=True))


@pytest.mark.parametrize("gradients", [True, False])
def test_a_kept_first_half_gives_what_the_whole_gives_any_number_of_times(gradients: bool) -> None:
    network, pair = _network(), _pair()
    with torch.set_grad_enabled(gradients):
        _check_kept_first_half(network, pair)


def _check_kept_first_half(network: TransMorphTvf, pair: tuple[Tensor, Tensor]) -> None:
    encoding, whole = network.share(network.encode(*pair)), network(*pair)
    first = network.decode(encoding)
    assert torch.allclose(first.field, whole.field, atol=1e-4)
    assert torch.allclose(first.fine, whole.fine, atol=1e-4)
    again = network.decode(encoding, with_fine=False)
    assert torch.equal(again.field, first.field)
    assert again.fine is None


def test_a_patch_of_two_voxels_leaves_out_the_convolutional_skip_and_keeps_the_lattice() -> None:
    network = _network(replace(SETTINGS, patch=2))
    decoding = network(*_pair())
    assert decoding.field.shape == (1, 3, 16, 32, 16)
    assert decoding.coarse.shape == (1, 8, 8, 16, 8)
    assert network.skip is None


@pytest.mark.parametrize(
    ("form", "padding"), [(WarpForm.ZEROS, ZeroPadding.CENTERED), (WarpForm.SHIFTED, ZeroPadding.SHIFTED)]
)
def test_released_warps_read_zeros_outside_and_the_shifted_one_elsewhere(form: WarpForm, padding: ZeroPadding) -> None:
    """On a ramp of 96 voxels the shifted form reads 0.511 at 1, 23.753 at 24 and 94.489 at 94."""
    ramp = torch.arange(96.0).view(1, 1, 96, 1, 1).expand(1, 1, 96, 3, 3).contiguous()
    read = warp_zero_padded(ramp, torch.zeros(1, 3, 96, 3, 3), padding)[0, 0, :, 1, 1]
    expected = torch.arange(96.0) if form is WarpForm.ZEROS else torch.arange(96.0) * 96 / 95 - 0.5
    assert torch.allclose(read[1:95], expected[1:95], atol=1e-3)
    outside = torch.zeros(1, 3, 96, 3, 3)
    outside[:, 0] = 200
    assert float(warp_zero_padded(ramp, outside, padding).abs().max()) == 0
    assert float(warp(ramp, outside).min()) == 95


def test_windows_follow_the_size_of_the_images() -> None:
    assert TransMorphTvfSettings().window_for((160, 192, 224)).window == (5, 6, 7)
    assert TransMorphTvfSettings(channels=128).window_for((192, 192, 256)).window == (6, 6, 8)
    assert TransMorphTvfSettings(patch=2).window_for((45, 64, 47)).window == (3, 4, 3)


def test_the_network_of_the_paper_has_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        network = TransMorphTvf(TransMorphTvfSettings())
    parts = {"encoder": 11_979_576, "skip": 2_592, "up.0": 3_981_312, "up.1": 995_328, "up.2": 248_832}
    for name, count in parts.items():
        assert sum(p.numel() for p in network.get_submodule(name).parameters()) == count, name
    assert sum(p.numel() for p in network.parameters()) == 17_573_565


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"patch": 3}, "patch must be 2 or 4"),
        ({"pool": 4}, "pool 1 or 2"),
        ({"channels": 7}, "channels even"),
        ({"heads": (3, 2, 2)}, "must divide"),
        ({"window": (0, 1, 1)}, "three positive numbers"),
        ({"time_steps": 0}, "at least 1"),
        ({"drop_path": 1.0}, "drop_path"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(change: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        replace(SETTINGS, **change)
