"""Running a module with some of its parameters replaced by tensors: how a hypernetwork speaks to the network it wraps.

The replaced tensors are seen by everything that reads `layer.weight` or `layer.bias`, also by code that fuses several
layers into one convolution. Activation checkpointing runs parts of a network a second time during the backward pass, when
the replacement is over; `checkpointed` remembers what was in place and puts it back for that second run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

_ACTIVE: ContextVar[tuple[tuple[nn.Module, Mapping[str, Tensor]], ...]] = ContextVar("substitutions", default=())


@contextmanager
def substituted(network: nn.Module, tensors: Mapping[str, Tensor]) -> Iterator[None]:
    """Inside the block, the named parameters of `network` are `tensors`; afterwards they are as before.

    Args:
        network: module whose parameters are replaced, not copied.
        tensors: dotted parameter name → tensor of the shape that the layer expects. Gradients flow into the tensors.
    """
    homes = []
    for name, tensor in tensors.items():
        path, _, leaf = name.rpartition(".")
        homes.append((network.get_submodule(path)._parameters, leaf, tensor))
    before = [parameters[leaf] for parameters, leaf, _ in homes]
    token = _ACTIVE.set((*_ACTIVE.get(), (network, tensors)))
    try:
        for parameters, leaf, tensor in homes:
            parameters[leaf] = tensor
        yield
    finally:
        for (parameters, leaf, _), old in zip(homes, before, strict=True):
            parameters[leaf] = old
        _ACTIVE.reset(token)


def checkpointed(function: Callable[..., Any], *arguments: Any) -> Any:
    """function(*arguments) without keeping its activations: they are computed again for the gradient.

    Substitutions in place now are in place again for the second run. Random states (stochastic depth) are repeated too.
    """
    active = _ACTIVE.get()
    return checkpoint(
        function, *arguments, use_reentrant=False, context_fn=lambda: (nullcontext(), _in_place_again(active))
    )


@contextmanager
def _in_place_again(active: tuple[tuple[nn.Module, Mapping[str, Tensor]], ...]) -> Iterator[None]:
    with ExitStack() as stack:
        for network, tensors in active:
            stack.enter_context(substituted(network, tensors))
        yield
