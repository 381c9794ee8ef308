"""Conditional TM-SPR: one network for a range of η, by conditional layer and instance norm (Chen et al., arXiv 2303.06168).

    L = L_sim + λ mean_p ω(p)|∇u(p)|² + η mean_p |log ω(p)| / |log ε|,       ω in [ε, 1],  λ = 5 fixed

The last term is the beta prior with α′ = η/|log ε|. As printed the divisor is log ε, which is negative; |log ε| is meant.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from torch import Tensor

from ..networks.heads import HeadSettings, WeightRange
from ..networks.norms import Conditioning
from ..networks.transmorph_tvf import TransMorphTvf, TransMorphTvfSettings
from ..objective import Objective
from ..priors.beta import BetaPrior
from ..regularizers.diffusion import WeightedDiffusion, WeightEnd
from ..similarity.lncc import Lncc
from .base import Hyperparameter
from .network_model import NetworkModel
from .tm_spr import build_head


@dataclass(frozen=True)
class ConditionalTmSprSettings:
    """Choices of conditional TM-SPR; the defaults are the paper's for OASIS (η up to 4 and 2.2 for IXI).

    Args:
        backbone: sizes of the network.
        conditioning: form of the conditional norms.
        head: form of the weight head, range sigmoid.
        lambda_max: the fixed λ, > 0.
        largest_eta, default_eta: η is drawn from [0, largest_eta]; the optimum.
        epsilon: ε of the log loss, in (0, 1).
        integration_steps: squarings, 0 for none.
        lncc_window: voxels.
        weight_end: see `WeightedDiffusion`.
    """

    backbone: TransMorphTvfSettings = field(default_factory=TransMorphTvfSettings)
    conditioning: Conditioning = field(default_factory=Conditioning)
    head: HeadSettings = field(default_factory=lambda: HeadSettings(floor=1e-4))
    lambda_max: float = 5.0
    largest_eta: float = 2.0
    default_eta: float = 0.45
    epsilon: float = 1e-4
    integration_steps: int = 7
    lncc_window: int = 9
    weight_end: WeightEnd = WeightEnd.NEAR

    def __post_init__(self) -> None:
        if not 0 < self.epsilon < 1:
            raise ValueError(f"epsilon must lie between 0 and 1, got {self.epsilon}.")
        if self.conditioning.size != 1 or self.head.range is not WeightRange.SIGMOID:
            raise ValueError("Conditional TM-SPR has one hyperparameter, η, and a head of range sigmoid; change nothing there.")


class ConditionalTmSpr(NetworkModel):
    """The system of this file."""

    system = "conditional-tm-spr"

    def __init__(self, settings: ConditionalTmSprSettings | None = None) -> None:
        settings = settings or ConditionalTmSprSettings()
        network = TransMorphTvf(settings.backbone, settings.conditioning)
        super().__init__(network, build_head(network, settings.head, settings.conditioning), settings.integration_steps)
        self.settings = settings
        self.hyperparameters = (Hyperparameter("eta", 0.0, settings.largest_eta, settings.default_eta),)

    def lambda_scale(self, condition: Tensor | None) -> float:
        """See the base: the fixed λ."""
        return self.settings.lambda_max

    def objective(self, condition: Tensor | None = None) -> Objective:
        settings = self.settings
        if condition is None:
            raise ValueError("The objective of conditional TM-SPR needs a condition (1, 1), got none; see `condition`.")
        eta = float(condition[0, 0]) * settings.largest_eta
        prior = BetaPrior(settings.lambda_max, eta / abs(math.log(settings.epsilon)))
        return Objective(Lncc(settings.lncc_window), WeightedDiffusion(settings.weight_end), prior)
