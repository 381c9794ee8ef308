"""What panel, console and logic tell one another: frozen values that hold MRML nodes, without a line of MRML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import Enum
from typing import Any

OUTPUT_NAMES = ("transform", "warped", "lambda_map", "jacobian", "magnitude")
"""What a registration can leave in the scene."""
REMEDIES = ("half-resolution", "cpu", "install")
"""What the panel can offer after a failure."""


class RunState(Enum):
    """What the logic is doing."""

    IDLE = "idle"
    RUNNING = "running"
    CANCELLING = "cancelling"


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
        settings: fields of `RegistrationSettings` that differ from the preset.
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
    preset: str = "generic"
    settings: Mapping[str, Any] = field(default_factory=dict)
    outputs: Outputs = field(default_factory=Outputs)


INPUT_NAMES = tuple(f.name for f in fields(RegistrationRequest))[:9]
"""The fields of a request that are nodes to read."""


@dataclass(frozen=True)
class Step:
    """How far a run is.

    Args:
        stage: in words for the user.
        fraction: 0 to 1.
        seconds_left: s; None where nobody can say.
    """

    stage: str
    fraction: float
    seconds_left: float | None = None


@dataclass(frozen=True)
class Outcome:
    """A finished run; the nodes hold it already.

    Args:
        outputs: with every node that was made.
        figures: of report.json.
        notes: sentences for the user.
        device: that was used.
        seconds: wall time.
        report: path of report.html, "" where there is none.
        folder_item: of the subject hierarchy, 0 where there is none.
        request: what was asked for.
    """

    outputs: Outputs
    figures: Mapping[str, Any]
    notes: tuple[str, ...]
    device: str
    seconds: float
    report: str
    folder_item: int
    request: RegistrationRequest


@dataclass(frozen=True)
class Preview:
    """The answer to one live update; the nodes hold it already.

    Args:
        outputs: the nodes.
        figures: quick ones: folding_percent, sd_log_j, jacobian_min, ...
        seconds: that the update took.
        device: that was used.
        id: of `RegistrationLogic.preview`.
        request: what was asked for.
    """

    outputs: Outputs
    figures: Mapping[str, Any]
    seconds: float
    device: str
    id: int
    request: RegistrationRequest


@dataclass(frozen=True)
class Failure:
    """A run that came to nothing; every node is as it was.

    Args:
        sentence: for the panel: what, expected, got, remedy.
        details: for the log.
        remedies: of `REMEDIES`, what may help.
    """

    sentence: str
    details: str = ""
    remedies: tuple[str, ...] = ()
