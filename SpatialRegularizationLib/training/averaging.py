"""Average a model's parameters exponentially:  a ← d·a + (1 - d)·θ  after every step."""

from __future__ import annotations

import copy

import torch

from ..models.base import RegistrationModel


class MovingAverage:
    """A second copy of a model that follows the trained one.

    Args:
        model: the trained one.
        decay: d in [0, 1).
    """

    def __init__(self, model: RegistrationModel, decay: float) -> None:
        self.model = copy.deepcopy(model).requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def follow(self, model: RegistrationModel) -> None:
        """One step; buffers (running statistics) are copied."""
        torch._foreach_lerp_(list(self.model.parameters()), list(model.parameters()), 1 - self.decay)
        for own, other in zip(self.model.buffers(), model.buffers(), strict=True):
            own.copy_(other)
