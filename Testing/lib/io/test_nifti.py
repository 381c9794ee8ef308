"""NIfTI: the lattice of ITK for every header, exact integers, odd containers and scales; damage in one sentence."""

from __future__ import annotations

import gzip
import warnings
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import physical
import pytest
import SimpleITK as sitk

from SpatialRegularizationLib.geometry import Grid
from SpatialRegularizationLib.io.fields import read_field
from SpatialRegularizationLib.io.volumes import read_grid, read_volume, write_volume

VALUES = np.random.default_rng(0).normal(size=(5, 6, 7)).astype(np.float32)
LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def write(path: Path, values: np.ndarray = VALUES, kind: Any = nib.Nifti1Header, **fields: Any) -> Path:
    """A NIfTI file from header fields, byte by byte."""
    header = kind()
    header.set_data_shape(values.shape)
    header.set_data_dtype(values.dtype)
    header["magic"] = b"n+1" if kind is nib.Nifti1Header else b"n+2"
    header["vox_offset"] = int(header["sizeof_hdr"]) + 4
    header["xyzt_units"] = 2
    for name, value in fields.items():
        header[name] = value
    path.write_bytes(header.binaryblock + bytes(4) + values.tobytes(order="F"))
    return path


def itk_grid(path: Path) -> Grid:
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    direction = tuple(map(tuple, np.reshape(reader.GetDirection(), (3, 3))))
    return Grid(reader.GetSize(), reader.GetSpacing(), reader.GetOrigin(), direction)


def random_header(rng: np.random.Generator) -> dict[str, Any]:
    spacing = rng.uniform(0.3, 4, 3)
    matrix = physical.rotation(*rng.uniform(-3, 3, 3)) * spacing * rng.choice([-1, 1], 3)
    quaternion = rng.uniform(-0.5, 0.5, 3)
    rows = np.c_[matrix, rng.uniform(-90, 90, 3)]
    return {
        "pixdim": [rng.choice([-1, 1, 0]), *spacing, 1, 1, 1, 1], "qform_code": rng.integers(0, 3),
        "sform_code": rng.integers(0, 5), "xyzt_units": rng.choice([0, 1, 2, 3, 10, 11]),
        **{f"quatern_{name}": value for name, value in zip("bcd", quaternion, strict=True)},
        **{f"qoffset_{name}": value for name, value in zip("xyz", rng.uniform(-90, 90, 3), strict=True)},
        **{f"srow_{name}": row for name, row in zip("xyz", rows, strict=True)},
    }  # fmt: skip


@pytest.mark.parametrize("seed", range(40))
def test_images_and_fields_lie_where_itk_puts_them_whatever_the_header(tmp_path: Path, seed: int) -> None:
    header = random_header(np.random.default_rng(seed))
    path = write(tmp_path / "a.nii", **header)
    expected = itk_grid(path)
    assert read_volume(path).grid.matches(expected, tolerance=1e-6)
    assert read_grid(path).matches(expected, tolerance=1e-6)
    second = write(tmp_path / "b.nii", kind=nib.Nifti2Header, **header)
    assert read_volume(second).grid.matches(expected, tolerance=1e-4)
    vectors = np.random.default_rng(seed).normal(size=(5, 6, 7, 1, 3)).astype(np.float32)
    field = write(tmp_path / "f.nii.gz", vectors, intent_code=1007, **header)
    field.write_bytes(gzip.compress(field.read_bytes()))
    ours = read_field(field)
    assert ours.grid.matches(expected, tolerance=1e-6)
    made = sitk.DisplacementFieldTransform(sitk.ReadImage(str(field), sitk.sitkVectorFloat64))
    for index in ((2, 3, 4), (0, 0, 0), (4, 5, 6)):
        point = expected.index_to_point(np.array(index))
        np.testing.assert_allclose(
            point + ours.vectors[(slice(None), *index)].numpy(), made.TransformPoint(point.tolist()), atol=1e-3
        )


def test_a_field_without_codes_and_one_in_microns_keep_their_peak(tmp_path: Path) -> None:
    vectors = np.zeros((9, 9, 9, 1, 3), np.float32)
    vectors[4, 2, 6, 0, 0] = 10
    for name, units in (("none.nii", 2), ("microns.nii", 3)):
        path = write(tmp_path / name, vectors, intent_code=1007, pixdim=[1, 2, 2, 2, 1, 1, 1, 1], xyzt_units=units)
        made = sitk.ReadImage(str(path), sitk.sitkVectorFloat64)
        at = np.array(made.TransformIndexToPhysicalPoint((4, 2, 6)))
        field = read_field(path)
        index = tuple(np.rint(field.grid.point_to_index(at)).astype(int))
        assert float(field.vectors[(0, *index)]) == 10


