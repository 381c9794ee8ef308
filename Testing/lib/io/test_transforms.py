"""Every transform file, written and read by us and by SimpleITK; points agree to a thousandth of a millimetre."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import physical
import pytest
import SimpleITK as sitk
import torch

from SpatialRegularizationLib.geometry import DisplacementField, SpatialTransform
from SpatialRegularizationLib.io.transforms import read_transform, write_transform
from SpatialRegularizationLib.transforms.inverse import invert, invert_points
from SpatialRegularizationLib.transforms.mapping import transform_points
from SpatialRegularizationLib.transforms.resample import total_displacement

TOLERANCE_MM = 1e-3
FIELD_FORMATS = [".h5", ".nrrd", ".mha", ".nii.gz", ".nii"]
AFFINE_FORMATS = [".h5", ".tfm", ".txt", ".mat"]


def disagreement(ours: SpatialTransform, made: sitk.Transform, where) -> float:
    """Largest distance between the images of points inside of a grid, mm."""
    points = physical.inner_points(where)
    return float(np.abs(transform_points(ours, points) - physical.itk_points(made, points)).max())


def itk_read(path: Path) -> sitk.Transform:
    """What SimpleITK makes of a file: a transform, or the vectors of an image taken as LPS millimetres."""
    if path.suffix in (".h5", ".tfm", ".txt", ".mat"):
        return sitk.ReadTransform(str(path))
    return sitk.DisplacementFieldTransform(sitk.Cast(sitk.ReadImage(str(path)), sitk.sitkVectorFloat64))


@pytest.mark.parametrize("suffix", FIELD_FORMATS)
@pytest.mark.parametrize("orientation", physical.DIRECTIONS)
def test_a_field_comes_back_from_every_format(tmp_path: Path, orientation: str, suffix: str) -> None:
    transform = SpatialTransform(displacement=physical.bump_field(physical.grid(orientation)))
    write_transform(tmp_path / f"t{suffix}", transform)
    ours = read_transform(tmp_path / f"t{suffix}")
    assert disagreement(ours, physical.itk_transform(transform), transform.displacement.grid) < TOLERANCE_MM
    assert ours.displacement.grid.matches(transform.displacement.grid, tolerance=1e-4)
    assert not ours.has_affine
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("suffix", [".h5", ".nrrd", ".mha"])
@pytest.mark.parametrize("orientation", physical.DIRECTIONS)
def test_itk_reads_our_fields(tmp_path: Path, orientation: str, suffix: str) -> None:
    transform = SpatialTransform(displacement=physical.bump_field(physical.grid(orientation)))
    write_transform(tmp_path / f"t{suffix}", transform)
    assert disagreement(transform, itk_read(tmp_path / f"t{suffix}"), transform.displacement.grid) < TOLERANCE_MM


@pytest.mark.parametrize("suffix", [".h5", ".tfm", ".nrrd", ".mha", ".nii.gz"])
@pytest.mark.parametrize("orientation", physical.DIRECTIONS)
def test_we_read_the_fields_that_itk_writes(tmp_path: Path, orientation: str, suffix: str) -> None:
    field = physical.bump_field(physical.grid(orientation))
    path = tmp_path / f"t{suffix}"
    if suffix in (".h5", ".tfm"):
        sitk.WriteTransform(physical.itk_field(field), str(path))
    else:
        sitk.WriteImage(physical.itk_image(field.vectors, field.grid), str(path))
    assert disagreement(read_transform(path), physical.itk_field(field), field.grid) < TOLERANCE_MM


@pytest.mark.parametrize("orientation", physical.DIRECTIONS)
def test_nifti_fields_hold_ras_vectors_under_intent_1006(tmp_path: Path, orientation: str) -> None:
    field = physical.bump_field(physical.grid(orientation))
    write_transform(tmp_path / "t.nii.gz", SpatialTransform(displacement=field))
    image = nib.load(tmp_path / "t.nii.gz")
    assert image.shape == (*field.grid.shape, 1, 3)
    assert int(image.header["intent_code"]) == 1006
    flip = np.array([-1, -1, 1]).reshape(3, 1, 1, 1)
    stored = np.moveaxis(image.get_fdata()[:, :, :, 0], -1, 0)
    np.testing.assert_allclose(stored, field.vectors.numpy() * flip, atol=1e-5)
    expected = np.diag([-1, -1, 1, 1]) @ field.grid.affine
    np.testing.assert_allclose(image.header.get_sform(), expected, atol=1e-4)
    np.testing.assert_allclose(image.header.get_qform(), expected, atol=1e-4)


def test_nrrd_fields_carry_the_keys_by_which_slicer_knows_them(tmp_path: Path) -> None:
    write_transform(tmp_path / "t.nrrd", SpatialTransform(displacement=physical.bump_field(physical.grid("RAS"))))
    image = sitk.ReadImage(str(tmp_path / "t.nrrd"))
    assert image.GetMetaData("intent_code") == "1006"
    assert image.GetMetaData("displacement field type") == "resampling"


@pytest.mark.parametrize("suffix", AFFINE_FORMATS)
def test_an_affine_map_goes_both_ways_with_itk(tmp_path: Path, suffix: str) -> None:
    transform = SpatialTransform(physical.affine())
    ours, theirs = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    write_transform(ours, transform)
    made = physical.itk_affine(transform.affine_matrix)
    made.SetCenter((3.0, -5.0, 11.0))
    sitk.WriteTransform(made, str(theirs))
    grid = physical.grid("RAS")
    assert disagreement(transform, sitk.ReadTransform(str(ours)), grid) < 1e-9
    assert disagreement(read_transform(theirs), made, grid) < 1e-9
    np.testing.assert_allclose(read_transform(ours).affine_matrix, transform.affine_matrix, atol=1e-12)


@pytest.mark.parametrize(
    "made",
    [
        sitk.Euler3DTransform((3, 4, 5), 0.1, -0.2, 0.3, (1, 2, 3)),
        sitk.VersorRigid3DTransform((0, 0, 1), 0.4, (1, 2, 3), (5, 6, 7)),
        sitk.Similarity3DTransform(1.1, (1, 0, 0), 0.2, (1, 2, 3), (5, 6, 7)),
        sitk.ScaleTransform(3, (1.1, 0.9, 1.2)),
        sitk.TranslationTransform(3, (1, -2, 3)),
        sitk.Transform(3, sitk.sitkIdentity),
    ],
    ids=lambda made: made.GetName(),
)
def test_every_linear_transform_of_itk_is_read(tmp_path: Path, made: sitk.Transform) -> None:
    sitk.WriteTransform(made, str(tmp_path / "t.tfm"))
    assert disagreement(read_transform(tmp_path / "t.tfm"), made, physical.grid("RAS")) < 1e-9


@pytest.mark.parametrize("affine_first", [False, True])
@pytest.mark.parametrize("orientation", physical.DIRECTIONS)
def test_a_composite_keeps_its_order_in_both_directions(tmp_path: Path, orientation: str, affine_first: bool) -> None:
    transform = physical.transform(physical.grid(orientation), affine_first=affine_first)
    grid = transform.displacement.grid
    write_transform(tmp_path / "ours.h5", transform)
    sitk.WriteTransform(physical.itk_transform(transform), str(tmp_path / "theirs.h5"))
    assert disagreement(transform, sitk.ReadTransform(str(tmp_path / "ours.h5")), grid) < TOLERANCE_MM
    assert disagreement(read_transform(tmp_path / "theirs.h5"), physical.itk_transform(transform), grid) < TOLERANCE_MM
    again = read_transform(tmp_path / "ours.h5")
    assert again.affine_first is affine_first
    np.testing.assert_allclose(again.affine_matrix, transform.affine_matrix, atol=1e-12)


@pytest.mark.parametrize("mistake", ["no RAS flip", "negated", "swapped order"])
def test_the_usual_mistakes_are_far_outside_the_tolerance(tmp_path: Path, mistake: str) -> None:
    """Negative controls: a file with this mistake in it is not within the tolerance of the right one."""
    right = physical.transform(physical.grid("oblique"))
    field = right.displacement
    flip = torch.tensor([-1.0, -1.0, 1.0]).view(3, 1, 1, 1)
    wrong = {
        "no RAS flip": right.with_displacement(DisplacementField(field.vectors * flip, field.grid)),
        "negated": right.with_displacement(DisplacementField(-field.vectors, field.grid)),
        "swapped order": SpatialTransform(right.affine, field, affine_first=True),
    }[mistake]
    write_transform(tmp_path / "t.h5", wrong)
    assert disagreement(right, sitk.ReadTransform(str(tmp_path / "t.h5")), field.grid) > 500 * TOLERANCE_MM


def test_nested_composites_and_rigid_maps_on_both_sides_of_a_field_are_read(tmp_path: Path) -> None:
    field = physical.bump_field(physical.grid("oblique"))
    rigid = sitk.Euler3DTransform((3, 4, 5), 0.1, -0.2, 0.05, (1, 2, 3))
    inner = sitk.CompositeTransform(3)
    inner.AddTransform(physical.itk_field(field))
    inner.AddTransform(rigid)
    made = sitk.CompositeTransform(3)
    made.AddTransform(physical.itk_affine(physical.affine()))
    made.AddTransform(inner)
    made.FlattenTransform()
    sitk.WriteTransform(made, str(tmp_path / "t.h5"))
    ours = read_transform(tmp_path / "t.h5")
    points = physical.inner_points(field.grid)
    points = physical.itk_points(rigid.GetInverse(), points)
    assert np.abs(transform_points(ours, points) - physical.itk_points(made, points)).max() < TOLERANCE_MM


def test_splines_are_refused(tmp_path: Path) -> None:
    spline = sitk.BSplineTransformInitializer(sitk.Image(10, 10, 10, sitk.sitkFloat32), [2, 2, 2])
    sitk.WriteTransform(spline, str(tmp_path / "spline.h5"))
    with pytest.raises(ValueError, match="BSplineTransform, which is not supported"):
        read_transform(tmp_path / "spline.h5")


def test_several_transforms_in_one_text_file_are_not_silently_cut_to_the_first(tmp_path: Path) -> None:
    sitk.WriteTransform(sitk.Euler3DTransform(), str(tmp_path / "t.tfm"))
    text = (tmp_path / "t.tfm").read_text()
    (tmp_path / "t.tfm").write_text(text + text.split("\n", 1)[1].replace("#Transform 0", "#Transform 1"))
    with pytest.raises(ValueError, match="2 separate transforms"):
        read_transform(tmp_path / "t.tfm")


def nifti_field(path: Path, shape: tuple[int, ...], intent: int, name: str = "") -> Path:
    image = nib.Nifti1Image(np.zeros(shape, np.float32), np.eye(4))
    image.header.set_intent(intent, name=name)
    nib.save(image, path)
    return path


def nrrd_field(path: Path, kind: str) -> Path:
    image = physical.itk_image(np.zeros((3, 4, 5, 6), np.float32), physical.grid("RAS", shape=(4, 5, 6)))
    image.SetMetaData("intent_code", "1006")
    image.SetMetaData("displacement field type", kind)
    sitk.WriteImage(image, str(path))
    return path


def scalar(path: Path) -> Path:
    sitk.WriteImage(sitk.Image(4, 5, 6, sitk.sitkFloat32), str(path))
    return path


def itk_file(path: Path, made: sitk.Transform) -> Path:
    sitk.WriteTransform(made, str(path))
    return path


def text_file(path: Path) -> Path:
    path.write_text('(Transform "AffineTransform")')
    return path


BAD = {
    "text": (lambda p: text_file(p / "t.txt"), "not a readable transform"),
    "text as h5": (lambda p: text_file(p / "t.h5"), "not a readable transform"),
    "text as nrrd": (lambda p: text_file(p / "t.nrrd"), "not a readable displacement field"),
    "text as nifti": (lambda p: text_file(p / "t.nii.gz"), "damaged"),
    "2-D": (lambda p: itk_file(p / "t.tfm", sitk.Euler2DTransform()), "2-D transform"),
    "scalar": (lambda p: scalar(p / "t.nrrd"), "no displacement field"),
    "4-D NIfTI": (lambda p: nifti_field(p / "t.nii.gz", (4, 5, 6, 3), 1006), "shape"),
    "other intent": (lambda p: nifti_field(p / "t.nii", (4, 5, 6, 1, 3), 0), "intent"),
    "NiftyReg": (lambda p: nifti_field(p / "t.nii", (4, 5, 6, 1, 3), 1007, "NREG_TRANS"), "NREG_TRANS"),
    "modeling": (lambda p: nrrd_field(p / "t.nrrd", "modeling"), "moving to fixed"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_usable_transform_is_refused_in_one_sentence(tmp_path: Path, case: str) -> None:
    make, message = BAD[case]
    path = make(tmp_path)
    with pytest.raises(ValueError, match=message) as caught:
        read_transform(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_transform_is_named() -> None:
    with pytest.raises(FileNotFoundError, match="does not exist"):
        read_transform("nowhere.h5")


@pytest.mark.parametrize(
    ("name", "parts", "message"),
    [
        ("t.tfm", "field", "write .h5"),
        ("t.nrrd", "both", "affine part"),
        ("t.nii.gz", "affine", "affine part"),
        ("t.xyz", "affine", "use .h5"),
    ],
)
def test_a_format_that_cannot_hold_the_transform_is_refused(
    tmp_path: Path, name: str, parts: str, message: str
) -> None:
    both = physical.transform(physical.grid("RAS", shape=(5, 5, 5)))
    transform = {
        "both": both,
        "affine": both.with_displacement(None),
        "field": SpatialTransform(displacement=both.displacement),
    }[parts]
    with pytest.raises(ValueError, match=message):
        write_transform(tmp_path / name, transform)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_without_room_is_noticed_before_hdf5_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 1000))
    with pytest.raises(OSError, match="are free"):
        write_transform(tmp_path / "t.h5", physical.transform(physical.grid("RAS")))
    assert list(tmp_path.iterdir()) == []


def test_real_reference_transforms_are_read(shared_data: Path) -> None:
    path = shared_data / "brain_ms_longitudinal" / "patient01_study1_FLAIR_to_common_space.txt"
    assert disagreement(read_transform(path), sitk.ReadTransform(str(path)), physical.grid("RAS")) < 1e-9


def test_several_transforms_beside_one_another_are_refused_in_the_binary_formats_too(tmp_path: Path) -> None:
    for name, shift in (("a.mat", 1.0), ("b.mat", 2.0)):
        sitk.WriteTransform(sitk.AffineTransform((1, 0, 0, 0, 1, 0, 0, 0, 1), (shift, 0, 0)), str(tmp_path / name))
    (tmp_path / "two.mat").write_bytes((tmp_path / "a.mat").read_bytes() + (tmp_path / "b.mat").read_bytes())
    assert read_transform(tmp_path / "b.mat").affine_matrix[0, 3] == 2
    for shown in (True, False):
        before = sitk.ProcessObject.GetGlobalWarningDisplay()
        sitk.ProcessObject.SetGlobalWarningDisplay(shown)
        try:
            with pytest.raises(ValueError, match=r"two\.mat holds several separate transforms"):
                read_transform(tmp_path / "two.mat")
        finally:
            sitk.ProcessObject.SetGlobalWarningDisplay(before)


def test_a_file_that_announces_more_numbers_than_fit_into_memory_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "flood.mat"
    sitk.WriteTransform(sitk.AffineTransform(3), str(path))
    content = path.read_bytes()
    rows = content.index(np.int32(12).tobytes())
    path.write_bytes(content[:rows] + np.int32(2_000_000_000).tobytes() + content[rows + 4 :])
    with pytest.raises(ValueError, match=r"flood\.mat (asks for more than 1\.1 GB|is not a readable|is damaged)"):
        read_transform(path)


@pytest.mark.parametrize("name", ["crash-h5-342/x.h5", "mem-mat-21/x.mat"])
def test_files_that_crash_or_flood_a_reader_end_in_a_sentence(shared_cases: Path, name: str) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]*x\.(h5|mat) (is damaged|asks for more)[^\n]*$"):
        read_transform(shared_cases / name)


def test_a_chain_of_fields_and_affine_maps_in_any_order_means_what_it_means_to_itk(tmp_path: Path) -> None:
    grids = [physical.grid("oblique"), physical.other_grid("LPS"), physical.grid("oblique left-handed")]
    fields = [physical.itk_field(physical.bump_field(grid, height=4.0 + n)) for n, grid in enumerate(grids)]
    shear = physical.affine() @ np.diag([1.1, 0.9, 1.0, 1.0])
    points = physical.inner_points(grids[0], 100, margin=-4.0)
    for order in ("fAf", "AfAfA", "ffA", "Aff", "fff", "AfA"):
        composite, left = sitk.CompositeTransform(3), list(fields)
        for letter in order:
            composite.AddTransform(left.pop(0) if letter == "f" else physical.itk_affine(shear))
        sitk.WriteTransform(composite, str(tmp_path / "theirs.h5"))
        found = read_transform(tmp_path / "theirs.h5")
        expected = physical.itk_points(composite, points)
        np.testing.assert_allclose(transform_points(found, points), expected, atol=1e-4)
        write_transform(tmp_path / "ours.h5", found)
        ours = sitk.ReadTransform(str(tmp_path / "ours.h5"))
        np.testing.assert_allclose(physical.itk_points(ours, points), expected, atol=1e-4)
        total = total_displacement(found, grids[0]).vectors.flatten(1).T.numpy()
        centers = physical.voxel_centers(grids[0]).reshape(-1, 3)[::37]
        np.testing.assert_allclose(total[::37], physical.itk_points(composite, centers) - centers, atol=1e-3)


def test_points_come_back_through_a_chain() -> None:
    grid = physical.grid("oblique")
    chain = SpatialTransform.chain(physical.transform(grid), physical.transform(grid, affine_first=True))
    points = physical.inner_points(grid, 100, margin=4.0)
    found, residual = invert_points(chain, transform_points(chain, points))
    assert residual.max() < 2e-3
    assert np.abs(found - points).max() < 5e-3
    back, _ = invert(chain, tolerance_mm=1e-3)
    assert np.abs(transform_points(back, transform_points(chain, points)) - points).max() < 0.2


def test_a_field_on_rounded_axes_in_a_transform_file_is_read_as_in_an_image_file(tmp_path: Path) -> None:
    """Cosines off by 0.003: ITK stores and applies them as they are."""
    grid = physical.grid("oblique")
    image = physical.itk_image(physical.bump_field(grid).vectors, grid)
    off = np.array(grid.direction)
    off[0, 1] += 0.003
    image.SetDirection(off.ravel().tolist())
    made = sitk.DisplacementFieldTransform(sitk.Cast(image, sitk.sitkVectorFloat64))
    sitk.WriteTransform(made, str(tmp_path / "t.h5"))
    points = physical.inner_points(grid, 100)
    found = transform_points(read_transform(tmp_path / "t.h5"), points)
    expected = physical.itk_points(sitk.ReadTransform(str(tmp_path / "t.h5")), points)
    assert np.abs(found - expected).max() < 0.05
