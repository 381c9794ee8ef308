"""Hyper-TM-SPR: one network for all (α′, λmax) of the beta prior (TM-SPR journal paper, Sec. 3.5).

    condition c = (α′, λmax) / their highs, drawn fresh for each training step
    loss      = (1 - LNCC) + weighted diffusion with λ = λmax w - α′ mean log w            as TM-SPR at these values

Larger α′: a more uniform weight. Larger λmax alone: smaller relative weights. To regularize more, raise both.

Deviates: FiLM of the second half of the network by default, for 1.02 × the parameters instead of the paper's 91 ×; the paper's
and the released hypernetworks are settings (`PAPER`, `RELEASED`). λmax starts at 0.05 instead of 0, where λ would vanish.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from torch import Tensor

from ..networks.heads import HeadSettings, WeightRange
from ..networks.hyper import PAPER_WIDTHS, RELEASED_WIDTHS, HyperMode, HyperSettings
from ..networks.transmorph_tvf import TransMorphTvfSettings
from ..networks.unet import UNetSettings
from ..objective import Objective
from ..priors.beta import BetaPrior
from ..regularizers.diffusion import WeightedDiffusion, WeightEnd
from ..similarity.lncc import Lncc
from .base import Hyperparameter, Prediction
from .hyper_model import Conditioned, HyperModel, steerable, steerable_head
from .tm_spr import TmSpr, TmSprSettings

PAPER = HyperSettings(mode=HyperMode.FULL, widths=PAPER_WIDTHS, shared_code=False)
"""The paper's: a code network for each layer, all layers generated (with `Conditioned.ALL`)."""

RELEASED = HyperSettings(mode=HyperMode.FULL, widths=RELEASED_WIDTHS, own_parameters=False)
"""The released one: a trunk for all layers, linear maps without bias (with `Conditioned.ALL`)."""


@dataclass(frozen=True)
class HyperTmSprSettings:
    """Choices of Hyper-TM-SPR; ranges are those drawn from for IXI (cardiac: α′ to 0.6, λmax to 3).

    Args:
        backbone: sizes of the network. For FiLM its instance norms are given a scale and a shift.
        hyper: how the condition enters.
        conditioned: where it enters.
        head: form of the weight head, range sigmoid.
        alpha_prime_range, lambda_max_range: (low, high) of the condition.
        default_alpha_prime, default_lambda_max: where none is given; None: the middle of the range.
        integration_steps: squarings, 0 for none.
        lncc_window: voxels.
        weight_end: which voxel of a difference gives its weight (far: released code).
    """

    backbone: TransMorphTvfSettings | UNetSettings = field(default_factory=TransMorphTvfSettings)
    hyper: HyperSettings = field(default_factory=HyperSettings)
    conditioned: Conditioned = Conditioned.SECOND_HALF
    head: HeadSettings = field(default_factory=HeadSettings)
    alpha_prime_range: tuple[float, float] = (0.0, 0.2)
    lambda_max_range: tuple[float, float] = (0.05, 5.0)
    default_alpha_prime: float | None = None
    default_lambda_max: float | None = None
    integration_steps: int = 7
    lncc_window: int = 9
    weight_end: WeightEnd = WeightEnd.NEAR

    def __post_init__(self) -> None:
        if self.head.range is not WeightRange.SIGMOID:
            raise ValueError("Hyper-TM-SPR has the beta prior, which needs a head of range sigmoid, got softplus.")
        if not len(self.alpha_prime_range) == len(self.lambda_max_range) == 2:
            raise ValueError(
                f"Ranges must be (low, high), got {self.alpha_prime_range} and {self.lambda_max_range}; give two numbers each."
            )
        if not self.lambda_max_range[0] > 0:
            raise ValueError(f"lambda_max_range must begin above 0, got {self.lambda_max_range}; λ would vanish at 0.")

    @property
    def hyperparameters(self) -> tuple[Hyperparameter, Hyperparameter]:
        """Coordinates of the condition, in the order of the network's input."""
        return (
            _hyperparameter("alpha_prime", self.alpha_prime_range, self.default_alpha_prime),
            _hyperparameter("lambda_max", self.lambda_max_range, self.default_lambda_max),
        )


class HyperTmSpr(HyperModel):
    """The system of this file."""

    system = "hyper-tm-spr"

    def __init__(self, settings: HyperTmSprSettings | None = None) -> None:
        settings = settings or HyperTmSprSettings()
        mode = settings.hyper.mode
        inner = TmSpr(
            TmSprSettings(
                backbone=steerable(settings.backbone, mode),
                prior=BetaPrior(lambda_max=1.0),
                head=steerable_head(settings.head, mode),
                integration_steps=settings.integration_steps,
                lncc_window=settings.lncc_window,
                weight_end=settings.weight_end,
            )
        )
        super().__init__(inner, settings.hyperparameters, settings.hyper, settings.conditioned)
        self.settings = settings

    def _steered(self, prediction: Prediction, condition: Tensor) -> Prediction:
        """λ = λmax w; the inner system's λmax is 1."""
        if prediction.lambda_map is None:
            return prediction
        lambda_max = condition[0, 1] * self.hyperparameters[1].high
        return replace(prediction, lambda_map=prediction.lambda_map * lambda_max)

    def objective(self, condition: Tensor | None = None) -> Objective:
        settings, values = self.settings, self.values(condition)
        prior = BetaPrior(values["lambda_max"], values["alpha_prime"])
        return Objective(Lncc(settings.lncc_window), WeightedDiffusion(settings.weight_end), prior)


def _hyperparameter(name: str, span: tuple[float, float], default: float | None) -> Hyperparameter:
    return Hyperparameter(name, *span, sum(span) / 2 if default is None else default)
