"""The objective of systems with one λ everywhere: LNCC and plain diffusion."""

from __future__ import annotations

from ..objective import Objective
from ..priors.uniform import UniformPrior
from ..regularizers.diffusion import WeightedDiffusion
from ..similarity.lncc import Lncc


def uniform_objective(uniform_lambda: float, lncc_window: int = 9, *, similarity_weight: float = 1.0) -> Objective:
    """similarity_weight · (1 - LNCC) + λ · diffusion.

    Args:
        uniform_lambda: λ ≥ 0.
        lncc_window: voxels.
        similarity_weight: HyperMorph: 1 - λ.
    """
    return Objective(
        Lncc(lncc_window),
        WeightedDiffusion(),
        UniformPrior(uniform_lambda),
        uniform_lambda=uniform_lambda,
        similarity_weight=similarity_weight,
    )
