"""Share what the hyper systems have in common: a system of fixed hyperparameters inside a `HyperNetwork`.

    h = code(condition),   θ = θ(h),   Prediction = inner(moving, fixed; θ)

With `Conditioned.SECOND_HALF` only layers behind the encoder depend on the condition. What comes before is then the same at
every position of a slider and computed once per pair:

    encoded = model.encode(moving, fixed)
    prediction = model.decode(encoded, condition)
"""

from __future__ import annotations

from abc import ABC
from dataclasses import replace
from enum import Enum

from torch import Tensor

from ..networks.blocks import ConvBlock
from ..networks.heads import HeadSettings
from ..networks.hyper import HyperMode, HyperNetwork, HyperSettings, HyperSummary, able_layers
from ..networks.norms import NormKind
from ..networks.transmorph_tvf import TransMorphTvf, TransMorphTvfSettings
from ..networks.unet import UNetSettings
from .base import EncodingModel, Hyperparameter, Prediction
from .network_model import EncodedPair, NetworkModel


class Conditioned(Enum):
    """Which part of the network depends on the condition: what `Backbone.decode` runs and the weight head, or all of it."""

    SECOND_HALF = "second-half"
    ALL = "all"


class HyperModel(EncodingModel, ABC):
    """A system whose network's parameters are generated from the condition.

    Args:
        inner: the system at fixed hyperparameters; its network (and head) are what is conditioned.
        hyperparameters: coordinates of the condition.
        settings: how; where `layers` is None, `conditioned` chooses them.
        conditioned: see there.
    """

    def __init__(
        self,
        inner: NetworkModel,
        hyperparameters: tuple[Hyperparameter, ...],
        settings: HyperSettings,
        conditioned: Conditioned,
    ) -> None:
        super().__init__()
        self.hyperparameters = hyperparameters
        layers = settings.layers or conditioned_layers(inner, settings.mode, conditioned)
        self.hyper = HyperNetwork(inner, len(hyperparameters), replace(settings, layers=layers))
        self._encoder_conditioned = bool(set(self.hyper.names) - _second_half(inner, able_layers(inner, settings.mode)))

    @property
    def encoder_conditioned(self) -> bool:
        """See the base."""
        return self._encoder_conditioned

    @property
    def inner(self) -> NetworkModel:
        """The wrapped system."""
        return self.hyper.network

    def summary(self) -> HyperSummary:
        """Which layers are conditioned, and the parameters that this takes."""
        return self.hyper.summary()

    def use_checkpointing(self, on: bool = True) -> None:
        """See the base: as the inner system."""
        self.inner.use_checkpointing(on)

    def forward(
        self, moving: Tensor, fixed: Tensor, condition: Tensor | None = None, *, with_lambda: bool = True
    ) -> Prediction:
        with self.hyper.applied(self._given(condition)):  # once for both halves
            return self._steered(self.inner(moving, fixed, with_lambda=with_lambda), condition)

    def encode(self, moving: Tensor, fixed: Tensor, condition: Tensor | None = None) -> EncodedPair:
        """See the base."""
        if not self.encoder_conditioned:
            return self.inner.encode(moving, fixed)
        with self.hyper.applied(self._given(condition)):
            return self.inner.encode(moving, fixed)

    def decode(
        self, encoded: EncodedPair, condition: Tensor | None = None, *, with_lambda: bool = True
    ) -> Prediction:
        """See the base."""
        with self.hyper.applied(self._given(condition)):
            return self._steered(self.inner.decode(encoded, with_lambda=with_lambda), condition)

    def _steered(self, prediction: Prediction, condition: Tensor) -> Prediction:
        """The inner system's prediction, with what the condition says of it directly."""
        return prediction

    def displacement(self, prediction: Prediction, shape: tuple[int, ...]) -> Tensor:
        return self.inner.displacement(prediction, shape)

    def velocity(self, prediction: Prediction, shape: tuple[int, ...]) -> Tensor:
        return self.inner.velocity(prediction, shape)

    def inverse_displacement(self, prediction: Prediction, shape: tuple[int, ...]) -> Tensor:
        return self.inner.inverse_displacement(prediction, shape)

    def lambda_on(self, prediction: Prediction, shape: tuple[int, ...]) -> Tensor | None:
        return self.inner.lambda_on(prediction, shape)

    def values(self, condition: Tensor | None) -> dict[str, float]:
        """Hyperparameters by name, of a condition in units of their highs."""
        row = self._given(condition)[0].tolist()
        return {h.name: value * h.high for h, value in zip(self.hyperparameters, row, strict=True)}

    def _given(self, condition: Tensor | None) -> Tensor:
        if condition is None:
            names = ", ".join(h.name for h in self.hyperparameters)
            raise ValueError(
                f"A {self.system} model needs a condition (1, {len(self.hyperparameters)}) of {names}, got none; "
                "make one with model.condition({...})."
            )
        return condition


def conditioned_layers(inner: NetworkModel, mode: HyperMode, conditioned: Conditioned) -> tuple[str, ...]:
    """Names of the layers to condition in a system.

    FiLM leaves out convolutions that a norm follows: the norm would take scale and shift away again; it is steered itself.
    """
    able = able_layers(inner, mode)
    if conditioned is Conditioned.SECOND_HALF:
        second = _second_half(inner, able)
        able = [name for name in able if name in second]
    if mode is HyperMode.FILM:
        blocks = [name for name, module in inner.named_modules() if isinstance(module, ConvBlock)]
        hidden = {f"{name}.conv" for name in blocks}
        able = [name for name in able if name not in hidden]
    return tuple(able)


def _second_half(inner: NetworkModel, names: list[str]) -> set[str]:
    """Those layers that only `decode` runs. `share` has part in the time loop's first convolutions, and in its first step."""
    if isinstance(inner.network, TransMorphTvf):
        steps = [name for name in names if name.startswith("network.steps.")]
        chosen = {name for name in steps if not name.endswith(".up.conv1.conv") and not name.startswith("network.steps.0.pair.")}
    else:
        chosen = {name for name in names if name.startswith(("network.decoder.", "network.final.", "network.out"))}
    return chosen | {name for name in names if name.startswith("head.")}


def steerable(
    settings: TransMorphTvfSettings | UNetSettings, mode: HyperMode
) -> TransMorphTvfSettings | UNetSettings:
    """The backbone that a mode works on: for FiLM, instance norms have a scale and a shift that can be steered."""
    if mode is not HyperMode.FILM or isinstance(settings, UNetSettings):
        return settings
    return replace(settings, norm=_affine(settings.norm), decoder_norm=_affine(settings.decoder_norm))


def steerable_head(settings: HeadSettings, mode: HyperMode) -> HeadSettings:
    """The weight head that a mode works on, as `steerable`."""
    return replace(settings, norm=_affine(settings.norm)) if mode is HyperMode.FILM else settings


def _affine(kind: NormKind) -> NormKind:
    return NormKind.AFFINE if kind is NormKind.INSTANCE else kind
