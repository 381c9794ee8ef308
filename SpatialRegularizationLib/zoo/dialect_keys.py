"""Translate the names of the released TM-SPR checkpoints, and read from their shapes what they do not say.

    A   conference paper, IXI: conditional norms                 B   journal paper, IXI            B Hyper   Hyper-TM-SPR
    C   the authors' later package (autoPET checkpoints)         TVF plain TransMorph-TVF without weight head
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any

import torch
from torch import Tensor

from ..networks.swin import relative_position


class Dialect(Enum):
    """A family of checkpoints with the same names and the same arithmetic."""

    CONFERENCE = "A"
    JOURNAL = "B"
    JOURNAL_HYPER = "B Hyper"
    MIR = "C"
    PLAIN_TVF = "TVF"


def recognize(state: Mapping[str, Tensor]) -> Dialect:
    """The dialect of a checkpoint's state dictionary.

    Raises:
        ValueError: none of those we know.
    """
    marks = (
        ("hyper_model.fcs.0.weight", Dialect.JOURNAL_HYPER),
        ("transformer.layers.0.blocks.0.mapping.0.weight", Dialect.CONFERENCE),
        ("c1.1.running_mean", Dialect.JOURNAL),
        ("spatial_trans_half.grid", Dialect.MIR),
        ("integrate.transformer.grid", Dialect.MIR),
    )
    for key, dialect in marks:
        if key in state:
            return dialect
    if "sigma_2.weight" not in state and "reg_heads.0.0.weight" in state and "transformer.patch_embed.proj.weight" in state:
        return Dialect.PLAIN_TVF
    some = ", ".join(list(state)[:3])
    raise ValueError(
        "This checkpoint is of none of the networks that can be imported (TM-SPR dialects A, B, C, Hyper-TM-SPR, "
        f"TransMorph-TVF); it has {len(state)} entries, the first are: {some or 'none'}."
    )


_RENAMED = (
    (r"^transformer\.patch_embed\.proj\.", "network.encoder.embedding."),
    (r"^transformer\.patch_embed\.norm\.", "network.encoder.embedding_norm."),
    (r"^transformer\.layers\.", "network.encoder.levels."),
    (r"^transformer\.norm(\d+)\.", r"network.encoder.output_norms.\1."),
    (r"\.attn\.relative_position_bias_table$", ".attention.position_bias"),
    (r"\.attn\.qkv\.", ".attention.qkv."),
    (r"\.attn\.proj\.", ".attention.projection."),
    (r"\.mlp\.fc1\.", ".mlp.0."),
    (r"\.mlp\.fc2\.", ".mlp.2."),
    (r"\.cd_norm(\d)\.", r".norm\1."),
    (r"\.downsample\.", ".merging."),
    (r"^up(\d)\.", r"network.up.\1."),
    (r"^up3s\.(\d+)\.", r"network.steps.\1.up."),
    (r"^reg_heads\.(\d+)\.(?:0|conv3d)\.", r"network.steps.\1.out."),
    (r"^c1\.", "network.skip."),
    (r"^cs\.(\d+)\.", r"network.steps.\1.pair."),
    (r"^sigma_0\.", "head.conv1."),
    (r"^sigma_1\.", "head.conv2."),
    (r"^sigma_2\.", "head.out."),
    (r"(\.conv\d|\.pair|\.skip)\.0\.weight$", r"\1.conv.weight"),
    (r"(\.conv\d|\.pair|\.skip)\.(?:1|nm)\.", r"\1.norm."),
)
"""Pattern → our name, applied one after the other."""

_DROPPED = (r"\.relative_position_index$", r"(^|\.)grid$", r"^reg_head\.")
"""Grids and index tables are rebuilt for the image at hand; `reg_head` is never used by the released networks."""


def dropped(key: str) -> bool:
    """Whether a released name holds nothing that a network needs."""
    return any(re.search(pattern, key) for pattern in _DROPPED)


def our_name(key: str) -> str:
    """The name in our models of a released parameter or running statistic."""
    for pattern, replacement in _RENAMED:
        key = re.sub(pattern, replacement, key)
    return key


def backbone_sizes(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Plain settings of the backbone that can be read from the shapes of parameters which every dialect has.

    Raises:
        ValueError: the windows cannot be told.
    """
    blocks = [m.groups() for key in state if (m := re.match(r"transformer\.layers\.(\d+)\.blocks\.(\d+)\.", key))]
    levels = 1 + max(int(level) for level, _ in blocks)
    depths = [1 + max(int(block) for level, block in blocks if int(level) == number) for number in range(levels)]
    tables = [state[f"transformer.layers.{s}.blocks.0.attn.relative_position_bias_table"] for s in range(levels)]
    steps = {m.group(1) for key in state if (m := re.match(r"cs\.(\d+)\.", key))}
    return {
        "kind": "transmorph-tvf",
        "channels": state["transformer.norm0.weight"].shape[0],
        "pool": 2,
        "depths": depths,
        "heads": [table.shape[1] for table in tables],
        "window": list(_window(state, tables[0].shape[0])),
        "time_steps": len(steps),
        "drop_path": 0.3,
        "shift_thin_windows": False,
    }


