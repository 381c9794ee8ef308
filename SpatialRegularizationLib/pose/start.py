"""Find the start: the matrix B that carries fixed points to moving points before anything bends, and why it was taken.

Candidates compete under one score (`score.py`): the position by the headers or an initial transform, centers of geometry and of
structure brought together, ends of unequal fields of view, and what a search over all rotations and shifts finds (`search.py`).

    coarse: every candidate climbs, the best turned and the best upright one are compared → finer: the winner climbs on, a level's
    step is taken where it gains more than its standard error → rigid against where it started, affine against rigid

What asks for more trust needs more evidence: a turn by more than `UPRIGHT_DEGREES`, any move away from the given position, and
any stretch are taken only where the gain is `CLEAR` standard errors on some level, so that noise moves nothing.
"""

from __future__ import annotations

import enum
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from ..geometry.displacement import DisplacementField
from ..geometry.grid import Grid
from ..geometry.transform import degrees_apart
from ..geometry.volume import Volume
from ..images.preparation import overlap_share
from ..transforms.mapping import displacement_at
from .score import AFFINE, RIGID, Climb, PoseScore
from .search import ACROSS, end_shifts, search
from .structure import Structure, content_length, evenly, grown, inner, structure_of

Images = tuple[Volume, Volume]
Masks = tuple[Volume | None, Volume | None]

GIVEN = "the position by the headers"
"""Name of the first candidate."""
CLEAR = 3.0
"""Standard errors by which a pose has to be better to be clearly better."""
BETTER = 1.0
"""The same for a finer level's step."""
UPRIGHT_DEGREES = 45.0
"""A turn by more is doubted."""
MOST_ACROSS = 40
"""Voxels at most along the longest axis of the search's lattice."""
THIN = 2
"""Voxels of the search's lattice along the shortest axis of either field of view, where that can be."""
LEAST_SHARE = 0.75
"""Gradients are taken on lattices of this share of the finer image's smallest voxel edge or more: finer ones tell nothing new."""
SMALLEST_SHARE = 0.4
"""Share of the smaller field of view in the other, below which a start is doubted."""
RIVAL = 0.85
"""A pose turned by more than `UPRIGHT_DEGREES` that reaches this share of the winner's score makes it doubtful."""
STRETCHES = (0.03, 0.3)
"""Logarithm of the largest change of length of an affine start: less is one person's images, or what a deformation does as well;
more is no answer."""
ADVICE = "look at the overlay before you use the result, and give an initial transform where it is wrong"


class StartKind(enum.Enum):
    """How much of the pose is found before the deformable part."""

    NONE = "none"
    CENTER = "center"
    RIGID = "rigid"
    AFFINE = "affine"


@dataclass(frozen=True)
class Start:
    """A start and how it was found.

    Args:
        matrix: B, 4x4 float64, fixed → moving, mm LPS.
        decision: a sentence for the report; empty where nothing was to be decided.
        doubts: sentences against it.
        seconds: that it took.
        score: S on the finest level that was asked, nats; None where nothing was scored.
    """

    matrix: np.ndarray
    decision: str = ""
    doubts: tuple[str, ...] = ()
    seconds: float = 0.0
    score: float | None = None


@dataclass(frozen=True)
class _Level:
    """A level of the climb: voxels across the content, gradient voxels per voxel, positions compared."""

    across: int
    blocks: int
    samples: int


LEVELS = (_Level(2 * ACROSS, 3, 2500), _Level(4 * ACROSS, 2, 12000), _Level(10 * ACROSS, 1, 25000))
POLISHED, MOST_VOXELS = _Level(20 * ACROSS, 1, 60000), 6e6
"""The level of `polished`, and about how many voxels a lattice has at most."""
INSIDE, DEPTHS, FEW = _Level(5 * ACROSS, 1, 25000), (0.06, 0.14), 50
"""The level on which a stretch is held against none below the outlines, how deep, as shares of the content's length, and the
voxels of `inner` below which nothing is said."""
SEARCHED, TRIED, CLIMBED = 16, 4, 4
"""Poses of the search, steps that every candidate climbs, and those of them besides the given one that climb on: where the fields
of view share half, the right hill is among the first twenty of the search, and stands out after four steps."""
CERTAIN = 1.0
"""Score on the first level (a correlation of 0.93) from which on nothing else is searched for, unless the body looks the same
from several sides."""
WEAK, SCATTERED, CLIMBED_AROUND = (0.015, 0.06), 60, 20
"""Scores on the finest level between which (less is no relation) the best of so many poses around the winner climb, too."""
CONTENDERS, CONTENDS = 3, 0.5
"""So many orientations go on to the second level: those that reach this share of the best score on the first."""


