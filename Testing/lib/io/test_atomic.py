"""Whole or absent."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import physical
import pytest
import torch

from SpatialRegularizationLib.geometry import DisplacementField, SpatialTransform, Volume
from SpatialRegularizationLib.io.atomic import atomic_path
from SpatialRegularizationLib.io.meshes import FORMATS, read_mesh, write_mesh
from SpatialRegularizationLib.io.points import write_points
from SpatialRegularizationLib.io.transforms import write_transform
from SpatialRegularizationLib.io.volumes import write_volume


def test_a_finished_file_replaces_the_old_one(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("old")
    with atomic_path(tmp_path / "a.txt", ".txt") as temporary:
        assert temporary.parent == tmp_path
        assert temporary.name.endswith(".part.txt")
        temporary.write_text("new")
        assert (tmp_path / "a.txt").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "new"


@pytest.mark.parametrize("error", [RuntimeError("ITK ERROR: X(0x55d): no\nroom"), OSError(28, "No space left")])
def test_a_failed_write_becomes_one_sentence_and_leaves_the_old_file(tmp_path: Path, error: Exception) -> None:
    (tmp_path / "a.txt").write_text("old")
    expected = pytest.raises(OSError, match=r"a\.txt could not be written \(.*\): check free space")
    with expected as caught, atomic_path(tmp_path / "a.txt", ".txt") as temporary:
        temporary.write_text("half")
        raise error
    assert "\n" not in str(caught.value)
    assert "0x" not in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "old"


def test_other_errors_pass_through_and_leave_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), atomic_path(tmp_path / "a.txt", ".txt") as temporary:  # noqa: PT012
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_no_file_and_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match="is a folder"), atomic_path(tmp_path, ".txt"):
        pass
    with pytest.raises(FileNotFoundError, match="does not exist"), atomic_path(tmp_path / "no" / "a.txt", ".txt"):
        pass


def test_too_little_room_is_noticed_before_writing(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="are free"), atomic_path(tmp_path / "a.h5", ".h5", needed_bytes=1 << 60):
        pass


RANDOM = np.random.default_rng(0)
GRID = physical.grid("oblique")
NOISE = Volume(torch.from_numpy(RANDOM.normal(size=(1, *GRID.shape))).float(), GRID)
FIELD = SpatialTransform(displacement=DisplacementField(torch.from_numpy(RANDOM.normal(size=(3, *GRID.shape))).float(), GRID))
POINTS = RANDOM.normal(size=(500, 3))


def _surface(path: Path) -> None:
    write_mesh(path, read_mesh(path.with_name("source") / "triangles.obj"))


WRITERS: dict[str, Callable[[Path], None]] = {
    **{f"surface{suffix}": _surface for suffix in FORMATS},
    **{f"points{suffix}": lambda p: write_points(p, POINTS) for suffix in (".csv", ".fcsv", ".mrk.json", ".txt")},
    **{f"field{suffix}": lambda p: write_transform(p, FIELD) for suffix in (".h5", ".nrrd", ".mha", ".nii", ".nii.gz")},
    **{f"affine{suffix}": lambda p: write_transform(p, SpatialTransform()) for suffix in (".h5", ".tfm", ".txt", ".mat")},
    **{f"image{suffix}": lambda p: write_volume(p, NOISE) for suffix in (".nrrd", ".mha", ".nii", ".nii.gz")},
}


@contextlib.contextmanager
def room_for(size: int) -> Iterator[None]:
    """Files of this process may have `size` bytes inside the block: to a writer, that is a full disk."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit of file sizes")
@pytest.mark.parametrize("name", WRITERS)
def test_every_writer_notices_a_full_disk_and_leaves_nothing(tmp_path: Path, name: str) -> None:
    if name.startswith("surface"):
        pytest.importorskip("vtk", reason="surface models need vtk")
        (tmp_path / "source").mkdir()
        corners = "".join(f"v {x:.6f} {y:.6f} {z:.6f}\n" for x, y, z in RANDOM.normal(size=(300, 3)))
        faces = "".join(f"f {n} {n + 1} {n + 2}\n" for n in range(1, 300, 3))
        (tmp_path / "source" / "triangles.obj").write_text(corners + faces)
    path = tmp_path / name
    WRITERS[name](path)
    size = path.stat().st_size
    path.unlink()
    for room in (0, size // 2, size - 1):
        with pytest.raises(OSError, match=r"could not be written \(.*\): check free space"), room_for(room):
            WRITERS[name](path)
        assert {p.name for p in tmp_path.iterdir()} <= {"source"}, f"{room} of {size} bytes"


FULL_DISK = """
import sys
from test_atomic import FIELD, room_for
from SpatialRegularizationLib.io.transforms import write_transform
try:
    with room_for(5000):
        write_transform(sys.argv[1], FIELD)
except OSError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit of file sizes")
def test_a_process_that_met_a_full_disk_ends_in_peace(tmp_path: Path) -> None:
    places = os.pathsep.join([str(Path(__file__).parent), str(Path(physical.__file__).parent), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path / "t.h5")],
        env=os.environ | {"PYTHONPATH": places},
        capture_output=True,
        text=True,
    )
    assert "could not be written" in done.stdout, done.stderr
    assert done.returncode == 0  # HDF5 keeps what it could not write, and crashed here at exit
    assert list(tmp_path.iterdir()) == []
