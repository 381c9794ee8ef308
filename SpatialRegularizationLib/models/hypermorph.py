"""HyperMorph: VoxelMorph for all weights of plain diffusion (Hoopes et al., IPMI 2021; MELBA 2022).

    loss = (1 - λ) (1 - LNCC) + λ diffusion(u),       λ in [0, 1], drawn fresh for each training step

The best λ was 0.25 for whole-body CT, 0.75 for brains and 0.65 for hearts (TM-SPR journal paper, Table 5); beyond 0.8 results
collapse.

Deviates: FiLM of the decoder by default, instead of generating all layers whole; λ is drawn uniformly, without the extra
share of 0.2 that the reference training gives the ends.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ..networks.hyper import HyperSettings
from ..networks.unet import UNetSettings
from .hyper_model import Conditioned, UniformHyperModel
from .voxelmorph import VoxelMorph, VoxelMorphSettings


@dataclass(frozen=True)
class HyperMorphSettings:
    """Choices of HyperMorph.

    Args:
        backbone: sizes of the U-Net.
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


class HyperMorph(UniformHyperModel):
    """The system of this file."""

    system = "hypermorph"

    def __init__(self, settings: HyperMorphSettings | None = None) -> None:
        settings = settings or HyperMorphSettings()
        inner = VoxelMorph(
            VoxelMorphSettings(
                backbone=settings.backbone,
                integration_steps=settings.integration_steps,
                lncc_window=settings.lncc_window,
            )
        )
        super().__init__(inner, settings.hyper, settings.conditioned, settings.default_lambda, settings.lncc_window)
        self.settings = settings
