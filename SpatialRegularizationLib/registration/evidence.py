"""Gather what speaks for and against a registration from the images themselves, on lattices small enough to take seconds.

    round trip   a coarse registration of its own, moving → fixed, begun at the inverse of φ's linear part only: ψ.  |ψ(φ(x)) - x|
                 is small where the images leave no choice, and large where nothing in them corresponds
    mirror       a coarse registration of the mirror image may not end better than the result
    turn         nor may one of the most promising half or quarter turn
    shifts       where the images agree, they agree better than after a shift of a few voxels, in each part of the content

Nothing here knows how the transform was found.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..fields.resize import box_mean
from ..fields.sampling import sample_linear, voxel_coordinates
from ..geometry.grid import Grid
from ..geometry.transform import SpatialTransform, degrees_of
from ..geometry.volume import Volume
from ..images.preparation import overlap_share
from ..images.usable import fit_mask
from ..transforms.mapping import transform_points
from .prepare import PreparedPair
from .result import Figures, Registration
from .second_look import FEW, Seen, correlation_map, inside_of, registered, shared_information
from .verdict import Evidence, judge, unjudged

BLOCK = 7
"""Side of the neighborhoods in which shifts are compared, voxels."""
ALLOWED_MM = 25.0
"""Added, at most, to the radius of the content where lengths are compared with it: a small organ is uncertain by voxels, too."""
SHIFTS = tuple(tuple(s * (axis == a) for a in range(3)) for axis in range(3) for s in (-2, 2))
"""Of the warped image, voxels."""
TURNED_VOXELS, TURNED_RADII = 28, 2.6
"""Lattice of the comparison of turns: a cube around the content, its side in root mean square radii of the content."""
PROMISING = 0.4
"""A turn is registered where it shares this part of the information that the result shares, before it is registered."""
MIRROR = np.diag([-1.0, 1.0, 1.0])


def judged(prepared: PreparedPair, registration: Registration, *, at: float = 0.97) -> Registration:
    """The registration with its verdict; an error on the way to it is a reason to look, not the end of the registration.

    Args:
        prepared: the pair.
        registration: concluded.
        at: share of the whole job at which it is checked.
    """
    reporter = prepared.reporter
    reporter.tell("checking the result", at)
    images, companions = (registration.fixed, registration.moving), prepared.companions
    masks = ((companions.fixed_mask, "fixed mask"), (companions.moving_mask, "moving mask"))
    try:
        fitted = tuple(m and fit_mask(m, i.grid, name) for (m, name), i in zip(masks, images, strict=True))
        evidence = gather(
            images, registration.transform, masks=fitted, intensity=prepared.settings.intensity,
            described=prepared.choices.compared.describes,
        )  # fmt: skip
        verdict = judge(replace(evidence, **_of_figures(registration.figures)), prepared.start.doubts)
    except Exception as error:  # whatever it is: the registration is there, and must not be lost
        verdict = unjudged(error)
    figures = replace(registration.figures, seconds=reporter.seconds)
    reporter.tell("done", 1.0)
    return replace(registration, verdict=verdict, figures=figures, seconds=reporter.seconds)


def _of_figures(figures: Figures) -> dict[str, float | None]:
    """What the figures say."""
    changes = {}
    for name, key in (("dice_change", "dice"), ("landmarks_change_mm", "tre")):
        ending = "_mm" if key == "tre" else ""
        before, after = (getattr(figures, f"{key}_{when}{ending}") or {} for when in ("before", "after"))
        if before.get("mean") is not None and after.get("mean") is not None:
            changes[name] = after["mean"] - before["mean"]
    return changes | {
        "folds": figures.folding_percent,
        "roughness": figures.sd_log_j,
        "folded": figures.smoothed_percent,
    }


def gather(
    images: tuple[Volume, Volume],
    transform: SpatialTransform,
    *,
    masks: tuple[Volume | None, Volume | None] = (None, None),
    intensity: str = "percentile",
    described: bool = False,
) -> Evidence:
    """The evidence on a transform; a second or two for images of any size.

    Args:
        images: fixed and moving, (1, i, j, k), finite.
        transform: fixed points to moving points.
        masks: of each, on its image's grid, or None.
        intensity: how intensities are prepared, as for `prepare_intensity`.
        described: whether descriptors of the structure are to be compared, not intensities: images of two contrasts.

    Raises:
        ValueError: an image that is constant at this resolution.
    """
    seen = Seen.of(images, masks, intensity, described=described)
    warped, inside = seen.through(transform)
    agreement, variance = correlation_map(seen.fixed, warped)
    content = _content(variance, seen.masks[0])
    counted = content & inside
    found = _of_transform(transform, images) | {"seen": float(counted.sum()) / max(1, int(content.sum()))}
    if int(counted.sum()) < FEW:
        return Evidence(**found)
    points = seen.grid.index_to_point(np.argwhere(counted[0, 0].numpy()).astype(float))
    radius = float(np.sqrt(((points - points.mean(0)) ** 2).sum(1).mean()))
    found |= _agreement(seen, warped, agreement, counted)
    line = linear_part(transform, points)
    if transform.displacement is not None:
        found |= _round_trip(seen, transform, line, points, radius)
        bent = np.linalg.norm(transform_points(transform, points) - _carried(line, points), axis=1)
        found["moved"] = float(bent.mean()) / radius
    return Evidence(**found | _others(seen, transform, line, counted, radius))


def linear_part(transform: SpatialTransform, points: np.ndarray) -> np.ndarray:
    """4x4: the affine map that is nearest to a transform at some points (n, 3)."""
    some = points[:: max(1, len(points) // 4000)]
    homogeneous = np.concatenate([some, np.ones((len(some), 1))], axis=1)
    solution, *_ = np.linalg.lstsq(homogeneous, transform_points(transform, some), rcond=None)
    matrix = np.eye(4)
    matrix[:3] = solution.T
    return matrix


def _carried(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    return points @ matrix[:3, :3].T + matrix[:3, 3]


def _content(variance: Tensor, mask: Tensor | None) -> Tensor:
    """Where the fixed image has structure: a tenth of the variance that 2 % of the windows exceed."""
    level = torch.quantile(variance.flatten()[:: max(1, variance.numel() // 100_000)], 0.98)
    content = variance > 0.1 * level
    return content if mask is None else content & (mask >= 0.5)


def _of_transform(transform: SpatialTransform, images: tuple[Volume, Volume]) -> dict[str, float]:
    """Figures of the transform alone."""
    affine, (fixed, moving) = transform.affine_matrix, (image.grid for image in images)
    factors = np.linalg.svd(affine[:3, :3], compute_uv=False)
    overlap = max(overlap_share(fixed, moving, affine), overlap_share(moving, fixed, np.linalg.inv(affine)))
    return {"stretch": float(max(factors.max(), 1 / factors.min())), "overlap": overlap}


def _agreement(seen: Seen, warped: Tensor, agreement: Tensor, counted: Tensor) -> dict[str, Any]:
    """Here, and compared with a shift along each axis, as a whole and in each neighborhood."""
    fixed = seen.fixed
    weight = counted.float()
    share = box_mean(weight, BLOCK)
    near = [agreement] + [correlation_map(fixed, _shifted(warped, shift))[0] for shift in SHIFTS]
    blocks = torch.cat([box_mean(one * weight, BLOCK) for one in near], dim=1) / share.clamp(min=1e-6)
    judged = (share > 0.3) & counted
    worse = (blocks[:, :1] < blocks[:, 1:].amax(1, keepdim=True))[judged]
    means = [float(one[counted].mean()) for one in near]
    least = np.unravel_index(int(torch.where(judged, blocks[:, :1], 2.0).argmin()), seen.grid.shape)
    return {
        "place": tuple(float(x) for x in seen.grid.index_to_point(np.array([least], dtype=float))[0]),
        "agreement": means[0],
        "sharpness": means[0] - max(means[1:]),
        "shared": shared_information(fixed, warped, counted),
        "better_shifted": float(worse.float().mean()) if len(worse) else None,
    }


def _shifted(image: Tensor, shift: tuple[int, ...]) -> Tensor:
    """image(p + shift), the border repeated."""
    for axis, n in enumerate(shift):
        if n:
            size = image.shape[2 + axis]
            image = image.index_select(2 + axis, (torch.arange(size) + n).clamp(0, size - 1))
    return image


def _round_trip(
    seen: Seen, transform: SpatialTransform, line: np.ndarray, points: np.ndarray, radius: float
) -> dict[str, float]:
    """How far points of the content come back from where they started, by a registration of its own."""
    back = registered(seen, np.linalg.inv(line), back=True)
    points = points[:: max(1, len(points) // 4000)]
    there = transform_points(transform, points)
    covered = seen.moving_grid.contains(there)
    if int(covered.sum()) < FEW // 2:
        return {}
    missed = np.linalg.norm(transform_points(back, there[covered]) - points[covered], axis=1)
    return {
        "round_trip": float(missed.mean()) / (radius + min(radius, ALLOWED_MM)),
        "round_trip_mm": float(missed.mean()),
        "round_trip_p95_mm": float(np.percentile(missed, 95)),
    }


def _others(seen: Seen, transform: SpatialTransform, line: np.ndarray, counted: Tensor, radius: float) -> dict[str, float]:
    """The mirror image and, if it is promising, the best turn, registered, against the result.

    What is symmetric fits its mirror image as well; so only what fits better counts, and better than the same coarse registration
    of the image as it is.
    """
    centers = _center(seen.fixed, seen.grid), _center(seen.moving, seen.moving_grid)
    turn, promise = _promising_turn(seen, transform, line, centers, radius)
    own, others, found = _scores(seen, transform, counted), {}, {}
    starts = {"mirrored": _about(line[:3, :3] @ MIRROR, centers[0], _carried(line, centers[0]))}
    if promise >= PROMISING:
        starts["turned"] = _about(line[:3, :3] @ turn, *centers)
        found["turned_degrees"] = degrees_of(turn)
    for name, start in starts.items():
        others[name] = _scores(seen, registered(seen, start), counted)
    if any(other[1] > own[1] for other in others.values()):  # the result itself, registered as they were: it may be unfinished
        own = tuple(max(pair) for pair in zip(own, _scores(seen, registered(seen, line), counted), strict=True))
    for name, other in others.items():
        found |= {name: other[0] / max(own[0], 1e-6), f"{name}_shared": other[1] / max(own[1], 1e-6)}
    return found


def _about(linear: np.ndarray, center: np.ndarray, target: np.ndarray) -> np.ndarray:
    """4x4: a linear map (3x3) that carries a point to another one."""
    matrix = np.eye(4)
    matrix[:3, :3] = linear
    matrix[:3, 3] = target - linear @ center
    return matrix


def _scores(seen: Seen, transform: SpatialTransform, counted: Tensor) -> tuple[float, float]:
    """Agreement and shared information over the same content, whatever the moving image covers."""
    warped, _ = seen.through(transform)
    return float(correlation_map(seen.fixed, warped)[0][counted].mean()), shared_information(seen.fixed, warped, counted)


def _center(image: Tensor, grid: Grid) -> np.ndarray:
    """Center of what differs from the median, LPS mm."""
    weight = (image[0, 0] - image.median()).abs()
    weight = weight * (weight > 0.1)
    place = (voxel_coordinates(weight.shape) * weight).sum((1, 2, 3)) / weight.sum().clamp(min=1e-9)
    return grid.index_to_point(place.numpy()[None])[0]


def _promising_turn(
    seen: Seen, transform: SpatialTransform, line: np.ndarray, centers: tuple[np.ndarray, np.ndarray], radius: float
) -> tuple[np.ndarray, float]:
    """The turn of a cube, other than rest, after which the contents share most, each about its own center: 3x3; and what they
    then share over what they share now."""
    axis = (np.arange(TURNED_VOXELS) - (TURNED_VOXELS - 1) / 2) * TURNED_RADII * radius / (TURNED_VOXELS - 1)
    offsets = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    fixed, inside = _read(seen.fixed, seen.grid, centers[0] + offsets)
    _, variance = correlation_map(fixed, fixed, 3)
    inside &= _content(variance, None)

    def shared(turn: np.ndarray) -> float:
        warped, there = _read(seen.moving, seen.moving_grid, centers[1] + offsets @ turn.T @ line[:3, :3].T)
        both = inside & there
        return shared_information(fixed, warped, both) if int(both.sum()) > 0.4 * int(inside.sum()) else 0.0

    best = max(TURNS, key=shared)
    warped, there = _read(seen.moving, seen.moving_grid, transform_points(transform, centers[0] + offsets))
    return best, shared(best) / max(1e-6, shared_information(fixed, warped, inside & there))


def _read(image: Tensor, grid: Grid, points: np.ndarray) -> tuple[Tensor, Tensor]:
    """An image on the cube of a turn, and where it has data."""
    where = torch.from_numpy(grid.point_to_index(points).T.copy()).float().view(1, 3, *[TURNED_VOXELS] * 3)
    return sample_linear(image, where), inside_of(where, grid.shape)


def _cube_turns() -> list[np.ndarray]:
    """The 23 rotations of a cube other than rest, 3x3."""
    turns = []
    for axes in itertools.permutations(range(3)):
        for signs in itertools.product((1.0, -1.0), repeat=3):
            matrix = np.zeros((3, 3))
            matrix[range(3), axes] = signs
            if np.linalg.det(matrix) > 0 and not np.allclose(matrix, np.eye(3)):
                turns.append(matrix)
    return turns


TURNS = tuple(_cube_turns())