@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_every_type_and_byte_order_is_exact_for_labels(tmp_path: Path, dtype: str, order: str) -> None:
    large = {"f4": 1 << 24, "f8": 312782628}.get(dtype) or min(np.iinfo(dtype).max, 2**31 - 1)
    labels = np.array([0, 1, large, large - 1, 7, 0, 2, 3]).reshape(2, 2, 2)
    if dtype[0] in "if":
        labels[0, 0, 1] = -5
    data = labels.astype(dtype)
    header = nib.Nifti1Header(endianness=order)
    image = nib.Nifti1Image(data, np.eye(4), header, dtype=data.dtype)
    nib.save(image, tmp_path / "a.nii.gz")
    read = read_volume(tmp_path / "a.nii.gz", labels=True)
    np.testing.assert_array_equal(read.data[0].numpy(), labels)
    for suffix in (".nii.gz", ".nrrd", ".mha"):
        write_volume(tmp_path / f"b{suffix}", read)
        np.testing.assert_array_equal(read_volume(tmp_path / f"b{suffix}", labels=True).data, read.data)


@pytest.mark.parametrize(
    ("values", "dtype"), [([0, 2**64 - 5], "u8"), ([0, -(2**63)], "i8"), ([0, 2**32 - 1], "u4"), ([0, 2.0**31], "f8")]
)
def test_labels_beyond_32_bits_are_refused_and_never_wrapped(tmp_path: Path, values: list, dtype: str) -> None:
    path = write(tmp_path / "a.nii", np.array(values * 4, dtype=dtype).reshape(2, 2, 2))
    with pytest.raises(ValueError, match="beyond 32 bits"):
        read_volume(path, labels=True)


@pytest.mark.parametrize("slope", [1 / 255, 0.1, 3 / 65535, 2.0, -1.0])
def test_scaled_label_maps_are_whole_again(tmp_path: Path, slope: float) -> None:
    labels = np.array([0, 2, 4, 0, 2, 2, 4, 0]).reshape(2, 2, 2)
    stored = np.rint(labels / np.float32(slope)).astype(np.int32)
    path = write(tmp_path / "a.nii", stored, scl_slope=slope)
    np.testing.assert_array_equal(read_volume(path, labels=True).data[0], labels)


def test_a_scaled_image_is_no_label_map(tmp_path: Path) -> None:
    numbers = np.arange(8, dtype=np.int16).reshape(2, 2, 2)
    for name, (slope, intercept) in {"a": (0.5, 0), "b": (1, 0.5), "c": (0.01, 0)}.items():
        path = write(tmp_path / f"{name}.nii", numbers, scl_slope=slope, scl_inter=intercept)
        with pytest.raises(ValueError, match="not integers"):
            read_volume(path, labels=True)
    nan = np.zeros((2, 2, 2), np.float32)
    nan[0] = np.nan
    with pytest.raises(ValueError, match="not integers"):
        read_volume(write(tmp_path / "nan.nii", nan), labels=True)


def test_nifti_2_pairs_and_misnamed_files_are_read(tmp_path: Path) -> None:
    second = write(tmp_path / "second.nii", kind=nib.Nifti2Header)
    plain = write(tmp_path / "plain.nii.gz")
    packed = tmp_path / "packed.nii"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    parts = tmp_path / "parts.nii.gz"
    content = plain.read_bytes()
    parts.write_bytes(gzip.compress(content[:500]) + gzip.compress(content[500:]))
    nib.save(nib.Nifti1Pair(VALUES, np.eye(4)), tmp_path / "pair.hdr")
    for path in (second, plain, packed, parts, tmp_path / "pair.hdr"):
        np.testing.assert_array_equal(read_volume(path).data[0].numpy(), VALUES, err_msg=path.name)
    (tmp_path / "pair.img").unlink()
    with pytest.raises(ValueError, match=r"pair\.hdr keeps its voxels in pair\.img, which is not there"):
        read_volume(tmp_path / "pair.hdr")


