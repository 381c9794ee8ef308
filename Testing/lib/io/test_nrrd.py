"""NRRD: every encoding and layout against SimpleITK, and what it cannot read; damage in one sentence."""

from __future__ import annotations

import bz2
import gzip
from pathlib import Path

import numpy as np
import physical
import pytest
import SimpleITK as sitk
import torch

from SpatialRegularizationLib.geometry import Grid, Volume
from SpatialRegularizationLib.io.fields import read_field
from SpatialRegularizationLib.io.volumes import read_volume

VALUES = np.random.default_rng(0).integers(-300, 300, (3, 4, 5)).astype(np.int16)
LINES = ("space: left-posterior-superior", "space directions: (2,0,0) (0,0,3) (0,4,0)", "space origin: (5,6,7)")


def write(path: Path, *lines: str, data: bytes = VALUES.tobytes(order="F"), **fields: str) -> Path:
    known = {"type": "short", "dimension": "3", "sizes": "3 4 5", "endian": "little", "encoding": "raw"} | fields
    head = [f"{name.replace('_', ' ')}: {value}" for name, value in known.items() if value]
    path.write_bytes("\n".join(["NRRD0004", "# a comment", *head[:2], *lines, *head[2:], "", ""]).encode() + data)
    return path


def itk_says(path: Path) -> tuple[Grid, np.ndarray]:
    made = sitk.ReadImage(str(path))
    direction = tuple(map(tuple, np.reshape(made.GetDirection(), (3, 3))))
    return Grid(made.GetSize(), made.GetSpacing(), made.GetOrigin(), direction), physical.itk_array(made)


@pytest.mark.parametrize(
    "lines",
    [
        (),
        ("spacings: 2 3 4", "axis mins: 1 2 3"),
        ("spacings: 2 nan 4",),
        LINES,
        ("space dimension: 3", *LINES[1:]),
        *[(f"space: {name}", *LINES[1:]) for name in ("RAS", "LAS", "LPS", "scanner-xyz", "3D-left-handed")],
        ("space: RAS", "space directions: (1.2,0.5,0) (-0.5,1.2,0) (0,0,-2)"),
    ],
)
def test_an_image_lies_where_itk_puts_it(tmp_path: Path, lines: tuple[str, ...]) -> None:
    path = write(tmp_path / "a.nrrd", *lines)
    expected, values = itk_says(path)
    read = read_volume(path)
    assert read.grid.matches(expected, tolerance=1e-6)
    np.testing.assert_array_equal(read.data[0].numpy(), values)
    assert bool(read.notes) == (not any("directions" in line for line in lines))


def text(values: np.ndarray) -> bytes:
    return " ".join(map(str, values.ravel(order="F"))).encode()


ENCODED = {
    "raw": lambda raw: raw,
    "gzip": gzip.compress,
    "gz": lambda raw: gzip.compress(raw[:50]) + gzip.compress(raw[50:]),
    "bzip2": bz2.compress,
    "bz2": lambda raw: bz2.compress(raw[:50]) + bz2.compress(raw[50:]),
    "hex": lambda raw: raw.hex().encode(),
    "ascii": lambda raw: text(VALUES),
    "text": lambda raw: text(VALUES),
}


@pytest.mark.parametrize("encoding", ENCODED)
@pytest.mark.parametrize("detached", [False, True])
def test_every_encoding_is_read_attached_and_detached(tmp_path: Path, encoding: str, detached: bool) -> None:
    data = ENCODED[encoding](VALUES.tobytes(order="F"))
    if detached:
        (tmp_path / "a.data").write_bytes(b"first line\nsecond\n" + data)
        path = write(tmp_path / "a.nhdr", *LINES, data=b"", encoding=encoding, data_file="a.data", line_skip="2")
    else:
        path = write(tmp_path / "a.nrrd", *LINES, data=data, encoding=encoding)
    np.testing.assert_array_equal(read_volume(path, labels=True).data[0].numpy(), VALUES)


def test_voxels_at_the_end_or_in_several_files_are_found(tmp_path: Path) -> None:
    raw = VALUES.tobytes(order="F")
    (tmp_path / "a.data").write_bytes(b"something before" + raw)
    last = write(tmp_path / "last.nhdr", *LINES, data=b"", data_file="a.data", byte_skip="-1")
    for n in range(5):
        (tmp_path / f"s{n + 1:02d}.raw").write_bytes(raw[n * 24 : n * 24 + 24])
    pattern = write(tmp_path / "pattern.nhdr", *LINES, data=b"", data_file="s%02d.raw 1 5 1")
    names = "\n".join(f"s{n + 1:02d}.raw" for n in range(5))
    listed = write(tmp_path / "listed.nhdr", *LINES, data=b"", data_file=f"LIST\n{names}")
    for path in (last, pattern, listed):
        np.testing.assert_array_equal(read_volume(path).data[0].numpy(), VALUES, err_msg=path.name)


