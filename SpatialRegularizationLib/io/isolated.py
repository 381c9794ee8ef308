"""Read (and write) files in a process of its own, so that a crash in a C library ends that process and not this one.

Readers in C (VTK, HDF5, ITK) crash on some damaged files, loop on others or ask for all memory. A reader here is a function
at the top of a module that takes a path and returns plain values and arrays; a child process calls it, with limits, and
leaves the arrays in memory that this process then holds. Linux forks (some milliseconds); the child must not touch PyTorch
or other libraries with threads. Elsewhere a fresh interpreter is started, which takes as long as its imports.

While it waits, this process answers signals at once; whatever ends the wait ends the child.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import gc
import json
import mmap
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np

ALIGNMENT = 64
"""Arrays start at multiples of this many bytes."""
SLOWEST = 0.5e6
"""Bytes of a file that every reader manages in a second."""
MEMORY = 1 << 30
MEMORY_PER_BYTE = 40
"""A reader may take `MEMORY` bytes, and this many more for every byte of the file."""
ERRORS = {kind.__name__: kind for kind in (ValueError, FileNotFoundError, PermissionError, OSError, RuntimeError)}
"""What a reader may raise; its sentence arrives here unchanged. Others end as `ValueError`."""


class Content(NamedTuple):
    """What a reader returns: `about` of values that JSON can hold, and `arrays` by name.

    An array may be a view in any order, or a pair (array, dtype): it is stored in C order, as that dtype.
    """

    about: dict[str, Any]
    arrays: dict[str, Any]


def read_isolated(reader: Callable[[str], Content], path: str | os.PathLike, *, seconds: float = 10.0) -> Content:
    """What `reader(path)` returns, read in a process of its own.

    Args:
        reader: a function at the top of a module of this library; it may raise `ERRORS`.
        path: an existing file.
        seconds: how long the reader may take, beyond the time that the size of the file explains.

    Returns:
        Content, the arrays writable and in C order.

    Raises:
        ValueError: the reader crashed, or exceeded its time or memory: one sentence that names the file.
        Those of the reader itself.
    """
    size = _size_of(path)
    limits = _Limits(seconds + size / SLOWEST, MEMORY + MEMORY_PER_BYTE * size)
    run = _forked if sys.platform == "linux" else _spawned
    return run(reader, Path(path), limits)


def write_isolated(writer: Callable[[], None], path: str | os.PathLike) -> None:
    """Calls `writer()` where its library may break without harm: HDF5 that met a full disk crashes its process at exit.

    Linux forks; elsewhere the writer runs in this process. It has no limits: a slow disk is no fault of a file.

    Raises:
        OSError: the writer crashed; one sentence that names the file.
        Those of the writer, as far as they are `ERRORS`.
    """
    if sys.platform != "linux":
        return writer()

    def written(_: str) -> Content:
        writer()
        return Content({}, {})

    _forked(written, Path(path), None)


class _Limits(NamedTuple):
    seconds: float
    memory: int


def _size_of(path: str | os.PathLike) -> int:
    try:
        return os.stat(path).st_size
    except OSError as error:
        raise FileNotFoundError(f"{path} does not exist: check the path.") from error


def _forked(reader: Callable[[str], Content], path: Path, limits: _Limits | None) -> Content:
    store, (ears, mouth) = os.memfd_create("spatialreg"), os.pipe()
    held = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    child, answered = 0, b""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # threads of this process: the child uses none of theirs
            child = os.fork()
        if child == 0:
            _forked_child(reader, path, limits, (store, mouth), held)
        os.close(mouth)
        signal.pthread_sigmask(signal.SIG_SETMASK, held)
        waiting = select.poll()
        waiting.register(ears, select.POLLIN)  # the child says a word, or its end of the pipe is closed with its life
        if not waiting.poll(limits and 1000 * limits.seconds):
            raise _too_slow(path, limits)
        answered = os.read(ears, 1)
        if not answered:
            child, status = 0, os.waitpid(child, 0)[1]
            raise _crashed(os.waitstatus_to_exitcode(status), path, writing=limits is None)
        return _unpacked(mmap.mmap(store, 0), path, limits)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)
        os.close(ears)
        os.close(store)
        if child:
            os.kill(child, signal.SIGKILL)
            # It takes the system some time to clear a copy of this process away: nobody waits for that after an answer.
            threading.Thread(target=os.waitpid, args=(child, 0), daemon=True).start() if answered else os.waitpid(child, 0)


def _forked_child(
    reader: Callable[[str], Content], path: Path, limits: _Limits | None, ends: tuple[int, int], held: set
) -> NoReturn:
    """The life of the child: nothing of its copy of this process may run, so it ends here in any case."""
    code = 1
    try:
        gc.disable()  # no finalizer of an object of the parent
        faulthandler.disable()
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: not without its parent
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, held)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        if limits:
            _limit(limits)
        _answer(reader, path, ends[0])
        os.write(ends[1], b".")
        code = 0
    finally:
        os._exit(code)


def _limit(limits: _Limits) -> None:
    """Memory beyond what the process has already, time on the processor, no core file."""
    import resource

    taken = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * mmap.PAGESIZE
    most = resource.getrlimit(resource.RLIMIT_AS)[1]
    wanted = taken + limits.memory
    wanted = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
    resource.setrlimit(resource.RLIMIT_AS, (wanted, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (int(limits.seconds) + 2,) * 2)


def _spawned(reader: Callable[[str], Content], path: Path, limits: _Limits) -> Content:
    with tempfile.TemporaryDirectory(prefix="spatialreg-") as folder:
        answer = Path(folder) / "answer"
        command = [sys.executable, "-m", __name__, reader.__module__, reader.__name__, str(path), str(answer)]
        places = [str(Path(import_module(__package__.split(".")[0]).__file__).parent.parent), os.environ.get("PYTHONPATH", "")]
        surroundings = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, places))}
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=surroundings
        )
        try:
            if code := process.wait(limits.seconds + START_SECONDS):
                raise _crashed(code, path)
        except subprocess.TimeoutExpired as error:
            raise _too_slow(path, limits) from error
        finally:
            process.kill()
            process.wait()
        return _unpacked(bytearray(answer.read_bytes()), path, limits)


START_SECONDS = 30.0
"""A fresh interpreter may take this long for its imports on a busy machine."""


def _spawned_child(module: str, name: str, path: str, answer: str) -> int:
    store = os.open(answer, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)
    _answer(getattr(import_module(module), name), Path(path), store)
    return 0


def _answer(reader: Callable[[str], Content], path: Path, store: int) -> None:
    """Calls the reader and leaves its content, or its error, in `store`."""
    try:
        content = reader(str(path))
        _pack(store, content.about, content.arrays)
    except MemoryError:
        _pack(store, {"error": "MemoryError", "message": ""}, {})
    except Exception as error:
        kind = next((name for name, kind in ERRORS.items() if isinstance(error, kind)), "other")
        _pack(store, {"error": kind, "message": str(error), "type": type(error).__name__}, {})


def _pack(store: int, about: dict[str, Any], arrays: dict[str, Any]) -> None:
    """A length (8 bytes), a description of that length in JSON, then the arrays."""
    with contextlib.suppress(ImportError, OSError, ValueError):  # what is handed over is memory, no file on a disk
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    given = {name: value if isinstance(value, tuple) else (value, value.dtype) for name, value in arrays.items()}
    layout, end = {}, 0
    for name, (array, dtype) in given.items():
        layout[name] = {"at": end, "dtype": np.dtype(dtype).str, "shape": array.shape}
        end += -(-array.size * np.dtype(dtype).itemsize // ALIGNMENT) * ALIGNMENT
    text = json.dumps({"about": about, "arrays": layout}).encode()
    start = -(-(8 + len(text)) // ALIGNMENT) * ALIGNMENT
    os.write(store, len(text).to_bytes(8, "little") + text)
    os.ftruncate(store, start + end)
    for name, (array, dtype) in given.items():
        if array.flags.c_contiguous and array.dtype == dtype and array.size and sys.platform == "linux":
            _write(store, start + layout[name]["at"], memoryview(array).cast("B"))
        elif array.size:
            with contextlib.closing(mmap.mmap(store, start + end)) as memory:
                np.copyto(_array_in(memory, start, layout[name]), array, casting="same_kind")


def _write(store: int, place: int, content: memoryview) -> None:
    """Faster than copying into mapped memory, and no more than that; Linux writes at most 2 GB at once."""
    while content:
        written = os.pwrite(store, content, place)
        content, place = content[written:], place + written


def _array_in(memory: Any, start: int, place: dict[str, Any]) -> np.ndarray:
    count = int(np.prod(place["shape"], dtype=np.int64))
    return np.frombuffer(memory, place["dtype"], count, start + place["at"]).reshape(place["shape"])


def _unpacked(memory: Any, path: Path, limits: _Limits | None) -> Content:
    length = int.from_bytes(memory[:8], "little")
    content = json.loads(bytes(memory[8 : 8 + length]))
    about = content["about"]
    if about.get("error") == "MemoryError":
        if limits is None:
            raise MemoryError
        raise ValueError(
            f"{path} asks for more than {limits.memory / 1e9:.1f} GB to be read, far beyond its size: it is damaged; export it "
            "again."
        )
    if "error" in about:
        if about["error"] in ERRORS:
            raise ERRORS[about["error"]](about["message"])
        raise ValueError(f"{path} is damaged ({about['type']}: {about['message']}): export it again.")
    start = -(-(8 + length) // ALIGNMENT) * ALIGNMENT
    return Content(about, {name: _array_in(memory, start, place) for name, place in content["arrays"].items()})


def _crashed(code: int, path: Path, *, writing: bool = False) -> BaseException:
    if code == -signal.SIGINT:
        return KeyboardInterrupt()  # Ctrl+C reaches both processes
    names = {-int(number): number.name for number in signal.Signals}
    how = names.get(code, f"exit code {code}")
    if writing:
        return OSError(f"the library that writes {path.name} crashed ({how})")
    return ValueError(f"{path} is damaged: its reader crashed on it ({how}); export it again.")


def _too_slow(path: Path, limits: _Limits) -> ValueError:
    return ValueError(
        f"{path} could not be read within {limits.seconds:.0f} s, more than its size explains: it is damaged; export it again."
    )


if __name__ == "__main__":
    sys.exit(_spawned_child(*sys.argv[1:]))