@pytest.mark.parametrize("offset", [0, 1, 348, 351])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_an_offset_within_the_header_is_told_where_the_size_shows_the_truth(tmp_path: Path, offset: int, suffix: str) -> None:
    path = write(tmp_path / f"a{suffix}", vox_offset=offset)
    read = read_volume(path)
    np.testing.assert_array_equal(read.data[0].numpy(), VALUES)
    assert f"byte {offset}" in read.notes[0]
    path.write_bytes(path.read_bytes() + b"more")
    with pytest.raises(ValueError, match="within its own header"):
        read_volume(path)


@pytest.mark.parametrize(
    ("slope", "intercept", "scale"),
    [(0, 5, (1, 0)), (np.nan, np.nan, (1, 0)), (np.nan, 3, (1, 0)), (2, 5, (2, 5)), (-1, 0, (-1, 0))],
)
def test_a_slope_of_zero_or_nan_means_no_scaling(tmp_path: Path, slope: float, intercept: float, scale: tuple) -> None:
    path = write(tmp_path / "a.nii", scl_slope=slope, scl_inter=intercept)
    np.testing.assert_allclose(read_volume(path).data[0].numpy(), VALUES * scale[0] + scale[1], rtol=1e-6)


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "slope 1, intercept NaN": ({"scl_slope": 1, "scl_inter": np.nan}, "shifted by nan"),
    "slope infinite": ({"scl_slope": np.inf}, "scaled by inf"),
    "offset of sform infinite": ({"sform_code": 1, "srow_y": [0, 1, 0, np.inf]}, r"srow_y"),
    "sform NaN": ({"sform_code": 1, "srow_z": [np.nan] * 4}, r"srow_z"),
    "quaternion infinite": ({"qform_code": 1, "quatern_c": np.inf}, "quatern_c"),
    "offset of qform NaN": ({"qform_code": 1, "qoffset_x": np.nan}, "qoffset_x"),
    "sform of zeros": ({"sform_code": 1}, "spacing must be positive"),
    "spacing zero": ({"pixdim": [1, 1, 0, 1, 1, 1, 1, 1]}, "spacing"),
    "spacing negative": ({"pixdim": [1, 1, -1, 1, 1, 1, 1, 1]}, "spacing"),
    "spacing NaN": ({"pixdim": [1, 1, np.nan, 1, 1, 1, 1, 1]}, "spacing"),
    "negative size": ({"dim": [3, 5, -6, 7, 1, 1, 1, 1]}, "5 x -6 x 7"),
    "no axes": ({"dim": [0, 5, 6, 7, 1, 1, 1, 1]}, "0 axes"),
    "absurd size": ({"dim": [3, 32767, 32767, 32767, 1, 1, 1, 1]}, "too few"),
    "unknown type": ({"datatype": 77}, "unknown type of voxels, 77"),
    "color": ({"datatype": 128}, "colors"),
    "complex": ({"datatype": 32}, "complex"),
    "voxels NaN bytes away": ({"vox_offset": np.nan}, "start at byte nan"),
    "voxels beyond the end": ({"vox_offset": 1e6}, "too few"),
    "another magic": ({"magic": b"xxx"}, "unknown or damaged format"),
    "vectors": ({"dim": [5, 5, 6, 1, 1, 7, 1, 1]}, "7 values per voxel"),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("packed", [False, True])
def test_a_damaged_header_is_refused_in_one_sentence(tmp_path: Path, name: str, packed: bool) -> None:
    fields, words = BAD[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # numpy about NaN in an integer field
        path = write(tmp_path / "a.nii.gz", **fields)
    if packed:
        path.write_bytes(gzip.compress(path.read_bytes()))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match=words) as caught:
            read_volume(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_damage_inside_compressed_voxels_is_noticed(tmp_path: Path) -> None:
    path = write(tmp_path / "a.nii.gz")
    content = bytearray(gzip.compress(path.read_bytes()))
    content[-6] ^= 1  # the checksum
    path.write_bytes(content)
    with pytest.raises(ValueError, match="compressed data are damaged"):
        read_volume(path)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (VALUES.astype(np.float64) * 1e300, "more than float32"),
        (VALUES.astype(np.float64) * 1e-300, "less than float32"),
        (VALUES.astype(np.float64) + 1e9, "differences too small"),
    ],
)
def test_values_that_float32_cannot_hold_are_refused_in_a_sentence(tmp_path: Path, values: np.ndarray, words: str) -> None:
    path = write(tmp_path / "a.nii", values)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match=words):
            read_volume(path)


