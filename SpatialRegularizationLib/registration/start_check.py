"""Check an affine start against the images themselves, and say in sentences for the report where it is not to be trusted.

The start climbs mutual information from nearby; it cannot know that it has climbed the wrong hill. Four things are cheap to see
afterwards: another orientation that fits better, fields of view that hardly share anything, content that fills hardly anything of
its image, and structures that are less alike than they were before.
"""

from __future__ import annotations

import itertools

import numpy as np
import torch

from ..geometry.grid import Grid
from ..geometry.volume import Volume
from ..images.preparation import overlap_share
from ..similarity.local_correlation import local_ncc
from .affine import COARSE, rigidly_improved
from .mutual_information import MutualInformation, Pair, mass_center, pair_at
from .working_pair import read_through

PROMISING, REFINED = 0.5, 2
"""At most so many other orientations are refined: those whose mutual information reaches this share of the start's."""
BETTER = 1.05
"""And told where it exceeds the start's by this factor,"""
TURNED_DEGREES = 30.0
"""being turned against the start by at least this much."""
SMALLEST_SHARE = 0.6
"""Share of the smaller field of view that lies in the other, below which the start may have been drawn to a wrong overlap."""
CONTENT_LEVEL, SMALLEST_CONTENT = 0.1, 0.05
"""Voxels that differ from the median by more than this share of the range are content; less content than this is told."""
LESS_ALIKE = 0.02
"""Loss of mean local correlation against the position by the headers that is told."""
COMPARED_VOXELS = 40**3
"""Of the lattice on which structures are compared."""
ADVICE = "look at the overlay before you use the result, and give an initial transform where it is wrong"


def doubts(
    images: tuple[Volume, Volume],
    masks: tuple[Volume | None, Volume | None],
    affine: np.ndarray,
    before: np.ndarray,
    *,
    seed: int = 0,
) -> tuple[str, ...]:
    """Sentences against a start; empty where there are none.

    Args:
        images: fixed and moving, (1, i, j, k), finite.
        masks: of each, on its image's grid, or None.
        affine: B, 4x4 fixed → moving, mm LPS, as found.
        before: 4x4, from which it was sought (the identity: the headers).
        seed: as for the start.
    """
    pair = pair_at(images, masks, **COARSE, seed=seed)
    found = [_other_orientation(pair, affine), _little_overlap(images, affine), *_little_content(pair)]
    found.append(_less_alike(images, affine, before))
    return tuple(sentence for sentence in found if sentence)


def _other_orientation(pair: Pair, affine: np.ndarray) -> str:
    """Quarter and half turns about the content's center, refined where they come near."""
    score = MutualInformation(pair)
    known = score(affine)
    center, moving_center = mass_center(pair.fixed, pair.fixed_mask), mass_center(pair.moving, pair.moving_mask)
    centered = np.eye(4)
    centered[:3, 3] = moving_center - center
    turned = [start @ _about(center, turn) for turn in _turns() for start in (affine, centered)]
    near = sorted((start for start in turned if score(start) >= PROMISING * known), key=score, reverse=True)
    refined = [rigidly_improved(pair, start, score) for start in near[:REFINED]]
    best = max(refined, key=score, default=affine)
    degrees = _degrees_apart(best, affine)
    if degrees < TURNED_DEGREES or score(best) < BETTER * known:
        return ""
    return (
        f"The start is not to be trusted: turned by {degrees:.0f} degrees the images agree better (mutual information "
        f"{score(best):.2f} instead of {known:.2f}), so one of them may be upside down or turned; {ADVICE}."
    )


def _degrees_apart(one: np.ndarray, other: np.ndarray) -> float:
    """Angle of the rotation that is nearest to one⁻¹ other."""
    left, _, right = np.linalg.svd(np.linalg.inv(one[:3, :3]) @ other[:3, :3])
    return float(np.degrees(np.arccos(np.clip((np.trace(left @ right) - 1) / 2, -1, 1))))


def _turns() -> list[np.ndarray]:
    """The 23 rotations of a cube other than rest, 3x3."""
    turns = []
    for axes in itertools.permutations(range(3)):
        for signs in itertools.product((1.0, -1.0), repeat=3):
            matrix = np.zeros((3, 3))
            matrix[range(3), axes] = signs
            if np.linalg.det(matrix) > 0 and not np.allclose(matrix, np.eye(3)):
                turns.append(matrix)
    return turns


def _about(center: np.ndarray, turn: np.ndarray) -> np.ndarray:
    """4x4: a rotation about a point."""
    matrix = np.eye(4)
    matrix[:3, :3] = turn
    matrix[:3, 3] = center - turn @ center
    return matrix


def _little_overlap(images: tuple[Volume, Volume], affine: np.ndarray) -> str:
    fixed, moving = (image.grid for image in images)
    share = max(overlap_share(fixed, moving, affine), overlap_share(moving, fixed, np.linalg.inv(affine)))
    if share >= SMALLEST_SHARE:
        return ""
    return (
        f"The start is not to be trusted: with it the fields of view share only {100 * share:.0f} % of the smaller one, and a "
        f"larger overlap of unlike parts may have won; {ADVICE}, or crop both images to what they share."
    )


def _little_content(pair: Pair) -> tuple[str, ...]:
    sentences = []
    for name, image, mask in (("fixed", pair.fixed, pair.fixed_mask), ("moving", pair.moving, pair.moving_mask)):
        low, high = image.data.aminmax()
        content = ((image.data - image.data.median()).abs() > CONTENT_LEVEL * (high - low)).float().mean()
        if mask is None and float(content) < SMALLEST_CONTENT:
            sentences.append(
                f"The start is not to be trusted: the content of the {name} image fills only {100 * float(content):.1f} % of it, "
                "too little for a coarse search; crop the image, or give a mask of the content."
            )
    return tuple(sentences)


def _less_alike(images: tuple[Volume, Volume], affine: np.ndarray, before: np.ndarray) -> str:
    """Mean local correlation where both positions carry the fixed image into the moving one."""
    fixed, moving = images
    shape = _coarse_shape(fixed.grid)
    where = fixed.grid.resized(shape)
    reference = read_through(fixed, where, np.eye(4))
    inside = torch.ones_like(reference, dtype=torch.bool)
    for matrix in (affine, before):
        ones = moving.with_data(torch.ones_like(moving.data, dtype=torch.float32))
        inside &= read_through(ones, where, matrix, fill=0.0) > 0.5
    if int(inside.sum()) < 0.05 * inside.numel():
        return ""
    moved = [read_through(moving, where, matrix) for matrix in (affine, before)]
    now, then = (float(local_ncc(image, reference, window=5, mask=inside.float())) for image in moved)
    if now >= then - LESS_ALIKE:
        return ""
    return (
        f"The start is not to be trusted: it leaves the structures less alike than they were (local correlation {now:.2f}, "
        f"{then:.2f} before); start rigidly or from the headers, and look at the overlay."
    )


def _coarse_shape(grid: Grid) -> tuple[int, ...]:
    """Voxels per axis of a nearly isotropic lattice of about `COMPARED_VOXELS`."""
    size = (float(np.prod(np.array(grid.shape) * np.array(grid.spacing))) / COMPARED_VOXELS) ** (1 / 3)
    return tuple(min(n, max(2, 1 + round(length / size))) for n, length in zip(grid.shape, grid.extent, strict=True))
