"""Register two volumes: prepare them, find a deformation, conclude with a transform, maps and figures. The main job.

    prepare: intensities, masks, affine start B, working grid → solve: a network's answer, a descent on the velocity, or both
    → conclude: folds removed, displacement in mm, its inverse, λ, Jacobian, figures → judged: good, look here or failed
    deformable none: prepare → conclude_linear, and φ = B

    φ(x) = B( x + d(x) )        fixed point → moving point, LPS mm
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..geometry.companions import Companions
from ..geometry.transform import SpatialTransform
from ..geometry.volume import Volume
from ..models.base import RegistrationModel
from .choices import ComputeChoices, threads
from .conclude import Solution, conclude
from .evidence import judged
from .linear import CHECKED, FASTER, check_straight, conclude_linear
from .network import Answer, Network, check_initial, network_of, predict
from .optimize import optimize, refine
from .prepare import PreparedPair, prepare
from .presets import preset_settings
from .progress import Monitor, Reporter
from .result import Registration
from .settings import RegistrationSettings, check_linear
from .working_pair import TensorPair

if TYPE_CHECKING:
    from ..zoo.card import ModelCard


def register(  # eight arguments: the pair, how, what goes with it, and three that only some callers have
    fixed: Volume,
    moving: Volume,
    settings: RegistrationSettings | None = None,
    *,
    companions: Companions | None = None,
    initial: SpatialTransform | None = None,
    model: str | Path | tuple[RegistrationModel, ModelCard] | None = None,
    condition: Mapping[str, float] | None = None,
    monitor: Monitor | None = None,
) -> Registration:
    """Registers two 3-D volumes of any size, spacing and orientation.

    Args:
        fixed: (1, i, j, k); the result lives on its grid.
        moving: (1, i, j, k); is carried onto the fixed image.
        settings: see `presets.PRESETS`; default the preset auto, which measures the pair and takes the preset that fits.
        companions: masks, label maps and landmarks. A network sees no masks.
        initial: transform to start from; its affine part starts the affine stage, its displacement the velocity.
        model: name or path of a model, or (model, card): a network answers instead of the descent, which then only refines
            that answer for `settings.refine_steps` steps.
        condition: values of the model's hyperparameters by name, such as {"alpha_prime": 0.1}; its defaults elsewhere.
        monitor: told about the progress; raises `Cancelled` to stop.

    Returns:
        Registration; the same for the same inputs, settings, device and number of threads.

    Raises:
        ValueError: images, masks, labels or points that cannot be registered, images far from those the model was trained
            on, a condition out of its range, or settings that contradict one another; one sentence with the remedy.
        FileNotFoundError: no such model.
        RuntimeError: the asked-for device is not there; an energy term or a network's answer is not finite.
        Cancelled: by the monitor.
    """
    settings = settings or preset_settings("auto")
    network = _network(model, condition, initial, settings)
    linear = settings.deformable == "none"
    with threads(settings.threads):
        reporter = Reporter(monitor, faster=FASTER if linear else 1.0)
        prepared = prepare(fixed, moving, settings, reporter=reporter, companions=companions, initial=initial)
        if linear:
            return judged(prepared, conclude_linear(prepared), at=CHECKED)
        pair = prepared.tensors()
        answer = None if network is None else predict(prepared, network)
        prepared = prepared.without_images()
        solution = optimize(prepared, pair, initial) if answer is None else _answered(prepared, pair, answer)
        del pair
        return judged(prepared, conclude(prepared, solution))


def _network(
    model: str | Path | tuple[RegistrationModel, ModelCard] | None,
    condition: Mapping[str, float] | None,
    initial: SpatialTransform | None,
    settings: RegistrationSettings,
) -> Network | None:
    """The network that is asked for, or None; refuses what cannot be done together."""
    check_linear(settings, model=model is not None, initial=initial is not None)
    if settings.deformable == "none":
        check_straight(initial)
    if model is None:
        if condition:
            raise ValueError(f"A condition ({', '.join(condition)}) belongs to a model: name the model, or leave it out.")
        return None
    check_initial(initial)
    choices = ComputeChoices.of(settings)
    return network_of(model, condition or {}, choices.device, choices.network_precision)


def _answered(prepared: PreparedPair, pair: TensorPair, answer: Answer) -> Solution:
    """A network's answer, refined where the settings ask for it."""
    return refine(prepared, pair, answer) if prepared.settings.refine_steps > 0 else answer.solution(prepared, pair)
