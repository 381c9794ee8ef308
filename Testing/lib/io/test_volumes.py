"""Volumes from and to files, against SimpleITK and nibabel; bad input in one sentence."""

from __future__ import annotations

import itertools
import os
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import physical
import pytest
import SimpleITK as sitk
import torch

from SpatialRegularizationLib.geometry import Grid, Volume
from SpatialRegularizationLib.io.volumes import read_grid, read_volume, write_volume

FORMATS = [".nii.gz", ".nii", ".nrrd", ".mha"]


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("orientation", physical.DIRECTIONS)
def test_what_itk_writes_is_read_at_the_same_place(tmp_path: Path, orientation: str, suffix: str) -> None:
    volume = physical.image(physical.grid(orientation), torch.float32)
    path = tmp_path / f"image{suffix}"
    sitk.WriteImage(physical.itk_image(volume.data[0], volume.grid), str(path))
    ours = read_volume(path)
    torch.testing.assert_close(ours.data, volume.data, rtol=0, atol=0)
    assert ours.grid.matches(volume.grid, tolerance=1e-4)
    assert read_grid(path) == ours.grid


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("orientation", physical.DIRECTIONS)
def test_what_we_write_is_read_by_itk_at_the_same_place(tmp_path: Path, orientation: str, suffix: str) -> None:
    volume = physical.image(physical.grid(orientation), torch.float32)
    path = tmp_path / f"image{suffix}"
    write_volume(path, volume)
    made = sitk.ReadImage(str(path))
    np.testing.assert_array_equal(physical.itk_array(made), volume.data[0].numpy())
    corner = tuple(n - 1 for n in volume.grid.shape)
    expected = volume.grid.index_to_point(np.array(corner))
    np.testing.assert_allclose(made.TransformIndexToPhysicalPoint(corner), expected, atol=1e-3)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("orientation", physical.DIRECTIONS)
def test_nifti_tells_nibabel_the_same_ras_positions_in_qform_and_sform(tmp_path: Path, orientation: str) -> None:
    volume = physical.image(physical.grid(orientation), torch.float32)
    write_volume(tmp_path / "image.nii.gz", volume)
    header = nib.load(tmp_path / "image.nii.gz").header
    expected = np.diag([-1, -1, 1, 1]) @ volume.grid.affine
    np.testing.assert_allclose(header.get_sform(), expected, atol=1e-4)
    np.testing.assert_allclose(header.get_qform(), expected, atol=1e-4)


@pytest.mark.parametrize("suffix", FORMATS)
def test_labels_stay_integers(tmp_path: Path, suffix: str) -> None:
    labels = physical.label_map(physical.grid("LIA"))
    write_volume(tmp_path / f"labels{suffix}", labels)
    ours = read_volume(tmp_path / f"labels{suffix}", labels=True)
    assert ours.data.dtype == torch.int32
    assert torch.equal(ours.data, labels.data)
    floats = Volume(labels.data.float(), labels.grid)
    write_volume(tmp_path / f"floats{suffix}", floats)
    assert torch.equal(read_volume(tmp_path / f"floats{suffix}", labels=True).data, labels.data)


@pytest.mark.parametrize(
    ("dtype", "stored"),
    [
        (torch.bool, torch.uint8),
        (torch.int64, torch.int32),
        (torch.float16, torch.float32),
        (torch.uint8, torch.uint8),
        (torch.float64, torch.float64),
    ],
)
@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd"])
def test_types_that_files_or_slicer_lack_are_widened(
    tmp_path: Path, dtype: torch.dtype, stored: torch.dtype, suffix: str
) -> None:
    volume = Volume(torch.tensor([0, 1, 1, 0]).view(1, 2, 2, 1).to(dtype), physical.grid("RAS", shape=(2, 2, 1)))
    write_volume(tmp_path / f"v{suffix}", volume)
    made = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / f"v{suffix}")))
    assert torch.from_numpy(made).dtype == stored
    assert made.ravel(order="F").sum() == 2


