"""The start finds known poses from any position and across contrasts, keeps the given one in doubt, and says what it did."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from SpatialRegularizationLib.geometry import Grid, Volume
from SpatialRegularizationLib.pose.start import Start, StartKind, find_start, polished

SHAPE = (48, 56, 40)


def _found(*images: Volume, **how) -> np.ndarray:
    return find_start(*images[:2], *images[2:], **how).matrix


def _phantom(seed: int = 0) -> Volume:
    """Blobs of different size, brightness and place: no symmetry, 3 x 3 x 4 mm."""
    random = np.random.default_rng(seed)
    axes = np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij")
    data = ((axes[0] / 0.75) ** 2 + (axes[1] / 0.8) ** 2 + (axes[2] / 0.7) ** 2 < 1) * 30.0
    for _ in range(12):
        center, width = random.uniform(-0.45, 0.45, 3), random.uniform(0.08, 0.25)
        distance = sum((a - c) ** 2 for a, c in zip(axes, center, strict=True))
        data += random.uniform(20, 90) * (distance < width**2)
    data = torch.nn.functional.avg_pool3d(torch.as_tensor(data, dtype=torch.float32)[None], 3, 1, 1)
    noise = torch.as_tensor(random.normal(0, 1, SHAPE), dtype=torch.float32)
    return Volume(data + noise, Grid(SHAPE, (3, 3, 4), (-70, -80, -75), ((1, 0, 0), (0, 1, 0), (0, 0, 1))))


def _pose(degrees: float, shift: tuple[float, float, float], center: tuple[float, ...]) -> np.ndarray:
    axis = np.array([1.0, -2.0, 0.5]) / np.linalg.norm([1.0, -2.0, 0.5])
    angle = np.deg2rad(degrees)
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    matrix = np.eye(4)
    matrix[:3, :3] = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    matrix[:3, 3] = np.array(center) + np.array(shift) - matrix[:3, :3] @ np.array(center)
    return matrix


def _moved(volume: Volume, matrix: np.ndarray) -> Volume:
    """The same voxels elsewhere in space: the pose is then the exact answer."""
    return Volume(volume.data, Grid.from_affine(matrix @ volume.grid.affine, volume.grid.shape))


def _error(grid: Grid, found: np.ndarray, true: np.ndarray) -> float:
    """Largest distance inside the object, mm."""
    index = np.array(np.meshgrid(*[(0.2 * n, 0.5 * n, 0.8 * n) for n in grid.shape], indexing="ij")).reshape(3, -1).T
    points = np.c_[grid.index_to_point(index), np.ones(27)]
    return float(np.linalg.norm((points @ (found - true).T)[:, :3], axis=1).max())


@pytest.mark.parametrize(
    ("degrees", "shift", "kind"),
    [
        (0, (0, 0, 0), StartKind.RIGID),
        (8, (5, -9, 3), StartKind.AFFINE),
        (30, (20, 10, -30), StartKind.RIGID),
        (12, (100, -250, 40), StartKind.AFFINE),
    ],
)
def test_a_known_pose_is_found_whatever_the_header_offset(degrees, shift, kind) -> None:
    fixed = _phantom()
    pose = _pose(degrees, shift, fixed.grid.center)
    assert _error(fixed.grid, _found(fixed, _moved(fixed, pose), kind), pose) < 0.5


def test_a_known_stretch_is_found_only_with_affine() -> None:
    fixed = _phantom()
    stretch = np.diag([1.1, 0.93, 1.05, 1.0])
    stretch[0, 1] = 0.06
    moving = _resampled(fixed, stretch)
    assert _error(fixed.grid, _found(fixed, moving, StartKind.AFFINE), stretch) < 1.0
    rigid = _found(fixed, moving, StartKind.RIGID)
    np.testing.assert_allclose(rigid[:3, :3] @ rigid[:3, :3].T, np.eye(3), atol=1e-6)


def _resampled(fixed: Volume, matrix: np.ndarray) -> Volume:
    """A moving image of the same grid with moving(B x) = fixed(x), made by SimpleITK."""
    image = sitk.GetImageFromArray(fixed.data[0].permute(2, 1, 0).contiguous().numpy())
    image.SetSpacing(fixed.grid.spacing)
    image.SetOrigin(fixed.grid.origin)
    inverse = np.linalg.inv(matrix)
    transform = sitk.AffineTransform(inverse[:3, :3].flatten().tolist(), inverse[:3, 3].tolist())
    data = sitk.GetArrayFromImage(sitk.Resample(image, image, transform, sitk.sitkLinear, 0.0))
    return fixed.with_data(torch.as_tensor(data).permute(2, 1, 0)[None])


def test_a_slab_finds_its_place_in_the_whole_from_a_wrong_header() -> None:
    whole = _phantom()
    slab = Volume(whole.data[..., 26:], Grid((48, 56, 14), (3, 3, 4), (0, 0, 0), whole.grid.direction))
    true = np.eye(4)
    true[:3, 3] = np.array(slab.grid.origin) - whole.grid.index_to_point(np.array([0, 0, 26]))
    assert _error(slab.grid, _found(slab, whole, StartKind.RIGID), np.linalg.inv(true)) < 0.5
    found = _found(whole, slab, StartKind.RIGID)
    points = np.c_[whole.grid.index_to_point(np.array([[20, 20, 28], [24, 30, 33]])), np.ones(2)]
    assert np.abs(points @ (found - true).T).max() < 0.5


def test_contrast_may_be_inverted() -> None:
    fixed = _phantom()
    pose = _pose(10, (5, 5, 5), fixed.grid.center)
    moving = _moved(fixed.with_data(-2 * fixed.data + 7), pose)
    assert _error(fixed.grid, _found(fixed, moving, StartKind.RIGID), pose) < 0.5


def test_none_returns_the_initial_matrix_and_center_only_shifts_it() -> None:
    fixed = _phantom()
    initial = _pose(20, (1, 2, 3), (0, 0, 0))
    moving = _moved(fixed, _pose(0, (40, 0, 0), (0, 0, 0)) @ initial)
    np.testing.assert_array_equal(_found(fixed, moving, StartKind.NONE, initial=initial), initial)
    center = _found(fixed, moving, StartKind.CENTER, initial=initial)
    np.testing.assert_array_equal(center[:3, :3], initial[:3, :3])
    np.testing.assert_allclose(center[:3, 3], initial[:3, 3] + [40, 0, 0], atol=1e-6)


def test_a_large_rotation_is_refined_from_an_initial_matrix() -> None:
    fixed = _phantom()
    pose = _pose(150, (30, 0, 0), fixed.grid.center)
    near = _pose(140, (20, 5, 0), fixed.grid.center)
    assert _error(fixed.grid, _found(fixed, _moved(fixed, pose), StartKind.RIGID, initial=near), pose) < 0.5


def test_masks_keep_a_wandering_object_out() -> None:
    fixed = _phantom()
    pose = _pose(6, (8, 4, 0), fixed.grid.center)
    moving_data = fixed.data.clone()
    fixed_data = fixed.data.clone()
    fixed_data[..., :6] += 200 * (torch.arange(56) % 9 < 4)[:, None]
    moving_data[..., :6] += 200 * (torch.arange(48) % 7 < 4)[:, None, None]
    mask = torch.zeros_like(fixed.data)
    mask[..., 12:] = 1
    mask = fixed.with_data(mask)
    moving = _moved(fixed.with_data(moving_data), pose)
    found = _found(fixed.with_data(fixed_data), moving, StartKind.RIGID, masks=(mask, Volume(mask.data, moving.grid)))
    assert _error(fixed.grid, found, pose) < 1.0


def test_the_result_is_the_same_for_any_number_of_threads() -> None:
    fixed = _phantom()
    moving = _moved(_phantom(1), _pose(5, (3, 3, 3), fixed.grid.center))
    threads = torch.get_num_threads(), sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    found = []
    for n in (1, 2):
        torch.set_num_threads(n)
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(n)
        found.append(_found(fixed, moving, StartKind.AFFINE, seed=3))
        assert sitk.ProcessObject.GetGlobalDefaultNumberOfThreads() == n
    torch.set_num_threads(threads[0])
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads[1])
    np.testing.assert_array_equal(found[0], found[1])


def test_the_monitor_hears_the_progress_and_can_stop_it() -> None:
    fixed = _phantom()
    heard: list[float] = []
    _found(fixed, fixed, StartKind.AFFINE, monitor=heard.append)
    assert heard == sorted(heard)
    assert (heard[0], heard[-1]) == (0.0, 1.0)

    def stop(share: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _found(fixed, fixed, StartKind.AFFINE, monitor=stop)


@pytest.mark.parametrize("seed", [1, 2, 5, 9])
def test_any_rotation_is_found_with_half_of_the_image_cut_away(seed) -> None:
    fixed = _phantom()
    random = np.random.default_rng(seed)
    rotation, upper = np.linalg.qr(random.normal(size=(3, 3)))
    rotation = rotation * np.sign(np.diag(upper))
    pose = np.eye(4)
    pose[:3, :3] = rotation * np.sign(np.linalg.det(rotation))
    pose[:3, 3] = random.uniform(-80, 80, 3)
    axis, half = seed % 3, SHAPE[seed % 3] // 2
    shape, begin = list(SHAPE), [0, 0, 0]
    shape[axis], begin[axis] = half, half * (seed % 2)
    part = tuple(slice(b, b + n) for b, n in zip(begin, shape, strict=True))
    cut = Volume(4 - fixed.data[(slice(None), *part)], fixed.grid.shifted(tuple(begin), tuple(shape)))
    found = find_start(fixed, _moved(cut, pose), StartKind.RIGID)
    assert _error(cut.grid, found.matrix, pose) < 1.5
    assert "turns by" in found.decision


def test_the_given_position_is_kept_where_nothing_is_clearly_better() -> None:
    fixed = _phantom()
    noise = fixed.with_data(torch.rand(fixed.data.shape, generator=torch.Generator().manual_seed(1)))
    found = find_start(fixed, noise, StartKind.AFFINE)
    np.testing.assert_array_equal(found.matrix, np.eye(4))
    assert "the position by the headers" in found.decision
    assert "clearly better" in found.decision


def test_a_rigid_truth_gets_a_rigid_answer_from_the_affine_start() -> None:
    fixed = _phantom()
    pose = _pose(10, (5, 5, 5), fixed.grid.center)
    noisy = fixed.data + torch.randn(fixed.data.shape, generator=torch.Generator().manual_seed(2)) * 8
    found = find_start(fixed, _moved(fixed.with_data(noisy), pose), StartKind.AFFINE)
    np.testing.assert_allclose(found.matrix[:3, :3] @ found.matrix[:3, :3].T, np.eye(3), atol=1e-9)
    assert _error(fixed.grid, found.matrix, pose) < 2, "half a voxel, in strong noise"


def test_images_that_do_not_tell_how_they_lie_are_doubted() -> None:
    grid = Grid(SHAPE, (3, 2.57, 3.6), (0, 0, 0), ((1, 0, 0), (0, 1, 0), (0, 0, 1)))
    radius = sum(np.linspace(-1, 1, n).reshape([-1 if a == b else 1 for b in range(3)]) ** 2 for a, n in enumerate(SHAPE)) ** 0.5
    balls = [50 / (1 + np.exp(25 * (radius - 0.7))) + np.random.default_rng(seed).normal(0, 8, SHAPE) for seed in (0, 1)]
    fixed, moving = (Volume(torch.as_tensor(ball, dtype=torch.float32)[None], grid) for ball in balls)
    found = find_start(fixed, _moved(moving, _pose(0, (40, 0, 0), (0, 0, 0))), StartKind.RIGID)
    assert any("do not tell how they lie" in doubt for doubt in found.doubts)
    whole = _phantom()
    assert find_start(whole, _moved(whole, _pose(20, (40, 0, 0), (0, 0, 0))), StartKind.RIGID).doubts == ()


def test_a_small_overlap_is_doubted() -> None:
    fixed = _phantom()
    far = _pose(0, (95, 0, 0), fixed.grid.center)
    noise = fixed.with_data(torch.rand(fixed.data.shape, generator=torch.Generator().manual_seed(1)))
    found = find_start(fixed, noise, StartKind.RIGID, initial=far)
    assert any("share only" in doubt for doubt in found.doubts) or np.abs(found.matrix - far).max() > 1


def test_content_in_a_corner_of_an_empty_image_is_found() -> None:
    small = _phantom()
    wide = torch.zeros(1, 130, 130, 110)
    wide[:, :48, :56, :40] = small.data
    grid = Grid((130, 130, 110), small.grid.spacing, small.grid.origin, small.grid.direction)
    pose = _pose(70, (60, -40, 20), small.grid.center)
    found = find_start(Volume(wide, grid), _moved(small, pose), StartKind.RIGID)
    assert _error(small.grid, found.matrix, pose) < 1.5


def test_a_bad_initial_matrix_is_refused_in_a_sentence() -> None:
    fixed = _phantom()
    with pytest.raises(ValueError, match="invertible 4x4"):
        _found(fixed, fixed, StartKind.RIGID, initial=np.zeros((4, 4)))


def _read(path: Path) -> Volume:
    image = sitk.ReadImage(str(path), sitk.sitkFloat32)
    data = torch.as_tensor(sitk.GetArrayFromImage(image)).permute(2, 1, 0)[None]
    direction = tuple(map(tuple, np.reshape(image.GetDirection(), (3, 3)).tolist()))
    return Volume(data, Grid(image.GetSize(), image.GetSpacing(), image.GetOrigin(), direction))


def _reference(path: Path) -> np.ndarray:
    transform = sitk.ReadTransform(str(path))
    images = np.array([transform.TransformPoint(point) for point in np.vstack([np.zeros(3), np.eye(3)]).tolist()])
    matrix = np.eye(4)
    matrix[:3, :3] = (images[1:] - images[0]).T
    matrix[:3, 3] = images[0]
    return matrix


def test_a_real_oblique_pair_agrees_with_its_reference_transforms(shared_data: Path) -> None:
    folder = shared_data / "brain_ms_longitudinal"
    fixed, moving = (_read(folder / f"patient01_study{n}_FLAIR.nii.gz") for n in (1, 2))
    first, second = (_reference(folder / f"patient01_study{n}_FLAIR_to_common_space.txt") for n in (1, 2))
    found = _found(fixed, moving, StartKind.RIGID)
    assert _error(fixed.grid, found, second @ np.linalg.inv(first)) < 1.0
    assert _error(fixed.grid, np.eye(4), second @ np.linalg.inv(first)) > 10


def test_lungs_in_two_breathing_states_come_together(shared_data: Path) -> None:
    folder = shared_data / "lung_ct"
    fixed, moving = _read(folder / "baseline.mha"), _read(folder / "followup.mha")
    points = [
        volume.grid.index_to_point(np.loadtxt(folder / f"{name}_landmarks_index.txt", skiprows=2))
        for name, volume in (("baseline", fixed), ("followup", moving))
    ]
    found = _found(fixed, moving, StartKind.AFFINE)
    mapped = points[0] @ found[:3, :3].T + found[:3, 3]
    assert np.linalg.norm(points[0] - points[1], axis=1).mean() > 34
    assert np.linalg.norm(mapped - points[1], axis=1).mean() < 7


def test_a_polished_start_is_closer_and_a_kept_position_stays() -> None:
    fixed = _phantom()
    pose = _pose(10, (5, 5, 5), fixed.grid.center)
    noisy = fixed.with_data(fixed.data + torch.randn(fixed.data.shape, generator=torch.Generator().manual_seed(2)))
    images = fixed, _moved(noisy, pose)
    beside = Start(_pose(11, (6.5, 5, 4), fixed.grid.center), score=0.0)
    found = polished(beside, images, (None, None))
    assert _error(fixed.grid, found.matrix, pose) < 0.3 < 1.5 < _error(fixed.grid, beside.matrix, pose)
    assert found.seconds > 0
    np.testing.assert_allclose(found.matrix[:3, :3] @ found.matrix[:3, :3].T, np.eye(3), atol=1e-9)
    at_rest = polished(Start(np.eye(4)), (fixed, noisy), (None, None))
    np.testing.assert_array_equal(at_rest.matrix, np.eye(4))


def test_another_outline_does_not_stretch_what_lies_inside() -> None:
    """One head with a thick dark hull and one without it: the outlines differ by a seventh, the inner structures do not."""
    fixed = _phantom()
    axes = np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij")
    radius = torch.as_tensor((axes[0] / 0.75) ** 2 + (axes[1] / 0.8) ** 2 + (axes[2] / 0.7) ** 2, dtype=torch.float32)[None]
    hulled = fixed.with_data(torch.where((radius > 1) & (radius < 1.3), 60.0, 90 - fixed.data))
    found = find_start(fixed, hulled, StartKind.AFFINE)
    np.testing.assert_allclose(found.matrix[:3, :3] @ found.matrix[:3, :3].T, np.eye(3), atol=1e-6)
    assert _error(fixed.grid, found.matrix, np.eye(4)) < 1.5
