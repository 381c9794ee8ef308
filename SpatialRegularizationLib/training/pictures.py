"""Write scalars and slice pictures for TensorBoard; the only file that imports it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .validation import Shown


class Board:
    """Writes to a folder that TensorBoard reads.

    Args:
        folder: made if needed.
        step: what is already there from this step on, of a run that was interrupted, is dropped.

    Raises:
        RuntimeError: the tensorboard package is missing.
    """

    def __init__(self, folder: Path, step: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise RuntimeError(
                "tensorboard: true needs the tensorboard package: install it with "
                "pip install 'spatial-regularization[training]', or set tensorboard: false."
            ) from error
        self._writer: Any = SummaryWriter(str(folder), purge_step=step)

    def scalars(self, group: str, values: Mapping[str, float], step: int) -> None:
        """One point of each curve, group/name."""
        for name, value in values.items():
            self._writer.add_scalar(f"{group}/{name}", value, step)

    def pair(self, shown: Shown, step: int) -> None:
        """The middle slices of a pair along each axis: moving, fixed, warped, |warped - fixed| and λ beside one another."""
        rows = [_row(shown, axis) for axis in range(3)]
        width = max(row.shape[1] for row in rows)
        padded = [torch.nn.functional.pad(row, (0, width - row.shape[1])) for row in rows]
        self._writer.add_image("validation/moving fixed warped difference lambda", torch.cat(padded)[None], step)

    def close(self) -> None:
        """Write what is pending."""
        self._writer.close()


def _row(shown: Shown, axis: int) -> Tensor:
    """Pictures side by side, rows upwards along the last axis, values in [0, 1]."""
    difference = (shown.warped - shown.fixed).abs()
    volumes = [shown.moving, shown.fixed, shown.warped, difference]
    if shown.lambda_map is not None:
        volumes.append(shown.lambda_map / shown.lambda_map.max().clamp(min=1e-12))
    slices = [volume.select(axis, volume.shape[axis] // 2).T.flip(0).clamp(0, 1) for volume in volumes]
    return torch.cat(slices, dim=1)
