"""Share arrays with another process by a few slots of .npy files, written in turn."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

SLOTS = 3
"""An answer's files stay as they are until so many further answers have been given."""


class ArrayFiles:
    """Files of one pair's answers.

    Args:
        parent: folder to make the files in; None is the system's folder for temporary files.

    Raises:
        OSError: nothing can be written there.
    """

    def __init__(self, parent: Path | None = None) -> None:
        if parent is not None:
            parent.mkdir(parents=True, exist_ok=True)
        self.folder = Path(tempfile.mkdtemp(prefix="spatialreg-", dir=parent))
        self._maps: dict[Path, np.memmap] = {}
        self._count = 0

    def write(self, arrays: Mapping[str, Tensor]) -> dict[str, str]:
        """Name → path of a .npy file that holds the array (C, i, j, k), float32, in the next slot.

        The first axes run fastest (Fortran order), as in the files and the memory of image programs:
        for them it is a copy of bytes.
        """
        slot = self.folder / str(self._count % SLOTS)
        slot.mkdir(exist_ok=True)
        self._count += 1
        paths = {}
        for name, array in arrays.items():
            path = slot / f"{name}.npy"
            torch.from_numpy(self._map(path, tuple(array.shape)).T).copy_(array.permute(*reversed(range(array.dim()))))
            paths[name] = str(path)
        return paths

    @property
    def megabytes(self) -> float:
        """Size of all files."""
        return sum(values.nbytes for values in self._maps.values()) / 2**20

    def remove(self) -> None:
        """Delete the files; readers that have them mapped keep what they have."""
        self._maps.clear()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _map(self, path: Path, shape: tuple[int, ...]) -> np.memmap:
        if path not in self._maps:
            self._maps[path] = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape, fortran_order=True)
        return self._maps[path]
