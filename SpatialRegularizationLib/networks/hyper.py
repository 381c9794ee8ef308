"""A network whose parameters depend on hyperparameters, as a wrapper of any module (HyperMorph, Hoopes et al., MELBA 2022;
Hyper-TM-SPR, TM-SPR journal paper Sec. 3.5).

    h = code(c),    θ_l = θ_l(h) for the chosen layers l,    network(images; θ)          c: (α′, λmax)/maxima, or λ

Three ways of making θ_l (`generators.py`) and two of making h. The paper has one code network per layer and generates every
layer whole; the released code has one trunk for all layers and linear maps without bias. Per-channel scale and shift (FiLM)
of a network of 17.7 M parameters takes 7 M more where the released form takes 1.6 G.

Deviates: changes are added to the layer's own parameters and start at 0 (`own_parameters=True`), so that the own parameters
play the part of the bias of the paper's last linear layer. With `own_parameters=False` (released form) the generated
parameters start with the standard deviations that the layers had, instead of those of PyTorch's default for the maps.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn

from .generators import CodeNetwork, FilmGenerator, FullGenerator, Generator, LowRankGenerator, substituted

PAPER_WIDTHS = (32, 64, 64, 128, 128)
RELEASED_WIDTHS = (96,) * 6

_MAPS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
_NORMS = (nn.LayerNorm, nn.GroupNorm, nn.InstanceNorm2d, nn.InstanceNorm3d, nn.BatchNorm2d, nn.BatchNorm3d)


class HyperMode(Enum):
    """What is generated of a layer, see `generators.py`."""

    FULL = "full"
    LOW_RANK = "low-rank"
    FILM = "film"


@dataclass(frozen=True)
class HyperSettings:
    """How a `HyperNetwork` conditions.

    Args:
        mode: whole layers, low-rank changes, or scale and shift per output channel.
        layers: shell patterns of the names of the conditioned layers, e.g. ("up*", "heads.*"); None: all. Linear and
            convolution layers count, for FiLM also normalizations with parameters of their own.
        widths: neurons of the code network.
        shared_code: one code network for all layers (released), or one for each (paper).
        rank: of low-rank changes, ≥ 1.
        own_parameters: the layers keep their own parameters, which the changes are added to. False: for FULL only, all is
            generated, as in the released code.
    """

    mode: HyperMode = HyperMode.FILM
    layers: tuple[str, ...] | None = None
    widths: tuple[int, ...] = PAPER_WIDTHS
    shared_code: bool = True
    rank: int = 4
    own_parameters: bool = True

    def __post_init__(self) -> None:
        if self.layers is not None and not self.layers:
            raise ValueError("A hypernetwork needs at least one pattern of layers, got none; leave layers out for all of them.")
        if not self.widths or min(self.widths) < 1:
            raise ValueError(f"The widths of the code network must be positive, at least one of them, got {self.widths}.")
        if self.rank < 1:
            raise ValueError(f"The rank must be at least 1, got {self.rank}.")
        if not self.own_parameters and self.mode is not HyperMode.FULL:
            raise ValueError(
                f"own_parameters=False needs the mode FULL, got {self.mode.name}: "
                "low-rank and FiLM are changes of the layer's own parameters."
            )


@dataclass(frozen=True)
class ConditionedLayer:
    """One conditioned layer: its name, how many of its numbers depend on the condition, and the parameters for that."""

    name: str
    conditioned: int
    parameters: int


@dataclass(frozen=True)
class HyperSummary:
    """What a `HyperNetwork` conditions and what that costs.

    Args:
        mode: see `HyperMode`.
        layers: the conditioned layers.
        code: parameters of the code networks.
        network: parameters that the wrapped network keeps.
    """

    mode: HyperMode
    layers: tuple[ConditionedLayer, ...]
    code: int
    network: int

    @property
    def conditioning(self) -> int:
        """Parameters beside the wrapped network's own: code networks and generators."""
        return self.code + sum(layer.parameters for layer in self.layers)

    @property
    def total(self) -> int:
        """All parameters."""
        return self.network + self.conditioning

    def __str__(self) -> str:
        rows = [f"  {layer.name}: {layer.conditioned:,} numbers from {layer.parameters:,} parameters" for layer in self.layers]
        head = (
            f"{self.mode.value} conditioning of {len(self.layers)} layers: {self.conditioning:,} parameters "
            f"({self.code:,} of them code networks) beside {self.network:,} of the network, {self.total:,} in all"
        )
        return "\n".join([head, *rows])


