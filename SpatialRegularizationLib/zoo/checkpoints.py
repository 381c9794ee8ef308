"""Read checkpoint files of others (.pth.tar, .pth, .pt) without executing anything that they name.

A PyTorch file is a pickle: a program that may call any function. `torch.load(weights_only=True)` refuses all but tensors and
plain containers. The released TM-SPR files also hold NumPy numbers (learning rate, Dice): for these there are stand-ins here
that understand plain numbers only, under the names of NumPy 1 and NumPy 2. NumPy's own functions are not called.
"""

from __future__ import annotations

import pickle
import re
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

OLDEST_TORCH = (2, 6)
"""Before this version, `weights_only=True` could be made to execute code (CVE-2025-32434)."""
STATE_KEYS = ("state_dict", "model_state_dict")
"""Entries under which the parameters of a network are kept."""
_FORMATS = {
    **{"b1": "?", "f2": "e", "f4": "f", "f8": "d"},
    **{"i1": "b", "i2": "h", "i4": "i", "i8": "q", "u1": "B", "u2": "H", "u4": "I", "u8": "Q"},
}
"""NumPy's short names of plain numbers → those of `struct`."""


class _NumberType:
    """Stand-in for numpy.dtype: a plain number and its byte order."""

    def __init__(self, code: str, *_: Any) -> None:
        if not isinstance(code, str) or code not in _FORMATS:
            raise pickle.UnpicklingError(f"numpy.dtype({code!r})")
        self.format, self.order = _FORMATS[code], "<"

    def __setstate__(self, state: Any) -> None:
        self.order = ">" if state[1] == ">" else "<"


def _number(kind: _NumberType, data: bytes) -> float | int | bool:
    """Stand-in for numpy.core.multiarray.scalar."""
    if not isinstance(kind, _NumberType) or not isinstance(data, bytes):
        raise pickle.UnpicklingError("numpy.core.multiarray.scalar")
    return struct.unpack(kind.order + kind.format, data)[0]


_STAND_INS = [
    (_NumberType, "numpy.dtype"),
    (_number, "numpy.core.multiarray.scalar"),
    (_number, "numpy._core.multiarray.scalar"),
]


def read_state(path: str | Path) -> dict[str, Tensor]:
    """The parameters in a checkpoint file; all else in it (optimizer, epoch, scores) is left out.

    Args:
        path: written by `torch.save`: {"state_dict": …, …}, {"model_state_dict": …, …}, or parameters alone.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: damaged, not a checkpoint, or it needs more than tensors and numbers (the message names what).
        RuntimeError: this PyTorch is too old to read it safely.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"The checkpoint {path} does not exist: check the path.")
    version = tuple(int(n) for n in re.findall(r"\d+", torch.__version__)[:2])
    if version < OLDEST_TORCH:
        raise RuntimeError(
            f"Reading checkpoints of others safely needs PyTorch {'.'.join(map(str, OLDEST_TORCH))} or newer, got "
            f"{torch.__version__}; update PyTorch, or import the file on another machine and copy the imported model."
        )
    try:
        with torch.serialization.safe_globals(_STAND_INS):
            # mapped: optimizer states, most of such a file, are never read
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except MemoryError:
        raise
    except Exception as error:  # a file of any content can fail in any way
        raise ValueError(_refusal(path, error)) from error
    return _state_of(content, path)


def _refusal(path: Path, error: Exception) -> str:
    patterns = (r"GLOBAL (\S+)", r"(?:[Uu]nsupported (?:class|global)|function) (\S+)", r"(numpy\.[^\s]+)")
    named = next((found for pattern in patterns if (found := re.search(pattern, str(error)))), None)
    if named:
        return (
            f"{path} cannot be read without executing {named.group(1)}, which is never done: ask its authors for a checkpoint "
            "that holds tensors and numbers only."
        )
    return f"{path} is damaged, or not a PyTorch checkpoint: download it again, and compare its size."


def _state_of(content: Any, path: Path) -> dict[str, Tensor]:
    state = content
    if isinstance(content, Mapping):
        state = next((content[key] for key in STATE_KEYS if key in content), content)
    if not isinstance(state, Mapping) or not state:
        raise ValueError(f"{path} holds no parameters of a network; expected an entry {' or '.join(STATE_KEYS)}.")
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, Tensor) or value.layout != torch.strided or value.is_quantized:
            raise ValueError(
                f"{path} holds no parameters of a network: its entry {name!r} is no plain tensor; expected an entry "
                f"{' or '.join(STATE_KEYS)} with tensors only."
            )
    prefix = "module."  # of networks trained on several GPUs
    if all(name.startswith(prefix) for name in state):
        state = {name.removeprefix(prefix): value for name, value in state.items()}
    return dict(state)