def test_two_places_in_one_header_are_told(tmp_path: Path) -> None:
    rows = {"srow_x": [1, 0, 0, 30], "srow_y": [0, 1, 0, 0], "srow_z": [0, 0, 1, 0]}
    read = read_volume(write(tmp_path / "a.nii", qform_code=1, sform_code=4, **rows))
    assert "differ by up to 30 mm" in read.notes[0]
    assert "nothing about its place" in read_volume(write(tmp_path / "b.nii")).notes[0]


def sheared(path: Path, shear: float, values: np.ndarray) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = physical.OBLIQUE @ np.array([[1.5, 0, 0], [0, 1.5, 2.5 * shear], [0, 0, 2.5]])
    rows = {f"srow_{x}": row for x, row in zip("xyz", affine, strict=False)}
    write(path, values, sform_code=1, pixdim=[1, 1.5, 1.5, 2.5, 1, 1, 1, 1], **rows)
    return LPS_FROM_RAS @ affine


@pytest.mark.parametrize("labels", [False, True])
def test_a_sheared_image_and_its_labels_come_to_lie_on_one_regular_grid(tmp_path: Path, labels: bool) -> None:
    index = np.stack(np.meshgrid(*[np.arange(n) for n in (30, 24, 18)], indexing="ij"), -1)
    affine = sheared(tmp_path / "a.nii", 0.3, np.zeros((30, 24, 18), np.float32))
    points = index @ affine[:3, :3].T + affine[:3, 3]
    center = points[15, 12, 9]
    smooth = np.exp(-((points - center) ** 2).sum(-1) / 50) * 100
    values = (smooth > 10).astype(np.int16) * 9 if labels else smooth.astype(np.float32)
    sheared(tmp_path / "a.nii", 0.3, values)
    read = read_volume(tmp_path / "a.nii", labels=labels)
    assert read_grid(tmp_path / "a.nii") == read.grid
    assert "sheared by 16" in read.notes[0]
    expected = np.exp(-((physical.voxel_centers(read.grid) - center) ** 2).sum(-1) / 50) * 100
    if labels:
        assert set(read.data.unique().tolist()) == {0, 9}
        assert abs(int((read.data == 9).sum()) - int((expected > 10).sum())) < 0.05 * (expected > 10).sum()
    else:
        assert np.abs(read.data[0].numpy() - expected).max() < 2.0


def test_cosines_off_by_rounding_are_read_with_a_note(tmp_path: Path) -> None:
    sheared(tmp_path / "a.nii", 0.002, VALUES)
    read = read_volume(tmp_path / "a.nii")
    np.testing.assert_array_equal(read.data[0].numpy(), VALUES)
    assert "mm at the farthest corner" in read.notes[0]


@pytest.mark.parametrize("shear", [0.002, 0.3])
def test_a_field_on_sheared_axes_means_the_same_on_right_angled_ones(tmp_path: Path, shear: float) -> None:
    shape = (20, 20, 16)
    index = np.stack(np.meshgrid(*[np.arange(float(n)) for n in shape], indexing="ij"), -1)
    bump = np.exp(-((index - [10, 10, 8]) ** 2).sum(-1) / 20)
    affine = sheared(tmp_path / "a.nii", shear, bump.astype(np.float32))
    vectors = (bump[..., None] * [3, -2, 1]).astype(np.float32)[:, :, :, None]
    path = write(
        tmp_path / "f.nii", vectors, intent_code=1007, sform_code=1, pixdim=[1, 1.5, 1.5, 2.5, 1, 1, 1, 1],
        **{f"srow_{x}": row for x, row in zip("xyz", LPS_FROM_RAS @ affine, strict=False)},
    )  # fmt: skip
    field = read_field(path)
    point = affine @ [10, 10, 8, 1]
    index = tuple(np.rint(field.grid.point_to_index(point[:3])).astype(int))
    away = (np.linalg.inv(affine) @ [*field.grid.index_to_point(np.array(index)), 1])[:3] - [10, 10, 8]
    expected = np.exp(-(away @ away) / 20)
    np.testing.assert_allclose(field.vectors[(slice(None), *index)], expected * np.array([3, -2, 1]), atol=0.05)
