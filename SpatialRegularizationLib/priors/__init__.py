"""-log p(λ): what is believed of the weight map, each with the closed-form λ where one exists."""

from dataclasses import fields

from .beta import BetaPrior
from .gaussian import GaussianPrior
from .uniform import UniformPrior

PRIORS = (BetaPrior, GaussianPrior, UniformPrior)
"""The priors that users can choose; the first is the default."""
STRENGTHS = tuple(dict.fromkeys(f.name for prior in PRIORS for f in fields(prior) if "search" in f.metadata))
"""Parameters that say how strongly is regularized."""
