"""Steps by slabs of planes give the numbers of whole maps, for every norm, thickness of the slabs, and precision."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from SpatialRegularizationLib.networks import streaming
from SpatialRegularizationLib.networks.blocks import BlockOrder
from SpatialRegularizationLib.networks.norms import Conditioning, NormKind
from SpatialRegularizationLib.networks.transmorph_tvf import TransMorphTvf, TransMorphTvfSettings

SIZES = {"channels": 8, "depths": (1, 1, 1), "heads": (2, 2, 2), "window": (1, 2, 1), "time_steps": 3, "time_channels": 4}


def _network(kind: NormKind, conditioning: Conditioning | None = None, **forms) -> TransMorphTvf:
    settings = TransMorphTvfSettings(**SIZES, norm=kind, decoder_norm=kind, **forms)
    network = TransMorphTvf(settings, conditioning).eval()
    for step in network.steps:
        torch.nn.init.normal_(step.out.weight, std=0.05)
    for tensor in network.state_dict().values():
        if tensor.is_floating_point() and tensor.dim() == 1:
            tensor.uniform_(0.5, 1.5)
    return network


def _pair() -> tuple[Tensor, Tensor]:
    return torch.rand(1, 1, 32, 64, 32), torch.rand(1, 1, 32, 64, 32)


@pytest.mark.parametrize("slab", [250_000, 100_000, 1])
@pytest.mark.parametrize("kind", NormKind)
def test_slabs_of_any_thickness_give_the_field_and_the_maps_of_the_whole(
    kind: NormKind, slab: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "SLAB_BYTES", slab)
    network, pair = _network(kind), _pair()
    whole = network(*pair)
    with torch.no_grad():
        encoding = network.encode(*pair)
        assert streaming.streamable([step.up.conv1 for step in network.steps], encoding.moving)
        streamed, kept = network(*pair), network.decode(network.share(encoding))
    assert float(whole.field.detach().abs().max()) > 1
    for decoding in (streamed, kept):
        assert torch.allclose(decoding.field, whole.field, atol=1e-4)
        assert torch.allclose(decoding.fine, whole.fine, atol=1e-4)


def test_sixteen_bits_stay_as_close_as_without_slabs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "SLAB_BYTES", 100_000)
    network, pair = _network(NormKind.INSTANCE), _pair()
    exact = network(*pair).field.detach()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        whole = network(*pair).field.detach()
        with torch.no_grad():
            streamed = network(*pair).field
    error, usual = (float((field - exact).abs().mean()) for field in (streamed, whole))
    assert streamed.dtype == torch.float32
    assert 0 < error < 1.5 * usual


def test_what_fits_into_a_slab_is_done_whole() -> None:
    blocks, image = [_network(NormKind.INSTANCE).steps[0].up.conv1], torch.zeros(1, 1, 4, 4, 4)
    room = streaming.SLAB_BYTES // (4 * blocks[0].conv.in_channels)
    with torch.no_grad():
        assert not streaming.streamable(blocks, image)
        assert not streaming.streamable(blocks, image.new_zeros(1, 1, room, 1, 1))
        assert streaming.streamable(blocks, image.new_zeros(1, 1, room + 1, 1, 1))


def test_what_cannot_be_streamed_is_done_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "SLAB_BYTES", 1)
    image, network = torch.zeros(1, 1, 4, 4, 4), _network(NormKind.INSTANCE)
    blocks = [network.steps[0].pair, network.steps[0].up.conv1]
    assert not streaming.streamable(blocks, image)
    with torch.no_grad():
        assert streaming.streamable(blocks, image)
        assert not streaming.streamable(blocks, image.double())
        assert not streaming.streamable(blocks, image.expand(2, -1, -1, -1, -1))
        others = (
            _network(NormKind.BATCH).train(),
            _network(NormKind.INSTANCE, Conditioning()),
            _network(NormKind.INSTANCE, order=BlockOrder.ACTIVATION_FIRST),
        )
        for other in others:
            assert not streaming.streamable([other.steps[0].pair], image)


def test_moments_of_parts_are_those_of_the_whole() -> None:
    x = 3 + torch.randn(1, 5, 9, 10, 11)
    moments = streaming._Moments()
    for planes in (slice(0, 2), slice(2, 3), slice(3, 9)):
        moments.add(x[:, :, planes])
    mean, variance = moments.mean_and_variance()
    assert torch.allclose(mean, x.mean((0, 2, 3, 4)), rtol=1e-6)
    assert torch.allclose(variance, x.var((0, 2, 3, 4), correction=0), rtol=1e-5)
