"""Find the affine start: the matrix B that carries fixed points to moving points before anything bends.

    B = argmax S(B),      S: mutual information × share of the fixed positions that B carries into the moving image

Starts (headers, geometric centers, centers of mass, ends of unequal fields of view) × rotations are scored at coarse
resolution, the best few are refined rigidly, the winner is refined at finer resolution (Mattes et al., IEEE TMI 2003,
by SimpleITK), and a refinement that does not raise S is thrown away. Only the matrix is returned; the images are never
resampled for the caller.
"""

from __future__ import annotations

import contextlib
import enum
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from ..geometry.volume import Volume
from .mutual_information import BINS, MutualInformation, Pair, mass_center, pair_at

COARSE = {"voxels": 32**3, "samples": 8000}
"""Size of the fixed copy on which the starts are compared, and positions at which mutual information is taken."""
FINE = {"voxels": 64**3, "samples": 30000}
"""The same for the refinement of the winner."""
ROTATIONS = tuple(itertools.product((0.0, -0.5, 0.5), repeat=3))
"""Starting Euler angles, rad: no rotation first, then about 30 degrees about one, two or three axes."""
REFINED_STARTS = 3
FAR_SHARE = 0.75
"""Ends are also brought together along axes where one field of view is shorter than this share of the other."""


class AffineStart(enum.Enum):
    """How much of the pose is found before the deformable part."""

    NONE = "none"
    CENTER = "center"
    RIGID = "rigid"
    AFFINE = "affine"


@dataclass(frozen=True)
class _Descent:
    """One refinement: first step in voxels of its level, most iterations, all twelve numbers or six."""

    step: float
    iterations: int
    kind: AffineStart


_COARSE_RIGID = _Descent(1.0, 50, AffineStart.RIGID)
_FINE_RIGID = _Descent(0.5, 60, AffineStart.RIGID)
_FINE_AFFINE = _Descent(0.5, 100, AffineStart.AFFINE)


def start_affine(  # seven arguments: each is asked for by name at one place, `register`
    fixed: Volume,
    moving: Volume,
    kind: AffineStart,
    *,
    initial: np.ndarray | None = None,
    masks: tuple[Volume | None, Volume | None] = (None, None),
    seed: int = 0,
    monitor: Callable[[float], None] | None = None,
) -> np.ndarray:
    """The affine map from fixed to moving patient space that mutual information asks for.

    Deterministic, and independent of the number of threads: positions are drawn from the seed, and the sums of the
    optimization run in one thread. A few seconds at most for any image size.

    Args:
        fixed: image (1, i, j, k), any numeric type, finite.
        moving: image (1, i, j, k).
        kind: NONE returns `initial`; CENTER shifts only (the better of the centers of geometry and of mass).
        initial: 4x4 fixed → moving, mm LPS, from which to start; None is the identity, that is the headers.
        masks: of the fixed and of the moving image, on their grids; only voxels > 0 count.
        seed: decides at which positions the images are compared.
        monitor: called with the share of the work done, 0 to 1; what it raises stops the search.

    Returns:
        B, 4x4 float64, mm LPS.

    Raises:
        ValueError: `initial` is not an invertible 4x4 matrix, or the images are not three-dimensional.
    """
    start = _checked_initial(initial)
    if fixed.grid.dimension != 3 or moving.grid.dimension != 3:
        shapes = f"{fixed.grid.shape} and {moving.grid.shape}"
        raise ValueError(f"The affine start needs two 3-D images, got grids {shapes}; extract one volume each.")
    tell = monitor or (lambda share: None)
    tell(0.0)
    if kind is AffineStart.NONE:
        return start
    coarse = pair_at((fixed, moving), masks, **COARSE, seed=seed)
    tell(0.2)
    score = MutualInformation(coarse)
    centered = _shifts(coarse, start)
    if kind is AffineStart.CENTER:
        return max(centered, key=score)
    best = _best_rigid(coarse, score, centered, tell)
    fine = pair_at((fixed, moving), masks, **FINE, seed=seed)
    score = MutualInformation(fine)
    best = _improved(fine, best, _FINE_RIGID, score)
    tell(0.7)
    if kind is AffineStart.AFFINE:
        best = _improved(fine, best, _FINE_AFFINE, score)
    tell(1.0)
    return best


