"""Systems of one λ everywhere that answer at any weight of plain diffusion, λ in [0, 1] drawn fresh for each training step:

    loss = (1 - λ) (1 - LNCC) + λ diffusion(u)

    hypermorph          VoxelMorph (Hoopes et al., IPMI 2021; MELBA 2022). The best λ was 0.25 for whole-body CT, 0.75 for brains
                        and 0.65 for hearts (TM-SPR journal paper, Table 5); beyond 0.8 results collapse.
    hyper-transmorph    TransMorph-TVF (baseline of that paper). The best λ was 0.06, 0.71 and 0.58.

Deviates: FiLM of the second half of the network by default, instead of generating all layers whole; λ is drawn uniformly, without
the extra share of 0.2 that HyperMorph's reference training gives the ends.
"""

from __future__ import annotations

from abc import ABC
from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor

from ..networks.hyper import HyperSettings
from ..networks.transmorph_tvf import TransMorphTvfSettings
from ..networks.unet import UNetSettings
from ..objective import Objective
from .base import Hyperparameter
from .hyper_model import Conditioned, HyperModel, steerable
from .uniform import TransMorphTvfModel, UniformModel, VoxelMorph, uniform_objective


@dataclass(frozen=True)
class HyperMorphSettings:
    """Choices of HyperMorph.

    Args:
        backbone: sizes of the network. For FiLM the instance norms of TransMorph are given a scale and a shift.
        hyper: how λ enters. conditioned: where it enters.
        default_lambda: λ in [0, 1] where none is given.
        integration_steps: squarings, 0 for none.
        lncc_window: voxels.
    """

    backbone: UNetSettings = field(default_factory=UNetSettings)
    hyper: HyperSettings = field(default_factory=HyperSettings)
    conditioned: Conditioned = Conditioned.SECOND_HALF
    default_lambda: float = 0.5
    integration_steps: int = 7
    lncc_window: int = 9


@dataclass(frozen=True)
class HyperTransMorphSettings(HyperMorphSettings):
    """Choices of Hyper-TransMorph, those of HyperMorph with another backbone."""

    backbone: TransMorphTvfSettings = field(default_factory=TransMorphTvfSettings)


class UniformHyperModel(HyperModel, ABC):
    """A hyper system of one λ everywhere.

    Attributes:
        choices: the dataclass of its settings.
        plain: the system at a fixed λ that it wraps.
    """

    choices: ClassVar[type[HyperMorphSettings]]
    plain: ClassVar[type[UniformModel]]

    def __init__(self, settings: HyperMorphSettings | None = None) -> None:
        settings = settings or self.choices()
        backbone = steerable(settings.backbone, settings.hyper.mode)
        fixed = self.plain.choices(backbone, integration_steps=settings.integration_steps, lncc_window=settings.lncc_window)
        weight = Hyperparameter("lambda", 0.0, 1.0, settings.default_lambda)
        super().__init__(self.plain(fixed), (weight,), settings.hyper, settings.conditioned)
        self.settings = settings

    def objective(self, condition: Tensor | None = None) -> Objective:
        share = self.values(condition)["lambda"]
        return uniform_objective(share, self.settings.lncc_window, similarity_weight=1 - share)


class HyperMorph(UniformHyperModel):
    """VoxelMorph at any λ."""

    system = "hypermorph"
    choices, plain = HyperMorphSettings, VoxelMorph


class HyperTransMorph(UniformHyperModel):
    """TransMorph-TVF at any λ."""

    system = "hyper-transmorph"
    choices, plain = HyperTransMorphSettings, TransMorphTvfModel
