"""How λ answers to its two hyperparameters: a reading of the TM-SPR journal paper, as numbers that a model can be held to.

    α′ up           the prior asks for λ near λmax: the mean of λ rises
    λmax up alone   the same relative weight costs more: the mean of w = λ/λmax falls

For a fixed gradient energy g the beta prior's optimum w* = min(1, α′/(λmax g)) does both; a network only if it has learnt it.
Where w is near 1 already it cannot rise: there both may stay as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from SpatialRegularizationLib.models.base import EncodingModel, RegistrationModel

ROUNDING, CLEARLY = 1e-4, 0.01
"""Shares of λmax: a change below the first is none; one above the second can be seen."""
NAMES = ("alpha_prime", "lambda_max")
LOWEST_SHARE = 0.1
"""Below this share of the trained range nothing is asked: at α′ = 0 the prior wants nothing, and λ vanishes at any λmax."""


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
        """More α′ at the same λmax raises the mean of λ (at no step lowers it, from end to end clearly raises it)."""
        return _rises(self.mean_relative)

    @property
    def lambda_max_lowers_relative(self) -> bool:
        """More λmax at the same α′ lowers the mean of λ/λmax (at no step raises it, from end to end clearly lowers it)."""
        return _rises(-self.mean_relative.T)

    def words(self) -> str:
        """The table of mean λ/λmax in one line for each α′."""
        head = "mean λ/λmax at λmax " + ", ".join(f"{value:.3g}" for value in self.lambda_max)
        rows = zip(self.alpha_prime, self.mean_relative, strict=True)
        return "\n".join([head, *(f"α′ {a:.3g}: " + ", ".join(f"{w:.4f}" for w in row) for a, row in rows)])


def _rises(values: np.ndarray) -> bool:
    """Along the first axis: no step down, but for rounding, and clearly up from end to end in one column at least."""
    return bool((np.diff(values, axis=0) >= -ROUNDING).all() and (values[-1] - values[0]).max() > CLEARLY)


@torch.no_grad()
def lambda_response(model: RegistrationModel, pairs: Sequence[tuple[Tensor, Tensor]], *, points: int = 3) -> LambdaResponse:
    """λ of a model of (α′, λmax) over the range it was trained on, but for its lowest tenth.

    Args:
        model: in evaluation mode, with the hyperparameters "alpha_prime" and "lambda_max".
        pairs: (moving, fixed), each (1, 1, i, j, k) on the model's grid, on its device; means are over all of them.
        points: along each hyperparameter, at least 2; the last is the end of its range.

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
    spans = [(known[name].low, known[name].high) for name in NAMES]
    axes = [np.linspace(low + LOWEST_SHARE * (high - low), high, points) for low, high in spans]
    means = np.zeros((points, points))
    for moving, fixed in pairs:
        shared = isinstance(model, EncodingModel) and not model.encoder_conditioned
        encoded = model.encode(moving, fixed) if shared else None
        for a, alpha_prime in enumerate(axes[0]):
            for b, lambda_max in enumerate(axes[1]):
                values = {"alpha_prime": float(alpha_prime), "lambda_max": float(lambda_max)}
                condition = model.condition(values, device=fixed.device)
                prediction = model.decode(encoded, condition) if shared else model(moving, fixed, condition)
                means[a, b] += float(prediction.lambda_map.double().mean()) / len(pairs)
    return LambdaResponse(tuple(axes[0].tolist()), tuple(axes[1].tolist()), means)
