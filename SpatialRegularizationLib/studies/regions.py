"""Find parts of the anatomy in which the weight map λ is averaged: labels as they are, their inside, or a rim of their border."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass
from typing import Any

import numpy as np
import SimpleITK as sitk

from ..declaration import built, check_fields, checked_number, choice, entry


def _checked_labels(name: str, given: Any) -> tuple[int, ...]:
    labels = (given,) if isinstance(given, int) else given
    whole = isinstance(labels, list | tuple) and all(isinstance(n, int) and not isinstance(n, bool) for n in labels)
    if not whole or not labels:
        raise ValueError(f"{name} must be a list of labels, whole numbers, got {given!r}; or {{labels: [...], part: ...}}.")
    return tuple(labels)


def _checked_width(name: str, given: Any) -> float:
    """As it is written, 3 or 3.0, because the names of kept measurements depend on it."""
    checked_number(name, given, {"range": (0.001, 100.0), "unit": "mm", "kind": float})
    return given


@dataclass(frozen=True)
class Region:
    """A named part of the fixed image: "inside" is farther than `width_mm` from everything else, "border" is within `width_mm` of
    the border, on both of its sides.

    Args:
        name: in figures (`lambda_mean_<name>`) and tables.
    """

    name: str
    labels: tuple[int, ...] = entry(MISSING, "numbers of the fixed label map; 0 is what has no label", check=_checked_labels)
    part: str = choice("whole", ("whole", "inside", "border"), "of the labels")
    width_mm: float = entry(3.0, "of the border", unit="mm", check=_checked_width)

    def __post_init__(self) -> None:
        check_fields(self, f"regions.{self.name}: ")

    @classmethod
    def of(cls, name: str, value: Any) -> Region:
        """From a list of labels, or an object with labels, part and width_mm, as a study file holds it.

        Raises:
            ValueError: it is neither, or a value that cannot be.
        """
        entries = value if isinstance(value, Mapping) else {"labels": value}
        return built(cls, {**entries, "name": name}, f"the region {name!r}")

    @property
    def key(self) -> str:
        """The name as it stands in the names of figures."""
        return "_".join(self.name.split())

    def where(self, labels: np.ndarray, spacing: tuple[float, ...]) -> np.ndarray:
        """The voxels of this region.

        Args:
            labels: (i, j, k) integers.
            spacing: along its axes, mm.
        """
        own = np.isin(labels, self.labels)
        if self.part == "whole" or not own.any() or own.all():
            return own
        image = sitk.GetImageFromArray(own.astype(np.uint8))
        image.SetSpacing(tuple(float(s) for s in reversed(spacing)))
        # from voxel centers to the border of the set, negative inside; the border runs through its outermost voxels
        far = sitk.GetArrayFromImage(sitk.SignedMaurerDistanceMap(image, squaredDistance=False, useImageSpacing=True))
        return own & (-far >= self.width_mm) if self.part == "inside" else np.abs(far) <= self.width_mm
