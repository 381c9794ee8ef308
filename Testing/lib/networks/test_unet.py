"""VoxelMorph's U-Net."""

from __future__ import annotations

import pytest
import torch

from SpatialRegularizationLib.networks.unet import ENLARGED, UNet, UNetSettings

SMALL = UNetSettings(encoder=(4, 6, 8), decoder=(7, 5), final=(3,))


def _count(settings: UNetSettings) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in UNet(settings).parameters())


def test_the_default_filters_have_the_published_number_of_parameters() -> None:
    assert _count(UNetSettings()) == 327_331


def test_the_enlarged_filters_are_those_of_the_baseline() -> None:
    widths = [(2, 16), (16, 32), (32, 64), (64, 96), (96, 128), (224, 128), (192, 96), (128, 64), (80, 32), (32, 3)]
    assert _count(ENLARGED) == sum(27 * a * b + b for a, b in widths)


@pytest.mark.parametrize("half", [False, True])
def test_maps_and_field_have_the_lattices_that_the_backbone_promises(half: bool) -> None:
    network = UNet(UNetSettings(SMALL.encoder, SMALL.decoder, SMALL.final, half_field=half))
    decoding = network(torch.rand(2, 1, 8, 12, 16), torch.rand(2, 1, 8, 12, 16))
    lattice = tuple(n // network.factor for n in (8, 12, 16))
    assert decoding.field.shape == (2, 3, *lattice)
    assert decoding.fine.shape == (2, network.fine_channels, *lattice)
    assert decoding.coarse.shape == (2, network.coarse_channels, *(n // 2 for n in lattice))


def test_half_a_field_counts_half_as_many_voxels() -> None:
    full = UNet(UNetSettings(SMALL.encoder, SMALL.decoder, SMALL.final, half_field=False))
    half = UNet(SMALL)
    half.load_state_dict(full.state_dict())
    pair = torch.rand(1, 1, 8, 8, 8), torch.rand(1, 1, 8, 8, 8)
    for network in (full, half):
        torch.nn.init.normal_(network.out.weight, generator=torch.Generator().manual_seed(1))
    expected = torch.nn.functional.avg_pool3d(full(*pair).field, 2) / 2
    assert torch.allclose(half(*pair).field, expected, atol=1e-6)


def test_recomputed_activations_give_the_same_gradients() -> None:
    network, pair = UNet(SMALL), (torch.rand(1, 1, 8, 8, 8), torch.rand(1, 1, 8, 8, 8))
    gradients = []
    for network.checkpointing in (False, True):
        network.zero_grad()
        network(*pair).field.square().sum().backward()
        gradients.append([p.grad for p in network.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


@pytest.mark.parametrize("sizes", [{"encoder": (4, 4), "decoder": (4,)}, {"decoder": (4,)}, {"final": (0,)}])
def test_levels_that_do_not_fit_are_refused(sizes: dict) -> None:
    with pytest.raises(ValueError, match=r"U-Net needs|must be positive"):
        UNetSettings(**sizes)
