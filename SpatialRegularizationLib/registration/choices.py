"""Turn the names in the settings into the objects that compute: device, precision, similarity, prior."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..declaration import parameters_of
from ..fields.sampling import warp
from ..geometry.grid import Grid
from ..priors import PRIORS
from ..priors.prior import Prior
from ..regularizers.diffusion import WeightedDiffusion
from ..regularizers.edges import EdgeDiffusion, edge_shares
from ..regularizers.regularizer import Regularizer
from ..similarity import SIMILARITIES
from ..similarity.mse import Mse
from ..similarity.similarity import Similarity
from .settings import RegistrationSettings
from .working_pair import TensorPair

SCORING_VOXELS = 2_000_000
"""Similarity before and after is taken on a lattice of at most about this many voxels."""


@dataclass(frozen=True)
class ComputeChoices:
    """Device, precision and terms of the energy of one registration."""

    device: torch.device
    dtype: torch.dtype
    compared: Similarity
    """As it was chosen; its features may be descriptors of the images instead of intensities (MIND)."""
    prior: Prior
    network_precision: str
    """Of a model's pass: "float32" or "bf16"."""
    edge_relief: float
    """What edges of the fixed image take from the weight of differences across them, 0 to 1."""

    @classmethod
    def of(cls, settings: RegistrationSettings) -> ComputeChoices:
        """Raises RuntimeError where the asked-for device is not there."""
        compared = _built(SIMILARITIES, settings.similarity, settings)
        return cls(
            chosen_device(settings.device),
            {"float32": torch.float32, "float64": torch.float64}[settings.precision],
            compared,
            chosen_prior(settings),
            settings.network_precision,
            settings.edge_relief,
        )

    @property
    def similarity(self) -> Similarity:
        """Compares what `featured` gives."""
        return Mse() if self.compared.describes else self.compared

    @torch.no_grad()
    def score(self, pair: TensorPair, displacement: Callable[[tuple[int, ...]], Tensor] | None = None) -> float:
        """Similarity of the pair: 1 - D for LNCC and MIND, -D for MSE (larger is more alike).

        Args:
            pair: on the working grid.
            displacement: size of a lattice of this extent → u (1, 3, *size) there; None is rest.
        """
        pair = self.featured(pair.at_level(self.scoring_shrink(pair)))
        shape = tuple(pair.fixed.shape[2:])
        u = pair.fixed.new_zeros(1, 3, *shape) if displacement is None else displacement(shape)
        distance = float(self.similarity(warp(pair.moving, u, offset=pair.offset), pair.fixed, pair.weight(u)))
        return self.compared.exact - distance

    def featured(self, pair: TensorPair) -> TensorPair:
        """What the similarity compares: the images, or their descriptors."""
        if not self.compared.describes:
            return pair
        with torch.no_grad():
            return replace(pair, fixed=self.compared.features(pair.fixed), moving=self.compared.features(pair.moving))

    def regularizer(self, fixed: Tensor, lattice: tuple[int, ...], spacing: tuple[float, ...] | None) -> Regularizer:
        """Weighted diffusion in the physical proportions of the lattice, less of it across the edges of the fixed image.

        Args:
            fixed: (1, 1, *s), the image of this level.
            lattice: of the velocity.
            spacing: see `relative_spacing`.
        """
        if self.edge_relief == 0:
            return WeightedDiffusion(spacing=spacing)
        return EdgeDiffusion(edge_shares(fixed, lattice, relief=self.edge_relief, spacing=spacing), spacing)

    @staticmethod
    def relative_spacing(
        pair: TensorPair | None, lattice: tuple[int, ...], grid: Grid | None = None
    ) -> tuple[float, ...] | None:
        """Voxel sizes of the velocity's lattice; None where the voxels are cubes within 2 %."""
        extent = grid.extent if grid is not None else pair.extent
        sizes = tuple(e / (n - 1) if n > 1 else 1.0 for e, n in zip(extent, lattice, strict=True))
        return None if max(sizes) < 1.02 * min(sizes) else sizes

    @staticmethod
    def scoring_shrink(pair: TensorPair) -> float:
        """Factor at which the similarity is scored."""
        return max(1.0, (pair.fixed[0, 0].numel() / SCORING_VOXELS) ** (1 / 3))


@contextlib.contextmanager
def threads(count: int | None) -> Iterator[None]:
    """That many CPU threads inside the block; None leaves them as they are."""
    before = torch.get_num_threads()
    if count is not None:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def chosen_device(name: str) -> torch.device:
    """The device of a name; "auto" is CUDA where PyTorch has it, else the CPU.

    Raises:
        RuntimeError: not there.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    present = {"cuda": torch.cuda.is_available, "mps": torch.backends.mps.is_available}
    if name in present and not present[name]():
        raise RuntimeError(
            f"The device {name} was asked for, but PyTorch finds none here: use cpu or auto, or install a PyTorch build "
            "and a driver for it."
        )
    return torch.device(name)


def chosen_prior(settings: RegistrationSettings) -> Prior:
    """The prior on λ with the parameters of the settings; the floor is a share of λmax (λmean)."""
    return _built(PRIORS, settings.prior, settings)


def _built(methods: Sequence[type], name: str, settings: RegistrationSettings) -> Any:
    """The method of a name with its parameters from the settings."""
    method = next(method for method in methods if method.name == name)
    return method(**{parameter: getattr(settings, setting) for parameter, setting in parameters_of(method).items()})
