"""From the names in the settings to the objects that compute: the only place where a setting's name decides a class."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from ..geometry.grid import Grid
from ..geometry.volume import Volume
from ..objective import Similarity
from ..priors.beta import BetaPrior
from ..priors.gaussian import GaussianPrior
from ..priors.uniform import UniformPrior
from ..regularizers.diffusion import WeightedDiffusion
from ..similarity.lncc import Lncc
from ..similarity.mind import mind_ssc
from ..similarity.mse import Mse
from .instance import TensorPair
from .settings import RegistrationSettings
from .working_pair import working_pair

SCORING_VOXELS = 2_000_000
"""Similarity before and after is taken on a lattice of at most about this many voxels."""


@dataclass(frozen=True)
class ComputeChoices:
    """Device, precision and terms of the energy of one registration."""

    device: torch.device
    dtype: torch.dtype
    similarity: Similarity
    prior: BetaPrior | GaussianPrior | UniformPrior
    describes: bool
    """True where descriptors of the images are compared (MIND) instead of intensities."""
    network_precision: str
    """Of a model's pass: "float32" or "bf16"."""

    @classmethod
    def of(cls, settings: RegistrationSettings) -> ComputeChoices:
        """Raises RuntimeError where the asked-for device is not there."""
        similarities = {"lncc": Lncc(settings.lncc_window), "mse": Mse(), "mind": Mse()}
        return cls(
            chosen_device(settings.device),
            {"float32": torch.float32, "float64": torch.float64}[settings.precision],
            similarities[settings.similarity],
            chosen_prior(settings),
            settings.similarity == "mind",
            settings.network_precision,
        )

    def pair(
        self,
        images: tuple[Volume, Volume],
        masks: tuple[Volume | None, Volume | None],
        grid: Grid,
        affine: np.ndarray,
    ) -> TensorPair:
        """Both images on the working lattice, on the device."""
        return working_pair(images, masks, grid, affine, device=self.device, dtype=self.dtype)

    def featured(self, pair: TensorPair) -> TensorPair:
        """What the similarity compares: the images, or their descriptors."""
        if not self.describes:
            return pair
        with torch.no_grad():
            return replace(pair, fixed=mind_ssc(pair.fixed), moving=mind_ssc(pair.moving))

    def regularizer(self, spacing: tuple[float, ...] | None) -> WeightedDiffusion:
        """Weighted diffusion in the physical proportions of the lattice."""
        return WeightedDiffusion(spacing=spacing)

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


def chosen_prior(settings: RegistrationSettings) -> BetaPrior | GaussianPrior | UniformPrior:
    """The hyperprior on λ with the parameters of the settings; the floor is a share of λmax (λmean)."""
    priors = {
        "beta": lambda: BetaPrior(settings.lambda_max, settings.alpha_prime, settings.lambda_floor),
        "gaussian": lambda: GaussianPrior(settings.lambda_mean, settings.sigma_prime, settings.lambda_floor),
        "uniform": lambda: UniformPrior(settings.lambda_max),
    }
    return priors[settings.prior]()
