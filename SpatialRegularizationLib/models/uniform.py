"""Systems of one λ everywhere, plain diffusion at a fixed weight:  loss = (1 - LNCC) + λ diffusion(u).

    voxelmorph        U-Net (Balakrishnan et al., TMI 2019)
    transmorph-tvf    the backbone of TM-SPR without weight head (baseline "TransMorph" of the TM-SPR papers)

Defaults: λ = 1 (LNCC : diffusion = 1 : 1) and a velocity at half resolution with 7 squarings; 0 squarings: displacement.
"""

from __future__ import annotations

from abc import ABC
from dataclasses import dataclass, field
from typing import ClassVar

from ..networks.transmorph_tvf import TransMorphTvfSettings
from ..networks.unet import UNetSettings
from ..objective import Objective
from ..priors.uniform import UniformPrior
from ..regularizers.diffusion import WeightedDiffusion
from ..similarity.lncc import Lncc
from .network_model import NetworkModel, build_backbone


@dataclass(frozen=True)
class VoxelMorphSettings:
    """Choices of VoxelMorph.

    Args:
        backbone: sizes of the network; `networks.unet.ENLARGED` for the TM-SPR journal paper's baseline.
        uniform_lambda: weight of plain diffusion, ≥ 0.
        integration_steps: squarings, 0 for none.
        lncc_window: voxels.
    """

    backbone: UNetSettings = field(default_factory=UNetSettings)
    uniform_lambda: float = 1.0
    integration_steps: int = 7
    lncc_window: int = 9


@dataclass(frozen=True)
class TransMorphTvfModelSettings(VoxelMorphSettings):
    """Choices of TransMorph-TVF, those of VoxelMorph with another backbone."""

    backbone: TransMorphTvfSettings = field(default_factory=TransMorphTvfSettings)


class UniformModel(NetworkModel, ABC):
    """A backbone without weight head.

    Attributes:
        choices: the dataclass of its settings.
    """

    choices: ClassVar[type[VoxelMorphSettings]]

    def __init__(self, settings: VoxelMorphSettings | None = None) -> None:
        settings = settings or self.choices()
        super().__init__(build_backbone(settings.backbone), None, settings.integration_steps)
        self.settings = settings

    def objective(self, condition: object = None) -> Objective:
        return uniform_objective(self.settings.uniform_lambda, self.settings.lncc_window)


class VoxelMorph(UniformModel):
    """The U-Net at a fixed λ."""

    system = "voxelmorph"
    choices = VoxelMorphSettings


class TransMorphTvfModel(UniformModel):
    """TransMorph-TVF at a fixed λ."""

    system = "transmorph-tvf"
    choices = TransMorphTvfModelSettings


def uniform_objective(uniform_lambda: float, lncc_window: int = 9, *, similarity_weight: float = 1.0) -> Objective:
    """similarity_weight · (1 - LNCC) + λ · diffusion.

    Args:
        uniform_lambda: λ ≥ 0.
        lncc_window: voxels.
        similarity_weight: HyperMorph: 1 - λ.
    """
    return Objective(
        Lncc(lncc_window),
        WeightedDiffusion(),
        UniformPrior(uniform_lambda),
        uniform_lambda=uniform_lambda,
        similarity_weight=similarity_weight,
    )