def test_scaled_big_endian_and_single_frame_nifti_files_are_read(tmp_path: Path) -> None:
    values = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    scaled = nib.Nifti1Image(values, np.eye(4))
    scaled.header.set_slope_inter(0.5, -10)
    nib.save(scaled, tmp_path / "scaled.nii.gz")
    np.testing.assert_allclose(read_volume(tmp_path / "scaled.nii.gz").data[0], values * 0.5 - 10)
    swapped = nib.Nifti1Image(values, np.eye(4), nib.Nifti1Header(endianness=">"))
    nib.save(swapped, tmp_path / "swapped.nii")
    np.testing.assert_array_equal(read_volume(tmp_path / "swapped.nii").data[0], values)
    nib.save(nib.Nifti1Image(values[..., None], np.eye(4)), tmp_path / "frame.nii")
    np.testing.assert_array_equal(read_volume(tmp_path / "frame.nii", labels=True).data[0], values)


def raw_nrrd(path: Path, directions: str) -> Path:
    header = (
        "NRRD0004\ntype: float\ndimension: 3\nspace: left-posterior-superior\nsizes: 2 2 2\n"
        f"space directions: {directions}\nkinds: domain domain domain\nendian: little\nencoding: raw\n"
        "space origin: (0,0,0)\n\n"
    )
    path.write_bytes(header.encode() + bytes(32))
    return path


def zero_spacing_nifti(path: Path) -> Path:
    nib.save(nib.Nifti1Image(np.zeros((4, 4, 4), np.float32), np.eye(4)), path)
    data = bytearray(path.read_bytes())
    data[80:84] = bytes(4)  # pixdim[1]
    path.write_bytes(data)
    return path


def image_file(path: Path, *, shape: tuple[int, ...], vector: bool = False) -> Path:
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros(shape, np.float32), isVector=vector), str(path))
    return path


def halved(path: Path) -> Path:
    values = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 20, 20, 20)).astype(np.float32))
    write_volume(path, Volume(values, physical.grid("RAS", shape=(20, 20, 20))))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def text_file(path: Path) -> Path:
    path.write_text("not an image")
    return path


