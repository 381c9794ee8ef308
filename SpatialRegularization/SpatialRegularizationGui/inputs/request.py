"""Describe the registration that is asked for: which nodes, which settings, where the result goes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from SpatialRegularizationLib.declaration import refuse_unknown
from SpatialRegularizationLib.registration.presets import PRESETS, preset_settings
from SpatialRegularizationLib.registration.settings import setting_names

SIDES = ("fixed", "moving")
PAIRED = {"labels": "labels", "points": "landmarks"}
"""What is given of both images or of none → what it is called."""
OUTPUT_NAMES = ("transform", "warped", "lambda_map", "jacobian", "magnitude")
"""What a registration can leave in the scene."""


@dataclass(frozen=True)
class Outputs:
    """Nodes that receive the result.

    Args:
        transform: fixed to moving in the sense of resampling: put the moving volume under it.
        warped: moving volume on the fixed grid.
        lambda_map, jacobian, magnitude: λ, Jacobian determinant and |u| (mm) on the fixed grid.
        wanted: which of `OUTPUT_NAMES` are made; a wanted one without a node gets a new node.
        composite: affine and field in one transform node; False: the whole map as one displacement grid.

    Raises:
        ValueError: a wanted name that is no output.
    """

    transform: Any = None
    warped: Any = None
    lambda_map: Any = None
    jacobian: Any = None
    magnitude: Any = None
    wanted: frozenset[str] = frozenset({"transform", "warped", "lambda_map", "jacobian"})
    composite: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "wanted", frozenset(self.wanted))
        unknown = sorted(self.wanted - set(OUTPUT_NAMES))
        if unknown:
            raise ValueError(f"Outputs are {', '.join(OUTPUT_NAMES)}, got {unknown[0]!r}; leave it out.")

    @property
    def nodes(self) -> dict[str, Any]:
        """Name → node, of those that there are."""
        return {name: getattr(self, name) for name in OUTPUT_NAMES if getattr(self, name) is not None}


@dataclass(frozen=True)
class RegistrationRequest:
    """A pair of volumes and how to register it; nodes, or None.

    Args:
        fixed, moving: scalar volumes.
        fixed_mask, moving_mask: volume or segmentation; what is > 0 counts.
        fixed_labels, moving_labels: label map or segmentation; Dice before and after.
        fixed_points, moving_points: markups; target registration error before and after.
        initial: linear transform that one would put the moving volume under to bring it near the fixed one.
        model: name or path of a model; "" optimizes this pair.
        condition: hyperparameters of the model by name; its defaults elsewhere.
        preset: of `registration.presets`.
        settings: fields of `RegistrationSettings` that differ from the preset, or that must stay where the pair decides (auto).
        outputs: where the result goes.
    """

    fixed: Any
    moving: Any
    fixed_mask: Any = None
    moving_mask: Any = None
    fixed_labels: Any = None
    moving_labels: Any = None
    fixed_points: Any = None
    moving_points: Any = None
    initial: Any = None
    model: str = ""
    condition: Mapping[str, float] = field(default_factory=dict)
    preset: str = "auto"
    settings: Mapping[str, Any] = field(default_factory=dict)
    outputs: Outputs = field(default_factory=Outputs)

    @property
    def deforms(self) -> bool:
        """False where a linear transform alone is asked for."""
        known = PRESETS.get(self.preset)
        return self.settings.get("deformable", "on" if known is None else known.deformable) == "on"


REQUESTED = tuple(f.name for f in fields(RegistrationRequest))[2:]
INPUT_NAMES = tuple(f.name for f in fields(RegistrationRequest))[:9]
"""The fields of a request that are nodes to read."""


def missing_nodes(nodes: Mapping[str, Any]) -> str:
    """What has to be selected before a registration can run, in a few words; "" where nothing is missing.

    Args:
        nodes: name of `INPUT_NAMES` → node, or None.
    """
    for side in SIDES:
        if nodes[side] is None:
            return f"Select a {side} volume"
    if nodes["fixed"] is nodes["moving"]:
        return "Select two different volumes"
    for kind, words in PAIRED.items():
        absent = [side for side in SIDES if nodes[f"{side}_{kind}"] is None]
        if len(absent) == 1:
            return f"Select the {absent[0]} {words}, too"
    return ""


def request_of_options(fixed: Any, moving: Any, options: Mapping[str, Any]) -> RegistrationRequest:
    """The request of `register(fixedNode, movingNode, **options)`.

    Args:
        fixed, moving: volume nodes.
        options: fields of a request, in Slicer's spelling (fixedMask, movingPointsNode) or Python's (fixed_mask), and settings.

    Raises:
        ValueError: a name that is neither, an unknown preset, or a setting out of its range.
    """
    plain = {_python_name(name): value for name, value in options.items()}
    refuse_unknown(plain, (*REQUESTED, *setting_names()), "choice")
    chosen = {name: value for name, value in plain.items() if name in REQUESTED}
    settings = {**chosen.pop("settings", {}), **{name: value for name, value in plain.items() if name not in REQUESTED}}
    checked = {name: value for name, value in settings.items() if not str(value).startswith("cuda:")}
    preset_settings(chosen.get("preset", RegistrationRequest.preset)).changed(**checked)
    return RegistrationRequest(fixed, moving, settings=settings, **chosen)


def _python_name(name: str) -> str:
    """fixed_mask of fixedMask and fixedMaskNode."""
    return re.sub(r"([A-Z])", lambda letter: "_" + letter.group(1).lower(), name).removesuffix("_node")
