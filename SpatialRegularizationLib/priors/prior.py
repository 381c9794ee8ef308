"""Define what a prior on the weight map is: an energy, its closed-form minimizer, and parameters that declare themselves.

Priors import torch only when they compute, so that a panel can show them before torch is installed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from ..declaration import number

if TYPE_CHECKING:
    from torch import Tensor


def lambda_max() -> Any:
    """The field of priors whose weights end at λmax."""
    return number(
        1.0, 1e-4, 1e3, "", "largest regularization weight (the weight itself for uniform)",
        symbol="λmax", offered=2.0, live=True, search=(0.1, 10.0),
    )  # fmt: skip


def lambda_floor() -> Any:
    """The field of priors whose closed form would go down to 0."""
    return number(
        0.0, 0.0, 1.0, "", "smallest weight, as a share of lambda-max (lambda-mean for the Gaussian prior)",
        symbol="λ floor", offered=0.1,
    )  # fmt: skip


class Prior(ABC):
    """-log p(λ); subclasses are frozen dataclasses whose fields declare themselves (`declaration.number`).

    A prior that is listed in `priors.PRIORS` can be chosen on the command line, in settings, configurations and the panel.

    Attributes:
        name: as it is chosen.
        summary: for help texts, a few words.
        bounded: True where no weight is above `reference`.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    bounded: ClassVar[bool] = True

    @property
    @abstractmethod
    def reference(self) -> float:
        """The weight that a relative weight of 1 stands for."""

    @abstractmethod
    def __call__(self, lambda_map: Tensor) -> Tensor:
        """Energy of a weight map (N, 1, *s) ≥ 0, a mean over its voxels."""

    @abstractmethod
    def optimal_lambda(self, energy: Tensor) -> Tensor:
        """argmin over λ of λ g - log p(λ) for the gradient energy g (N, 1, *s) ≥ 0: the same shape."""
