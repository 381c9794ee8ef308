"""Hold what travels with a pair of images: masks, label maps and corresponding points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .volume import Volume


@dataclass(frozen=True)
class Companions:
    """What travels with the pair: masks that focus the similarity, label maps and points that score the result.

    Args:
        fixed_mask, moving_mask: Volume whose values > 0 count, any grid in the patient space of its image.
        fixed_labels, moving_labels: integer label maps, 0 is background.
        fixed_points, moving_points: (n, 3) corresponding positions, mm LPS.
        notes: sentences about them for the report, such as which points were left out.
    """

    fixed_mask: Volume | None = None
    moving_mask: Volume | None = None
    fixed_labels: Volume | None = None
    moving_labels: Volume | None = None
    fixed_points: np.ndarray | None = None
    moving_points: np.ndarray | None = None
    notes: tuple[str, ...] = ()
