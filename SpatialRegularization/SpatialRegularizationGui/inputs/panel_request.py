"""Read a request from the panel's parameters, and say what is still missing for one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..parameters import LIVE, PARAMETER_OF, PanelParameters, parameter_of, settings_of
from .model_cards import OFFERED, Card
from .request import INPUT_NAMES, OUTPUT_NAMES, Outputs, RegistrationRequest, missing_nodes

OUTPUT_PARAMETERS = {
    "transform": "outputTransform",
    "warped": "outputVolume",
    "lambda_map": "outputLambda",
    "jacobian": "outputJacobian",
    "magnitude": "outputMagnitude",
}
"""Output → parameter of its node."""
WANTED = {"warped": "wantVolume", "lambda_map": "wantLambda", "jacobian": "wantJacobian", "magnitude": "wantMagnitude"}
"""Output → parameter that says whether to make it; the transform is always made."""
INPUTS = {name: parameter_of(name) for name in INPUT_NAMES}
"""Field of a request → parameter of its node."""
OF_THE_PAIR = ("prior", *LIVE)
"""Settings that only the per-pair mode has controls for."""


def missing(parameters: PanelParameters | None, cards: Mapping[str, Card]) -> str:
    """What has to be done before Apply, in a few words; "" where nothing is missing."""
    if parameters is None:
        return "Open a scene"
    lacking, model = missing_nodes(_nodes(parameters)), parameters.model
    if lacking:
        return lacking
    if model and model not in cards:
        return f"Import the model {model}"
    if model and cards[model].state == OFFERED:
        return f"Download the model {model}"
    if model and cards[model].problem:
        return "Choose another model"
    return _contradiction(parameters)


def _contradiction(parameters: PanelParameters) -> str:
    """What has to be chosen otherwise for a result without a deformation, in a few words."""
    if parameters.deformable == "on":
        return ""
    if parameters.model:
        return "Choose no model, or a preset that deforms"
    nothing = parameters.affine == "none" and parameters.initialTransform is None
    return "Choose an affine start, or a preset that deforms" if nothing else ""


def condition_of(parameters: PanelParameters, card: Card | None) -> dict[str, float]:
    """The hyperparameters of the model as the sliders stand, within its range."""
    ranges = card.ranges if card is not None else ()
    return {r.name: min(max(getattr(parameters, PARAMETER_OF[r.name]), r.low), r.high) for r in ranges}


def request_of(
    parameters: PanelParameters, card: Card | None, device: str, *, refine_steps: int = 0
) -> RegistrationRequest:
    """What the panel asks for.

    Args:
        parameters: of the panel.
        card: of the chosen model, or None.
        device: value of the setting.
        refine_steps: of the optimizer after the model's answer.

    Raises:
        ValueError: a setting that cannot be; one sentence.
    """
    settings: dict[str, Any] = settings_of(parameters)
    if parameters.model:  # its sliders are its condition; a setting that no control shows has no say
        settings = {name: value for name, value in settings.items() if name not in OF_THE_PAIR}
    if device != "auto":
        settings["device"] = device
    if refine_steps:
        settings["refine_steps"] = refine_steps
    return RegistrationRequest(
        **_nodes(parameters), model=parameters.model, condition=condition_of(parameters, card), preset=parameters.preset,
        settings=settings, outputs=outputs_of(parameters),
    )  # fmt: skip


def _nodes(parameters: PanelParameters) -> dict[str, Any]:
    """Field of a request → the node that is chosen, or None."""
    return {name: getattr(parameters, parameter) for name, parameter in INPUTS.items()}


def outputs_of(parameters: PanelParameters) -> Outputs:
    """The nodes that receive the result."""
    nodes = {name: getattr(parameters, parameter) for name, parameter in OUTPUT_PARAMETERS.items()}
    wanted = {"transform"} | {name for name, parameter in WANTED.items() if getattr(parameters, parameter)}
    return Outputs(**nodes, wanted=frozenset(wanted), composite=parameters.composite)


def remember_outputs(parameters: PanelParameters, outputs: Outputs) -> None:
    """Select the nodes that were made, so that the next run updates them."""
    for name in OUTPUT_NAMES:
        node = getattr(outputs, name)
        if node is not None and getattr(parameters, OUTPUT_PARAMETERS[name]) is not node:
            setattr(parameters, OUTPUT_PARAMETERS[name], node)


def preview_key(request: RegistrationRequest) -> tuple[Any, ...]:
    """What a preview depends on; an equal key needs no new one."""
    nodes = tuple(id(getattr(request, name)) for name in INPUT_NAMES)
    settings = tuple(sorted((name, repr(value)) for name, value in request.settings.items()))
    return (*nodes, request.model, tuple(sorted(request.condition.items())), request.preset, settings, request.outputs.wanted)
