"""Keep one pair without a model at hand, and answer every change of the prior by a few steps on a coarse grid.

Done once: intensities, affine start, both images on a lattice of at most `VOXELS` voxels, a whole registration on it (the rest).
Done for each change: `STEPS` steps of the same descent from that rest, so that an answer depends on the values alone and not on
those before. A preview shows what a change does, and in which direction; the finished registration is that of `register`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from ..fields.resize import resize
from ..geometry.companions import Companions
from ..geometry.transform import SpatialTransform
from ..geometry.volume import Volume
from ..images.preparation import working_grid
from ..models.base import Hyperparameter
from ..models.free import Free
from ..objective import Objective
from ..transforms.diffeomorphism import displacement_of
from .choices import ComputeChoices, threads
from .interactive import InteractiveAnswer, MovingAtRest
from .optimize import Descent, descend, optimize
from .prepare import PreparedPair, prepare
from .presets import preset_settings
from .progress import Monitor, Reporter
from .register import register
from .result import Registration
from .settings import RegistrationSettings, live_settings

VOXELS = 50_000
"""Of the preview's lattice, at most."""
STEPS = 15
"""Of the descent for one answer."""
VELOCITY_SHRINK = 2
"""The velocity's lattice is at least so much coarser than the preview's: an integration then costs less than the similarity."""
REACH = 10.0
"""A slider goes from 1/REACH to REACH times the value of the settings."""


@dataclass(frozen=True)
class Start:
    """What a preview starts from besides the images: masks, and a transform."""

    companions: Companions = field(default_factory=Companions)
    initial: SpatialTransform | None = None


