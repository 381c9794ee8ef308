"""TransMorph-TVF with uniform λ: the backbone of TM-SPR without weight head (baseline "TransMorph" of the TM-SPR papers)."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from ..networks.transmorph_tvf import TransMorphTvf, TransMorphTvfSettings
from ..objective import Objective
from .network_model import NetworkModel
from .uniform import uniform_objective


@dataclass(frozen=True)
class TransMorphTvfModelSettings:
    """Choices of TransMorph-TVF.

    Args:
        backbone: sizes of the network.
        uniform_lambda: weight of plain diffusion, ≥ 0.
        integration_steps: squarings, 0 for none.
        lncc_window: voxels.
    """

    backbone: TransMorphTvfSettings = field(default_factory=TransMorphTvfSettings)
    uniform_lambda: float = 1.0
    integration_steps: int = 7
    lncc_window: int = 9


class TransMorphTvfModel(NetworkModel):
    """The system of this file."""

    system = "transmorph-tvf"

    def __init__(self, settings: TransMorphTvfModelSettings | None = None) -> None:
        settings = settings or TransMorphTvfModelSettings()
        super().__init__(TransMorphTvf(settings.backbone), None, settings.integration_steps)
        self.settings = settings

    def lambda_scale(self, condition: Tensor | None) -> float:
        return self.settings.uniform_lambda

    def objective(self, condition: Tensor | None = None) -> Objective:
        return uniform_objective(self.settings.uniform_lambda, self.settings.lncc_window)
