"""Share what systems with a network have in common: padding, integration, the way from the network's grid to the image's.

The network works on images averaged over 2³ voxels (or gives a field averaged so). Voxel h of that lattice lies at 2h + 1/2
of the image's, therefore u is interpolated with `align_corners=False` and multiplied by 2. Images whose axes are no multiples
of what the network needs are padded with zeros at the end of the axis; `displacement` and `lambda_on` cut that off again.
"""

from __future__ import annotations

from abc import ABC
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..fields.parameters import Displacement, StationaryVelocity
from ..fields.sampling import ZeroPadding, voxel_coordinates, warp
from ..fields.vectors import largest_length
from ..integrators.released import integrate_velocity_released
from ..integrators.scaling_and_squaring import integrate_velocity
from ..networks.backbone import Backbone, Encoding
from ..networks.heads import WeightHead
from ..networks.transmorph_tvf import TransMorphTvf, TransMorphTvfSettings, WarpForm
from ..networks.unet import UNet, UNetSettings
from .base import EncodingModel, Prediction

SLOW = 2.0**-6
"""Voxels per unit time at which exp(v) is v to better than a percent of v's own change between voxels."""


@dataclass(frozen=True)
class EncodedPair:
    """What a pair of images decides before any condition.

    Args:
        encoding: of the network.
        shape: size of the images, before padding.
    """

    encoding: Encoding
    shape: tuple[int, ...]


