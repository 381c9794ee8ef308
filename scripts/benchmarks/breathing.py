"""Simulated breathing: a real image moved by a displacement that is exactly known and slides at an organ's border.

The organ (signed distance s, negative inside) is carried along S-I by the 1-D motion

    z ↦ z + t·a·g(z),   t ∈ [0, 1],   g from 1 at the moving end to `1 - compress` at the other end,

translation for compress = 0. Tissue outside is pushed by the organ's border along the border's normal n only, fading
with the distance from the organ:

    dx/dt = w(s) (n · v) n,   w = 1 at the border, 0 from `reach` mm on (cosine),

so that the normal component is continuous and the tangential one jumps: pleura over ribs, liver under the wall.
Integrated in time together with the moving border, it neither tears nor overlaps. n is the gradient of the smoothed
distance, at most 1 long: it fades where the nearest border point changes (between two lobes), so motion does there.
With φ(x) = x + d(x) so obtained,
moving := the real image and fixed := moving(φ(x)) + noise; d on the fixed grid is the truth, in mm LPS.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import known_pair
import numpy as np
import SimpleITK as sitk
from scipy.ndimage import distance_transform_edt, gaussian_filter, map_coordinates

STEPS = 24
BORDER_MM = 5.0


@dataclass(frozen=True)
class Motion:
    """Amplitude along LPS z in mm (negative: toward the feet), share lost at the far end, reach outside in mm."""

    amplitude: float
    compress: float = 0.0
    reach: float = 60.0


def signed_distance(organ: np.ndarray, grid: known_pair.Grid) -> np.ndarray:
    """Distance in mm to the organ's border, negative inside, smoothed by about 3 mm so that its normals are stable."""
    outside = distance_transform_edt(~organ, sampling=grid.spacing)
    inside = distance_transform_edt(organ, sampling=grid.spacing)
    return gaussian_filter((outside - inside).astype(np.float32), [3.0 / s for s in grid.spacing], mode="nearest")


def ellipsoid(grid: known_pair.Grid, center: tuple[float, ...], semi_axes: tuple[float, ...]) -> np.ndarray:
    """Bool map of an ellipsoid; center as fractions of the grid, semi-axes in mm along the grid axes."""
    offsets = [(np.arange(n) - c * (n - 1)) * s for n, c, s in zip(grid.shape, center, grid.spacing, strict=True)]
    axes = np.meshgrid(*offsets, indexing="ij")
    return sum((x / r) ** 2 for x, r in zip(axes, semi_axes, strict=True)) <= 1


def _profile(z: np.ndarray, ends: tuple[float, float], motion: Motion) -> np.ndarray:
    """a·g(z) in mm: full amplitude at the leading end of the organ, less by `compress` at the trailing end."""
    low, high = ends
    share = np.clip((z - low) / (high - low), 0, 1)
    if motion.amplitude < 0:
        share = 1 - share
    return motion.amplitude * (1 - motion.compress * (1 - share))


def sliding_displacement(organ: np.ndarray, grid: known_pair.Grid, motion: Motion) -> np.ndarray:
    """Truth d (3, i, j, k) in mm LPS on the grid; the grid's axes must be the LPS axes up to sign (see the module)."""
    if not np.allclose(np.abs(np.array(grid.direction)), np.eye(3), atol=1e-6):
        raise ValueError("Sliding motion needs a grid whose axes are the patient axes; resample the image first.")
    distance = signed_distance(organ, grid)
    near = np.gradient(distance, *grid.spacing)
    far = np.gradient(gaussian_filter(distance, [10.0 / s for s in grid.spacing], mode="nearest"), *grid.spacing)
    blend = np.clip(distance / 20.0, 0, 1)
    gradient = np.stack([(1 - blend) * n + blend * f for n, f in zip(near, far, strict=True)])
    gradient /= np.maximum(np.linalg.norm(gradient, axis=0), 1)
    index = np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij")).astype(np.float32)
    sign = np.array(grid.direction).diagonal()
    z = grid.origin[2] + sign[2] * grid.spacing[2] * index[2]
    inside = distance <= 0
    ends = (float(z[inside].min()), float(z[inside].max()))
    displacement = np.zeros((3, *grid.shape), np.float32)
    displacement[2][inside] = _profile(z[inside], ends, motion)
    moved = ~inside & (distance < motion.reach + abs(motion.amplitude))
    path = _push(index[:, moved], (distance, gradient), grid, ends, motion)
    displacement[:, moved] = sign[:, None] * path
    return displacement


