"""Say where a tuned parameter may lie: as given, as its prior declares, or as the TM-SPR paper searched."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..declaration import is_number, refuse_unknown
from ..registration.settings import RULES, searched_settings


@dataclass(frozen=True)
class Range:
    """An interval of one parameter, sampled evenly, or evenly in the logarithm.

    Args:
        low, high: its ends, low < high; low > 0 where it is logarithmic.
        log: True for parameters that matter by their order of magnitude.
    """

    low: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        if not (is_number(self.low) and is_number(self.high) and self.low < self.high):
            raise ValueError(f"A range must be two numbers, the smaller first, got {self.low!r} to {self.high!r}.")
        if self.log and self.low <= 0:
            raise ValueError(f"A logarithmic range must start above 0, got {self.low:g}; raise its lower end, or leave out log.")

    @classmethod
    def of(cls, value: Any, name: str) -> Range:
        """From [low, high] or [low, high, "log"], as a configuration file holds it.

        Raises:
            ValueError: it is neither.
        """
        if isinstance(value, Range):
            return value
        parts = list(value) if isinstance(value, Sequence) and not isinstance(value, str) else []
        if len(parts) not in (2, 3) or parts[2:] not in ([], ["log"]):
            raise ValueError(f'The range of {name} must be [low, high] or [low, high, "log"], got {value!r}.')
        try:
            return cls(parts[0], parts[1], log=len(parts) == 3)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error

    def plain(self) -> list[Any]:
        """What `of` reads."""
        return [float(self.low), float(self.high), *(["log"] if self.log else [])]

    def share(self, value: float) -> float:
        """Position of a value, 0 at the lower and 1 at the upper end."""
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def value(self, share: float) -> float:
        """The value at a position, the inverse of `share`."""
        if self.log:
            return self.low * (self.high / self.low) ** share
        return self.low + share * (self.high - self.low)

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}{' (logarithmic)' if self.log else ''}"


PAPER = {
    "beta": {"alpha_prime": ((0.0, 0.1), (0.0, 0.2), (0.0, 0.6)), "lambda_max": ((0.8, 3.0), (0.5, 5.0), (0.8, 3.0))},
    "gaussian": {"sigma_prime": ((0.0, 2.0), (0.0, 4.0), (0.0, 2.0)), "lambda_mean": ((0.8, 3.0), (0.5, 5.0), (0.8, 3.0))},
}
"""Prior → parameter → its range in each task (TM-SPR journal paper, Table 1): energies as means over voxels and differences."""

TASKS = ("autopet", "ixi", "acdc")
"""autopet: whole-body CT; ixi: brain MRI, atlas to subject; acdc: cine MRI of the heart (ACDC and M&Ms)."""


def paper_ranges(task: str, prior: str) -> dict[str, Range]:
    """The ranges that the paper searched, for the two parameters of a prior.

    Deviates: the released code starts α′ at 0.01 (IXI) and 0.001 (autoPET), the paper and this at 0.

    Args:
        task: one of `TASKS`.
        prior: one of `PAPER`.

    Raises:
        ValueError: no such task or prior; the nearest is suggested.
    """
    refuse_unknown([task], TASKS, "task")
    refuse_unknown([prior], PAPER, "prior of the paper")
    return {name: Range(*spans[TASKS.index(task)]) for name, spans in PAPER[prior].items()}


def per_pair_ranges(prior: str) -> dict[str, Range]:
    """For registering without a network: what a prior declares of its parameters, its shape before its weight."""
    return {name: Range(*RULES[name]["search"], log=True) for name in reversed(searched_settings(prior))}


def ranges_from(values: Mapping[str, Any], known: Sequence[str]) -> dict[str, Range]:
    """The ranges of a configuration, by parameter.

    Args:
        values: {name: [low, high]} as in `Range.of`.
        known: parameters that can be tuned.

    Raises:
        ValueError: a parameter that cannot be tuned (the nearest is suggested), none at all, or no range.
    """
    if not values:
        raise ValueError(f"Nothing to tune: name at least one of {', '.join(known)} with its range.")
    refuse_unknown(values, tuple(known), "parameter")
    return {name: Range.of(value, name) for name, value in values.items()}
