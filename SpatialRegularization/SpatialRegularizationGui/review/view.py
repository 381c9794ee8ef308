"""Describe what is looked at, and how: plain values between the review section and what draws it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from ..inputs.request import Outputs, RegistrationRequest


class Overlay(Enum):
    """What lies over the images."""

    NONE = "None"
    LAMBDA = "Regularization weight λ"
    LOG_JACOBIAN = "Volume change (log-Jacobian)"
    DISPLACEMENT = "Displacement |u|"
    DIFFERENCE = "Difference warped − fixed"
    FOLDS = "Folds"


class Compare(Enum):
    """How fixed and warped image are compared."""

    FADE = "Fade"
    CHECKERBOARD = "Checkerboard"
    BLINK = "Blink"


@dataclass(frozen=True)
class View:
    """A state of the review section.

    Args:
        overlay: see `Overlay`.
        opacity: of the overlay and of the folds, 0 to 1.
        threshold: values of the overlay that are shown, or None for all.
        legend: whether a color legend stands beside the overlay.
        mark_folds: folds in red under every overlay.
        compare: see `Compare`.
        fade: 0 shows the fixed, 1 the warped image.
        tiles: cubes of the checkerboard along the longest edge, at least 2.
        grid_slices, grid_views: deformation grid in the slice views, in the 3-D views.
        linked: whether all slice views follow one another.
    """

    overlay: Overlay = Overlay.NONE
    opacity: float = 0.6
    threshold: tuple[float, float] | None = None
    legend: bool = True
    mark_folds: bool = True
    compare: Compare = Compare.FADE
    fade: float = 0.5
    tiles: int = 8
    grid_slices: bool = False
    grid_views: bool = False
    linked: bool = True


@dataclass(frozen=True)
class Result:
    """The nodes that can be looked at; None where there is none.

    Args:
        fixed, warped, lambda_map, jacobian, magnitude: volumes.
        transform: transform node.
        lambda_max: end of the scale of λ; None takes the largest value of the map.
    """

    fixed: Any
    warped: Any = None
    lambda_map: Any = None
    jacobian: Any = None
    magnitude: Any = None
    transform: Any = None
    lambda_max: float | None = None

    @classmethod
    def of(cls, outputs: Outputs, request: RegistrationRequest) -> Result:
        """What a finished run or a preview left. Without a warped volume the moving one is shown, below its transform."""
        top = {**request.settings, **request.condition}.get("lambda_max")
        warped = outputs.warped
        if warped is None and request.moving is not None and request.moving.GetParentTransformNode() is not None:
            warped = request.moving
        return cls(
            request.fixed, warped, outputs.lambda_map, outputs.jacobian, outputs.magnitude, outputs.transform,
            None if top is None else float(top),
        )  # fmt: skip


OUTPUTS = ("warped", "lambda_map", "jacobian", "magnitude", "transform")
"""Fields of `Result` that the user may remove while they are shown."""