def _push(
    start: np.ndarray,
    border: tuple[np.ndarray, np.ndarray],
    grid: known_pair.Grid,
    ends: tuple[float, float],
    motion: Motion,
) -> np.ndarray:
    """Displacement (3, n) in mm along the grid axes of points outside the organ, starting at voxel indices (3, n)."""
    distance, gradient = border
    spacing = np.array(grid.spacing, np.float32)[:, None]
    sign = grid.direction[2][2]
    knots = np.linspace(min(ends) - 300, max(ends) + 300, 6001)
    moved = np.zeros_like(start)
    for step in range(STEPS):
        time = (step + 0.5) / STEPS
        position = start + moved / spacing
        z = grid.origin[2] + sign * spacing[2] * position[2]
        origin_z = np.interp(z, knots + time * _profile(knots, ends, motion), knots)
        position[2] = sign * (origin_z - grid.origin[2]) / spacing[2]
        s = map_coordinates(distance, position, order=1, mode="nearest")
        normal = np.stack([map_coordinates(g, position, order=1, mode="nearest") for g in gradient])
        weight = 0.5 * (1 + np.cos(np.pi * np.clip(s / motion.reach, 0, 1)))
        speed = sign * _profile(origin_z, ends, motion)
        moved += weight * normal[2] * speed * normal / STEPS
    return moved


def on_patient_axes(
    array: np.ndarray, grid: known_pair.Grid, spacing: tuple[float, ...], *, nearest: bool = False
) -> tuple[np.ndarray, known_pair.Grid]:
    """The image on the axes of the patient, with another voxel size, over the same field of view."""
    points = grid.index_to_point(np.array([[0, 0, 0], [n - 1 for n in grid.shape]]))
    low, high = points.min(axis=0), points.max(axis=0)
    shape = tuple(int((h - lo) // s) + 1 for h, lo, s in zip(high, low, spacing, strict=True))
    target = known_pair.Grid(shape, spacing, tuple(low), tuple(map(tuple, np.eye(3))))
    smooth = (
        array
        if nearest
        else gaussian_filter(array, [max(0.0, 0.35 * s / g - 0.35) for s, g in zip(spacing, grid.spacing, strict=True)])
    )
    return known_pair.resample_array(smooth, grid, target, nearest=nearest), target


def breathing_case(name: str, image: np.ndarray, grid: known_pair.Grid, organ: np.ndarray, motion: Motion) -> known_pair.Case:
    """Fixed = the image pulled back by the truth, with 1 % noise; moving = the image."""
    truth = sliding_displacement(organ, grid, motion)
    low, high = np.percentile(image, [1, 99])
    field = sitk.GetImageFromArray(truth.transpose(3, 2, 1, 0).astype(np.float64), isVector=True)
    field.CopyInformation(known_pair.to_image(image, grid))
    moving = known_pair.to_image(image, grid)
    warped = sitk.Resample(moving, moving, sitk.DisplacementFieldTransform(field), sitk.sitkLinear, float(image.min()))
    fixed = sitk.GetArrayFromImage(warped).transpose(2, 1, 0)
    random = np.random.default_rng(7)
    noise = random.standard_normal((2, *image.shape)).astype(np.float32) * 0.01 * (high - low)
    fixed_noisy, moving_noisy = (fixed + noise[0]).astype(np.float32), (image + noise[1]).astype(np.float32)
    return known_pair.Case(
        name=name,
        fixed=fixed_noisy,
        moving=moving_noisy,
        fixed_grid=grid,
        moving_grid=grid,
        truth=truth,
        regions=_regions(fixed, truth, organ, grid),
        preset="chest-ct" if image.min() < -500 else "abdomen-mri",
    )


def _regions(fixed: np.ndarray, truth: np.ndarray, organ: np.ndarray, grid: known_pair.Grid) -> dict[str, np.ndarray]:
    """Organ, rest of the body, and the band around the border; only where the truth stays inside the moving image."""
    low, high = np.percentile(fixed, [1, 99])
    body = gaussian_filter(fixed, 1.5) > (-500 if fixed.min() < -500 else low + 0.1 * (high - low))
    voxels = np.array(grid.spacing) * np.array(grid.direction).diagonal()
    index = np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), -1)
    target = index + np.moveaxis(truth, 0, -1) / voxels
    seen = np.all((target >= 0) & (target <= np.array(grid.shape) - 1), axis=-1)
    distance = signed_distance(organ, grid)
    inside = distance <= 0
    return {
        "inside": seen & inside,
        "outside": seen & body & ~inside,
        "border": seen & (body | inside) & (np.abs(distance) < BORDER_MM),
    }


