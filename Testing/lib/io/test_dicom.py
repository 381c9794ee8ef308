"""DICOM series: made by SimpleITK slice by slice, and real ones."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import physical
import pytest
import SimpleITK as sitk

from SpatialRegularizationLib.geometry import Volume
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


def test_gantry_tilt_is_refused(tmp_path: Path, volume: Volume) -> None:
    write_series(tmp_path, volume, shear=0.8)
    with pytest.raises(ValueError, match="gantry tilt"):
        read_volume(tmp_path)


def test_a_damaged_slice_is_refused(tmp_path: Path, volume: Volume) -> None:
    write_series(tmp_path, volume)
    path = tmp_path / "s1_028.dcm"
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(ValueError, match=r"not a readable DICOM|cannot be read|not evenly spaced"):
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
