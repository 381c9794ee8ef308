"""Draw random values: every draw of a training follows from the seed and from where it is used.

A stream is named by numbers such as (epoch, step, pair). Nothing has to be stored or restored when a training is interrupted,
and the pair that one process draws alone is the pair that one of several processes draws in its share.
"""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from ..fields.resize import resize


def stream_seed(seed: int, *place: int | str) -> int:
    """A seed for one place of a training, unrelated to those of other places."""
    digest = hashlib.sha256(repr((seed, *place)).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def stream(seed: int, *place: int | str) -> torch.Generator:
    """A generator on the CPU for one place of a training."""
    return torch.Generator().manual_seed(stream_seed(seed, *place))


class Draws:
    """A stream of random values; all that is drawn follows from the seed, the place and the order of the calls.

    Numbers and coarse lattices come from a generator on the CPU and are alike on every device; values for each voxel come from
    a generator of the device.

    Args:
        device: where tensors are made.
        seed: of the training.
        place: names the stream, as in `stream`.
    """

    def __init__(self, device: torch.device, seed: int, *place: int | str) -> None:
        self.device = device
        self._numbers = stream(seed, *place)
        self._voxels = torch.Generator(device=device).manual_seed(stream_seed(seed, *place, "voxels"))

    def uniform(self, low: float, high: float) -> float:
        """A number between low and high, evenly distributed."""
        return low + (high - low) * float(torch.rand((), generator=self._numbers))

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return self.uniform(0.0, 1.0) < probability

    def whole(self, count: int) -> int:
        """One of 0 … count - 1."""
        return int(torch.randint(count, (), generator=self._numbers))

    def uniforms(self, count: int) -> Tensor:
        """(count,) numbers in [0, 1), on the device."""
        return torch.rand(count, generator=self._numbers).to(self.device)

    def normals(self, count: int) -> Tensor:
        """(count,) standard normal numbers, on the device."""
        return torch.randn(count, generator=self._numbers).to(self.device)

    def noise(self, *shape: int) -> Tensor:
        """Standard normal values, independent in every voxel."""
        return torch.randn(*shape, generator=self._voxels, device=self.device)

    def smooth(self, channels: int, shape: tuple[int, ...], distance: float) -> Tensor:
        """Standard normal values at control points `distance` voxels apart, linear between them: (1, channels, *shape)."""
        points = control_points(shape, distance)
        return resize(torch.randn(1, channels, *points, generator=self._numbers).to(self.device), shape)


def control_points(shape: tuple[int, ...], distance: float) -> tuple[int, ...]:
    """Numbers of control points along the axes, at most `distance` voxels apart, first and last beyond no border."""
    return tuple(2 + int(-(-n // distance)) for n in shape)
