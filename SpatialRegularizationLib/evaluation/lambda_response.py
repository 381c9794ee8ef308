"""How λ answers to its two hyperparameters: a reading of the TM-SPR journal paper, as numbers that a model can be held to.

    α′ up           the prior asks for λ near λmax: the mean of λ rises
    λmax up alone   the same relative weight costs more: the mean of w = λ/λmax falls

For a fixed gradient energy g the beta prior's optimum w* = min(1, α′/(λmax g)) does both; a network only if it has learnt it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..models.base import RegistrationModel

NAMES = ("alpha_prime", "lambda_max")


@dataclass(frozen=True)
class LambdaResponse:
    """Means over a pair at a grid of conditions.

    Args:
        alpha_prime, lambda_max: the values, rising.
        mean_lambda: (α′, λmax) mean of λ.
    """

    alpha_prime: tuple[float, ...]
    lambda_max: tuple[float, ...]
    mean_lambda: np.ndarray

    @property
    def mean_relative(self) -> np.ndarray:
        """(α′, λmax) mean of w = λ/λmax."""
        return self.mean_lambda / np.array(self.lambda_max)

    @property
    def alpha_raises_lambda(self) -> bool:
        """At every λmax, each step of α′ upwards raises the mean of λ."""
        return bool((np.diff(self.mean_lambda, axis=0) > 0).all())

    @property
    def lambda_max_lowers_relative(self) -> bool:
        """At every α′, each step of λmax upwards lowers the mean of λ/λmax."""
        return bool((np.diff(self.mean_relative, axis=1) < 0).all())

    def words(self) -> str:
        """The table of mean λ/λmax in one line for each α′."""
        head = "mean λ/λmax at λmax " + ", ".join(f"{value:.3g}" for value in self.lambda_max)
        rows = zip(self.alpha_prime, self.mean_relative, strict=True)
        return "\n".join([head, *(f"α′ {a:.3g}: " + ", ".join(f"{w:.4f}" for w in row) for a, row in rows)])


@torch.no_grad()
def lambda_response(model: RegistrationModel, pairs: Sequence[tuple[Tensor, Tensor]], *, points: int = 3) -> LambdaResponse:
    """λ of a model of (α′, λmax) over the whole range it was trained on.

    Args:
        model: in evaluation mode, with the hyperparameters "alpha_prime" and "lambda_max".
        pairs: (moving, fixed), each (1, 1, i, j, k) on the model's lattice, on its device; means are over all of them.
        points: along each hyperparameter, ends included, at least 2.

    Raises:
        ValueError: another model, no pairs, or fewer points.
    """
    known = {h.name: h for h in model.hyperparameters}
    if not set(NAMES) <= set(known):
        raise ValueError(
            f"The response of lambda needs a model conditioned on {' and '.join(NAMES)}, got {model.system} with "
            f"{', '.join(known) or 'none'}; choose a Hyper-TM-SPR model."
        )
    if points < 2 or not pairs:
        raise ValueError(f"The response of lambda needs at least 2 points and 1 pair, got {points} and {len(pairs)}.")
    axes = [np.linspace(known[name].low, known[name].high, points) for name in NAMES]
    means = np.zeros((points, points))
    for moving, fixed in pairs:
        for a, alpha_prime in enumerate(axes[0]):
            for b, lambda_max in enumerate(axes[1]):
                values = {"alpha_prime": float(alpha_prime), "lambda_max": float(lambda_max)}
                prediction = model(moving, fixed, model.condition(values, device=fixed.device))
                means[a, b] += float(prediction.lambda_map.double().mean()) / len(pairs)
    return LambdaResponse(tuple(axes[0].tolist()), tuple(axes[1].tolist()), means)
