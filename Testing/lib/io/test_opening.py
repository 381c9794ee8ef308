"""The one door for image files: content decides, formats that only ITK knows go through a process of their own."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import physical
import pytest
import SimpleITK as sitk
import torch

from SpatialRegularizationLib.io.volumes import read_volume


@pytest.mark.parametrize("suffix", [".vtk", ".gipl"])
def test_formats_of_itk_lie_where_itk_puts_them(tmp_path: Path, suffix: str) -> None:
    volume = physical.image(physical.grid("LPS", shape=(5, 6, 7)), torch.float32)
    path = tmp_path / f"a{suffix}"
    sitk.WriteImage(physical.itk_image(volume.data[0], volume.grid), str(path))
    made = sitk.ReadImage(str(path))
    read = read_volume(path)
    np.testing.assert_array_equal(read.data[0].numpy(), physical.itk_array(made))
    corner = read.grid.index_to_point(np.array([4, 5, 6]))
    np.testing.assert_allclose(corner, made.TransformIndexToPhysicalPoint((4, 5, 6)), atol=1e-4)


def test_flat_and_colored_pictures_are_refused(tmp_path: Path) -> None:
    sitk.WriteImage(sitk.Image((5, 6), sitk.sitkUInt8), str(tmp_path / "a.png"))
    with pytest.raises(ValueError, match="2-D image"):
        read_volume(tmp_path / "a.png")
    sitk.WriteImage(sitk.Image((5, 6, 7), sitk.sitkVectorUInt8, 3), str(tmp_path / "a.vtk"))
    with pytest.raises(ValueError, match="3 values per voxel"):
        read_volume(tmp_path / "a.vtk")


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    if os.name == "nt":
        pytest.skip("named pipes in folders need a Unix system")
    os.mkfifo(tmp_path / "a.nii")
    with pytest.raises(ValueError, match="no regular file"):
        read_volume(tmp_path / "a.nii")
