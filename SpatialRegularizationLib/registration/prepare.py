"""Prepare a pair: usable images and masks, intensities on a common scale, the affine start, the grids to work and store on."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..geometry.companions import Companions
from ..geometry.grid import Grid
from ..geometry.transform import SpatialTransform
from ..geometry.volume import Volume
from ..images.preparation import check_overlap, describe_working_grid, prepare_intensity, working_grid
from ..images.usable import check_companions, fit_mask, usable_pair
from ..pose.start import Start, StartKind, find_start, polished
from .automatic import Chosen, chosen_for
from .choices import ComputeChoices, threads
from .progress import Reporter
from .result import Registration
from .settings import RegistrationSettings
from .working_pair import TensorPair, working_pair

Images = tuple[Volume, Volume]
Masks = tuple[Volume | None, Volume | None]


@dataclass(frozen=True)
class PreparedPair:
    """A pair of images ready to be solved, and everything that was decided about it.

    Args:
        fixed, moving: (1, i, j, k), every voxel finite, original intensities.
        companions: what goes with them.
        settings, choices: how to register, as given or chosen, and as objects that compute.
        reporter: tells of the progress.
        start: B and how it was found.
        grid: to work on, same end voxels as the fixed grid.
        field_grid: of the stored transform, Jacobian and λ: the fixed grid, or `grid` where that is too large.
        image_notes: sentences for the report about the images.
        images: both with intensities prepared; None once they are not needed any more.
        masks: of the fixed and the moving image, on their grids.
        chosen: the preset that the pair decided (auto), whose settings these are; None where they were given.
    """

    fixed: Volume
    moving: Volume
    companions: Companions
    settings: RegistrationSettings
    choices: ComputeChoices
    reporter: Reporter
    start: Start
    grid: Grid
    field_grid: Grid
    image_notes: tuple[str, ...]
    images: Images | None
    masks: Masks
    chosen: Chosen | None = None

    @property
    def affine(self) -> np.ndarray:
        """B, 4x4 LPS mm, fixed to moving."""
        return self.start.matrix

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the report about the images, the choice of the preset and the start."""
        choice = (self.chosen.sentence,) if self.chosen else ()
        decision = (self.start.decision,) if self.start.decision else ()
        return (*self.image_notes, *choice, *decision, *self.start.doubts)

    @property
    def preset(self) -> str:
        """Name of the preset that the pair decided, "" where the settings were given."""
        return self.chosen.preset if self.chosen else ""

    def tensors(self, grid: Grid | None = None) -> TensorPair:
        """Both images on a grid of the fixed field of view (the working grid), on the device."""
        device, dtype = self.choices.device, self.choices.dtype
        return working_pair(self.images, self.masks, grid or self.grid, self.affine, device=device, dtype=dtype)

    def without_images(self) -> PreparedPair:
        """The same, memory of the prepared images free."""
        return replace(self, images=None, masks=(None, None))

    def told_in(self, registration: Registration) -> Registration:
        """A registration with the settings of this pair, which also says that they were chosen, and why."""
        if self.chosen is None or registration.preset:
            return registration
        return replace(registration, preset=self.preset, notes=(self.chosen.sentence, *registration.notes))

    @property
    def grid_notes(self) -> tuple[str, ...]:
        """Sentences about the resolution that is worked and stored at."""
        return (describe_working_grid(self.fixed.grid, self.grid), *self.field_notes)

    @property
    def field_notes(self) -> tuple[str, ...]:
        """Empty where the transform is stored on the fixed grid."""
        if self.field_grid is self.fixed.grid:
            return ()
        return (
            "The transform, its Jacobian and lambda are stored at the working resolution (the fixed image has "
            f"{self.fixed.data[0].numel()} voxels); the warped image has the full resolution of the fixed image.",
        )


def prepare(
    fixed: Volume,
    moving: Volume,
    settings: RegistrationSettings,
    *,
    reporter: Reporter,
    companions: Companions | None = None,
    initial: SpatialTransform | None = None,
) -> PreparedPair:
    """Everything that comes before the search for a deformation.

    Args:
        fixed, moving: (1, i, j, k), any numeric type.
        settings: see `register`.
        reporter: told about the affine start, which takes the time.
        companions: masks, label maps and points.
        initial: transform to start from.

    Raises:
        ValueError: images, masks, labels or points that cannot be registered; one sentence with the remedy.
        RuntimeError: the asked-for device is not there.
    """
    reporter.tell("preparing", 0.0)
    usable = usable_pair(fixed, moving, companions)
    check_companions(usable.companions, fixed.grid, moving.grid)
    choices = ComputeChoices.of(settings)
    fixed, moving = usable.fixed, usable.moving
    images = _on_a_scale(fixed, moving, settings.intensity)
    masks = _fitted(usable.companions, fixed.grid, moving.grid)
    start = _start(images, masks, settings, initial, reporter)
    chosen = None
    if settings.automatic == "on":
        chosen = chosen_for(settings, (fixed, moving), images, start, masks)
        settings, choices = chosen.settings, ComputeChoices.of(chosen.settings)
        images = _on_a_scale(fixed, moving, settings.intensity)
    if settings.deformable == "none" or settings.evidence == "clear":
        start = _polished(start, images, masks, settings, initial)
    check_overlap(fixed.grid, moving.grid, start.matrix)
    grid = working_grid(fixed.grid, spacing_mm=settings.working_spacing_mm, max_voxels=settings.max_voxels)
    small = fixed.data[0].numel() <= settings.max_voxels or grid.matches(fixed.grid)
    return PreparedPair(
        fixed, moving, usable.companions, settings, choices, reporter, start, grid, fixed.grid if small else grid,
        usable.notes, images, masks, chosen,
    )  # fmt: skip


def _on_a_scale(fixed: Volume, moving: Volume, intensity: str) -> Images:
    return prepare_intensity(fixed, intensity, "fixed image"), prepare_intensity(moving, intensity, "moving image")


def _fitted(companions: Companions, fixed: Grid, moving: Grid) -> Masks:
    given = (companions.fixed_mask, fixed, "fixed mask"), (companions.moving_mask, moving, "moving mask")
    return tuple(None if mask is None else fit_mask(mask, grid, name) for mask, grid, name in given)


def _start(
    images: Images, masks: Masks, settings: RegistrationSettings, initial: SpatialTransform | None, reporter: Reporter
) -> Start:
    """The start that the settings ask for, or the linear part of an initial transform that bends."""
    given = None if initial is None else initial.affine_matrix
    if initial is not None and initial.displacement is not None:
        return Start(given, "The initial transform bends; it was taken as it is, without an affine stage.")
    reporter.tell("affine start", 0.02)
    with threads(1):
        return find_start(
            *images, StartKind(settings.affine), initial=given, masks=masks, seed=settings.seed,
            monitor=lambda share: reporter.tell("affine start", 0.02 + 0.08 * share),
        )


def _polished(
    start: Start, images: Images, masks: Masks, settings: RegistrationSettings, initial: SpatialTransform | None
) -> Start:
    """The start on a finer lattice, where it was searched for at all: it is most of such a result, or all of it."""
    if StartKind(settings.affine) not in (StartKind.RIGID, StartKind.AFFINE) or start.score is None:
        return start
    given = None if initial is None else initial.affine_matrix
    with threads(1):
        return polished(start, images, masks, initial=given, seed=settings.seed)
