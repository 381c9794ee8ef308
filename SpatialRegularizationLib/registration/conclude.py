"""Conclude a registration: from a solution in voxels to a fold-free transform with its inverse, maps and figures."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from ..fields.derivatives import jacobian_determinant
from ..fields.resize import resize, resize_displacement
from ..geometry.displacement import DisplacementField
from ..geometry.transform import SpatialTransform
from ..geometry.volume import Volume
from ..images.usable import fit_mask
from ..measures.memory import peak_memory_mb
from ..measures.regularity import measure_regularity
from ..measures.scores import landmark_scores, overlap_scores
from ..pose.start import gain_of_bending
from ..transforms.diffeomorphism import displacement_of, displacement_without_folds, without_folds
from ..transforms.resample import resample
from ..transforms.stored_inverse import StoredInverse, round_trip, stored_inverse
from .choices import threads
from .prepare import PreparedPair
from .result import Figures, LevelHistory, Registration

BEGIN, WARP = 0.86, 0.94
"""Shares of the whole job at which folds are looked for, and at which images are warped."""


@torch.no_grad()
def conclude(prepared: PreparedPair, solution: Solution) -> Registration:
    """The registration that a solution stands for.

    Args:
        prepared: the pair.
        solution: what was found.
    """
    tell, where = prepared.reporter.tell, prepared.field_grid
    fixed, moving, affine = prepared.fixed, prepared.moving, prepared.affine
    tell("removing folds", BEGIN)
    solution = _insisted(prepared, solution)
    found = solution.fold_free(where.shape, lambda stage, share: tell(stage, BEGIN + (WARP - BEGIN) * share))
    missed = round_trip(found.inverse, found.u, where, fixed.grid)
    u = found.u.cpu()
    displacement = DisplacementField.from_voxels(u[0], where)
    transform = SpatialTransform(affine, displacement)
    tell("warping and scoring", WARP)
    warped = resample(moving, transform, fixed.grid, fill=fill_of(moving))
    jacobian = Volume(jacobian_determinant(u)[0], where)
    figures = _figures(prepared, solution, transform, found, missed)
    return Registration(
        fixed=fixed, moving=moving, warped=warped, displacement=displacement,
        inverse_transform=found.inverse.transform(affine, where), affine=affine,
        lambda_map=Volume(found.lambda_map[0].cpu(), where), jacobian=jacobian,
        history=solution.history, figures=figures, settings=prepared.settings, seconds=prepared.reporter.seconds,
        notes=(*prepared.notes, *prepared.grid_notes, *solution.notes, *found.notes, *prepared.companions.notes),
        model=solution.model, preset=prepared.preset,
    )  # fmt: skip


def fill_of(moving: Volume) -> float:
    """What a warped image holds where the moving one has no data: 0, or its lowest value where that is below."""
    return min(0.0, float(moving.data.min()))


CLEAR = 3.0
"""Standard errors by which structures have to agree better for a deformation to be clearly better than none."""
CHECKED_VOXELS = 96
"""Voxels at most along an axis of the lattice on which a deformation is held against none."""


def _insisted(prepared: PreparedPair, solution: Solution) -> Solution:
    """The solution, or the same without its deformation where that is asked for (`evidence`) and the images do not insist on one.

    The structures (`pose/structure.py`) are not what the descent has compared: noise that it followed makes them agree less. The
    answer of a network that was chosen by name stays, unless clear evidence was asked for by name, too.
    """
    settings = prepared.settings
    if settings.evidence == "none" or (solution.model and "evidence" not in settings.kept):
        return solution
    grid, companions = prepared.field_grid, prepared.companions
    where = grid.resized(tuple(min(n, CHECKED_VOXELS) for n in grid.shape))
    field = DisplacementField.from_voxels(solution.displacement(where.shape)[0].float().cpu(), where)
    given = (companions.fixed_mask, prepared.fixed, "fixed mask"), (companions.moving_mask, prepared.moving, "moving mask")
    masks = tuple(None if mask is None else fit_mask(mask, image.grid, name) for mask, image, name in given)
    images = prepared.fixed, prepared.moving
    with threads(1):
        gain = gain_of_bending(images, masks, prepared.affine, field, seed=settings.seed)
    if gain >= CLEAR:
        note = f"The deformation is clearly better than none: the structures agree better by {gain:.1f} standard errors."
        return replace(solution, notes=(*solution.notes, note))
    note = (
        f"Nothing deforms: with the deformation that was found the structures agree {'better' if gain > 0 else 'worse'} by "
        f"{abs(gain):.1f} standard errors, and {CLEAR:g} are needed (evidence clear); the alignment alone is the answer."
    )
    return replace(solution.still(), notes=(*solution.notes, note))


def _figures(
    prepared: PreparedPair, solution: Solution, transform: SpatialTransform, found: FoldFree, missed: tuple[float, float]
) -> Figures:
    common, regularity = common_figures(prepared, transform, solution.similarity), measure_regularity(found.u.cpu())
    return replace(
        common,
        folding_percent=regularity.folding_percent,
        folding_one_sided_percent=regularity.folding_one_sided_percent,
        ndv_percent=regularity.ndv_percent,
        smoothed_percent=100 * found.folded / found.u[0, 0].numel(),
        sd_log_j=regularity.sd_log_j,
        inverse_residual_p99_mm=missed[0],
        inverse_residual_mm=missed[1],
    )


def common_figures(prepared: PreparedPair, transform: SpatialTransform, similarity: tuple[float, float]) -> Figures:
    """The figures that every transform has: cost, and how well the images agree before and after.

    Args:
        prepared: the pair.
        transform: what was found.
        similarity: before and after.
    """
    identity, companions = SpatialTransform.identity(), prepared.companions
    grid, moving = prepared.fixed.grid, prepared.moving.grid
    before, after = (overlap_scores(companions, t, grid) for t in (identity, transform))
    return Figures(
        seconds=prepared.reporter.seconds,
        peak_memory_mb=peak_memory_mb(prepared.choices.device),
        device=str(prepared.choices.device),
        start_seconds=prepared.start.seconds,
        similarity_before=similarity[0],
        similarity_after=similarity[1],
        dice_before=before and before[0],
        dice_after=after and after[0],
        hd95_before_mm=before and before[1],
        hd95_after_mm=after and after[1],
        tre_before_mm=landmark_scores(companions, identity, moving),
        tre_after_mm=landmark_scores(companions, transform, moving),
    )


@dataclass(frozen=True)
class FoldFree:
    """The fields of a registration without folds, on one lattice, voxels.

    Args:
        u: (1, 3, *s).
        inverse: of id + u, for every point of the lattice.
        lambda_map: (1, 1, *s).
        folded: voxels that folded before they were smoothed.
        left: voxels that still fold.
    """

    u: Tensor
    inverse: StoredInverse
    lambda_map: Tensor
    folded: int
    left: int

    @property
    def notes(self) -> tuple[str, ...]:
        """One sentence for the report where there were folds."""
        if not self.folded:
            return ()
        share = 100 * self.folded / self.u[0, 0].numel()
        left = f"{self.left} still fold: raise lambda-floor or lambda-max." if self.left else "none folds now."
        return (
            f"The deformation was smoothed around {self.folded} voxels where it folded on the lattice ({share:.3f} %); {left}",
        )


@dataclass(frozen=True)
class Solution(ABC):
    """What a registration has found.

    Args:
        history: one entry per level of descent.
        similarity: before and after.
        model: the network it comes from, for the report; empty where none took part.
        notes: sentences for the report about how it was found.
    """

    history: tuple[LevelHistory, ...]
    similarity: tuple[float, float]
    model: dict[str, Any] = field(default_factory=dict, kw_only=True)
    notes: tuple[str, ...] = field(default=(), kw_only=True)

    @abstractmethod
    def displacement(self, shape: tuple[int, ...]) -> Tensor:
        """u (1, 3, *shape) as found, voxels of a lattice of this size and the same extent."""

    @abstractmethod
    def still(self) -> Solution:
        """The same without a deformation."""

    @abstractmethod
    def fold_free(self, shape: tuple[int, ...], tell: Callable[[str, float], None]) -> FoldFree:
        """The fields on a lattice of this size and the same extent, without folds.

        Args:
            shape: voxels along each axis.
            tell: told the stage and the share of this work that is done, 0 to 1.
        """


@dataclass(frozen=True)
class VelocitySolution(Solution):
    """A stationary velocity (1, 3, *t), and λ (1, 1, *t) or how it follows from the velocity."""

    velocity: Tensor
    weight: Tensor | Callable[[Tensor], Tensor]

    def displacement(self, shape: tuple[int, ...]) -> Tensor:
        """u of exp(velocity)."""
        return displacement_of(self.velocity, shape)

    def still(self) -> VelocitySolution:
        """No velocity."""
        return replace(self, velocity=torch.zeros_like(self.velocity), similarity=(self.similarity[0],) * 2)

    @torch.no_grad()
    def fold_free(self, shape: tuple[int, ...], tell: Callable[[str, float], None]) -> FoldFree:
        """The velocity is smoothed near folds; exp(-v) begins the inverse."""
        velocity, u, folded, left = without_folds(self.velocity, shape, on_round=lambda n: tell("removing folds", n / 80))
        tell("inverting", 0.5)
        inverse = stored_inverse(u, displacement_of(-velocity, tuple(u.shape[2:])))
        lambda_map = self.weight if isinstance(self.weight, Tensor) else self.weight(velocity)
        return FoldFree(u, inverse, resize(lambda_map, shape), folded, left)


@dataclass(frozen=True)
class DisplacementSolution(Solution):
    """A displacement (1, 3, *s), its inverse where the network knows it, and λ (1, 1, *s), all on one lattice."""

    u: Tensor
    inverse: Tensor | None
    lambda_map: Tensor

    def displacement(self, shape: tuple[int, ...]) -> Tensor:
        """u, resized."""
        return resize_displacement(self.u, shape)

    def still(self) -> DisplacementSolution:
        """No displacement."""
        return replace(self, u=torch.zeros_like(self.u), inverse=None, similarity=(self.similarity[0],) * 2)

    @torch.no_grad()
    def fold_free(self, shape: tuple[int, ...], tell: Callable[[str, float], None]) -> FoldFree:
        """The displacement is smoothed near folds; the network's own inverse begins the inverse."""
        u, folded, left = displacement_without_folds(
            self.displacement(shape), on_round=lambda n: tell("removing folds", n / 80)
        )
        tell("inverting", 0.5)
        start = None if self.inverse is None else resize_displacement(self.inverse, shape)
        return FoldFree(u, stored_inverse(u, start), resize(self.lambda_map, shape), folded, left)
