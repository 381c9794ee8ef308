"""Make random numbers of a training: every draw follows from the seed and from where it is used.

A stream is named by numbers such as (epoch, step, pair). Nothing has to be stored or restored when a training is interrupted,
and the pair that one process draws alone is the pair that one of several processes draws in its share.
"""

from __future__ import annotations

import hashlib

import torch


def stream_seed(seed: int, *place: int | str) -> int:
    """A seed for one place of a training, unrelated to those of other places."""
    digest = hashlib.sha256(repr((seed, *place)).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def stream(seed: int, *place: int | str) -> torch.Generator:
    """A generator on the CPU for one place of a training."""
    return torch.Generator().manual_seed(stream_seed(seed, *place))
