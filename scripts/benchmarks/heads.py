"""T1-like images synthesised from the head label maps, for inter-subject Dice with labels known exactly.

Each pair draws one mean intensity per tissue, shared by both people (they share the contrast, as in one study); noise,
bias field and texture differ. Partial volume comes from smoothing the piecewise constant image.
"""

from __future__ import annotations

import known_pair
import numpy as np
from scipy.ndimage import gaussian_filter, zoom

HEAD_SEED = 14
BRAIN_LABELS = (2, 3, 4, 7, 8, 10, 11, 12, 13, 14, 15, 16, 17, 18, 26, 28)
BRAIN_LABELS += (41, 42, 43, 46, 47, 49, 50, 51, 52, 53, 54, 58, 60)
"""FreeSurfer numbers of the scored structures: no background, extracerebral tissue, vessels or lesions."""

CROP = (160, 192, 224)

TISSUES = {
    110: (2, 41, 251, 252, 253, 254, 255),
    104: (7, 46),
    100: (16, 28, 60, 512),
    78: (3, 42),
    76: (8, 47),
    92: (10, 49),
    80: (11, 50, 26, 58),
    86: (12, 51),
    98: (13, 52),
    74: (17, 18, 53, 54),
    60: (57, 77, 85, 530),
    28: (4, 5, 14, 15, 24, 25, 43, 44, 72),
    45: (30, 31, 62, 63, 136, 137, 163, 164, 502, 514),
    85: (507, 508),
    95: (511,),
    55: (509,),
    15: (515, 506),
    90: (516,),
}
"""Typical T1 mean (white matter 110) → labels. Unlisted labels take 70."""


def t1_means(random: np.random.Generator) -> np.ndarray:
    """Mean intensity of every label value below 1024; drawn once per pair."""
    means = np.full(1024, 70.0)
    for value, labels in TISSUES.items():
        means[list(labels)] = value + random.normal(0, 3)
    for left, right in ((2, 41), (3, 42), (7, 46), (8, 47), (10, 49), (11, 50), (12, 51), (13, 52), (17, 53), (18, 54)):
        means[left] = means[right] = means[left] + random.normal(0, 2)
    means[0] = 0
    return means


def t1_like(labels: np.ndarray, means: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A T1-like image of a label map: means + texture, partial volume, bias field ±20 %, Rician-like noise."""
    image = means[labels].astype(np.float32)
    texture = gaussian_filter(random.standard_normal(labels.shape).astype(np.float32), 2.0)
    image += (labels > 0) * texture * (3.0 / texture.std())
    image = gaussian_filter(image, 0.7)
    coarse = random.standard_normal((4, 4, 4))
    bias = zoom(coarse, [n / 4 for n in labels.shape], order=3, grid_mode=True, mode="nearest")
    image *= np.exp(0.1 * bias / bias.std()).astype(np.float32)
    noise = random.standard_normal((2, *labels.shape)).astype(np.float32) * 2.5
    return np.sqrt((image + noise[0]) ** 2 + noise[1] ** 2).astype(np.float32)


def _pairs(count: int) -> list[tuple[int, int]]:
    random = np.random.default_rng(HEAD_SEED)
    return [tuple(random.choice(np.arange(1, 15), 2, replace=False)) for _ in range(count)]


def _cropped(labels: np.ndarray, grid: known_pair.Grid) -> tuple[np.ndarray, known_pair.Grid]:
    """The 160x192x224 box around the brain; extracranial labels become background."""
    brain = (labels > 0) & (labels < 500)
    stripped = np.where(brain, labels, 0)
    cerebrum = np.isin(labels, BRAIN_LABELS)
    ends = [np.flatnonzero(cerebrum.any(axis=others))[[0, -1]] for others in ((1, 2), (0, 2), (0, 1))]
    first = [int(end.sum() + 1) // 2 - n // 2 for end, n in zip(ends, CROP, strict=True)]
    affine = grid.affine.copy()
    affine[:3, 3] = grid.index_to_point(np.array(first))
    target = known_pair.Grid.from_affine(affine, CROP)
    return known_pair.resample_array(stripped, grid, target, nearest=True), target


def _case(pair: tuple[int, int], *, stripped: bool) -> known_pair.Case:
    random = np.random.default_rng([HEAD_SEED, *pair])
    means = t1_means(random)
    images, maps, grids = [], [], []
    for subject in pair:
        labels, grid = known_pair.read(f"head_label_maps/head_{subject:02d}.nii.gz", np.int32)
        if stripped:
            labels, grid = _cropped(labels, grid)
        image = t1_like(labels, means, random)
        images.append(image * (labels > 0) if stripped else image)
        maps.append(labels)
        grids.append(grid)
    name = f"head_{'stripped' if stripped else 'whole'}_{pair[0]:02d}_{pair[1]:02d}"
    return known_pair.Case(
        name=name,
        fixed=images[0],
        moving=images[1],
        fixed_grid=grids[0],
        moving_grid=grids[1],
        preset="brain-mri",
        start="affine",
        fixed_labels=maps[0],
        moving_labels=maps[1],
        labels=BRAIN_LABELS,
    )


def stripped_cases(limit: int | None) -> list[known_pair.Case]:
    """Skull-stripped 160x192x224, 1 mm (three pairs when no limit is given)."""
    return [_case(pair, stripped=True) for pair in _pairs(3 if limit is None else limit)]


def whole_cases(limit: int | None) -> list[known_pair.Case]:
    """Whole heads, 256x256x256, 1 mm (two pairs when no limit is given)."""
    return [_case(pair, stripped=False) for pair in _pairs(2 if limit is None else limit)]
