"""Lengths for people: in the unit, and with as many digits, as the voxels ask for."""

from __future__ import annotations

import math
from dataclasses import dataclass

UNITS = (("m", 1e3, 1e3), ("mm", 1.0, 1e-2), ("µm", 1e-3, 1e-5), ("nm", 1e-6, 0.0))
"""Name, length in mm, and the smallest voxel in mm for which it is taken."""


@dataclass(frozen=True)
class LengthUnit:
    """How lengths in an image are written.

    Args:
        name: as it is printed.
        mm: its length.
        finer: digits beyond those that suit voxels of one unit.
    """

    name: str
    mm: float
    finer: int

    @classmethod
    def of(cls, voxel_mm: float) -> LengthUnit:
        """The unit for images whose smallest voxel spacing is this, in mm."""
        name, mm, _ = next(unit for unit in UNITS if voxel_mm >= unit[2])
        return cls(name, mm, max(0, round(-math.log10(voxel_mm / mm))))

    def number(self, length_mm: float, digits: int) -> str:
        """A length without its unit.

        Args:
            length_mm: in mm.
            digits: after the point where voxels have one unit; finer voxels get more.
        """
        return f"{length_mm / self.mm:.{digits + self.finer}f}"

    def words(self, length_mm: float) -> str:
        """A length with its unit, three significant digits or all before the point."""
        value = length_mm / self.mm
        return f"{value:.3g} {self.name}" if abs(value) < 1000 else f"{value:.0f} {self.name}"