def find_start(  # seven arguments: each is asked for by name at one place, `register`
    fixed: Volume,
    moving: Volume,
    kind: StartKind,
    *,
    initial: np.ndarray | None = None,
    masks: tuple[Volume | None, Volume | None] = (None, None),
    seed: int = 0,
    monitor: Callable[[float], None] | None = None,
) -> Start:
    """The rigid or affine map from fixed to moving patient space that the structures of both images ask for.

    Deterministic. Thousands of small operations: call it in one thread, since two that wait for one another beside other work
    take ten times as long. It takes two to five seconds of one thread, and more where images share little.

    Args:
        fixed: image (1, i, j, k), any numeric type, finite.
        moving: image (1, i, j, k).
        kind: NONE returns `initial`; CENTER shifts only (the better of the centers of geometry and of structure).
        initial: 4x4 fixed → moving, mm LPS, which is the first candidate; None is the identity, that is the headers.
        masks: of the fixed and of the moving image, on their grids; only voxels > 0 count.
        seed: decides at which positions the images are compared.
        monitor: called with the share of the work done, 0 to 1; what it raises stops the search.

    Raises:
        ValueError: `initial` is not an invertible 4x4 matrix, or the images are not three-dimensional.
    """
    begin = time.perf_counter()
    given = _checked_initial(initial)
    if fixed.grid.dimension != 3 or moving.grid.dimension != 3:
        shapes = f"{fixed.grid.shape} and {moving.grid.shape}"
        raise ValueError(f"The affine start needs two 3-D images, got grids {shapes}; extract one volume each.")
    tell = monitor or (lambda share: None)
    tell(0.0)
    if kind is StartKind.NONE:
        return Start(given)
    found = _Contest((fixed, moving), masks, given, seed, tell).settled(kind)
    tell(1.0)
    return Start(found.matrix, found.decision, found.doubts, time.perf_counter() - begin, found.score)


def polished(start: Start, images: Images, masks: Masks, *, initial: np.ndarray | None = None, seed: int = 0) -> Start:
    """A start climbed once more on a lattice twice as fine, for results that hardly deform: twice as exact, in a few seconds.

    Args:
        start: as found, or given.
        images, masks, initial, seed: as for `find_start`. A position that was kept moves only where that is clearly better.
    """
    begin = time.perf_counter()
    contest = _Contest(images, masks, start.matrix, seed, lambda share: None, POLISHED)
    score = contest.scored(POLISHED)
    linear = start.matrix[:3, :3]
    numbers = RIGID if np.allclose(linear.T @ linear, np.eye(3), atol=1e-6) else AFFINE
    climbed = score.climbed(start.matrix, numbers, Climb(15))
    kept = np.array_equal(start.matrix, np.eye(4) if initial is None else initial)
    better = score.gain(climbed, start.matrix) >= (CLEAR if kept else BETTER)
    return replace(start, matrix=climbed if better else start.matrix, seconds=start.seconds + time.perf_counter() - begin)


def gain_of_bending(images: Images, masks: Masks, start: np.ndarray, field: DisplacementField, *, seed: int = 0) -> float:
    """By how many standard errors the structures agree better with x ↦ B(x + d(x)) than with B alone, on the finest level.

    Args:
        images: fixed and moving, (1, i, j, k), any intensities.
        masks: of both, or None.
        start: B, 4x4, mm LPS.
        field: d on any grid of the fixed patient space; its border value counts outside.
        seed: as for the start.
    """
    score = _Contest(images, masks, start, seed, lambda share: None).scored(LEVELS[-1])
    return score.gain_by_bending(start, displacement_at(field, score.points, extend=True))


