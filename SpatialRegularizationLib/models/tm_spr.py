"""TM-SPR: a velocity and a spatial weight from two images (Chen et al., MedIA 2025), for any backbone.

    network    TransMorph-TVF (or U-Net) + weight head
    unknown    stationary velocity, scaling and squaring (0 steps: displacement, as the conference paper's TM-SPR)
    loss       (1 - LNCC) + weighted diffusion of the full-resolution u - log p(λ), beta or Gaussian prior

Deviates: energies are means, see `regularizers/diffusion.py` (the published λmax, α′ belong to that form).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from ..networks.backbone import Backbone
from ..networks.heads import HeadSettings, WeightHead, WeightRange
from ..networks.norms import Conditioning
from ..networks.transmorph_tvf import TransMorphTvfSettings
from ..networks.unet import UNetSettings
from ..objective import Objective
from ..priors.beta import BetaPrior
from ..priors.gaussian import GaussianPrior
from ..regularizers.diffusion import WeightedDiffusion, WeightEnd
from ..similarity.lncc import Lncc
from .network_model import NetworkModel, build_backbone


@dataclass(frozen=True)
class TmSprSettings:
    """Choices of TM-SPR.

    Args:
        backbone: sizes of the network.
        prior: beta (λmax, α′) or Gaussian (λmean, σ′); defaults: the optimum on IXI.
        head: form of the weight head; its range must suit the prior. None: paper form with the prior's range.
        integration_steps: squarings, 0 for none.
        lncc_window: voxels.
        weight_end: which voxel of a difference gives its weight (far: released code).
    """

    backbone: TransMorphTvfSettings | UNetSettings = field(default_factory=TransMorphTvfSettings)
    prior: BetaPrior | GaussianPrior = field(default_factory=lambda: BetaPrior(lambda_max=3.354, alpha_prime=0.175))
    head: HeadSettings | None = None
    integration_steps: int = 7
    lncc_window: int = 9
    weight_end: WeightEnd = WeightEnd.NEAR

    def __post_init__(self) -> None:
        if self.head is None:
            span = WeightRange.SIGMOID if self.prior.bounded else WeightRange.SOFTPLUS
            object.__setattr__(self, "head", HeadSettings(range=span))
        elif self.prior.bounded and self.head.range is not WeightRange.SIGMOID:
            name = self.prior.name
            raise ValueError(f"The {name} prior needs weights in [0, 1]: choose the head's range sigmoid, got softplus.")


class TmSpr(NetworkModel):
    """The system of this file."""

    system = "tm-spr"

    def __init__(self, settings: TmSprSettings | None = None) -> None:
        settings = settings or TmSprSettings()
        network = build_backbone(settings.backbone)
        super().__init__(network, build_head(network, settings.head), settings.integration_steps)
        self.settings = settings

    def lambda_scale(self, condition: Tensor | None) -> float:
        """See the base: λmax or λmean."""
        return self.settings.prior.reference

    def objective(self, condition: Tensor | None = None) -> Objective:
        settings = self.settings
        return Objective(Lncc(settings.lncc_window), WeightedDiffusion(settings.weight_end), settings.prior)


def build_head(network: Backbone, settings: HeadSettings, conditioning: Conditioning | None = None) -> WeightHead:
    """A weight head that fits a backbone."""
    channels = network.fine_channels if settings.reads_fine else network.coarse_channels
    return WeightHead(channels, settings, conditioning)
