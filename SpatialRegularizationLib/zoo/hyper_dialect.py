"""Turn checkpoints of the released hypernetworks (dialect B Hyper) into our `HyperTmSpr` or `HyperTransMorph`.

    NAME.linear_conv.weight, NAME.linear_wts.weight (numbers, width)    weight of layer NAME = reshape(G h)
    NAME.linear_bias.weight (outputs, width)                            its bias, where the layer uses one
    hyper_model.fcs.{0 … 5}                                             the trunk: h of the condition

Norms, position biases and patch merging are not generated. In the released blocks the activation comes before the norm, and
their convolutions, like the attention's qkv, ignore the biases that are generated for them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ..models.catalogue import build_model
from ..models.hyper_model import HyperModel
from ..models.hyper_tm_spr import RELEASED
from .dialect_keys import backbone_sizes, check_entries, dropped, integrates, our_name, recognize

GENERATED_LAYERS = (
    "network.encoder.embedding",
    "network.encoder.levels.*.attention.*",
    "network.encoder.levels.*.mlp.*",
    "network.up.*",
    "network.skip.*",
    "network.steps.*",
)
"""What the released code generates, in our names; the weight head, too, where there is one."""

_GENERATOR = re.compile(r"^(.*)\.linear_(conv|wts|bias)\.weight$")
_TRUNK = re.compile(r"^hyper_model\.fcs\.(\d+)\.(weight|bias)$")


def import_hyper(state: Mapping[str, Tensor]) -> tuple[HyperModel, tuple[str, ...]]:
    """Our model with the parameters of a released hypernetwork, and notes on what was assumed.

    Raises:
        ValueError: entries that are missing, unexpected or of another shape.
    """
    model = build_model(describe_hyper(state))
    given = hyper_entries(state, model)
    check_entries(given, model.state_dict(), recognize(state))
    model.load_state_dict(given)
    return model.eval(), (
        f"{len(state) - len(given)} of {len(state)} entries (grids, index tables, an unused head, biases that the network "
        "ignores) are rebuilt or not needed.",
        "The released code has composed its increments in two ways; that of the first release, a sum of self-warped "
        "increments, is assumed.",
    )


def hyper_entries(state: Mapping[str, Tensor], model: HyperModel) -> dict[str, Tensor]:
    """The entries that the network uses, under their names in our model."""
    names = {key: _name(key, model) for key in state if not dropped(key)}
    return {name: state[key] for key, name in names.items() if name is not None}


def _name(key: str, model: HyperModel) -> str | None:
    """Name of a released entry in our model's state dictionary; None where the network does not use it."""
    trunk = _TRUNK.match(key)
    if trunk is not None:
        return f"hyper.codes.0.layers.{trunk.group(1)}.{trunk.group(2)}"
    made = _GENERATOR.match(key)
    if made is None:
        return f"hyper.network.{our_name(key)}"
    leaf = "bias" if made.group(2) == "bias" else "weight"
    layer = our_name(f"{made.group(1)}.{leaf}").removesuffix(f".{leaf}")
    if layer not in model.hyper.names:
        return f"hyper.network.{layer}.{leaf}"  # not of this network; the check says so
    index = model.hyper.names.index(layer)
    return f"hyper.generators.{index}.linear.{leaf}.weight" if leaf in model.hyper.generators[index].shapes else None


def describe_hyper(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """What `build_model` needs for a network of these shapes in the released form."""
    sizes = backbone_sizes(state)
    patch = round((_numbers(state, "transformer.patch_embed.proj.linear_conv") / (2 * sizes["channels"])) ** (1 / 3))
    backbone = {
        **sizes,
        "patch": patch,
        "time_channels": _numbers(state, "reg_heads.0.conv3d.linear_conv") // (3 * 27),
        "composition": "self_warped",
        "warp": "zeros",
        "norm": "batch",
        "order": "activation_first",
    }
    trunk = [key for key in state if _TRUNK.match(key) and key.endswith("weight")]
    hyper = {
        "mode": RELEASED.mode.name,
        "own_parameters": RELEASED.own_parameters,
        "widths": [state[key].shape[0] for key in sorted(trunk, key=lambda key: int(key.split(".")[2]))],
        "layers": list(GENERATED_LAYERS),
    }
    description = {
        "backbone": backbone,
        "hyper": hyper,
        "conditioned": "all",
        "integration_steps": 7 if integrates(state) else 0,
    }
    if "sigma_2.linear_conv.weight" not in state:
        return {"system": "hyper-transmorph", **description}
    hyper["layers"].append("head.*")
    width = _numbers(state, "sigma_2.linear_conv") // 27
    head = {"tap": "fine", "width": width, "upsample_logits": True, "norm": "batch", "order": "activation_first"}
    defaults = {"default_alpha_prime": 0.01, "default_lambda_max": 2.5}  # what the released training validates with
    return {"system": "hyper-tm-spr", **description, "head": head, "weight_end": "far", **defaults}


def _numbers(state: Mapping[str, Tensor], generator: str) -> int:
    """How many numbers a released generator makes."""
    key = f"{generator}.weight"
    if key not in state:
        raise ValueError(
            f"This checkpoint looks like a hypernetwork of dialect B but lacks {key}; "
            "expected a complete checkpoint of the published network."
        )
    return int(state[key].shape[0])
