"""Checkpoints of others: tensors and plain numbers are read, everything else is refused by name and never executed."""

from __future__ import annotations

import os
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from SpatialRegularizationLib.zoo.checkpoints import read_state

STATE = OrderedDict(a=torch.arange(6.0).view(2, 3), b=torch.tensor(3))


class _Runs:
    """Unpickling it calls os.mkdir."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (self.path,)


def _content(**more: Any) -> dict[str, Any]:
    return {"epoch": 3, "state_dict": STATE, **more}


def _read(path: Path, content: Any, **options: Any) -> dict[str, torch.Tensor]:
    torch.save(content, path, **options)
    return read_state(path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.pth.tar"


def _is_the_state(found: dict[str, torch.Tensor]) -> bool:
    return found.keys() == STATE.keys() and all(torch.equal(found[key], STATE[key]) for key in STATE)


@pytest.mark.parametrize("zipped", [True, False])
def test_parameters_come_out_and_the_optimizer_with_its_numpy_learning_rate_does_not(path: Path, zipped: bool) -> None:
    numbers = {"lr": np.float64(1e-4), "n": np.int64(3), "flag": np.bool_(True), "half": np.float32(0.5)}
    content = _content(best_dsc=np.float64(0.75), optimizer={"param_groups": [numbers], "state": {0: {"m": torch.ones(2)}}})
    assert _is_the_state(_read(path, content, _use_new_zipfile_serialization=zipped))


@pytest.mark.parametrize("module", ["numpy.core.multiarray", "numpy._core.multiarray"])
def test_the_names_of_numpy_1_and_of_numpy_2_are_both_understood(path: Path, module: str) -> None:
    torch.save(_content(lr=np.float64(1e-4)), path, pickle_module=_OtherNumpy(module))
    assert f"c{module}\nscalar\n".encode() in path.read_bytes()
    assert _is_the_state(read_state(path))


class _OtherNumpy:
    """pickle, as another NumPy would use it: its scalar has another home."""

    def __init__(self, module: str) -> None:
        class Pickler(pickle._Pickler):
            def save_global(self, obj: Any, name: str | None = None) -> None:
                if getattr(obj, "__name__", "") != "scalar":
                    return super().save_global(obj, name)
                self.write(f"c{module}\nscalar\n".encode())
                self.memoize(obj)

            dispatch = pickle._Pickler.dispatch | {type(len): save_global}

        self.Pickler = Pickler

    def __getattr__(self, name: str) -> Any:
        return getattr(pickle, name)


def test_what_a_file_wants_to_execute_is_named_and_not_executed(path: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"without executing posix.mkdir, which is never done|executing nt.mkdir"):
        _read(path, _content(x=_Runs(tmp_path / "executed")))
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    ("extra", "name"),
    [
        (torch.nn.Linear(2, 2), r"torch\.nn\.modules\.linear\.Linear"),
        (np.ones(3), r"numpy\._?core\.multiarray\._reconstruct"),
        (np.dtype("O"), r"numpy\.dtype\('O8'\)"),
        (np.complex128(1j), r"numpy\.dtype\('c16'\)"),
        (Path("x"), r"pathlib\S*Path"),
    ],
)
def test_objects_that_are_neither_tensors_nor_numbers_are_refused_by_name(path: Path, extra: Any, name: str) -> None:
    with pytest.raises(ValueError, match=rf"model.pth.tar cannot be read without executing {name}"):
        _read(path, _content(extra=extra))


def test_a_whole_pickled_network_is_refused_by_name(path: Path) -> None:
    with pytest.raises(ValueError, match=r"executing torch\.nn\.modules\.linear\.Linear"):
        _read(path, torch.nn.Linear(2, 2))


EMPTY = ([1, 2], {}, {"epoch": 3}, {"state_dict": {}}, {"state_dict": {"a": 3}}, {"state_dict": {"a": torch.eye(2).to_sparse()}})


@pytest.mark.parametrize("content", EMPTY)
def test_files_without_parameters_are_refused(path: Path, content: Any) -> None:
    with pytest.raises(ValueError, match="holds no parameters of a network"):
        _read(path, content)


@pytest.mark.parametrize("content", [b"", b"garbage" * 100, b"\x80\x02", b"PK\x03\x04" + b"0" * 50])
def test_damaged_files_are_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(ValueError, match="is damaged, or not a PyTorch checkpoint"):
        read_state(path)


def test_a_file_that_was_cut_is_refused(path: Path) -> None:
    torch.save(_content(), path)
    whole = path.read_bytes()
    for share in (0.3, 0.9):
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(ValueError, match="is damaged"):
            read_state(path)


def test_other_ways_of_keeping_parameters_are_found(path: Path) -> None:
    assert _is_the_state(_read(path, {"model_state_dict": STATE}))
    assert _is_the_state(_read(path, STATE))
    assert _is_the_state(_read(path, {"state_dict": {f"module.{key}": value for key, value in STATE.items()}}))


def test_a_missing_file_is_said(path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"model.pth.tar does not exist"):
        read_state(path)


def test_an_old_pytorch_is_not_trusted_with_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save(_content(), path)
    monkeypatch.setattr(torch, "__version__", "2.5.1+cpu")
    with pytest.raises(RuntimeError, match=r"needs PyTorch 2\.6 or newer, got 2\.5\.1"):
        read_state(path)