def test_fields_with_vectors_first_or_last_are_one(tmp_path: Path) -> None:
    field = physical.bump_field(physical.grid("oblique", shape=(6, 7, 8)))
    vectors = field.vectors.float().numpy()
    directions = " ".join("(" + ",".join(map(str, column)) + ")" for column in field.grid.affine[:3, :3].T)
    origin = "({},{},{})".format(*field.grid.origin)
    for name, sizes, before, after, array in (
        ("first", "3 6 7 8", "none ", "", vectors), ("last", "6 7 8 3", "", " none", np.moveaxis(vectors, 0, -1)),
    ):  # fmt: skip
        path = write(
            tmp_path / f"{name}.nrrd", "space: LPS", f"space directions: {before}{directions}{after}", f"space origin: {origin}",
            data=array.tobytes(order="F"), type="float", dimension="4", sizes=sizes,
        )  # fmt: skip
        read = read_field(path)
        assert read.grid.matches(field.grid, tolerance=1e-6)
        assert torch.equal(read.vectors, field.vectors.float())


BAD = {
    "no space": (LINES[1:], {}, "not the space they are in"),
    "unknown space": (("space: moon", *LINES[1:]), {}, "its space is 'moon'"),
    "spacing negative": (("spacings: 1 -1 1",), {}, "must be positive"),
    "directions infinite": ((LINES[0], "space directions: (inf,0,0) (0,1,0) (0,0,1)"), {}, "finite numbers"),
    "origin NaN": ((*LINES[:2], "space origin: (nan,0,0)"), {}, "finite numbers"),
    "axes in one plane": ((LINES[0], "space directions: (1,0,0) (1,0,0) (0,0,1)"), {}, "in one plane"),
    "two directions": ((LINES[0], "space directions: (1,0,0) (0,1,0)"), {}, "3 vectors"),
    "no sizes": (LINES, {"sizes": ""}, "field sizes is missing"),
    "sizes of words": (LINES, {"sizes": "3 four 5"}, "must hold numbers"),
    "absurd sizes": (LINES, {"sizes": "300000000 400000000 5"}, "too few|claims a size"),
    "negative size": (LINES, {"sizes": "3 -4 5"}, "claims a size"),
    "axes": (LINES, {"dimension": "1e9"}, "must hold 1000000000 numbers"),
    "unknown type": (LINES, {"type": "block"}, "unknown type"),
    "unknown encoding": (LINES, {"encoding": "zip"}, "encoding is 'zip'"),
    "damaged gzip": (LINES, {"encoding": "gzip"}, "damaged"),
    "damaged bzip2": (LINES, {"encoding": "bzip2"}, "damaged"),
    "damaged text": (LINES, {"encoding": "ascii"}, "damaged"),
    "truncated": (LINES, {"type": "double"}, "too few"),
    "4-D": ((), {"dimension": "4", "sizes": "3 2 2 5"}, "series of 5 volumes"),
    "2-D": (("space dimension: 2", "space directions: (1,0) (0,1)"), {"dimension": "2", "sizes": "12 5"}, "2-D image"),
    "colors": (("kinds: RGB-color domain domain domain",), {"dimension": "4", "sizes": "3 4 5 1"}, "3 values per voxel"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_read_is_refused_in_one_sentence(tmp_path: Path, name: str) -> None:
    lines, fields, words = BAD[name]
    path = write(tmp_path / "a.nrrd", *lines, **fields)
    with pytest.raises(ValueError, match=words) as caught:
        read_volume(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("given", ["gone.raw", "gone%02d.raw 1 5 1", "LIST\ngone.raw"])
def test_missing_files_with_voxels_are_named(tmp_path: Path, given: str) -> None:
    path = write(tmp_path / "a.nhdr", *LINES, data=b"", data_file=given)
    with pytest.raises(FileNotFoundError, match=r"a\.nhdr keeps its voxels in gone.*, which is not there"):
        read_volume(path)


def test_what_this_library_writes_has_no_notes(tmp_path: Path) -> None:
    from SpatialRegularizationLib.io.volumes import write_volume

    for suffix in (".nrrd", ".mha", ".nii.gz"):
        write_volume(tmp_path / f"a{suffix}", Volume(torch.from_numpy(VALUES)[None], physical.grid("oblique", shape=(3, 4, 5))))
        assert read_volume(tmp_path / f"a{suffix}").notes == ()
