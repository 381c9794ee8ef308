"""VoxelMorph with uniform λ: the U-Net, LNCC and plain diffusion (Balakrishnan et al., TMI 2019).

Defaults: λ = 1 (LNCC : diffusion = 1 : 1) and a velocity at half resolution with 7 squarings; 0 squarings: displacement.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from ..networks.unet import UNet, UNetSettings
from ..objective import Objective
from .network_model import NetworkModel
from .uniform import uniform_objective


@dataclass(frozen=True)
class VoxelMorphSettings:
    """Choices of VoxelMorph.

    Args:
        backbone: sizes of the U-Net; `networks.unet.ENLARGED` for the TM-SPR journal paper's baseline.
        uniform_lambda: weight of plain diffusion, ≥ 0.
        integration_steps: squarings, 0 for none.
        lncc_window: voxels.
    """

    backbone: UNetSettings = field(default_factory=UNetSettings)
    uniform_lambda: float = 1.0
    integration_steps: int = 7
    lncc_window: int = 9


class VoxelMorph(NetworkModel):
    """The system of this file."""

    system = "voxelmorph"

    def __init__(self, settings: VoxelMorphSettings | None = None) -> None:
        settings = settings or VoxelMorphSettings()
        super().__init__(UNet(settings.backbone), None, settings.integration_steps)
        self.settings = settings

    def lambda_scale(self, condition: Tensor | None) -> float:
        return self.settings.uniform_lambda

    def objective(self, condition: Tensor | None = None) -> Objective:
        return uniform_objective(self.settings.uniform_lambda, self.settings.lncc_window)
