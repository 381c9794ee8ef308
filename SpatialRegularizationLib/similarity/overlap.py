"""Compare label maps as a term of the energy: 1 - soft Dice of one-hot labels (semi-supervised training).

    D = 1 - mean_k  2 Σ_p a_k b_k / (Σ_p a_k + Σ_p b_k),     a = warped indicators of the moving labels, b = those of the fixed

over the labels k that occur in either image (TM-SPR journal paper, Sec. 3.4: weight 1 beside the similarity).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

EPSILON = 1e-5
"""Added to the denominator; labels absent from both images are left out."""


def one_hot(labels: Tensor, values: Sequence[int], *, dtype: torch.dtype = torch.float32) -> Tensor:
    """Indicators of chosen labels.

    Args:
        labels: (N, 1, *s) integers.
        values: K labels.

    Returns:
        (N, K, *s), 0 or 1.
    """
    wanted = torch.tensor(list(values), device=labels.device).view(1, -1, *([1] * (labels.dim() - 2)))
    return (labels == wanted).to(dtype)


def soft_dice_loss(warped: Tensor, fixed: Tensor) -> Tensor:
    """D of this file.

    Args:
        warped: (N, K, *s) indicators of the moving labels after warping, in [0, 1].
        fixed: (N, K, *s) indicators of the fixed labels.

    Returns:
        scalar in [0, 1], differentiable in `warped`; 0 where no label occurs at all.
    """
    axes = tuple(range(2, warped.dim()))
    common = (warped * fixed).sum(axes)
    size = warped.sum(axes) + fixed.sum(axes)
    present = size > EPSILON
    loss = (1 - 2 * common / (size + EPSILON)) * present
    return loss.sum() / present.sum().clamp(min=1)
