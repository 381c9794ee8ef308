"""DICOM series: made by SimpleITK slice by slice, and real ones."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import physical
import pytest
import SimpleITK as sitk
import torch
from dicom_files import (
    BIG_ENDIAN,
    EXPLICIT,
    IMPLICIT,
    PET,
    RLE,
    enhanced_fields,
    rle,
    slice_fields,
    write_dicom,
    write_stack,
)

from SpatialRegularizationLib.fields.sampling import sample_linear
from SpatialRegularizationLib.geometry import Grid, Volume
from SpatialRegularizationLib.io.volumes import read_grid, read_volume


def write_series(folder: Path, volume: Volume, *, number: int = 1, shear: float = 0.0) -> None:
    """One file per slice, named so that file order is not slice order."""
    folder.mkdir(exist_ok=True)
    image = sitk.Cast(physical.itk_image(volume.data[0].numpy().astype(np.int16), volume.grid), sitk.sitkInt16)
    direction = np.array(volume.grid.direction)
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for k in range(volume.grid.shape[2]):
        part = image[:, :, k]
        origin = volume.grid.index_to_point(np.array([shear * k, 0, k]))
        tags = {
            "0008|0060": "MR",
            "0020|000d": "1.2.826.0.1.3680043.2.1125.1",
            "0020|000e": f"1.2.826.0.1.3680043.2.1125.1.{number}",
            "0008|0018": f"1.2.826.0.1.3680043.2.1125.1.{number}.{k + 1}",
            "0020|0013": str(k + 1),
            "0020|0032": "\\".join(f"{value:.6f}" for value in origin),
            "0020|0037": "\\".join(f"{value:.8f}" for value in (*direction[:, 0], *direction[:, 1])),
        }
        for key, value in tags.items():
            part.SetMetaData(key, value)
        part.SetSpacing(volume.grid.spacing[:2])
        writer.SetFileName(str(folder / f"s{number}_{(k * 7) % 100:03d}.dcm"))
        writer.Execute(part)


@pytest.fixture
def volume() -> Volume:
    return physical.image(physical.grid("oblique", shape=(20, 16, 9), spacing=(1.0, 1.5, 2.5)))


def test_a_folder_and_each_of_its_files_give_the_whole_series(tmp_path: Path, volume: Volume) -> None:
    write_series(tmp_path, volume)
    expected = volume.data[0].numpy().astype(np.int16)
    for path in (tmp_path, next(tmp_path.iterdir())):
        ours = read_volume(path)
        assert ours.grid.matches(volume.grid, tolerance=1e-3)
        np.testing.assert_array_equal(ours.data[0].numpy(), expected)
        assert read_grid(path).matches(volume.grid, tolerance=1e-3)


def test_of_two_series_the_one_of_the_named_file_is_read(tmp_path: Path, volume: Volume) -> None:
    write_series(tmp_path, volume, number=1)
    write_series(tmp_path, Volume(-volume.data, volume.grid), number=2)
    with pytest.raises(ValueError, match="2 DICOM series"):
        read_volume(tmp_path)
    second = read_volume(tmp_path / "s2_000.dcm")
    np.testing.assert_array_equal(second.data[0].numpy(), -volume.data[0].numpy().astype(np.int16))


def test_a_missing_slice_is_noticed(tmp_path: Path, volume: Volume) -> None:
    write_series(tmp_path, volume)
    (tmp_path / "s1_028.dcm").unlink()
    with pytest.raises(ValueError, match="not evenly spaced"):
        read_volume(tmp_path)


def test_a_damaged_slice_is_refused(tmp_path: Path, volume: Volume) -> None:
    write_series(tmp_path, volume)
    path = tmp_path / "s1_028.dcm"
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(ValueError, match=r"not a readable DICOM|damaged or incomplete|no pixels"):
        read_volume(tmp_path)


def test_real_series_are_read(shared_data: Path, tmp_path: Path) -> None:
    head = read_volume(shared_data / "dicom_ct_head")
    assert head.grid.shape == (64, 64, 93)
    assert head.data.max() > 1000
    assert read_volume(shared_data / "dicom_mr" / "IMG0004.dcm").grid.shape == (88, 128, 17)
    for file in sorted((shared_data / "dicom_mr").glob("*.dcm")):
        if file.name != "IMG0006.dcm":
            shutil.copy(file, tmp_path)
    with pytest.raises(ValueError, match="not evenly spaced"):
        read_volume(tmp_path)


PIXELS = np.random.default_rng(0).integers(0, 2000, (8, 5, 6)).astype(np.uint16)


def test_slices_are_scaled_one_by_one(tmp_path: Path) -> None:
    slopes = [1.0, *[0.0004 * n for n in range(1, 8)]]
    changes = {n: {"Slope": f"{slope:g}", "Intercept": str(n)} for n, slope in enumerate(slopes)}
    write_stack(tmp_path, PIXELS, changes, SOPClass=PET)
    expected = PIXELS * np.array(slopes)[:, None, None] + np.arange(8)[:, None, None]
    np.testing.assert_allclose(read_volume(tmp_path).data[0].numpy(), expected.transpose(2, 1, 0), rtol=1e-6)


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN])
@pytest.mark.parametrize("kind", ["u1", "i2", "u2", "i4"])
def test_every_layout_of_plain_pixels_is_as_gdcm_reads_it(tmp_path: Path, syntax: str, kind: str) -> None:
    pixels = (PIXELS.astype(np.int64) % 127 - (60 if kind[0] == "i" else 0)).astype(kind)
    write_stack(tmp_path, pixels, syntax=syntax, Slope="2", Intercept="-1024", Private=b"private")
    read = read_volume(tmp_path)
    np.testing.assert_array_equal(read.data[0].numpy(), pixels.transpose(2, 1, 0).astype(float) * 2 - 1024)
    if syntax != BIG_ENDIAN or kind[1] == "2":  # GDCM swaps 16-bit words whatever the pixels are
        made = sitk.ReadImage([str(tmp_path / f"f{8 - n:03d}.dcm") for n in range(8)])
        np.testing.assert_array_equal(read.data[0].numpy(), physical.itk_array(made))
        direction = np.reshape(made.GetDirection(), (3, 3))
        assert read.grid.matches(Grid(made.GetSize(), made.GetSpacing(), made.GetOrigin(), direction))


def test_bits_that_are_not_stored_do_not_count(tmp_path: Path) -> None:
    values = (PIXELS % 4096).astype(np.int16) - 2048
    stored = (values.astype(np.uint16) & 0x0FFF) | 0xA000
    write_stack(tmp_path, stored, Stored=12, High=11, Signed=1)
    np.testing.assert_array_equal(read_volume(tmp_path).data[0].numpy(), values.transpose(2, 1, 0))


DIFFERENT = {
    "orientation": ({4: {"Orientation": "1\\0\\0\\0\\0\\-1"}}, "differ in their orientation"),
    "localizers": (
        {n: {"Orientation": o} for n, o in enumerate(["1\\0\\0\\0\\1\\0", "0\\1\\0\\0\\0\\-1", "1\\0\\0\\0\\0\\-1"])},
        "localizers in several planes",
    ),
    "spacing": ({n: {"Spacing": "4\\3"} for n in range(4, 8)}, "differ in their pixel spacing, 4 x 3 and 2 x 1.5"),
    "rows": ({5: {"Rows": 3, "Pixels": PIXELS[5, :3]}}, "differ in their number of columns and rows, 6 x 5 and 6 x 3"),
    "frame": ({7: {"Frame": "9.9"}}, "differ in their frame of reference"),
    "two volumes": ({n: {"Position": f"-10\\-20\\{3 * (n // 2)}"} for n in range(8)}, "2 slices at each of 4 places"),
    "a copy": ({7: {"Position": "-10\\-20\\18"}}, "slices at 7 places only"),
    "a gap": ({7: {"Position": "-10\\-20\\40"}}, "not evenly spaced"),
    "no position": ({3: {"Position": None}}, "carry no position"),
    "no orientation": ({n: {"Orientation": None} for n in range(8)}, "carry no position"),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_slices_that_make_no_volume_are_refused_with_the_reason(tmp_path: Path, name: str) -> None:
    changes, words = DIFFERENT[name]
    write_stack(tmp_path, PIXELS, changes)
    with pytest.raises(ValueError, match=words) as caught:
        read_volume(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_two_slices_without_positions_are_refused_and_two_good_ones_are_not(tmp_path: Path) -> None:
    write_stack(tmp_path / "good", PIXELS[:2])
    assert read_volume(tmp_path / "good").grid.spacing == pytest.approx((1.5, 2, 3))
    write_stack(tmp_path / "bad", PIXELS[:2], Position=None)
    with pytest.raises(ValueError, match="carry no position"):
        read_volume(tmp_path / "bad")


@pytest.mark.parametrize(
    ("fields", "thickness"), [({}, 3.0), ({"Thickness": None, "Gap": "4"}, 4.0), ({"Thickness": None}, 1.0)]
)
def test_a_single_slice_is_as_thick_as_its_header_says(tmp_path: Path, fields: dict, thickness: float) -> None:
    write_stack(tmp_path, PIXELS[:1], **fields)
    read = read_volume(tmp_path)
    assert read.grid.spacing == pytest.approx((1.5, 2, thickness))
    assert "single slice" in read.notes[0]


@pytest.mark.parametrize("undefined", [False, True])
@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT])
def test_frames_in_any_order_are_put_and_scaled_by_their_own_groups(tmp_path: Path, syntax: str, undefined: bool) -> None:
    order = [3, 0, 1, 5, 2, 4, 7, 6]
    frames = [{"Position": f"-10\\-20\\{3 * n}", "Slope": f"{0.5 * (n + 1)}"} for n in order]
    path = write_dicom(tmp_path / "e.dcm", enhanced_fields(PIXELS[order], frames), syntax=syntax, undefined=undefined)
    expected = PIXELS * (0.5 * np.arange(1, 9))[:, None, None]
    for given in (path, tmp_path):
        read = read_volume(given)
        np.testing.assert_allclose(read.data[0].numpy(), expected.transpose(2, 1, 0))
        assert read.grid.spacing == pytest.approx((1.5, 2, 3))
        assert read.grid.origin == pytest.approx((-10, -20, 0))


def test_enhanced_files_that_are_no_volume_are_refused(tmp_path: Path) -> None:
    frames = [{"Position": f"-10\\-20\\{3 * (n % 4)}"} for n in range(8)]
    write_dicom(tmp_path / "e.dcm", enhanced_fields(PIXELS, frames))
    with pytest.raises(ValueError, match="2 slices at each of 4 places"):
        read_volume(tmp_path)
    write_dicom(tmp_path / "e.dcm", enhanced_fields(PIXELS, frames[:5], Frames="8"))
    with pytest.raises(ValueError, match="describes 5 of its 8 frames"):
        read_volume(tmp_path)


def test_color_and_files_without_an_image(tmp_path: Path) -> None:
    write_stack(tmp_path / "color", PIXELS[:, :, :3].astype(np.uint8), Samples=3, Photometric="RGB", Columns=1)
    with pytest.raises(ValueError, match="color DICOM image"):
        read_volume(tmp_path / "color")
    folder = write_stack(tmp_path / "mixed", PIXELS)
    contours = slice_fields(PIXELS[0], 20, SOPClass="1.2.840.10008.5.1.4.1.1.481.3", Series="9.9", Pixels=None)
    write_dicom(folder / "contours.dcm", contours)
    assert read_volume(folder).grid.shape == (6, 5, 8)
    with pytest.raises(ValueError, match="DICOM file without an image"):
        read_volume(folder / "contours.dcm")


def test_a_tilted_gantry_keeps_places(tmp_path: Path, volume: Volume) -> None:
    write_series(tmp_path, volume, shear=0.8)
    read = read_volume(tmp_path)
    assert "sheared" in read.notes[0]
    points = volume.grid.index_to_point(np.array([[7.0, 8, 0], [9, 8, 4], [8, 5, 8]]))
    tilted = points + 0.8 * np.array([0, 4, 8])[:, None] * volume.grid.affine[:3, 0]
    index = read.grid.point_to_index(tilted)
    expected = [volume.data[0, i, j, k].item() for i, j, k in ((7, 8, 0), (9, 8, 4), (8, 5, 8))]
    for place, value in zip(index, expected, strict=True):
        found = sample_linear(read.data[None].double(), torch.from_numpy(place)[None, :, None, None, None])
        assert float(found) == pytest.approx(value, abs=12)


def test_compressed_slices_are_scaled_one_by_one(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 2000, (8, 16, 16)).astype(np.uint16)
    changes = {n: {"Slope": f"{n + 1}.5", "Pixels": rle(pixels[n])} for n in range(8)}
    write_stack(tmp_path, pixels, changes, syntax=RLE)
    expected = pixels * (np.arange(1, 9) + 0.5)[:, None, None]
    np.testing.assert_array_equal(read_volume(tmp_path).data[0].numpy(), expected.transpose(2, 1, 0))
