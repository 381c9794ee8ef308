"""The weight head: lattices, ranges and the order of sigmoid and interpolation."""

from __future__ import annotations

import pytest
import torch

from SpatialRegularizationLib.networks.blocks import double
from SpatialRegularizationLib.networks.heads import HeadSettings, Tap, WeightHead, WeightRange


def _logits(head: WeightHead, features: torch.Tensor) -> torch.Tensor:
    return head.out(head.conv2(head.conv1(features)))


def test_the_coarse_tap_gives_the_weight_on_the_lattice_of_the_field() -> None:
    head, features = WeightHead(6, HeadSettings()), torch.randn(1, 6, 4, 5, 6)
    assert torch.allclose(head(features), double(torch.sigmoid(_logits(head, features))), atol=1e-6)


def test_the_fine_tap_gives_the_weight_where_it_reads() -> None:
    head, features = WeightHead(6, HeadSettings(tap=Tap.FINE, width=4)), torch.randn(1, 6, 4, 5, 6)
    assert torch.allclose(head(features), torch.sigmoid(_logits(head, features)), atol=1e-6)


def test_upsampled_logits_and_upsampled_weights_differ() -> None:
    head, features = WeightHead(6, HeadSettings(tap=Tap.FINE, upsample_logits=True)), torch.randn(1, 6, 4, 5, 6)
    torch.nn.init.normal_(head.out.weight)
    ours = head(features)
    assert torch.allclose(ours, torch.sigmoid(double(_logits(head, features))).clamp(min=1e-6), atol=1e-6)
    assert not torch.allclose(ours, double(torch.sigmoid(_logits(head, features))), atol=1e-2)


def test_weights_stay_in_their_range_whatever_the_features_are() -> None:
    features = 1e4 * torch.randn(1, 6, 4, 4, 4)
    sigmoid, softplus = (WeightHead(6, HeadSettings(range=r, floor=1e-4)) for r in WeightRange)
    for head in (sigmoid, softplus):
        torch.nn.init.normal_(head.out.weight, std=30)
    assert float(sigmoid(features).detach().min()) == pytest.approx(1e-4)
    assert float(sigmoid(features).detach().max()) == 1
    assert float(softplus(features).detach().min()) >= 0
    assert float(softplus(features).detach().max()) > 5


def test_a_softplus_head_that_says_nothing_gives_the_mean_of_the_prior() -> None:
    head = WeightHead(6, HeadSettings(range=WeightRange.SOFTPLUS))
    torch.nn.init.zeros_(head.out.weight)
    torch.nn.init.zeros_(head.out.bias)
    assert torch.allclose(head(torch.randn(1, 6, 3, 3, 3)), torch.ones(1, 1, 6, 6, 6))


def test_forms_that_do_not_go_together_are_refused() -> None:
    with pytest.raises(ValueError, match="fine tap"):
        HeadSettings(upsample_logits=True)
    with pytest.raises(ValueError, match="floor"):
        HeadSettings(floor=1.0)
