"""Released hypernetworks: every entry finds its place, and the generated network is the released one at that condition."""

from __future__ import annotations

import ast
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from SpatialRegularizationLib.models.catalogue import build_model
from SpatialRegularizationLib.models.hyper_tm_spr import HyperTmSpr
from SpatialRegularizationLib.models.hyper_uniform import HyperTransMorph
from SpatialRegularizationLib.models.tm_spr import TmSpr
from SpatialRegularizationLib.networks.blocks import BlockOrder
from SpatialRegularizationLib.zoo.dialects import Dialect, import_state, our_entries
from SpatialRegularizationLib.zoo.hyper_dialect import describe_hyper, hyper_entries

WIDTH = 5
CONDITION = torch.tensor([[0.4, 0.7]])

PLAIN_TO_HYPER = (
    (r"^((?:up\d|up3s\.\d+)\.conv\d|c1|cs\.\d+|sigma_[01])\.0\.weight$", r"\1.conv.linear_conv.weight"),
    (r"^(c1|cs\.\d+|sigma_[01])\.1\.", r"\1.nm."),
    (r"^(reg_heads?\.?\d*)\.0\.weight$", r"\1.conv3d.linear_conv.weight"),
    (r"^(reg_heads?\.?\d*)\.0\.bias$", r"\1.conv3d.linear_bias.weight"),
    (r"^(sigma_2|transformer\.patch_embed\.proj)\.weight$", r"\1.linear_conv.weight"),
    (r"^(.*\.attn\.(?:qkv|proj)|.*\.mlp\.fc\d)\.weight$", r"\1.linear_wts.weight"),
    (r"^(sigma_2|transformer\.patch_embed\.proj|.*\.attn\.proj|.*\.mlp\.fc\d)\.bias$", r"\1.linear_bias.weight"),
)


@pytest.fixture
def plain(shared_data: Path) -> dict[str, Tensor]:
    """State of a small released TM-SPR (dialect B)."""
    path = shared_data.parent / "parity" / "journal.pth.tar"
    if not path.is_file():
        pytest.skip(f"parity checkpoints not found at {path}")
    import numpy as np

    dtypes = [type(np.dtype(np.float64)), np.dtype]
    with torch.serialization.safe_globals([np._core.multiarray.scalar, *dtypes]):
        return torch.load(path, weights_only=True)["state_dict"]


def hyper_of(plain: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """A released hypernetwork's state whose network at CONDITION is close to a plain one, and that network's state."""
    trunk = torch.nn.ModuleList([torch.nn.Linear(2, WIDTH)] + [torch.nn.Linear(WIDTH, WIDTH) for _ in range(5)])
    code = CONDITION
    with torch.no_grad():
        for linear in trunk:
            linear.bias.add_(0.5)
            code = torch.relu(linear(code))
    state = {f"hyper_model.fcs.{key}": value for key, value in trunk.state_dict().items()}
    generated = {}
    for key, value in plain.items():
        name = key
        for pattern, replacement in PLAIN_TO_HYPER:
            name = re.sub(pattern, replacement, name)
        if ".linear_" not in name:
            state[name] = generated[key] = value
            continue
        noise = 0.01 * value.abs().mean() * torch.randn(value.numel(), WIDTH)
        state[name] = value.flatten()[:, None] * code / code.square().sum() + noise
        generated[key] = (state[name] @ code[0]).reshape(value.shape)
        if name.endswith(("conv.linear_conv.weight", "qkv.linear_wts.weight")):
            state[re.sub("linear_(conv|wts)", "linear_bias", name)] = torch.randn(value.shape[0], WIDTH)  # made, never used
    return state, generated


def test_the_generated_network_is_the_released_one_at_that_condition(plain: dict[str, Tensor]) -> None:
    state, generated = hyper_of(plain)
    found = import_state(state)
    assert found.dialect is Dialect.JOURNAL_HYPER
    assert isinstance(found.model, HyperTmSpr)
    known = import_state(generated).model
    settings = known.settings
    released = TmSpr(
        replace(
            settings,
            backbone=replace(settings.backbone, order=BlockOrder.ACTIVATION_FIRST),
            head=replace(settings.head, order=BlockOrder.ACTIVATION_FIRST),
        )
    ).eval()
    released.load_state_dict(our_entries(generated))
    moving, fixed = torch.rand(1, 1, *found.training_shape), torch.rand(1, 1, *found.training_shape)
    with torch.no_grad():
        ours, theirs = found.model(moving, fixed, CONDITION), released(moving, fixed)
    size = theirs.parameters.velocity.abs().max()
    assert size > 0
    assert torch.allclose(ours.parameters.velocity, theirs.parameters.velocity, atol=1e-4 * float(size))
    lambda_max = 5 * float(CONDITION[0, 1])
    assert torch.allclose(ours.lambda_map / lambda_max, theirs.lambda_map / settings.prior.lambda_max, atol=1e-5)


def test_conditions_are_those_of_the_released_training(plain: dict[str, Tensor]) -> None:
    model = import_state(hyper_of(plain)[0]).model
    values = model.values(torch.tensor([[0.5, 0.5]]))
    assert values == pytest.approx({"alpha_prime": 0.1, "lambda_max": 2.5})
    assert torch.allclose(model.condition(), torch.tensor([[0.05, 0.5]]))


def test_without_weight_head_it_is_hyper_transmorph(plain: dict[str, Tensor]) -> None:
    state, _ = hyper_of(plain)
    state = {key: value for key, value in state.items() if not key.startswith("sigma")}
    state["hyper_model.fcs.0.weight"] = state["hyper_model.fcs.0.weight"][:, :1]
    assert isinstance(import_state(state).model, HyperTransMorph)


def test_a_hypernetwork_with_an_entry_missing_names_it(plain: dict[str, Tensor]) -> None:
    state, _ = hyper_of(plain)
    for key in ("up1.conv2.conv.linear_conv.weight", "sigma_2.linear_bias.weight", "hyper_model.fcs.3.bias", "c1.nm.weight"):
        with pytest.raises(ValueError, match="lacks 1 entries"):
            import_state({name: value for name, value in state.items() if name != key})


def test_every_entry_of_the_published_hypernetwork_has_its_place(shared_data: Path) -> None:
    listing = shared_data.parent / "reference" / "state_dicts" / "hyper_tmspr_IXI_state_dict.txt"
    if not listing.is_file():
        pytest.skip(f"key list not found at {listing}")
    rows = [line.split("\t") for line in listing.read_text(encoding="utf-8").splitlines() if "\t" in line]
    with torch.device("meta"):
        state = {key: torch.empty(ast.literal_eval(shape), dtype=getattr(torch, kind)) for key, shape, kind, _ in rows}
        model = build_model(describe_hyper(state))
    given = {name: tuple(value.shape) for name, value in hyper_entries(state, model).items()}
    assert given == {name: tuple(value.shape) for name, value in model.state_dict().items()}
    ignored = [v for k, v in state.items() if re.search(r"(\.conv|\.qkv)\.linear_bias\.weight$|^reg_head\.", k)]
    assert model.summary().total == 1_611_830_520 - sum(value.numel() for value in ignored)
    assert model.inner.settings.backbone.window == (5, 6, 7)