def _lung(name: str, spacing: tuple[float, ...], motion: Motion) -> known_pair.Case:
    image, grid = known_pair.read("lung_ct/baseline.mha")
    mask, _ = known_pair.read("lung_ct/baseline_mask.mha")
    image, target = on_patient_axes(np.maximum(image, -1000), grid, spacing)
    organ, _ = on_patient_axes(mask, grid, spacing, nearest=True)
    return breathing_case(name, image, target, organ > 0, motion)


def _liver_mr(name: str, spacing: tuple[float, ...], motion: Motion) -> known_pair.Case:
    image, grid = known_pair.read("abdomen/mr.nii.gz")
    labels, _ = known_pair.read("abdomen/mr_labels.nii.gz")
    image, target = on_patient_axes(np.maximum(image, 0), grid, spacing)
    organ, _ = on_patient_axes((labels == 5).astype(np.float32), grid, spacing, nearest=True)
    return breathing_case(name, image, target, organ > 0, motion)


def _ellipsoid(
    name: str,
    source: tuple[np.ndarray, known_pair.Grid],
    spacing: tuple[float, ...],
    axes: tuple[float, ...],
    motion: Motion,
) -> known_pair.Case:
    image, target = on_patient_axes(*source, spacing)
    case = breathing_case(name, image, target, ellipsoid(target, (0.45, 0.5, 0.5), axes), motion)
    return replace(case, preset="abdomen-ct") if image.min() < -500 else case


def breathing_cases(limit: int | None) -> list[known_pair.Case]:
    """Seven motions of 10 to 25 mm: CT and MR, isotropic and 1.3 x 1.3 x 4 mm, lung, liver and ellipsoidal organs."""
    thick = (1.3, 1.3, 4.0)

    def ct() -> tuple[np.ndarray, known_pair.Grid]:
        image, grid = known_pair.read("abdomen/ct.nii.gz")
        return np.maximum(image, -1000), grid

    def mr(name: str) -> tuple[np.ndarray, known_pair.Grid]:
        image, grid = known_pair.read(name)
        return np.maximum(image, 0), grid

    makers = [
        lambda: _lung("breathing_lung_thick_20", thick, Motion(-20.0, compress=0.8)),
        lambda: _ellipsoid("breathing_abdomen_ct_iso_25", ct(), (3.0, 3.0, 3.0), (70.0, 60.0, 70.0), Motion(-25.0)),
        lambda: _ellipsoid(
            "breathing_mr_thick_20",
            mr("brain_ms_mni/patient07_T2.nii.gz"),
            thick,
            (40.0, 50.0, 40.0),
            Motion(-20.0, compress=0.3),
        ),
        lambda: _lung("breathing_lung_iso_25", (2.5, 2.5, 2.5), Motion(-25.0, compress=0.8)),
        lambda: _ellipsoid(
            "breathing_mr_iso_15",
            mr("brain_ms_mni/patient07_T1.nii.gz"),
            (2.0, 2.0, 2.0),
            (42.0, 52.0, 42.0),
            Motion(15.0),
        ),
        lambda: _liver_mr("breathing_liver_mr_10", (1.5, 1.5, 3.0), Motion(-10.0)),
        lambda: _ellipsoid(
            "breathing_abdomen_ct_thick_20", ct(), thick, (70.0, 60.0, 70.0), Motion(-20.0, compress=0.5)
        ),
    ]
    return [make() for make in makers[:limit]]
