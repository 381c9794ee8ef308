"""Turn checkpoints of the released TM-SPR networks into our models, number by number.

The state dictionary must have been read safely (`zoo/checkpoints.py`); nothing here executes anything from a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ..models.base import RegistrationModel
from ..models.catalogue import build_model
from .dialect_keys import Dialect, backbone_sizes, check_entries, dropped, integrates, our_name, recognize, training_shape
from .hyper_dialect import import_hyper

__all__ = ["Dialect", "ImportedModel", "describe_checkpoint", "import_state", "our_entries", "recognize"]

_PUBLISHED_PRIOR = {
    Dialect.JOURNAL: {"kind": "beta", "lambda_max": 3.354, "alpha_prime": 0.175},
    Dialect.MIR: {"kind": "beta", "lambda_max": 2.298, "alpha_prime": 0.005},
}
"""Optima for IXI and autoPET (journal paper, Table 5): a checkpoint does not say with which λmax and α′ it was trained."""


@dataclass(frozen=True)
class ImportedModel:
    """A checkpoint of others as one of our models.

    Args:
        model: in evaluation mode.
        dialect: what it was.
        training_shape: voxels of the images it was trained on, or None where the file does not say.
        notes: what was assumed and what was left out, one sentence each.
    """

    model: RegistrationModel
    dialect: Dialect
    training_shape: tuple[int, ...] | None
    notes: tuple[str, ...]


def import_state(state: Mapping[str, Tensor], *, prior: Mapping[str, Any] | None = None) -> ImportedModel:
    """Our model with the parameters of a released one.

    Args:
        state: the checkpoint's `state_dict`.
        prior: plain settings of the prior it was trained with, e.g. {"kind": "beta", "lambda_max": 2.3, "alpha_prime": 0.005}
            or {"kind": "gaussian", "lambda_mean": 0.99, "sigma_prime": 0.027}; None: the published optimum of the dialect.

    Raises:
        ValueError: an unknown network, or entries that are missing, unexpected or of another shape.
    """
    if recognize(state) is Dialect.JOURNAL_HYPER:
        hyper, hyper_notes = import_hyper(state)
        return ImportedModel(hyper, Dialect.JOURNAL_HYPER, training_shape(state), hyper_notes)
    dialect, description = describe_checkpoint(state, prior=prior)
    model = build_model(description)
    parameters = our_entries(state)
    check_entries(parameters, model.state_dict(), dialect)
    model.load_state_dict(parameters)
    left_out = len(state) - len(parameters)
    notes = [f"{left_out} of {len(state)} entries (grids, index tables, an unused head) are rebuilt or not needed."]
    if prior is None and "prior" in description:
        values = description["prior"]
        notes.append(
            "The file does not say its prior; the published optimum is assumed: "
            f"beta, λmax {values['lambda_max']}, α′ {values['alpha_prime']}."
        )
    return ImportedModel(model.eval(), dialect, training_shape(state), tuple(notes))


def our_entries(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The entries that a network needs, under our names."""
    return {our_name(key): value for key, value in state.items() if not dropped(key)}


def describe_checkpoint(
    state: Mapping[str, Tensor], *, prior: Mapping[str, Any] | None = None
) -> tuple[Dialect, dict[str, Any]]:
    """The dialect (not a hypernetwork), and what `build_model` needs for a network of these shapes in the dialect's forms.

    Raises:
        ValueError: an unknown network, or windows that cannot be told.
    """
    dialect = recognize(state)
    backbone = {**backbone_sizes(state), **_sizes(state), **_FORMS[dialect]}
    description: dict[str, Any] = {"backbone": backbone, "integration_steps": 7 if integrates(state) else 0}
    if "sigma_2.weight" not in state:
        return dialect, {"system": "transmorph-tvf", **description}
    description["weight_end"] = "far"
    width = state["sigma_2.weight"].shape[1]
    description["head"] = {"tap": "fine", "width": width, "upsample_logits": dialect is not Dialect.MIR}
    if dialect is Dialect.CONFERENCE:
        eta = {"largest_eta": 4.0, "default_eta": 2.0 if integrates(state) else 2.2, "epsilon": 1e-6}
        return dialect, {"system": "conditional-tm-spr", **description, "conditioning": {"form": "released"}, **eta}
    description["head"]["norm"] = "batch" if dialect is Dialect.JOURNAL else "instance"
    return dialect, {"system": "tm-spr", **description, "prior": prior or _PUBLISHED_PRIOR[dialect]}


_FORMS: dict[Dialect, dict[str, Any]] = {
    Dialect.CONFERENCE: {"composition": "self_warped", "warp": "shifted"},
    Dialect.JOURNAL: {"composition": "self_warped", "warp": "zeros", "norm": "batch"},
    Dialect.PLAIN_TVF: {"composition": "self_warped", "warp": "zeros"},
    Dialect.MIR: {"composition": "composed", "warp": "shifted"},
}


def _sizes(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Sizes that checkpoints of hypernetworks hold in another form."""
    return {
        "patch": state["transformer.patch_embed.proj.weight"].shape[-1],
        "time_channels": state["reg_heads.0.0.weight"].shape[1],
    }
