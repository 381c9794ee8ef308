"""Parts of the anatomy in which the weight map λ is averaged: labels as they are, their inside, or a rim along their border."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import SimpleITK as sitk

from ..declaration import checked_choice, is_number, refuse_unknown

PARTS = ("whole", "inside", "border")
KEYS = ("labels", "part", "width_mm")


@dataclass(frozen=True)
class Region:
    """A named part of the fixed image.

    Args:
        name: in figures (`lambda_mean_<name>`) and tables.
        labels: numbers of the fixed label map; 0 is what has no label.
        part: "whole"; "inside": farther than `width_mm` from everything else; "border": within `width_mm` of the border, on
            both of its sides.
        width_mm: see `part`.
    """

    name: str
    labels: tuple[int, ...]
    part: str = "whole"
    width_mm: float = 3.0

    def __post_init__(self) -> None:
        numbers = all(isinstance(n, int) and not isinstance(n, bool) for n in self.labels)
        if not self.labels or not numbers:
            raise ValueError(f"The region {self.name!r} needs whole numbers of labels, got {self.labels!r}.")
        checked_choice(f"part of the region {self.name!r}", self.part, PARTS)
        width = self.width_mm
        if not is_number(width) or not 0 < width <= 100:
            raise ValueError(f"width_mm of the region {self.name!r} must be above 0, up to 100 mm, got {width!r}.")

    @classmethod
    def of(cls, name: str, value: Any) -> Region:
        """From a list of labels, or an object with `KEYS`, as a study file holds it.

        Raises:
            ValueError: it is neither, or a value that cannot be.
        """
        if isinstance(value, Mapping):
            refuse_unknown(value, KEYS, f"key of the region {name!r}")
            entries = {key: value[key] for key in KEYS[1:] if key in value}
            value = value.get("labels")
        else:
            entries = {}
        labels = [value] if isinstance(value, int) else value
        if not isinstance(labels, list | tuple):
            raise ValueError(f"The region {name!r} must be a list of labels, or {{labels: [...], part: ...}}, got {value!r}.")
        return cls(name, tuple(labels), **entries)

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