def rigidly_improved(coarse: Pair, start: np.ndarray, score: MutualInformation) -> np.ndarray:
    """A start after the rigid refinement at coarse resolution, or the start itself if the score did not rise."""
    return _improved(coarse, start, _COARSE_RIGID, score)


def _checked_initial(initial: np.ndarray | None) -> np.ndarray:
    matrix = np.eye(4) if initial is None else np.array(initial, dtype=np.float64)
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all() or abs(np.linalg.det(matrix)) < 1e-9:
        raise ValueError(f"The initial affine must be an invertible 4x4 matrix (mm, LPS), got {matrix.tolist()}.")
    return matrix


def _best_rigid(coarse: Pair, score: MutualInformation, centered: list[np.ndarray], tell: Callable) -> np.ndarray:
    """The best of the starts after a rigid refinement of the most promising ones."""
    center = mass_center(coarse.fixed, coarse.fixed_mask)
    starts = [shift @ _rotation(angles, center) for shift in centered for angles in ROTATIONS]
    upright = [starts[i * len(ROTATIONS)] for i in range(len(centered))]
    promising = [max(upright, key=score)]
    ranked = sorted(starts, key=score, reverse=True)
    promising += [start for start in ranked if start is not promising[0]][: REFINED_STARTS - 1]
    refined = []
    for n, start in enumerate(promising):
        refined.append(rigidly_improved(coarse, start, score))
        tell(0.2 + 0.4 * (n + 1) / len(promising))
    return max(refined, key=score)


def _shifts(pair: Pair, start: np.ndarray) -> list[np.ndarray]:
    """The start as given, with the centers of geometry brought together, and with the centers of mass."""
    linear = start[:3, :3]
    centers = [
        (np.array(pair.fixed.grid.center), np.array(pair.moving.grid.center)),
        (mass_center(pair.fixed, pair.fixed_mask), mass_center(pair.moving, pair.moving_mask)),
    ]
    shifted = [start]
    for fixed_center, moving_center in centers:
        matrix = start.copy()
        matrix[:3, 3] = moving_center - linear @ fixed_center
        shifted.append(matrix)
    return shifted + _end_shifts(pair, shifted[1])


def _end_shifts(pair: Pair, centered: np.ndarray) -> list[np.ndarray]:
    """Starts that bring the ends of the two fields of view together where one is much shorter (a slab of a body)."""
    fixed, moving = pair.fixed.grid, pair.moving.grid
    corners = np.array(list(itertools.product(*[(0, n - 1) for n in fixed.shape])))
    seen = moving.point_to_index(fixed.index_to_point(corners) @ centered[:3, :3].T + centered[:3, 3])
    starts = []
    for axis, width in enumerate(np.ptp(seen, axis=0)):
        surplus = (moving.shape[axis] - 1) - width
        if abs(surplus) < (1 - FAR_SHARE) * max(moving.shape[axis] - 1, width):
            continue
        for sign in (-0.5, 0.5):
            matrix = centered.copy()
            matrix[:3, 3] += sign * surplus * moving.affine[:3, axis]
            starts.append(matrix)
    return starts


def _rotation(angles: tuple[float, ...], center: np.ndarray) -> np.ndarray:
    """4x4 rotation about a point."""
    return _matrix_of(sitk.Euler3DTransform([float(c) for c in center], *angles))


