"""Two volumes in, one registration out: the main job.

    prepare intensities and masks → affine start B → working lattice → a network's answer, a descent on the velocity, or both
    → folds removed → displacement in mm, its inverse, λ, Jacobian, figures

    φ(x) = B( x + d(x) )        fixed point → moving point, LPS mm
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..geometry.transform import SpatialTransform
from ..geometry.volume import Volume
from ..models.base import RegistrationModel
from .affine import AffineStart, start_affine
from .choices import ComputeChoices, threads
from .conclude import conclude, field_grid
from .job import Job, Reporter
from .large_motion import initial_velocity
from .network import Network, check_initial, network_of
from .optimize import optimize, refine
from .predict import predict
from .prepare import check_overlap, describe_working_grid, prepare_intensity, working_grid
from .result import Companions, Monitor, Registration
from .scores import check_companions
from .settings import RegistrationSettings
from .start_check import doubts
from .usable import usable_pair

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
        settings: see `presets.PRESETS`; default the generic preset.
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
            on, or a condition out of its range; one sentence with the remedy.
        FileNotFoundError: no such model.
        RuntimeError: the asked-for device is not there; an energy term or a network's answer is not finite.
        Cancelled: by the monitor.
    """
    settings = settings or RegistrationSettings()
    companions = companions or Companions()
    usable = usable_pair(fixed, moving, companions)
    check_companions(companions, fixed.grid, moving.grid)
    choices = ComputeChoices.of(settings)
    job = Job(usable.fixed, usable.moving, settings, usable.companions, choices, Reporter(monitor))
    with threads(settings.threads):
        return _run(job, initial, _network(model, condition, initial, choices), list(usable.notes))


def _network(
    model: str | Path | tuple[RegistrationModel, ModelCard] | None,
    condition: Mapping[str, float] | None,
    initial: SpatialTransform | None,
    choices: ComputeChoices,
) -> Network | None:
    if model is None:
        if condition:
            raise ValueError(f"A condition ({', '.join(condition)}) belongs to a model: name the model, or leave it out.")
        return None
    check_initial(initial)
    return network_of(model, condition or {}, choices.device, choices.network_precision)


def _run(job: Job, initial: SpatialTransform | None, network: Network | None, notes: list[str]) -> Registration:
    job.reporter.tell("preparing", 0.0)
    images = (
        prepare_intensity(job.fixed, job.settings.intensity, "fixed image"),
        prepare_intensity(job.moving, job.settings.intensity, "moving image"),
    )
    masks = job.masks()
    affine = affine_start(job, images, masks, initial, notes)
    check_overlap(job.fixed.grid, job.moving.grid, affine)
    grid = working_grid(job.fixed.grid, spacing_mm=job.settings.working_spacing_mm, max_voxels=job.settings.max_voxels)
    notes.append(describe_working_grid(job.fixed.grid, grid))
    pair = job.choices.pair(images, masks, grid, affine)
    where = field_grid(job, grid, notes)
    if network is None:
        del images, masks
        solution = optimize(job, pair, initial_velocity(initial, affine, grid, job.choices), notes)
    else:
        answer = predict(job, network, images, affine, notes)
        del images, masks
        wanted = job.settings.refine_steps > 0
        solution = refine(job, pair, grid, answer, notes) if wanted else answer.solution(job, pair, where)
        before, after = solution.similarity
        if after < before and not wanted:
            notes.append(
                f"The network left the images less alike than they were ({after:.4f}, before {before:.4f}): refine its answer, "
                "or register without a model; images that nearly match already gain little from a network."
            )
    del pair
    return conclude(job, solution, where, affine, notes)


def affine_start(
    job: Job,
    images: tuple[Volume, Volume],
    masks: tuple[Volume | None, Volume | None],
    initial: SpatialTransform | None,
    notes: list[str],
) -> np.ndarray:
    """B, 4x4: found by mutual information as the settings ask for, or that of an initial transform that bends."""
    start = None if initial is None else initial.affine_matrix
    if initial is not None and initial.displacement is not None:
        notes.append("The initial transform bends; it was taken as it is, without an affine stage.")
        return start
    kind = AffineStart(job.settings.affine)
    job.reporter.tell("affine start", 0.02)
    found = start_affine(
        *images, kind, initial=start, masks=masks, seed=job.settings.seed,
        monitor=lambda share: job.reporter.tell("affine start", 0.02 + 0.08 * share),
    )  # fmt: skip
    notes += doubts(images, masks, found, np.eye(4) if start is None else start, seed=job.settings.seed)
    return found
