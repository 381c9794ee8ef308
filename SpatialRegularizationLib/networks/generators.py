"""Generate parameters of a layer from the code of a condition (whole, by low rank, or per output channel), and put them in.

    full        W = W0 + reshape(G h)                          b = b0 + G' h
    low rank    W = W0 + A diag(C h) B                         b = b0 + U C h
    FiLM        W = W0 (1 + s(h))  per output channel          b = b0 (1 + s(h)) + t(h),      s, t linear in h

h is the code, W0 and b0 the layer's own parameters. G, A, U, s and t start at 0: before training every condition gives
the network itself. FiLM of W and b is exactly scale and shift of the layer's output (Perez et al., AAAI 2018), but is seen
by code that fuses layers, costs no activation, and is the same in every precision.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


class Generator(nn.Module, ABC):
    """Parameters of one layer, from a code.

    Attributes:
        shapes: parameter name → shape, what is generated.
    """

    shapes: dict[str, torch.Size]

    @abstractmethod
    def forward(self, code: Tensor, own: dict[str, Tensor]) -> dict[str, Tensor]:
        """Parameters of the layer.

        Args:
            code: h (width,).
            own: the layer's own parameters by name ("weight", "bias"); names that the layer does not own are missing.
        """


class FullGenerator(Generator):
    """Every number of the layer is a linear function of the code.

    Args:
        width: length of the code.
        shapes: parameter name → shape.
        deviations: parameter name → standard deviation of G at the start; None: G starts at 0.
    """

    def __init__(self, width: int, shapes: dict[str, torch.Size], deviations: dict[str, Tensor] | None = None) -> None:
        super().__init__()
        self.shapes = shapes
        self.linear = nn.ModuleDict({name: nn.Linear(width, shape.numel(), bias=False) for name, shape in shapes.items()})
        for name, linear in self.linear.items():
            if deviations is None:
                nn.init.zeros_(linear.weight)
            else:
                with torch.no_grad():
                    nn.init.normal_(linear.weight).mul_(deviations[name])

    def forward(self, code: Tensor, own: dict[str, Tensor]) -> dict[str, Tensor]:
        made = {name: self.linear[name](code).view(shape) for name, shape in self.shapes.items()}
        return {name: own[name] + change if name in own else change for name, change in made.items()}


class LowRankGenerator(Generator):
    """A sum of `rank` fixed outer products whose coefficients are linear in the code.

    Args:
        width: length of the code.
        shapes: parameter name → shape; the first axis is the output channel.
        rank: number of outer products, at most what the layer's matrix has.
    """

    def __init__(self, width: int, shapes: dict[str, torch.Size], rank: int) -> None:
        super().__init__()
        self.shapes = shapes
        outputs = shapes["weight"][0]
        inputs = shapes["weight"].numel() // outputs
        rank = min(rank, outputs, inputs)
        self.coefficients = nn.Linear(width, rank)
        self.left = nn.ParameterDict({name: torch.zeros(outputs, rank) for name in shapes})
        self.right = nn.Parameter(torch.randn(rank, inputs) / math.sqrt(inputs))

    def forward(self, code: Tensor, own: dict[str, Tensor]) -> dict[str, Tensor]:
        coefficients = self.coefficients(code)
        change = {"weight": ((self.left["weight"] * coefficients) @ self.right).view(self.shapes["weight"])}
        if "bias" in self.left:
            change["bias"] = self.left["bias"] @ coefficients
        return {name: own[name] + change[name] for name in self.shapes}


class FilmGenerator(Generator):
    """Scale and, where the layer has a bias, shift of each output channel.

    Args:
        width: length of the code.
        shapes: parameter name → shape; the first axis is the output channel.
    """

    def __init__(self, width: int, shapes: dict[str, torch.Size]) -> None:
        super().__init__()
        self.shapes = shapes
        self.linear = nn.Linear(width, shapes["weight"][0] * len(shapes), bias=False)
        nn.init.zeros_(self.linear.weight)

    def forward(self, code: Tensor, own: dict[str, Tensor]) -> dict[str, Tensor]:
        change = self.linear(code).view(len(own), -1)
        scale = 1 + change[0]
        made = {"weight": own["weight"] * scale.view(-1, *[1] * (own["weight"].ndim - 1))}
        if "bias" in own:
            made["bias"] = torch.addcmul(change[1], own["bias"], scale)
        return made


class CodeNetwork(nn.Module):
    """Condition → code h: fully connected layers, each followed by ReLU.

    Args:
        inputs: length of the condition.
        widths: neurons of each layer.
        spread: True initialises so that the code differs clearly between conditions (He et al., ICCV 2015); False keeps
            the initialisation of PyTorch, as the released code does.
    """

    def __init__(self, inputs: int, widths: tuple[int, ...], *, spread: bool) -> None:
        super().__init__()
        sizes = (inputs, *widths)
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes, widths, strict=False))
        if spread:
            for layer in self.layers:
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")

    def forward(self, condition: Tensor) -> Tensor:
        code = condition
        for layer in self.layers:
            code = F.relu(layer(code))
        return code

    @torch.no_grad()
    def magnitude(self) -> Tensor:
        """Root mean square length of the code over conditions uniform on [0, 1]."""
        first = self.layers[0]
        conditions = torch.rand(256, first.in_features, dtype=first.weight.dtype, device=first.weight.device)
        return self(conditions).square().sum(1).mean().sqrt()


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