class NetworkModel(EncodingModel, ABC):
    """A backbone, perhaps a weight head, and an integrator.

    Args:
        network: the backbone.
        head: weight head, or None for systems of uniform λ.
        integration_steps: squarings; 0: the field is a displacement, not a velocity.
    """

    def __init__(self, network: Backbone, head: WeightHead | None, integration_steps: int) -> None:
        super().__init__()
        if not 0 <= integration_steps <= 16:
            raise ValueError(f"integration_steps must be from 0 (none) to 16, got {integration_steps}.")
        self.network = network
        self.head = head
        self.integration_steps = integration_steps

    def lambda_scale(self, condition: Tensor | None) -> float | Tensor:
        """λ / w, w from the weight head: the prior's `reference`. Systems with a head say it, others have no use for it."""
        raise NotImplementedError(f"The system {self.system} has a weight head and does not say what its weights stand for.")

    def use_checkpointing(self, on: bool = True) -> None:
        """See the base: every backbone can."""
        self.network.checkpointing = on

    def forward(
        self, moving: Tensor, fixed: Tensor, condition: Tensor | None = None, *, with_lambda: bool = True
    ) -> Prediction:
        return self.decode(self._encoded(moving, fixed, condition), condition, with_lambda=with_lambda)

    def encode(self, moving: Tensor, fixed: Tensor, condition: Tensor | None = None) -> EncodedPair:
        """See the base. What the network can share between conditions is made here, because it will be used again."""
        pair = self._encoded(moving, fixed, condition)
        return EncodedPair(self.network.share(pair.encoding, condition), pair.shape)

    def _encoded(self, moving: Tensor, fixed: Tensor, condition: Tensor | None) -> EncodedPair:
        """The images, padded to what the network needs, through its first half."""
        shape = self._checked(moving, fixed)
        padded = [-(-n // self.network.multiple) * self.network.multiple for n in shape]
        widths = [w for n, m in zip(reversed(shape), reversed(padded), strict=True) for w in (0, m - n)]
        moving, fixed = (F.pad(image, widths) if any(widths) else image for image in (moving, fixed))
        return EncodedPair(self.network.encode(moving, fixed, condition), shape)

    def decode(self, pair: EncodedPair, condition: Tensor | None = None, *, with_lambda: bool = True) -> Prediction:
        """See the base."""
        head = self.head if with_lambda else None
        fine = head is not None and head.settings.reads_fine
        decoding = self.network.decode(pair.encoding, condition, with_fine=fine)
        kind = StationaryVelocity if self.integration_steps else Displacement
        if head is None:
            return Prediction(kind(decoding.field), None)
        code = condition if self.network_root is None else self.network_root(condition)
        w = head(decoding.fine if fine else decoding.coarse, code)
        return Prediction(kind(decoding.field), w * self.lambda_scale(condition))

    @property
    def encoder_conditioned(self) -> bool:
        """See the base: conditional norms are in the encoder, too."""
        return bool(self.hyperparameters)

    @property
    def network_root(self) -> torch.nn.Module | None:
        """Mapping of the condition that network and head share (paper form of conditional norms)."""
        return self.network.root if isinstance(self.network, TransMorphTvf) else None

    def integrate(self, prediction: Prediction) -> Tensor:
        """u on the field's own lattice, (N, 3, *s / factor), in its voxels."""
        if isinstance(prediction.parameters, Displacement):
            return prediction.parameters.u
        return self._exponential(prediction.parameters.velocity)

    def displacement(self, prediction: Prediction, shape: tuple[int, ...]) -> Tensor:
        u = self._on_image(self.integrate(prediction))
        return _cut(self._as_read(u), shape)

    def velocity(self, prediction: Prediction, shape: tuple[int, ...]) -> Tensor:
        """See the base. Released networks integrate and read at shifted positions; for them, with the displacement D,

        v = D(0) + (D(εv') - D(0)) / ε,     v' slow on the field's own lattice
        """
        if not isinstance(prediction.parameters, StationaryVelocity):
            raise ValueError(f"A {self.system} model with integration_steps 0 predicts a displacement: it has no velocity.")
        velocity = prediction.parameters.velocity
        if self._released is None:
            return _cut(self._on_image(velocity), shape)
        slow = min(1.0, SLOW / (largest_length(velocity) + SLOW))
        rest, moved = (
            self.displacement(Prediction(StationaryVelocity(part), None), shape)
            for part in (torch.zeros_like(velocity), slow * velocity)
        )
        return rest + (moved - rest) / slow

    def inverse_displacement(self, prediction: Prediction, shape: tuple[int, ...]) -> Tensor:
        if not isinstance(prediction.parameters, StationaryVelocity):
            raise ValueError(
                f"A {self.system} model with integration_steps 0 predicts a displacement, which has no inverse in closed form; "
                "choose a model that integrates a velocity."
            )
        u = self._on_image(self._exponential(-prediction.parameters.velocity))
        return _cut(self._as_read_inverse(u), shape)

    def lambda_on(self, prediction: Prediction, shape: tuple[int, ...]) -> Tensor | None:
        lambda_map = prediction.lambda_map
        if lambda_map is None:
            return None
        on_field = lambda_map.shape[2:] == _field(prediction).shape[2:]
        return _cut(_enlarged(lambda_map, self.network.factor if on_field else 1), shape)

    def _checked(self, moving: Tensor, fixed: Tensor) -> tuple[int, ...]:
        shape = tuple(fixed.shape[2:])
        if moving.shape != fixed.shape or moving.dim() != 5 or moving.shape[1] != 1:
            raise ValueError(
                "A network needs moving and fixed of one shape (N, 1, i, j, k), "
                f"got {tuple(moving.shape)} and {tuple(fixed.shape)}."
            )
        if any(n < least for n, least in zip(shape, self.network.smallest, strict=True)):
            raise ValueError(
                f"The images are too small for the windows of this model: expected at least {self.network.smallest} voxels, "
                f"got {shape}; resample them finer, pad them, or choose a smaller model."
            )
        for name, image in (("moving", moving), ("fixed", fixed)):
            if not bool(torch.isfinite(image.sum())):
                raise ValueError(f"The {name} image has values that are NaN or infinite; replace them before registering.")
        return shape

    @property
    def _released(self) -> ZeroPadding | None:
        """Sampling of the released networks, where this is one."""
        form = self.network.settings.warp if isinstance(self.network, TransMorphTvf) else WarpForm.CONSISTENT
        return {WarpForm.ZEROS: ZeroPadding.CENTERED, WarpForm.SHIFTED: ZeroPadding.SHIFTED}.get(form)

    def _exponential(self, velocity: Tensor) -> Tensor:
        if self._released is None:
            return integrate_velocity(velocity, steps=self.integration_steps)
        return integrate_velocity_released(velocity, steps=self.integration_steps, positions=self._released)

    def _on_image(self, u: Tensor) -> Tensor:
        return _enlarged(u, self.network.factor) * self.network.factor

    def _as_read(self, u: Tensor) -> Tensor:
        """u such that p + u(p) is where the network read the image: released forms A and C read at x·s/(s - 1) - 1/2."""
        if self._released is not ZeroPadding.SHIFTED:
            return u
        position = u + voxel_coordinates(u.shape[2:], device=u.device, dtype=u.dtype)
        return u + position / (_sizes(u) - 1) - 0.5

    def _as_read_inverse(self, u: Tensor) -> Tensor:
        """The inverse of `_as_read`'s map: first x ↦ (x + 1/2)(s - 1)/s, then id + u."""
        if self._released is not ZeroPadding.SHIFTED:
            return u
        size = _sizes(u)
        position = voxel_coordinates(u.shape[2:], device=u.device, dtype=u.dtype)
        first = ((position + 0.5) * (size - 1) / size - position).expand(u.shape[0], -1, -1, -1, -1)
        return first + warp(u, first)


def build_backbone(settings: TransMorphTvfSettings | UNetSettings) -> TransMorphTvf | UNet:
    """The network of some settings, without a condition."""
    return UNet(settings) if isinstance(settings, UNetSettings) else TransMorphTvf(settings)


def _sizes(u: Tensor) -> Tensor:
    return torch.tensor(u.shape[2:], dtype=u.dtype, device=u.device).view(1, 3, 1, 1, 1)


def _field(prediction: Prediction) -> Tensor:
    parameters = prediction.parameters
    return parameters.velocity if isinstance(parameters, StationaryVelocity) else parameters.u


def _enlarged(x: Tensor, factor: int) -> Tensor:
    """x on a lattice `factor` times as fine, voxel h at factor·h + (factor - 1)/2."""
    if factor == 1:
        return x
    return F.interpolate(x, scale_factor=float(factor), mode="trilinear", align_corners=False)


def _cut(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The first `shape` voxels of each axis."""
    return x[:, :, : shape[0], : shape[1], : shape[2]].contiguous()