BAD = {
    "text": (lambda p: text_file(p / "a.nii.gz"), "not a readable image"),
    "unknown ending": (lambda p: text_file(p / "a.xyz"), "not a readable image"),
    "empty folder": (lambda p: p, "no DICOM series"),
    "2-D": (lambda p: image_file(p / "a.nrrd", shape=(5, 6)), "2-D image"),
    "4-D": (lambda p: image_file(p / "a.nii.gz", shape=(7, 4, 5, 6)), "series of 7 volumes"),
    "vectors": (lambda p: image_file(p / "a.mha", shape=(4, 5, 6, 3), vector=True), "3 values per voxel"),
    "zero spacing NIfTI": (lambda p: zero_spacing_nifti(p / "a.nii"), "spacing"),
    "zero spacing NRRD": (lambda p: raw_nrrd(p / "a.nrrd", "(1,0,0) (0,1,0) (0,0,0)"), "spacing must be positive"),
    "flat NRRD": (lambda p: raw_nrrd(p / "a.nrrd", "(1,0,0) (1,0.1,0) (0,0,1)"), "nearly in one plane"),
    "truncated .nii.gz": (lambda p: halved(p / "a.nii.gz"), "damaged or incomplete"),
    "truncated .nii": (lambda p: halved(p / "a.nii"), "damaged or incomplete"),
    "truncated .nrrd": (lambda p: halved(p / "a.nrrd"), "damaged or incomplete"),
    "truncated .mha": (lambda p: halved(p / "a.mha"), "damaged or incomplete"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_refused_in_one_sentence_that_names_it(tmp_path: Path, case: str) -> None:
    make, message = BAD[case]
    path = make(tmp_path)
    with pytest.raises(ValueError, match=message) as caught:
        read_volume(path)
    text = str(caught.value)
    assert str(path) in text
    assert "\n" not in text
    assert "0x" not in text
    assert text.endswith(".")


def test_a_missing_file_is_named() -> None:
    with pytest.raises(FileNotFoundError, match="does not exist: check"):
        read_volume("nowhere.nii.gz")


def test_an_image_is_no_label_map(tmp_path: Path) -> None:
    write_volume(tmp_path / "a.nrrd", physical.image(physical.grid("RAS")))
    with pytest.raises(ValueError, match="not integers"):
        read_volume(tmp_path / "a.nrrd", labels=True)
    wide = Volume(torch.full((1, 2, 2, 2), 3e9, dtype=torch.float64), physical.grid("RAS", shape=(2, 2, 2)))
    write_volume(tmp_path / "b.nrrd", wide)
    with pytest.raises(ValueError, match="32 bits"):
        read_volume(tmp_path / "b.nrrd", labels=True)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.jpg", torch.zeros(1, 2, 2, 2), "endings"),
        ("a.nrrd", torch.zeros(2, 2, 2, 2), "one 3-D channel"),
        ("a.nrrd", torch.full((1, 2, 2, 2), 1 << 40), "32 bits"),
    ],
)
def test_what_a_file_cannot_hold_is_refused_before_writing(
    tmp_path: Path, name: str, data: torch.Tensor, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        write_volume(tmp_path / name, Volume(data, physical.grid("RAS", shape=(2, 2, 2))))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="folder"):
        write_volume(tmp_path / "none" / "a.nrrd", physical.image(physical.grid("RAS")))


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_full_disk_leaves_what_was_there_and_nothing_half_written(tmp_path: Path, suffix: str) -> None:
    resource = pytest.importorskip("resource", reason="file size limits need a Unix system")
    path = tmp_path / f"image{suffix}"
    path.write_text("before")
    values = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 40, 40, 40)).astype(np.float32))
    volume = Volume(values, physical.grid("RAS", shape=(40, 40, 40)))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        with pytest.raises(OSError, match="could not be written"):
            write_volume(path, volume)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == [path.name]


def test_real_files_lie_where_itk_puts_them(shared_data: Path) -> None:
    for name in ("brain_t1/subject_a_image.nii.gz", "lung_ct/baseline.mha", "abdomen/ct_slab.nii.gz"):
        made = sitk.ReadImage(str(shared_data / name))
        ours = read_volume(shared_data / name)
        direction = tuple(map(tuple, np.reshape(made.GetDirection(), (3, 3))))
        expected = Grid(made.GetSize(), made.GetSpacing(), made.GetOrigin(), direction)
        assert ours.grid.matches(expected, tolerance=1e-6)
        np.testing.assert_allclose(ours.data[0].numpy(), physical.itk_array(made), rtol=1e-6)


@pytest.mark.parametrize("suffix", FORMATS)
def test_signals_arrive_while_a_large_file_is_read(tmp_path: Path, suffix: str) -> None:
    signal = pytest.importorskip("signal")
    if not hasattr(signal, "ITIMER_PROF"):
        pytest.skip("timers of processor time need a Unix system")
    image = sitk.Image((256, 256, 320), sitk.sitkInt16)
    sitk.WriteImage(image, str(tmp_path / f"a{suffix}"), useCompression=True, compressionLevel=1)
    del image
    heard = [time.process_time()]
    before = signal.signal(signal.SIGPROF, lambda *_: heard.append(time.process_time()))
    try:
        signal.setitimer(signal.ITIMER_PROF, 0.02, 0.02)
        read_volume(tmp_path / f"a{suffix}")
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
    heard.append(time.process_time())
    assert max(later - earlier for earlier, later in itertools.pairwise(heard)) < 0.2
