"""Keep one pair and one model at hand, and answer every change of the condition quickly.

Done once: intensities, affine start, the network's grid, what the network makes of the images before the condition comes
in, and where every voxel of the fixed image lies in the moving one. Done for each condition: the rest of the network,
integration, one interpolation of the moving image, the Jacobian determinant.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ..geometry.companions import Companions
from ..geometry.transform import SpatialTransform
from ..geometry.volume import Volume
from ..models.base import EncodingModel, Hyperparameter, Prediction, RegistrationModel, in_float32, network_precision
from ..models.network_model import EncodedPair
from ..transforms.resample import regrid, regrid_displacement
from .choices import ComputeChoices, threads
from .interactive import InteractiveAnswer, MovingAtRest
from .network import Answer, Network, check_initial, network_of, seen_pair
from .prepare import PreparedPair, prepare
from .presets import preset_settings
from .progress import Monitor, Reporter
from .register import register
from .result import Registration
from .settings import RegistrationSettings, check_linear

if TYPE_CHECKING:
    from ..zoo.card import ModelCard


class PairSession:
    """A loaded pair and model.

    Args:
        fixed, moving: (1, i, j, k).
        model: name or path of a model, or (model, card).
        settings: device, threads, affine start, seed, largest field, and what `save` refines with; default the preset auto.
        initial: affine map to start from.
        monitor: told about the loading; raises `Cancelled` to stop it.

    Attributes:
        fixed, moving: the two images as given.
        grid: of every answer: the fixed grid, or the working grid where the fixed one is too large.
        affine: B, 4x4: φ(x) = B (x + d(x)).
        notes: sentences about the pair.

    Raises:
        ValueError, FileNotFoundError, RuntimeError: as `register`.
    """

    def __init__(
        self,
        fixed: Volume,
        moving: Volume,
        model: str | Path | tuple[RegistrationModel, ModelCard],
        settings: RegistrationSettings | None = None,
        *,
        initial: SpatialTransform | None = None,
        monitor: Monitor | None = None,
    ) -> None:
        settings = settings or preset_settings("auto")
        check_linear(settings, model=True, initial=initial is not None)
        check_initial(initial)
        self.fixed, self.moving = fixed, moving
        choices, reporter = ComputeChoices.of(settings), Reporter(monitor)
        with threads(settings.threads), torch.no_grad():
            reporter.tell("reading the model", 0.0)
            network = network_of(model, {}, choices.device, choices.network_precision)
            self._model = (network.model, network.card)
            self._keep(prepare(fixed, moving, settings, reporter=reporter, initial=initial), network)

    def _keep(self, prepared: PreparedPair, network: Network) -> None:
        """Everything that does not depend on the condition."""
        tell, device = prepared.reporter.tell, prepared.choices.device
        self._prepared = prepared.without_images()
        self.affine, self.grid = prepared.affine, prepared.field_grid
        tell("preparing for the network", 0.3)
        self._seen = seen_pair((prepared.fixed, prepared.moving), network.card, self.affine, device)
        self._rest = MovingAtRest(prepared.moving, self.grid, self.affine, device)
        tell("network, first half", 0.6)
        self._encoding = self._encoded(network)
        self.notes = (*prepared.notes, *prepared.field_notes, *self._seen.notes)
        tell("done", 1.0)

    def _encoded(self, network: Network) -> EncodedPair | None:
        """What the network makes of the images, where no condition has a part in it."""
        model = network.model
        if not isinstance(model, EncodingModel) or model.encoder_conditioned:
            return None
        with network_precision(network.precision, self.device):
            return model.encode(self._seen.moving, self._seen.fixed)

    def _prediction(self, network: Network) -> Prediction:
        if self._encoding is None:
            return network.predict(self._seen.moving, self._seen.fixed)
        with network_precision(network.precision, self.device):
            return in_float32(network.model.decode(self._encoding, network.condition))

    @property
    def settings(self) -> RegistrationSettings:
        """As given, or chosen where the pair decides them."""
        return self._prepared.settings

    @property
    def hyperparameters(self) -> tuple[Hyperparameter, ...]:
        """What `predict` takes."""
        return self._model[0].hyperparameters

    def condition(self, values: Mapping[str, float]) -> dict[str, float]:
        """All hyperparameters by name: these values, defaults elsewhere."""
        return {h.name: float(values.get(h.name, h.default)) for h in self.hyperparameters}

    @property
    def card(self) -> ModelCard:
        """Of the model."""
        return self._model[1]

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self._prepared.choices.device

    @torch.no_grad()
    def predict(
        self, values: Mapping[str, float] | None = None, *, check: Callable[[], None] | None = None
    ) -> InteractiveAnswer:
        """The answer at one condition.

        Folds are counted, not removed: `save` gives the finished registration.

        Args:
            values: of the hyperparameters by name; defaults elsewhere.
            check: called between the parts of the work, and between the layers of the network; what it raises stops it.

        Raises:
            ValueError: an unknown name, or a value out of range.
            RuntimeError: the answer is not finite.
        """
        start = time.perf_counter()
        check = check or (lambda: None)
        network = network_of(self._model, values or {}, self.device, self._prepared.choices.network_precision)
        with threads(self._prepared.settings.threads), _checked_layers(network.model, check):
            prediction = self._prediction(network)
            check()
            answer = Answer(network, prediction, self._seen.grid)
            u = answer.u
            check()
            u = regrid_displacement(u, answer.grid, self.grid)
            lambda_map = regrid(answer.lambda_map, answer.grid, self.grid)
            check()
            found = self._rest.answer(u, lambda_map, check)
        return replace(found, figures=found.figures | {"seconds": time.perf_counter() - start})

    def save(
        self,
        values: Mapping[str, float] | None = None,
        *,
        settings: RegistrationSettings | None = None,
        companions: Companions | None = None,
        monitor: Monitor | None = None,
    ) -> Registration:
        """The finished registration at one condition, from the same affine start: fold-free, with inverse and all figures."""
        settings = replace(settings or self._prepared.settings, affine="none")
        found = register(
            self.fixed, self.moving, settings, companions=companions, initial=SpatialTransform(self.affine),
            model=self._model, condition=values, monitor=monitor,
        )  # fmt: skip
        return self._prepared.told_in(found)


@contextlib.contextmanager
def _checked_layers(model: RegistrationModel, check: Callable[[], None]) -> Iterator[None]:
    """Inside the block `check` is called before every layer of the network."""
    hooks = [module.register_forward_pre_hook(lambda *_: check()) for module in model.modules()]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
