"""Hyper-TransMorph: TransMorph-TVF for all weights of plain diffusion (baseline of the TM-SPR journal paper).

    loss = (1 - λ) (1 - LNCC) + λ diffusion(u),       λ in [0, 1], drawn fresh for each training step

The best λ was 0.06 for whole-body CT, 0.71 for brains and 0.58 for hearts (Table 5 there).

Deviates: FiLM of the second half of the network by default, instead of generating all layers whole.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ..networks.hyper import HyperSettings
from ..networks.transmorph_tvf import TransMorphTvfSettings
from .hyper_model import Conditioned, UniformHyperModel, steerable
from .transmorph_tvf import TransMorphTvfModel, TransMorphTvfModelSettings


@dataclass(frozen=True)
class HyperTransMorphSettings:
    """Choices of Hyper-TransMorph.

    Args:
        backbone: sizes of the network. For FiLM its instance norms are given a scale and a shift.
        hyper: how λ enters. conditioned: where it enters.
        default_lambda: λ in [0, 1] where none is given.
        integration_steps: squarings, 0 for none.
        lncc_window: voxels.
    """

    backbone: TransMorphTvfSettings = field(default_factory=TransMorphTvfSettings)
    hyper: HyperSettings = field(default_factory=HyperSettings)
    conditioned: Conditioned = Conditioned.SECOND_HALF
    default_lambda: float = 0.5
    integration_steps: int = 7
    lncc_window: int = 9


class HyperTransMorph(UniformHyperModel):
    """The system of this file."""

    system = "hyper-transmorph"

    def __init__(self, settings: HyperTransMorphSettings | None = None) -> None:
        settings = settings or HyperTransMorphSettings()
        inner = TransMorphTvfModel(
            TransMorphTvfModelSettings(
                backbone=steerable(settings.backbone, settings.hyper.mode),
                integration_steps=settings.integration_steps,
                lncc_window=settings.lncc_window,
            )
        )
        super().__init__(inner, settings.hyper, settings.conditioned, settings.default_lambda, settings.lncc_window)
        self.settings = settings
