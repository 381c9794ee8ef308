"""Describe what a study must show: one figure of one method, alone or against another method."""

from __future__ import annotations

from dataclasses import dataclass, fields

from ..declaration import check_kinds


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

    Raises:
        ValueError: a value of a wrong kind, no bound, or nothing to compare with.
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
        check_kinds(self, "an aim's ")
        numbers = [f.name for f in fields(self) if str(f.type).startswith("float")]
        given = [name for name in numbers if getattr(self, name) is not None]
        if not given and not self.better_on_all and self.less_than is None:
            raise ValueError(f"The aim for {self.figure!r} of {self.method!r} has no bound: give one of {', '.join(numbers)}.")
        paired = [name for name in given if name.startswith(("difference", "ratio", "p_"))]
        paired += ["better_on_all"] if self.better_on_all else []
        if paired and self.against is None:
            raise ValueError(f"{paired[0]} of an aim needs the method to compare with: against.")
