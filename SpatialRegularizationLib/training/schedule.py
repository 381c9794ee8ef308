"""Make optimizers, and let their learning rate fall."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import nn

from .settings import TrainingSettings


def optimizer_for(settings: TrainingSettings, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """Adam or AdamW; the papers use Adam, their released code AdamW or Adam with AMSGrad."""
    kinds = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    return kinds[settings.optimizer](
        parameters, lr=settings.learning_rate, amsgrad=settings.amsgrad, weight_decay=settings.weight_decay
    )


def learning_rate(settings: TrainingSettings, epoch: int) -> float:
    """Learning rate of an epoch e = 0 … E-1.

    polynomial: round(lr·(1 - e/E)^0.9, 8), the released schedule of TM-SPR;   cosine: lr·(1 + cos(π e/E))/2;   constant: lr.
    """
    share = epoch / settings.epochs
    if settings.schedule == "polynomial":
        return round(settings.learning_rate * (1 - share) ** 0.9, 8)
    if settings.schedule == "cosine":
        return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * share))
    return settings.learning_rate