def _matrix_of(transform: sitk.Transform) -> np.ndarray:
    """4x4 matrix of any linear SimpleITK transform, read off the images of four points."""
    origin = np.array(transform.TransformPoint((0.0, 0.0, 0.0)))
    matrix = np.eye(4)
    matrix[:3, 3] = origin
    for axis in range(3):
        matrix[:3, axis] = np.array(transform.TransformPoint(tuple(np.eye(3)[axis]))) - origin
    return matrix


def _improved(pair: Pair, start: np.ndarray, descent: _Descent, score: MutualInformation) -> np.ndarray:
    """The start after gradient descent on Mattes mutual information, or the start if the score did not rise.

    Lengths are divided by the radius r of the fixed image, positions counted from its center: then rotations, shears
    and shifts move voxels about equally far and one step length serves them all. (ITK's parameter scales do not do
    this: its normalized step gives all of its length to the matrix where the shift has converged.)
    """
    center = mass_center(pair.fixed, pair.fixed_mask)
    radius = 0.5 * float(np.linalg.norm(pair.fixed.grid.extent)) / np.sqrt(3)
    to_unit = np.diag([1 / radius] * 3 + [1.0])
    to_unit[:3, 3] = -center / radius
    method = _method(pair, to_unit)
    step = descent.step * max(pair.fixed.grid.spacing) / radius
    method.SetOptimizerAsRegularStepGradientDescent(
        step, step * 0.005, descent.iterations, relaxationFactor=0.7, gradientMagnitudeTolerance=1e-8
    )
    update = sitk.Euler3DTransform() if descent.kind is AffineStart.RIGID else sitk.AffineTransform(3)
    method.SetMovingInitialTransform(_to_transform(to_unit @ start @ np.linalg.inv(to_unit)))
    method.SetInitialTransform(update, inPlace=True)
    try:
        with _one_itk_thread():
            method.Execute(_to_image(pair.fixed, to_unit), _to_image(pair.moving, to_unit))
    except RuntimeError:  # ITK's way to say that too few positions overlap: the start stays
        return start
    return max((start, start @ np.linalg.inv(to_unit) @ _matrix_of(update) @ to_unit), key=score)


@contextlib.contextmanager
def _one_itk_thread() -> Iterator[None]:
    """ITK's metric adds up in the order in which threads finish; one thread gives the same sum every time.

    The metric takes its threads from the process-wide default and not from the registration method.
    """
    threads = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)


def _method(pair: Pair, to_unit: np.ndarray) -> sitk.ImageRegistrationMethod:
    """Mattes mutual information inside the masks."""
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(BINS)
    method.SetInterpolator(sitk.sitkLinear)
    counted = int(np.prod(pair.fixed.grid.shape))
    if pair.fixed_mask is not None:
        method.SetMetricFixedMask(sitk.Cast(_to_image(pair.fixed_mask, to_unit), sitk.sitkUInt8))
        counted = int((pair.fixed_mask.data > 0).sum())
    if pair.moving_mask is not None:
        method.SetMetricMovingMask(sitk.Cast(_to_image(pair.moving_mask, to_unit), sitk.sitkUInt8))
    if counted > pair.samples:
        method.SetMetricSamplingStrategy(method.RANDOM)
        method.SetMetricSamplingPercentage(pair.samples / counted, pair.seed + 1)
    return method


def _to_transform(matrix: np.ndarray) -> sitk.AffineTransform:
    return sitk.AffineTransform(matrix[:3, :3].flatten().tolist(), matrix[:3, 3].tolist())


def _to_image(volume: Volume, to_unit: np.ndarray) -> sitk.Image:
    """The image with its header moved by a scaling and shift of space."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(volume.data[0].permute(2, 1, 0).float().numpy()))
    image.SetSpacing([s * to_unit[0, 0] for s in volume.grid.spacing])
    image.SetOrigin((to_unit @ [*volume.grid.origin, 1.0])[:3].tolist())
    image.SetDirection(np.array(volume.grid.direction).flatten().tolist())
    return image