class HyperNetwork(nn.Module):
    """A network and what generates its parameters from a condition.

    One condition serves a whole batch. The wrapped network is the module given, not a copy; its forward pass (and, within
    `applied`, any other of its methods) sees the generated parameters.

    Args:
        network: any module.
        condition_size: length H of the condition.
        settings: see `HyperSettings`.

    Raises:
        ValueError: a pattern of `settings.layers` names no layer that can be conditioned.
    """

    def __init__(self, network: nn.Module, condition_size: int, settings: HyperSettings | None = None) -> None:
        super().__init__()
        self.settings = settings = settings or HyperSettings()
        self.condition_size = condition_size
        self.network = network
        self.names = tuple(_chosen(network, settings))
        codes = 1 if settings.shared_code else len(self.names)
        self.codes = nn.ModuleList(
            CodeNetwork(condition_size, settings.widths, spread=settings.own_parameters) for _ in range(codes)
        )
        self.generators = nn.ModuleList(self._generator(i) for i in range(len(self.names)))
        if not settings.own_parameters:
            for name in self.names:
                layer = network.get_submodule(name)
                for leaf in _own(layer):
                    layer.register_parameter(leaf, None)

    def _generator(self, index: int) -> Generator:
        own = _own(self.network.get_submodule(self.names[index]))
        shapes = {leaf: tensor.shape for leaf, tensor in own.items()}
        settings, width = self.settings, self.settings.widths[-1]
        if settings.mode is HyperMode.FILM:
            return FilmGenerator(width, shapes)
        if settings.mode is HyperMode.LOW_RANK:
            return LowRankGenerator(width, shapes, settings.rank)
        if settings.own_parameters:
            return FullGenerator(width, shapes)
        length = self.codes[index % len(self.codes)].magnitude().clamp(min=torch.finfo(torch.float32).eps)
        spreads = {leaf: tensor.detach().square().mean().sqrt() / length for leaf, tensor in own.items()}
        return FullGenerator(width, shapes, spreads)

    def generate(self, condition: Tensor) -> dict[str, Tensor]:
        """Dotted parameter name → tensor, of every conditioned layer.

        Args:
            condition: (1, H), coordinates divided by their highs.

        Raises:
            ValueError: another shape.
        """
        if condition.shape != (1, self.condition_size):
            raise ValueError(
                f"The condition must have the shape (1, {self.condition_size}), one for the whole batch, "
                f"got {tuple(condition.shape)}."
            )
        with torch.autocast(condition.device.type, enabled=False):
            row = condition[0].to(self.codes[0].layers[0].weight.dtype)
            codes = [code(row) for code in self.codes]
            made = {}
            for i, name in enumerate(self.names):
                own = _own(self.network.get_submodule(name))
                for leaf, tensor in self.generators[i](codes[i % len(codes)], own).items():
                    made[f"{name}.{leaf}"] = tensor
        return made

    @contextmanager
    def applied(self, condition: Tensor) -> Iterator[None]:
        """Inside the block, `network` has the parameters of this condition."""
        with substituted(self.network, self.generate(condition)):
            yield

    def forward(self, condition: Tensor, *inputs: Any, **options: Any) -> Any:
        """network(*inputs, **options) with the parameters of `condition` (1, H)."""
        with self.applied(condition):
            return self.network(*inputs, **options)

    @torch.no_grad()
    def frozen(self, condition: Tensor) -> nn.Module:
        """The wrapped network alone, as a new module, with the parameters of this condition as its own."""
        made = self.generate(condition)
        network = copy.deepcopy(self.network)
        for name, tensor in made.items():
            path, _, leaf = name.rpartition(".")
            network.get_submodule(path).register_parameter(leaf, nn.Parameter(tensor.detach().clone()))
        return network

    def summary(self) -> HyperSummary:
        """Which layers are conditioned, and the parameters that this takes."""
        layers = tuple(
            ConditionedLayer(name, sum(shape.numel() for shape in generator.shapes.values()), _count(generator))
            for name, generator in zip(self.names, self.generators, strict=True)
        )
        return HyperSummary(self.settings.mode, layers, _count(self.codes), _count(self.network))


def able_layers(network: nn.Module, mode: HyperMode) -> list[str]:
    """Names of the layers that can be conditioned in this mode, in the order of the network."""
    kinds = (*_MAPS, *_NORMS) if mode is HyperMode.FILM else _MAPS
    return [name for name, module in network.named_modules() if isinstance(module, kinds) and name and _own(module)]


def _chosen(network: nn.Module, settings: HyperSettings) -> list[str]:
    able = able_layers(network, settings.mode)
    patterns = ("*",) if settings.layers is None else settings.layers
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in able):
            raise ValueError(
                f"The pattern {pattern!r} names no layer that can be conditioned; expected one matching some of: "
                f"{', '.join(able) or 'none, the network has no such layer'}."
            )
    return [name for name in able if any(fnmatchcase(name, pattern) for pattern in patterns)]


def _own(layer: nn.Module) -> dict[str, Tensor]:
    """Weight and bias that the layer owns."""
    return {leaf: tensor for leaf, tensor in layer.named_parameters(recurse=False) if leaf in ("weight", "bias")}


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
