"""Norms steered by a condition."""

from __future__ import annotations

import pytest
import torch

from SpatialRegularizationLib.networks.norms import (
    ConditionalForm,
    Conditioning,
    NormKind,
    layer_norm,
    normalize,
    normalize_in_place,
    volume_norm,
)


def _without_influence(norm: torch.nn.Module) -> torch.nn.Module:
    torch.nn.init.zeros_(norm.style.weight)
    return norm


@pytest.mark.parametrize(("form", "gain"), [(ConditionalForm.PAPER, 1.0), (ConditionalForm.RELEASED, 2.0)])
def test_a_conditional_norm_starts_as_the_plain_norm_times_its_gain(form: ConditionalForm, gain: float) -> None:
    conditioning = Conditioning(form=form, width=5)
    code = torch.rand(2, conditioning.code_width(4))
    tokens, volume = torch.randn(2, 3, 3, 3, 4), torch.randn(2, 4, 5, 5, 5)
    layer = _without_influence(layer_norm(4, conditioning, code.shape[1]))
    instance = _without_influence(volume_norm(4, NormKind.INSTANCE, conditioning))
    assert torch.allclose(layer(tokens, code), gain * torch.nn.functional.layer_norm(tokens, (4,)), atol=1e-6)
    assert torch.allclose(instance(volume, code), gain * torch.nn.functional.instance_norm(volume), atol=1e-6)


def test_each_sample_of_a_batch_is_scaled_and_shifted_by_its_own_code() -> None:
    conditioning = Conditioning(width=3)
    norm = volume_norm(4, NormKind.INSTANCE, conditioning)
    volume, codes = torch.randn(1, 4, 5, 5, 5).expand(2, -1, -1, -1, -1), torch.randn(2, 3)
    both = norm(volume, codes)
    assert torch.allclose(both[1:], norm(volume[1:], codes[1:]), atol=1e-6)
    assert not torch.allclose(both[0], both[1], atol=1e-3)


def test_a_conditional_norm_without_a_condition_is_an_error() -> None:
    with pytest.raises(ValueError, match="needs a condition"):
        normalize(volume_norm(4, NormKind.INSTANCE, Conditioning()), torch.zeros(1, 4, 2, 2, 2), None)


@pytest.mark.parametrize("arguments", [{"size": 0}, {"width": 0}])
def test_a_conditioning_of_nothing_is_an_error(arguments: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Conditioning(**arguments)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("kind", NormKind)
def test_a_norm_written_over_its_input_gives_the_same_numbers(kind: NormKind, dtype: torch.dtype) -> None:
    norm = volume_norm(4, kind, None).eval()
    for tensor in norm.state_dict().values():
        if tensor.is_floating_point():
            tensor.uniform_(0.5, 2.0)
    norm = norm.double() if dtype is torch.float64 else norm
    y = torch.randn(2, 4, 5, 6, 7).to(dtype)
    with torch.no_grad():
        expected = norm(y)
        assert normalize_in_place(norm, y)
    assert torch.equal(y, expected)


def test_a_norm_is_not_written_over_what_a_gradient_or_running_statistics_need() -> None:
    y = torch.randn(1, 4, 3, 3, 3)
    before = y.clone()
    assert not normalize_in_place(volume_norm(4, NormKind.INSTANCE, None), y)
    with torch.no_grad():
        assert not normalize_in_place(volume_norm(4, NormKind.BATCH, None).train(), y)
        assert not normalize_in_place(volume_norm(4, NormKind.INSTANCE, Conditioning()), y)
    assert torch.equal(y, before)