class PairPreview:
    """A loaded pair, to be registered without a model.

    Args:
        fixed, moving: (1, i, j, k).
        settings: as of `register`, default the preset auto; the lattice is coarser.
        start: masks and initial transform; label maps and points have no influence.
        monitor: told about the loading; raises `Cancelled` to stop it.

    Attributes:
        settings: as given, or chosen where the pair decides them.
        grid: of every answer.
        affine: B, 4x4: φ(x) = B (x + d(x)).
        notes: sentences about the pair.

    Raises:
        ValueError, RuntimeError: as `register`.
    """

    def __init__(
        self,
        fixed: Volume,
        moving: Volume,
        settings: RegistrationSettings | None = None,
        *,
        start: Start | None = None,
        monitor: Monitor | None = None,
    ) -> None:
        settings = settings or preset_settings("auto")
        if settings.deformable == "none":
            raise ValueError(
                "Live updates show what the weight of a deformation changes, and nothing is to deform (deformable none): "
                "register instead, which takes seconds."
            )
        self.fixed, self.moving = fixed, moving
        self._start = start or Start()
        companions, initial = self._start.companions, self._start.initial
        with threads(settings.threads):
            reporter = Reporter(monitor)
            self._keep(prepare(fixed, moving, settings, reporter=reporter, companions=companions, initial=initial))

    def _keep(self, prepared: PreparedPair) -> None:
        """Everything that does not depend on the prior's settings."""
        fine = prepared.grid
        self.affine, self.settings = prepared.affine, prepared.settings
        self.grid = working_grid(fine, max_voxels=min(VOXELS, self.settings.max_voxels))
        self._pair = prepared.tensors(self.grid)
        self._coarser = (fine.shape[0] * fine.shape[1] * fine.shape[2] / self._pair.fixed[0, 0].numel()) ** (1 / 3)
        self._moving_at_rest = MovingAtRest(prepared.moving, self.grid, self.affine, prepared.choices.device)
        settings = replace(self.settings, levels=self._levels())
        self._prepared = replace(prepared.without_images(), grid=self.grid, settings=settings)
        rest = optimize(self._prepared, self._pair, self._start.initial)
        self._rest = rest.velocity
        size = " x ".join(map(str, self.grid.shape))
        notes = [f"The preview works on {size} voxels; the finished registration works on finer ones."]
        if self.settings.evidence != "none":
            notes.append("The preview shows a deformation also where the finished registration finds that nothing asks for one.")
        self.notes = (*prepared.notes, *rest.notes, *notes)
        prepared.reporter.tell("done", 1.0)

    def _levels(self) -> tuple[tuple[int, int, int], ...]:
        """The levels of the settings in voxels of the preview's lattice; those that it cannot tell apart are one."""
        shrunk = {}
        for image, velocity, steps in self.settings.levels:
            shrinks = max(1, round(image / self._coarser)), max(VELOCITY_SHRINK, round(velocity / self._coarser))
            shrunk[shrinks] = steps
        return tuple((*shrinks, steps) for shrinks, steps in shrunk.items())

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self._prepared.choices.device

    @property
    def hyperparameters(self) -> tuple[Hyperparameter, ...]:
        """What `predict` takes: the settings of the prior, about their values in the settings of this preview."""
        found = []
        for name in live_settings(self.settings.prior):
            value = getattr(self.settings, name)
            found.append(Hyperparameter(name, value / REACH, REACH * (value or 0.01), value))
        return tuple(found)

    def condition(self, values: Mapping[str, float]) -> dict[str, float]:
        """All that `predict` takes by name: these values, those of the settings elsewhere."""
        return {h.name: float(values.get(h.name, h.default)) for h in self.hyperparameters}

    def predict(
        self, values: Mapping[str, float] | None = None, *, check: Callable[[], None] | None = None
    ) -> InteractiveAnswer:
        """The answer at other values of the prior's settings.

        Args:
            values: by name; those of the settings elsewhere.
            check: called between the steps; what it raises stops it.

        Raises:
            ValueError: an unknown name, or a value out of the range of the settings.
            RuntimeError: an energy term is not finite.
        """
        begin = time.perf_counter()
        check = check or (lambda: None)
        steered = self._steered(values or {})
        with threads(self.settings.threads):
            velocity, lambda_map = self._descended(steered, check)
            check()
            with torch.no_grad():
                u = displacement_of(velocity, self.grid.shape).float()
                found = self._moving_at_rest.answer(u, resize(lambda_map.float(), self.grid.shape), check)
        return replace(found, figures=found.figures | {"seconds": time.perf_counter() - begin})

    def save(
        self,
        values: Mapping[str, float] | None = None,
        *,
        settings: RegistrationSettings | None = None,
        companions: Companions | None = None,
        monitor: Monitor | None = None,
    ) -> Registration:
        """The finished registration at these values: at full resolution, fold-free, with inverse and all figures."""
        settings = replace(settings or self.settings, **self.condition(values or {}))
        initial = self._start.initial
        if initial is None or initial.is_affine:
            settings, initial = replace(settings, affine="none"), SpatialTransform(self.affine)
        masks = {name: getattr(self._start.companions, name) for name in ("fixed_mask", "moving_mask")}
        companions = replace(companions or Companions(), **masks)
        found = register(self.fixed, self.moving, settings, companions=companions, initial=initial, monitor=monitor)
        return self._prepared.told_in(found)

    def _steered(self, values: Mapping[str, float]) -> RegistrationSettings:
        known = live_settings(self.settings.prior)
        for name in values:
            if name not in known:
                raise ValueError(
                    f"Unknown hyperparameter {name!r}: without a model, the {self.settings.prior} prior takes {', '.join(known)}."
                )
        return replace(self._prepared.settings, **values)

    def _descended(self, settings: RegistrationSettings, check: Callable[[], None]) -> tuple[Tensor, Tensor]:
        """(velocity, λ) on the velocity's lattice, after `STEPS` steps from rest."""
        choices, velocity = ComputeChoices.of(settings), self._rest
        spacing = choices.relative_spacing(self._pair, tuple(velocity.shape[2:]))
        free = Free(
            velocity, choices.prior.optimal_lambda, lambda_pooling=settings.lambda_pooling, spacing=spacing
        )  # fmt: skip
        regularizer = choices.regularizer(self._pair.fixed, tuple(velocity.shape[2:]), spacing)
        objective = Objective(choices.similarity, regularizer, choices.prior)
        descent = Descent(STEPS, settings.learning_rate)
        descend(free, choices.featured(self._pair), objective, descent, on_step=lambda *_: check())
        found = free.velocity.detach()
        return found, free.lambda_map(found)
