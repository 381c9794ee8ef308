"""MetaImage: every layout against SimpleITK; damage in one sentence."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import physical
import pytest
import SimpleITK as sitk

from SpatialRegularizationLib.geometry import Grid
from SpatialRegularizationLib.io.volumes import read_volume

VALUES = np.random.default_rng(0).integers(-300, 300, (3, 4, 5)).astype(np.int16)
RAW = VALUES.tobytes(order="F")


def write(path: Path, *lines: str, data: bytes = RAW, **fields: str) -> Path:
    known = {"ObjectType": "Image", "NDims": "3", "BinaryData": "True", "DimSize": "3 4 5", "ElementType": "MET_SHORT"}
    known |= {name: value for name, value in fields.items() if name != "ElementDataFile"}
    last = f"ElementDataFile = {fields.get('ElementDataFile', 'LOCAL')}"
    head = [f"{name} = {value}" for name, value in known.items() if value]
    path.write_bytes("\n".join([*head, *lines, last, ""]).encode() + data)
    return path


@pytest.mark.parametrize(
    "lines",
    [
        (),
        ("Offset = 1 2 3", "ElementSpacing = 2 3 4", "TransformMatrix = 0 1 0 0 0 1 1 0 0"),
        ("Position = 1 2 3", "Origin = 4 5 6", "Offset = 7 8 9", "ElementSize = 2 3 4"),
        ("Rotation = 0 1 0 0 0 1 1 0 0", "ElementSpacing = 2 3 4", "ElementSize = 5 5 5", "CenterOfRotation = 9 9 9"),
        ("Orientation = 0 1 0 0 0 -1 1 0 0", "Position = 1 2 3", "AnatomicalOrientation = RAS"),
        ("BinaryDataByteOrderMSB = True",),
        ("ElementByteOrderMSB = True", "Comment = a = b"),
        ("ElementToIntensityFunctionSlope = 2",),
    ],
)
def test_an_image_lies_where_itk_puts_it(tmp_path: Path, lines: tuple[str, ...]) -> None:
    path = write(tmp_path / "a.mha", *lines)
    made = sitk.ReadImage(str(path))
    direction = tuple(map(tuple, np.reshape(made.GetDirection(), (3, 3))))
    read = read_volume(path)
    assert read.grid.matches(Grid(made.GetSize(), made.GetSpacing(), made.GetOrigin(), direction), tolerance=1e-6)
    np.testing.assert_array_equal(read.data[0].numpy(), physical.itk_array(made))


@pytest.mark.parametrize(
    "component", ["UCHAR", "CHAR", "USHORT", "SHORT", "UINT", "INT", "ULONG_LONG", "LONG_LONG", "FLOAT", "DOUBLE"]
)
def test_every_type_is_read(tmp_path: Path, component: str) -> None:
    kinds = {"CHAR": "i1", "SHORT": "i2", "INT": "i4", "LONG_LONG": "i8", "FLOAT": "f4", "DOUBLE": "f8"}
    code = kinds.get(component) or kinds[component[1:]].replace("i", "u")
    values = (VALUES % 100).astype(code)
    path = write(tmp_path / "a.mha", ElementType=f"MET_{component}", data=values.tobytes(order="F"))
    np.testing.assert_array_equal(read_volume(path, labels=True).data[0].numpy(), values)
    np.testing.assert_array_equal(physical.itk_array(sitk.ReadImage(str(path))), values)


def test_compressed_detached_listed_and_text_voxels_are_read(tmp_path: Path) -> None:
    packed = zlib.compress(RAW)
    (tmp_path / "a.zraw").write_bytes(packed)
    (tmp_path / "a.raw").write_bytes(b"0123456789" + RAW)
    for n in range(5):
        (tmp_path / f"s{n + 1:02d}.raw").write_bytes(RAW[n * 24 : n * 24 + 24])
    names = "\n".join(f"s{n + 1:02d}.raw" for n in range(5)).encode() + b"\n"
    numbers = " ".join(map(str, VALUES.ravel(order="F"))).encode()
    made = [
        write(tmp_path / "packed.mha", CompressedData="True", CompressedDataSize=str(len(packed)), data=packed),
        write(tmp_path / "beside.mhd", CompressedData="True", ElementDataFile="a.zraw", data=b""),
        write(tmp_path / "skipped.mhd", HeaderSize="10", ElementDataFile="a.raw", data=b""),
        write(tmp_path / "last.mhd", HeaderSize="-1", ElementDataFile="a.raw", data=b""),
        write(tmp_path / "listed.mhd", ElementDataFile="LIST", data=names),
        write(tmp_path / "listed2.mha", ElementDataFile="LIST 2D", data=names),
        write(tmp_path / "pattern.mhd", ElementDataFile="s%02d.raw 1 5 1", data=b""),
        write(tmp_path / "text.mha", BinaryData="False", data=numbers),
    ]
    for path in made:
        np.testing.assert_array_equal(read_volume(path).data[0].numpy(), VALUES, err_msg=path.name)
        if path.name != "text.mha":  # ITK reads text beside a header only
            np.testing.assert_array_equal(physical.itk_array(sitk.ReadImage(str(path))), VALUES, err_msg=path.name)


BAD = {
    "absurd axes": ({"NDims": "2147483648"}, "NDims"),
    "absurd size": ({"DimSize": "300000000 400000000 5"}, "too few|claims a size"),
    "negative size": ({"DimSize": "3 -4 5"}, "claims a size|spread"),
    "no size": ({"DimSize": ""}, "DimSize must hold 3 numbers"),
    "unknown type": ({"ElementType": "MET_BLOB"}, "unknown type"),
    "spacing zero": ({"ElementSpacing": "1 0 1"}, "must be positive"),
    "spacing NaN": ({"ElementSpacing": "1 nan 1"}, "finite"),
    "matrix with a word": ({"TransformMatrix": "1 0 0 0 1_000 0 0 0 1"}, "must hold numbers"),
    "matrix of zeros": ({"TransformMatrix": "0 0 0 0 0 0 0 0 0"}, "spacing must be positive"),
    "channels": ({"ElementNumberOfChannels": "-1"}, "-1 values per voxel"),
    "damaged zlib": ({"CompressedData": "True"}, "damaged"),
    "damaged text": ({"BinaryData": "False"}, "damaged"),
    "truncated": ({"ElementType": "MET_DOUBLE"}, "too few"),
    "2-D": ({"NDims": "2", "DimSize": "12 5"}, "2-D image"),
    "4-D": ({"NDims": "4", "DimSize": "3 2 2 5"}, "series of 5 volumes"),
    "vectors": ({"ElementNumberOfChannels": "3", "DimSize": "1 4 5"}, "3 values per voxel"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_read_is_refused_in_one_sentence(tmp_path: Path, name: str) -> None:
    fields, words = BAD[name]
    path = write(tmp_path / "a.mha", **fields)
    with pytest.raises(ValueError, match=words) as caught:
        read_volume(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("given", ["gone.raw", "gone%02d.raw 1 5 1", "LIST"])
def test_missing_files_with_voxels_are_named(tmp_path: Path, given: str) -> None:
    path = write(tmp_path / "a.mhd", ElementDataFile=given, data=b"gone.raw\n" * 5 if given == "LIST" else b"")
    with pytest.raises(FileNotFoundError, match=r"a\.mhd keeps its voxels in gone.*, which is not there"):
        read_volume(path)