def training_shape(state: Mapping[str, Tensor]) -> tuple[int, ...] | None:
    """Size of the images that the network was trained on: twice its half-size grid buffer; None where there is none."""
    grids = [tuple(int(n) for n in value.shape[2:]) for key, value in state.items() if re.search(r"(^|\.)grid$", key)]
    return tuple(2 * n for n in min(grids)) if grids else None


def integrates(state: Mapping[str, Tensor]) -> bool:
    """Whether the released network integrates its field (scaling and squaring leaves a grid buffer behind)."""
    return any(key in state for key in ("vec_int.transformer.grid", "integrate.transformer.grid"))


def check_entries(given: Mapping[str, Tensor], expected: Mapping[str, Tensor], dialect: Dialect) -> None:
    """Nothing missing, nothing unexpected, every shape as expected, every value finite.

    Raises:
        ValueError: otherwise; the first entry that is wrong is named.
    """
    missing = sorted(expected.keys() - given.keys())
    foreign = sorted(given.keys() - expected.keys())
    other = sorted(key for key in given.keys() & expected.keys() if given[key].shape != expected[key].shape)
    for what, keys in (("lacks", missing), ("has unexpected", foreign), ("has another shape of", other)):
        if keys:
            raise ValueError(
                f"This checkpoint looks like dialect {dialect.value} but {what} {len(keys)} entries, the first is {keys[0]}; "
                "expected a complete checkpoint of the published network."
            )
    broken = sorted(key for key, value in given.items() if not bool(torch.isfinite(value).all()))
    if broken:
        raise ValueError(f"This checkpoint has values that are NaN or infinite in {broken[0]}; use another one.")


def _window(state: Mapping[str, Tensor], rows: int) -> tuple[int, ...]:
    """Tokens per axis: those whose index table is the checkpoint's, or those of the coarsest level, or the only ones that fit."""
    index = state.get("transformer.layers.0.blocks.0.attn.relative_position_index")
    fitting = [w for w in _windows(rows) if index is None or w[0] * w[1] * w[2] == index.shape[0]]
    if index is not None and not index.is_meta:  # a list of shapes has no numbers to compare
        exact = [w for w in fitting if torch.equal(relative_position(w), index.cpu())]
        if exact:
            return exact[0]
    shape = training_shape(state)
    coarsest = None if shape is None else tuple(n // 32 for n in shape)
    if coarsest in fitting:
        return coarsest
    if len(fitting) == 1:
        return fitting[0]
    raise ValueError(
        f"The attention windows of this checkpoint cannot be told from its shapes: {rows} relative positions fit "
        f"{len(fitting)} windows, and there is no grid buffer that decides."
    )


def _windows(rows: int) -> Iterator[tuple[int, int, int]]:
    """All (a, b, c) with (2a - 1)(2b - 1)(2c - 1) = rows."""
    for a in range(1, rows + 1, 2):
        for b in range(1, rows // a + 1, 2):
            if rows % (a * b) == 0 and (rows // (a * b)) % 2:
                yield (a + 1) // 2, (b + 1) // 2, (rows // (a * b) + 1) // 2
