"""What every system answers: a prediction of the unknown, and perhaps of λ."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..fields.parameters import Displacement, StationaryVelocity, VelocitySequence


@dataclass(frozen=True)
class Prediction:
    """Answer of a model for one pair (or of a pair's own optimisation).

    Args:
        parameters: the unknown, on the model's lattice.
        lambda_map: λ (N, 1, *s) ≥ 0 on the same lattice, or None where the system has no spatial weight.
    """

    parameters: Displacement | StationaryVelocity | VelocitySequence
    lambda_map: Tensor | None