def agreement(images: Images, masks: Masks, matrix: np.ndarray, *, seed: int = 0) -> float:
    """S on the finest level of a pose (4x4, mm LPS) that was given, as `Start.score` is that of one that was found."""
    return _Contest(images, masks, matrix, seed, lambda share: None).scored(LEVELS[-1])(matrix)


class _Contest:
    """The candidates of one pair, from coarse to fine."""

    def __init__(
        self, images: Images, masks: Masks, given: np.ndarray, seed: int, tell: Callable[[float], None],
        finest: _Level = LEVELS[-1],
    ) -> None:  # fmt: skip
        self.grids = tuple(image.grid for image in images)
        self.masks = tuple(None if mask is None else grown(mask) for mask in masks)
        self.given, self.seed, self.tell = given, seed, tell
        self.length = max(content_length(*pair) for pair in zip(images, self.masks, strict=True))
        thinnest = min(n * s for grid in self.grids for n, s in zip(grid.shape, grid.spacing, strict=True))
        longest = max(max(grid.extent) for grid in self.grids)
        self.length = max(min(self.length, thinnest * ACROSS / THIN), longest * ACROSS / MOST_ACROSS)
        voxels = (s for grid in self.grids for n, s in zip(grid.shape, grid.spacing, strict=True) if n > 1)
        volume = max(float(np.prod(grid.extent)) for grid in self.grids)
        self.least = max(LEAST_SHARE * min(voxels), (volume / MOST_VOXELS) ** (1 / 3))
        spacing = max(self.least, self.length / (finest.across * finest.blocks))
        self.images = tuple(evenly(image, spacing) for image in images)
        self.named: list[tuple[str, np.ndarray]] = []
        self.scores: list[PoseScore] = []

    def settled(self, kind: StartKind) -> Start:
        """The start of the kind that was asked for."""
        coarse = self._structures(ACROSS, 3)
        self.tell(0.15)
        self.named = [
            (GIVEN if np.array_equal(self.given, np.eye(4)) else "the initial transform", self.given),
            *self._shifted(*coarse),
        ]
        score = self.scored(LEVELS[0])
        if kind is StartKind.CENTER:
            return Start(max((matrix for _, matrix in self.named[:3]), key=score))
        climbed = self._climbed(self.named[:1], self.named[1:])
        self.tell(0.3)
        if not _certain(score, climbed[0][1]):
            found = [("a search over rotations and shifts", found.matrix) for found in search(*coarse, wanted=SEARCHED)]
            self.named += found
            climbed = self._climbed(climbed, found)
        contenders = self._contenders(climbed)
        self.tell(0.6)
        name, matrix, rival = self._winner(contenders)
        self.tell(0.75)
        matrix = self._refined_or_near(matrix)
        self.tell(0.85)
        name, matrix = self._against_given(name, matrix)
        if kind is StartKind.AFFINE:
            name, matrix = self._stretched(name, matrix)
        doubts = tuple(sentence for sentence in (_little_overlap(self.grids, matrix), self._rivaled(matrix, rival)) if sentence)
        return Start(matrix, self._decision(name, matrix), doubts, score=self.scores[-1](matrix))

    def _structures(self, across: int, blocks: int) -> tuple[Structure, Structure]:
        """Of both images, with so many voxels across the content, but no gradients on lattices much finer than the images."""
        finest = max(self.least, self.length / (across * blocks))
        spacing = max(self.length / across, finest)
        fixed, moving = (
            structure_of(image, mask, spacing, blocks=max(1, round(spacing / finest)))
            for image, mask in zip(self.images, self.masks, strict=True)
        )
        return fixed, moving

    def scored(self, level: _Level) -> PoseScore:
        """S on a level; remembered among `scores`."""
        fixed, moving = self._structures(level.across, level.blocks)
        self.scores.append(PoseScore(fixed, moving, samples=level.samples, seed=self.seed))
        return self.scores[-1]

    def _shifted(self, fixed: Structure, moving: Structure) -> list[tuple[str, np.ndarray]]:
        """The given matrix with centers of geometry, then of structure, brought together, and with ends that meet."""
        linear = self.given[:3, :3]
        centers = [tuple(np.array(grid.center) for grid in self.grids), (fixed.center, moving.center)]
        shifted = []
        for fixed_center, moving_center in centers:
            matrix = self.given.copy()
            matrix[:3, 3] = moving_center - linear @ fixed_center
            shifted.append(matrix)
        names = ("centers of the fields of view brought together", "centers of the structures brought together")
        ends = [("ends of the fields of view brought together", matrix) for matrix in end_shifts(*self.grids, shifted[0])]
        return [*zip(names, shifted, strict=True), *ends]

    def _climbed(self, kept: list[tuple[str, np.ndarray]], others: list[tuple[str, np.ndarray]]) -> list[tuple[str, np.ndarray]]:
        """Those that are kept and the most promising of the others after a climb on the first level, best first."""
        score = self.scores[0]
        tried = [(name, score.climbed(matrix, RIGID, Climb(TRIED))) for name, matrix in others]
        tried.sort(key=lambda entry: score(entry[1]), reverse=True)
        climbed = [(name, score.climbed(matrix, RIGID, Climb(12))) for name, matrix in (*kept, *tried[:CLIMBED])]
        return sorted(climbed, key=lambda entry: score(entry[1]), reverse=True)

    def _contenders(self, climbed: list[tuple[str, np.ndarray]]) -> list[tuple[str, np.ndarray]]:
        """The best of each orientation."""
        score = self.scores[0]
        kept: list[tuple[str, np.ndarray]] = []
        for name, matrix in climbed:
            if all(degrees_apart(matrix, other) > UPRIGHT_DEGREES for _, other in kept):
                kept.append((name, matrix))
        least = CONTENDS * score(kept[0][1])
        return [entry for entry in kept if score(entry[1]) >= least][:CONTENDERS]

    def _winner(self, contenders: list[tuple[str, np.ndarray]]) -> tuple[str, np.ndarray, float]:
        """Name and pose of the best orientation on the second level, and the score of the next one over its own."""
        score = self.scored(LEVELS[1])
        refined = [(name, self._refined(matrix, score)) for name, matrix in contenders]
        refined.sort(key=lambda entry: score(entry[1]), reverse=True)
        best = refined[0]
        upright = next((entry for entry in refined if degrees_apart(entry[1], self.given) <= UPRIGHT_DEGREES), None)
        if upright is not None and max(level.gain(best[1], upright[1]) for level in self.scores) < CLEAR:
            best = upright
        others = [score(matrix) for _, matrix in refined if matrix is not best[1]]
        return *best, max(others, default=0.0) / max(score(best[1]), 1e-9)

    def _refined_or_near(self, matrix: np.ndarray) -> np.ndarray:
        """Refined on the finest level or, where images share so little that coarser ones mislead, the best climbed to nearby."""
        before, finest = self.scores[-1], self.scored(LEVELS[2])
        refined = self._refined(matrix, finest)
        if not WEAK[0] < finest(refined) < WEAK[1]:
            return refined
        near = sorted(before.scattered(matrix, SCATTERED, self.seed), key=before, reverse=True)[:CLIMBED_AROUND]
        climbed = sorted((before.climbed(pose, RIGID, Climb(8)) for pose in near), key=finest, reverse=True)
        best = max((finest.climbed(pose, RIGID, Climb(15)) for pose in climbed[:3]), key=finest)
        return best if self._gains(best, refined, finest) else refined

    def _refined(self, matrix: np.ndarray, score: PoseScore) -> np.ndarray:
        """One level finer where that gains something."""
        climbed = score.climbed(matrix, RIGID, Climb(15))
        return climbed if self._gains(climbed, matrix, score) else matrix

    def _gains(self, climbed: np.ndarray, matrix: np.ndarray, score: PoseScore) -> bool:
        """A step off the hill, by more than a voxel of the level before, needs more, and most where that level is against it."""
        before = self.scores[-2]
        if before.moved(climbed, matrix) <= 1:
            return score.gain(climbed, matrix) >= BETTER
        return score.gain(climbed, matrix) >= (CLEAR if before.gain(matrix, climbed) >= BETTER else 2 * BETTER)

    def _against_given(self, name: str, matrix: np.ndarray) -> tuple[str, np.ndarray]:
        """The given position stays where no level finds the other clearly better."""
        if any(score.gain(matrix, self.given) >= CLEAR for score in self.scores):
            return name, matrix
        return self.named[0][0], self.given

    def _stretched(self, name: str, matrix: np.ndarray) -> tuple[str, np.ndarray]:
        """With stretch and shear, where some level finds that clearly better, and what lies below the outlines does, too."""
        stretched = matrix
        for score in self.scores[1:]:
            stretched = score.climbed(stretched, AFFINE, Climb(20))
        gains = [score.gain(stretched, matrix) for score in self.scores]
        change = float(np.abs(np.log(np.linalg.svd(stretched[:3, :3], compute_uv=False))).max())
        taken = min(gains) > 0 and max(gains) >= CLEAR and STRETCHES[0] <= change <= STRETCHES[1]
        taken = taken and self._agrees_inside(stretched, matrix)
        return (f"{name}, then stretch and shear", stretched) if taken else (name, matrix)

    def _agrees_inside(self, stretched: np.ndarray, matrix: np.ndarray) -> bool:
        """Whether structures agree clearly better below the outlines: the strongest edges, another hull's pull at any stretch."""
        for depth in DEPTHS:
            masks = [inner(*pair, depth * self.length) for pair in zip(self.images, self.masks, strict=True)]
            if min(float(mask.data.sum()) for mask in masks) < FEW:
                return False
            spacing = max(self.length / INSIDE.across, self.least)
            seen = [structure_of(*pair, spacing, blocks=1) for pair in zip(self.images, masks, strict=True)]
            if PoseScore(*seen, samples=INSIDE.samples, seed=self.seed).gain(stretched, matrix) < CLEAR:
                return False
        return True

    def _decision(self, name: str, matrix: np.ndarray) -> str:
        if matrix is self.given:
            return f"The start is {name}: none of {len(self.named) - 1} other candidates is clearly better."
        values = [f"{score(self.given):.3f} to {score(matrix):.3f}" for score in self.scores]
        return (
            f"The start was found from {name} ({len(self.named)} candidates); against {self.named[0][0]} it turns by "
            f"{degrees_apart(self.given, matrix):.1f} degrees and raises the agreement of the structures, coarse to fine, from "
            f"{', '.join(values)}."
        )

    def _rivaled(self, matrix: np.ndarray, rival: float) -> str:
        if rival < RIVAL:
            return ""
        return (
            f"The start is not to be trusted: turned by more than {UPRIGHT_DEGREES:.0f} degrees the images agree nearly as well "
            f"({100 * rival:.0f} % of the score), so the images do not tell how they lie; {ADVICE}."
        )


def _certain(score: PoseScore, matrix: np.ndarray) -> bool:
    """Whether a pose agrees so well that no other one can, however it is turned."""
    best = score(matrix)
    return best >= CERTAIN and all(score(turned) < CONTENDS * best for turned in score.turned(matrix))


def _checked_initial(initial: np.ndarray | None) -> np.ndarray:
    matrix = np.eye(4) if initial is None else np.array(initial, dtype=np.float64)
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all() or abs(np.linalg.det(matrix)) < 1e-9:
        raise ValueError(f"The initial affine must be an invertible 4x4 matrix (mm, LPS), got {matrix.tolist()}.")
    return matrix


def _little_overlap(grids: tuple[Grid, Grid], affine: np.ndarray) -> str:
    fixed, moving = grids
    share = max(overlap_share(fixed, moving, affine), overlap_share(moving, fixed, np.linalg.inv(affine)))
    if share >= SMALLEST_SHARE:
        return ""
    return (
        f"The start is not to be trusted: with it the fields of view share only {100 * share:.0f} % of the smaller one, and a "
        f"larger overlap of unlike parts may have won; {ADVICE}, or crop both images to what they share."
    )
