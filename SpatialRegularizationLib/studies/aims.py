"""What a study must show: one figure of one method, alone or against another method."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from ..declaration import check_kinds, is_number, refuse_unknown


@dataclass(frozen=True)
class Aim:
    """One requirement; every bound that is given must hold.

    Args:
        figure: e.g. "dice"; means over the pairs count, for seconds and memory medians.
        method: whose.
        against: another method, for `difference_…`, `ratio_at_most` and `p_at_most`; pairs where both worked count.
        at_least, at_most: bounds of the figure itself.
        worst_at_least, worst_at_most: bounds that every single pair must keep.
        difference_at_least, difference_at_most: bounds of method minus against.
        ratio_at_most: bound of method over against.
        p_at_most: bound of the corrected p-value of the comparison, whichever of the two is better.
        less_than: another figure of the same method, whose mean over the same pairs must be larger.
        better_on_all: True where every pair must be better than with `against`, for figures of which more is better.
    """

    figure: str
    method: str
    against: str | None = None
    at_least: float | None = None
    at_most: float | None = None
    worst_at_least: float | None = None
    worst_at_most: float | None = None
    difference_at_least: float | None = None
    difference_at_most: float | None = None
    ratio_at_most: float | None = None
    p_at_most: float | None = None
    less_than: str | None = None
    better_on_all: bool = False

    def __post_init__(self) -> None:
        check_kinds(self, " of an aim")
        numbers = [f.name for f in fields(self) if f.name not in ("figure", "method", "against", "less_than", "better_on_all")]
        given = [name for name in numbers if getattr(self, name) is not None]
        for name in given:
            value = getattr(self, name)
            if not is_number(value):
                raise ValueError(f"{name} of an aim must be a number, got {value!r}.")
        if not given and not self.better_on_all and self.less_than is None:
            raise ValueError(f"The aim for {self.figure!r} of {self.method!r} has no bound: give one of {', '.join(numbers)}.")
        paired = [name for name in given if name.startswith(("difference", "ratio", "p_"))]
        paired += ["better_on_all"] if self.better_on_all else []
        if paired and self.against is None:
            raise ValueError(f"{paired[0]} of an aim needs the method to compare with: against.")

    @classmethod
    def of(cls, value: Any) -> Aim:
        """From a study file.

        Raises:
            ValueError: not an object, a misspelt key, or no bound.
        """
        if not isinstance(value, Mapping) or not {"figure", "method"} <= set(value):
            raise ValueError(f"An aim must be an object with figure, method and a bound, got {value!r}.")
        refuse_unknown(value, tuple(f.name for f in fields(cls)), "key of an aim")
        return cls(**value)
