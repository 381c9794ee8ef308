"""Train on several GPUs or machines: what `torchrun` set up, as one value.

    torchrun --nproc-per-node 4 -m SpatialRegularizationLib train CONFIG        several machines: --nnodes, --rdzv-endpoint, …

Every process takes its share of each batch; PyTorch's DistributedDataParallel averages the gradients.
"""

from __future__ import annotations

import contextlib
import gc
import os
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from ..registration.choices import chosen_device


@dataclass(frozen=True)
class Workers:
    """The processes of a training, seen from one of them.

    Args:
        rank: number of this process; 0 writes the files.
        size: how many there are.
        device: where this process computes.
    """

    rank: int
    size: int
    device: torch.device

    @property
    def leads(self) -> bool:
        """True for the process that writes files and talks."""
        return self.rank == 0

    def wrap(self, model: nn.Module) -> nn.Module:
        """The model as it is to be called: itself, or wrapped so that gradients are averaged over the processes."""
        if self.size == 1:
            return model
        ids = [self.device.index] if self.device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(model, device_ids=ids)

    def gather(self, value: Any) -> list:
        """The values of all processes, in their order."""
        if self.size == 1:
            return [value]
        values = [None] * self.size
        dist.all_gather_object(values, value)
        return values

    def any(self, condition: bool) -> bool:
        """True where the condition holds in any process."""
        if self.size == 1:
            return condition
        flags = torch.tensor([float(condition)], device=self.device)
        dist.all_reduce(flags, dist.ReduceOp.MAX)
        return bool(flags.item())

    @contextlib.contextmanager
    def without_averaging(self, network: nn.Module, wait: bool) -> Iterator[None]:
        """Gradients stay with their process inside the block where `wait` (accumulation before the last pass)."""
        with network.no_sync() if self.size > 1 and wait else contextlib.nullcontext():
            yield


@contextlib.contextmanager
def workers(device: str) -> Iterator[Workers]:
    """The processes that `torchrun` started, connected; or this one alone.

    At the end of the block the group is gone together with its threads: one that is still letting go of a tensor while Python
    shuts down would abort the process.

    Args:
        device: as `TrainingSettings.device`.

    Raises:
        RuntimeError: the asked-for device is not there.
    """
    chosen = chosen_device(device)
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Workers(0, 1, chosen)
        return
    if chosen.type == "cuda":
        chosen = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(chosen)
    started = not dist.is_initialized()
    if started:
        # DistributedDataParallel imports it. Imported while a group exists, it keeps that group, and its threads, for ever.
        import_module("torch._dynamo")
        dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
    try:
        yield Workers(dist.get_rank(), size, chosen)
    finally:
        if started:
            dist.destroy_process_group()
            gc.collect()  # the wrapped model is in a cycle and holds the group
