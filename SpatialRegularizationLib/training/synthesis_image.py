"""Make an image of a label map: a contrast for the labels, texture, and what a scanner does to it.

    clean    = mean[label] + deviation[label] · texture,          mean = tissue intensity + deviation of the part
    image    = ( noise( resolution( blur( clean · bias ) ) ) )^γ
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..fields.resize import gaussian_smooth, resize, shrink
from .anatomy import Anatomy
from .draws import Draws
from .synthesis_settings import SynthesisSettings

LEAST_NOISE = 0.01
"""Share of the largest noise that every image has: no image is flat."""
DARKEST, BRIGHTEST = 0.1, 1.0
"""Range of the tissues' intensities; air has 0."""
WIDENED = 0.2
"""Level of the smoothed inner labels that closes furrows; the second smoothing takes back what it adds outside."""
TWIN_BLUR = 0.6
"""Standard deviation of the blur of twins, voxels: borders as of an image of good resolution."""


@dataclass(frozen=True)
class LabelTable:
    """Which labels look alike, by their place in `values`.

    Args:
        values: labels, ascending; 0 is always there.
        parts: for each label the number of its part; labels of a part have one intensity.
        tissues: for each part the number of its tissue; parts of a tissue have similar intensities.
        air: True where label 0 is the air around the body.
    """

    values: tuple[int, ...]
    parts: tuple[int, ...]
    tissues: tuple[int, ...]
    air: bool

    @classmethod
    def of(cls, labels: tuple[int, ...], anatomy: Anatomy | None) -> LabelTable:
        """The table of some labels.

        Args:
            labels: those that occur; with an anatomy, all of them are listed there.
            anatomy: None: each label is a tissue of its own.
        """
        values = tuple(sorted({0, *labels}))
        if anatomy is None:
            return cls(values, tuple(range(len(values))), tuple(range(len(values))), True)
        tissues = anatomy.tissues if 0 in anatomy.labels else (((0,),), *anatomy.tissues)
        parts = [(number, part) for number, tissue in enumerate(tissues) for part in tissue]
        part_of = {label: number for number, (_, part) in enumerate(parts) for label in part}
        return cls(values, tuple(part_of[v] for v in values), tuple(number for number, _ in parts), 0 not in anatomy.labels)

    def places(self, labels: Tensor) -> Tensor:
        """Place in `values` of every voxel's label, int64."""
        return torch.searchsorted(torch.tensor(self.values, device=labels.device), labels)

    def among(self, places: Tensor, wanted: Sequence[int]) -> Tensor:
        """True where the label at its place is one of the wanted ones."""
        wanted = set(wanted)
        return torch.tensor([value in wanted for value in self.values], device=places.device)[places]

    def labels(self, places: Tensor, counted: Sequence[int] = ()) -> Tensor:
        """The labels at places of `values`, int64; 0 for those that do not count, where some are named."""
        values = [value if not counted or value in counted else 0 for value in self.values]
        return torch.tensor(values, device=places.device)[places]


@dataclass(frozen=True)
class Contrast:
    """Mean intensity and standard deviation of the texture for each label of a table, (K,) each."""

    means: Tensor
    deviations: Tensor


def random_contrast(table: LabelTable, settings: SynthesisSettings, draws: Draws) -> Contrast:
    """Any contrast: every tissue's intensity is drawn anew, its parts lie around it."""
    tissues = DARKEST + (BRIGHTEST - DARKEST) * draws.uniforms(max(table.tissues) + 1)
    spread = settings.part_contrast * draws.uniform(0, 1)
    of_parts = tissues[list(table.tissues)] + spread * draws.normals(len(table.tissues))
    means = of_parts.clamp(min=DARKEST / 2)[list(table.parts)]
    deviations = settings.texture * draws.uniform(0, 1) * draws.uniforms(len(table.tissues))[list(table.parts)]
    if table.air:
        means[0] = deviations[0] = 0.0
    return Contrast(means, deviations)


def painted(places: Tensor, contrast: Contrast, draws: Draws) -> Tensor:
    """The clean image (1, 1, *s) of a map of places in the table."""
    shape = tuple(places.shape[2:])
    texture = gaussian_smooth(draws.noise(1, 1, *shape), (draws.uniform(0.5, 2.0),) * 3)
    texture += draws.smooth(1, shape, draws.uniform(4.0, 16.0)) * texture.std()
    texture /= texture.std()
    return contrast.means[places] + contrast.deviations[places] * texture


def twin(places: Tensor, contrast: Contrast) -> Tensor:
    """The image without texture and artifacts, in [0, 1]."""
    span = (contrast.means.max() - contrast.means.min()).clamp(min=1e-6)
    return gaussian_smooth(((contrast.means - contrast.means.min()) / span)[places], (TWIN_BLUR,) * 3)


def scanned(clean: Tensor, settings: SynthesisSettings, draws: Draws) -> Tensor:
    """What a scanner makes of it: bias field, blur, lower resolution, noise, gamma; values ≥ 0 near [0, 1]."""
    shape = tuple(clean.shape[2:])
    bias = draws.smooth(1, shape, max(shape) / 2)
    image = clean * (settings.bias * draws.uniform(0, 1) * bias / bias.abs().max()).exp()
    image = gaussian_smooth(image, tuple(settings.blur_voxels * draws.uniform(0.3, 1) for _ in shape))
    coarse = _coarse_shape(shape, settings, draws)
    image = _noisy(shrink(image, coarse), settings, draws)
    image = resize(image, shape)
    brightest = image.max().clamp(min=1e-6)
    return (image / brightest) ** math.exp(settings.gamma * draws.uniform(-1, 1))


def random_rim(inner: Tensor, draws: Draws) -> Tensor:
    """What skull stripping leaves: a smooth hull of the inner labels, a little too tight or too wide; furrows are closed.

    Args:
        inner: (1, 1, *s) bool, the labels that stay.
        draws: where randomness comes from.
    """
    sigma = (draws.uniform(1.5, 3.0),) * 3
    widened = gaussian_smooth(inner.float(), sigma) > WIDENED
    hull = gaussian_smooth(widened.float(), sigma) > draws.uniform(0.6, 0.85)
    return hull if bool(hull.any()) else inner  # too small to be smoothed


def _coarse_shape(shape: tuple[int, ...], settings: SynthesisSettings, draws: Draws) -> tuple[int, ...]:
    """The lattice of acquisition: thick slices along one axis, or larger voxels (by the cube root of the factor)."""
    if not draws.chance(settings.coarse):
        return shape
    factor = draws.uniform(1, settings.coarse_factor)
    axis = draws.whole(4)
    factors = [factor ** (1 / 3)] * 3 if axis == 3 else [factor if a == axis else 1.0 for a in range(3)]
    return tuple(max(2, round(n / f)) for n, f in zip(shape, factors, strict=True))


def _noisy(image: Tensor, settings: SynthesisSettings, draws: Draws) -> Tensor:
    """Normal noise, or that of magnitude images (Rician); even or a little correlated."""
    deviation = settings.noise * draws.uniform(LEAST_NOISE, 1)
    real = image + deviation * draws.noise(*image.shape)
    if draws.chance(0.5):
        return real.clamp(min=0)
    return (real**2 + (deviation * draws.noise(*image.shape)) ** 2).sqrt()
