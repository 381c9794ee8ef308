"""Gradients that a forward pass has already made."""

from __future__ import annotations

from torch import Tensor


def scaled(gradient: Tensor | None, factor: Tensor) -> Tensor | None:
    """gradient · factor for the chain rule; the gradient itself, without a copy of its size, where a CPU factor is 1."""
    if gradient is None or (factor.device.type == "cpu" and float(factor) == 1.0):
        return gradient
    return gradient * factor
