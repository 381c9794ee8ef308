"""Checkpoints of the released networks: every entry has a place, every number comes out as theirs did."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from SpatialRegularizationLib.fields.sampling import warp
from SpatialRegularizationLib.models.catalogue import build_model
from SpatialRegularizationLib.models.network_model import NetworkModel
from SpatialRegularizationLib.zoo.dialects import Dialect, describe_checkpoint, import_state, our_entries, recognize

LISTS = {
    "tmspr_cond_conf_IXI": (Dialect.CONFERENCE, 39_018_241 - 1_299),
    "tmspr_media_IXI": (Dialect.JOURNAL, 17_660_065 - 1_299),
    "tmtvf_media_IXI": (Dialect.PLAIN_TVF, 17_573_565),
    "tmspr_MIR_autoPET": (Dialect.MIR, 30_995_211 - 1_299),
    "tmspr_MIR_IXI": (Dialect.MIR, 17_920_480 - 1_299),
}
"""Published parameter counts, less the head that is never used."""


@pytest.fixture
def shared(shared_data: Path) -> Path:
    return shared_data.parent


def _state_of(folder: Path, name: str) -> dict[str, Tensor]:
    """The checkpoint in shapes only, from a list of its entries."""
    path = folder / "reference" / "state_dicts" / f"{name}_state_dict.txt"
    if not path.is_file():
        pytest.skip(f"no list of entries at {path}")
    state = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            key, shape, kind, _ = line.split("\t")
            device = "cpu" if kind == "int64" else "meta"
            state[key] = torch.zeros(ast.literal_eval(shape), dtype=getattr(torch, kind), device=device)
    return state


def _parity(folder: Path, name: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    path = folder / "parity" / f"{name}.pth.tar"
    if not path.is_file():
        pytest.skip(f"no parity checkpoint at {path}")
    scalar = np._core.multiarray.scalar if hasattr(np, "_core") else np.core.multiarray.scalar
    with torch.serialization.safe_globals([scalar, np.dtype, np.dtypes.Float64DType]):
        state = torch.load(path, weights_only=True, map_location="cpu")["state_dict"]
    with np.load(path.parent / f"{name}_io.npz") as arrays:
        return state, {key: torch.from_numpy(arrays[key]) for key in arrays}


@pytest.mark.parametrize("name", LISTS)
def test_every_entry_of_a_published_network_is_used_or_named_as_dropped(name: str, shared: Path) -> None:
    state = _state_of(shared, name)
    expected, parameters = LISTS[name]
    dialect, description = describe_checkpoint(state)
    assert dialect is expected
    with torch.device("meta"):
        model = build_model(description)
    given = {key: tuple(value.shape) for key, value in our_entries(state).items()}
    assert given == {key: tuple(value.shape) for key, value in model.state_dict().items()}
    assert sum(p.numel() for p in model.parameters()) == parameters


def test_the_sizes_of_the_autopet_network_are_read_from_its_shapes(shared: Path) -> None:
    backbone = describe_checkpoint(_state_of(shared, "tmspr_MIR_autoPET"))[1]["backbone"]
    assert (backbone["channels"], backbone["time_steps"], backbone["window"]) == (128, 5, [6, 6, 8])
    assert (backbone["depths"], backbone["heads"]) == ([4, 4, 5], [8, 8, 8])


def test_the_windows_are_told_by_the_index_table_whatever_the_grid_says(shared: Path) -> None:
    """Windows (2, 4, 2) and (4, 2, 2) have tables of one size; only the first has this index."""
    state, _ = _parity(shared, "mir")
    assert describe_checkpoint(state)[1]["backbone"]["window"] == [2, 4, 2]
    bare = {key: value for key, value in state.items() if not key.endswith("grid") or key == "integrate.transformer.grid"}
    bare["integrate.transformer.grid"] = torch.zeros(1, 3, 64, 64, 32)
    assert describe_checkpoint(bare)[1]["backbone"]["window"] == [2, 4, 2]
    unknown = {key: value for key, value in bare.items() if not key.endswith("relative_position_index")}
    with pytest.raises(ValueError, match="cannot be told"):
        describe_checkpoint(unknown)


@pytest.mark.parametrize("name", ["journal", "mir"])
def test_the_released_network_and_ours_give_the_same_numbers(name: str, shared: Path) -> None:
    state, arrays = _parity(shared, name)
    model = import_state(state).model
    assert isinstance(model, NetworkModel)
    with torch.no_grad():
        prediction = model(arrays["moving"][None, None], arrays["fixed"][None, None])
        _same(model.integrate(prediction), arrays["u"])
        _same(prediction.lambda_map / model.lambda_scale(None), arrays["relative_weight"])
        if "u_inverse" in arrays:
            reverse = type(prediction)(type(prediction.parameters)(-prediction.parameters.velocity), None)
            _same(model.integrate(reverse), arrays["u_inverse"])


def test_the_conditional_network_gives_the_released_numbers_for_both_conditions(shared: Path) -> None:
    state, arrays = _parity(shared, "conference")
    model = import_state(state).model
    for number in "01":
        with torch.no_grad():
            condition = arrays[f"condition_{number}"][None]
            prediction = model(arrays["moving"][None, None], arrays["fixed"][None, None], condition)
            _same(model.integrate(prediction), arrays[f"u_{number}"])
            _same(prediction.lambda_map / model.lambda_scale(condition), arrays[f"relative_weight_{number}"])


def _same(ours: Tensor, theirs: Tensor) -> None:
    assert ours.shape[-3:] == theirs.shape[-3:]
    assert float((ours.squeeze() - theirs.squeeze()).abs().max()) < 1e-4


def test_the_exported_field_says_where_the_released_network_read_the_image(shared: Path) -> None:
    """Dialect C reads at x·s/(s - 1) - 1/2: its warp of the moving image is ours by the exported field, off the border."""
    state, arrays = _parity(shared, "mir")
    model = import_state(state).model
    moving, fixed = arrays["moving"][None, None], arrays["fixed"][None, None]
    shape = tuple(fixed.shape[2:])
    with torch.no_grad():
        prediction = model(moving, fixed)
        u = 2 * torch.nn.functional.interpolate(model.integrate(prediction), scale_factor=2.0, mode="trilinear")
        ours, inverse = model.displacement(prediction, shape), model.inverse_displacement(prediction, shape)
    axes = [torch.arange(n, dtype=torch.float32) for n in shape]
    identity = torch.stack(torch.meshgrid(*axes, indexing="ij"))[None]
    sizes = torch.tensor(shape, dtype=torch.float32).view(1, 3, 1, 1, 1)
    assert torch.allclose(identity + ours, (identity + u) * sizes / (sizes - 1) - 0.5, atol=1e-4)
    there_and_back = inverse + warp(ours, inverse)
    middle = (slice(None), slice(None), *(slice(n // 4, -n // 4) for n in shape))
    assert float(there_and_back[middle].abs().mean()) < 0.1 * float(ours[middle].abs().mean())


def test_the_prior_of_an_imported_model_is_the_given_one_and_otherwise_said_to_be_assumed(shared: Path) -> None:
    state, _ = _parity(shared, "mir")
    assumed = import_state(state)
    assert any("assumed" in note for note in assumed.notes)
    given = import_state(state, prior={"kind": "gaussian", "lambda_mean": 0.991, "sigma_prime": 0.027})
    assert given.model.lambda_scale(None) == 0.991
    assert not any("assumed" in note for note in given.notes)
    assert assumed.training_shape == (64, 128, 64)


def test_a_checkpoint_of_something_else_is_refused_in_a_sentence() -> None:
    with pytest.raises(ValueError, match="none of the networks that can be imported"):
        recognize({"layer.weight": torch.zeros(3)})


def test_an_incomplete_or_broken_checkpoint_names_the_first_entry(shared: Path) -> None:
    state, _ = _parity(shared, "mir")
    with pytest.raises(ValueError, match=re.escape("lacks 1 entries, the first is network.steps.2.out.bias")):
        import_state({key: value for key, value in state.items() if key != "reg_heads.2.0.bias"})
    with pytest.raises(ValueError, match="unexpected"):
        import_state({**state, "extra.weight": torch.zeros(2)})
    with pytest.raises(ValueError, match="NaN or infinite"):
        import_state({**state, "reg_heads.2.0.bias": torch.full((3,), torch.nan)})
