"""Choose the preset of a pair by measuring it (preset auto), and say in a sentence what was taken and why.

    CT      both images have values of air and of tissue in Hounsfield units: chest-ct where lungs fill a part of the body
    else, at the start, on a lattice of about 40 voxels along an axis, in windows where both images have structure:
            related     mean squared local correlation, 0 to 1: how well one contrast follows from the other
            sign        mean of c·|c| over that of c²: 1 where bright is bright in both, -1 where it is dark
            structure   the start's score (`pose/score.py`): how sharply edges of both images coincide
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..geometry.volume import Volume
from ..pose.start import Start, agreement
from .choices import threads
from .presets import preset_settings
from .settings import RegistrationSettings, obstacle_of, setting_names
from .working_pair import read_through

Images = tuple[Volume, Volume]
Masks = tuple[Volume | None, Volume | None]

AIR, LUNG, TISSUE = (-1100.0, -900.0), (-950.0, -600.0), (-200.0, 200.0)
"""HU."""
SHARE = 0.02
"""Least share of the voxels in each of air and tissue of a CT."""
LUNGS = 0.15
"""Least share of lung among lung and tissue in the chest."""
ACROSS, WINDOW = 40, 5
"""Voxels of the lattice along the edge of a cube of the fixed volume; side of the windows."""
BACKGROUND = 0.04
"""Intensities that differ by less from those at the image's border are background: its outline says nothing of contrasts."""
ONE_PERSON = 0.3
"""Score of the start from which on edges coincide as those of one person only."""
ONE_PERSON_OTHER_CONTRAST = 0.11
"""The same where the contrasts differ."""
UNCHANGED = 0.85
"""Of one person and contrast, where nothing moves, so much of the local contrast is explained."""
UNRELATED = 0.45
"""Below this `sign` two contrasts differ."""
LOOSE = (0.4, 0.95)
"""Where edges coincide and yet `related` and `sign` stay below these, the contrasts differ, too."""


@dataclass(frozen=True)
class Measured:
    """What was measured of a pair at its start; see the module.

    Args:
        related, sign: of the local correlation; None where too few windows have structure in both images.
        structure: score of the start.
    """

    related: float | None
    sign: float | None
    structure: float


@dataclass(frozen=True)
class Chosen:
    """The preset that fits a pair.

    Args:
        preset: its name.
        settings: its settings, with those that were changed or asked for; nothing is left to be chosen.
        sentence: what was taken and why, for the report.
    """

    preset: str
    settings: RegistrationSettings
    sentence: str


def chosen_for(
    settings: RegistrationSettings, raw: Images, prepared: Images, start: Start, masks: Masks = (None, None)
) -> Chosen:
    """The preset that fits a pair, with what was changed in the given settings.

    Args:
        settings: those of the preset auto, perhaps changed; a setting counts as changed where its value is not that preset's,
            and where it is among `settings.kept`.
        raw: fixed and moving, intensities as read.
        prepared: the same on a common scale.
        start: as found.
        masks: of both, or None.
    """
    name, reason = fitting(raw, prepared, start, masks, seed=settings.seed)
    base, names = preset_settings("auto"), [key for key in setting_names() if key not in ("automatic", "kept")]
    changed = [key for key in names if key in settings.kept or getattr(settings, key) != getattr(base, key)]
    changes = {key: getattr(settings, key) for key in changed}
    taken = replace(preset_settings(name), **changes)
    idle = [key for key in changed if obstacle_of(key, vars(taken))]
    without = f" {' and '.join(idle)} {'has' if len(idle) == 1 else 'have'} no effect with it." if idle else ""
    return Chosen(name, taken, f"The preset {name} was chosen automatically: {reason}.{without}")


def fitting(
    raw: Images, prepared: Images, start: Start, masks: Masks = (None, None), *, seed: int = 0
) -> tuple[str, str]:
    """Name of the preset that fits a pair, and why; arguments as `chosen_for`."""
    shares = [_hounsfield(image.data) for image in raw]
    if all(share is not None for share in shares):
        if min(shares) >= LUNGS:
            return "chest-ct", f"both images are CT, and lungs fill {100 * min(shares):.0f} % of what they show of the body"
        return "abdomen-ct", "both images are CT, with little or no lung"
    if start.score is None:
        with threads(1):
            start = replace(start, score=agreement(prepared, masks, start.matrix, seed=seed))
    return _of_contrasts(measured(prepared, start))


def _of_contrasts(found: Measured) -> tuple[str, str]:
    edges = f"edges coincide with a score of {found.structure:.2f}"
    if found.related is None:
        return "generic", "too little structure is common to both images to measure more"
    relation = f"local contrasts are related by {found.related:.2f}, with a sign of {found.sign:+.2f}"
    loose = found.related < LOOSE[0] and found.sign < LOOSE[1] and found.structure >= ONE_PERSON_OTHER_CONTRAST
    if found.sign < UNRELATED or loose:
        if found.structure >= ONE_PERSON_OTHER_CONTRAST:
            return "same-person", f"two contrasts of one person ({relation}, {edges})"
        return "multi-modal", f"two contrasts ({relation}, {edges})"
    if found.structure >= ONE_PERSON:
        if found.related >= UNCHANGED:
            return "same-person", f"one contrast of one person, and nothing moves ({relation}, {edges})"
        return "abdomen-mri", f"one contrast of one person, and something moves ({relation}, {edges})"
    return "brain-mri", f"one contrast of two people ({relation}, {edges})"


def _hounsfield(data: Tensor) -> float | None:
    """Share of lung among lung and tissue where an image looks like CT, else None."""
    flat = data.flatten()[:: max(1, data.numel() // 500_000)].float()
    air, lung, tissue = (float(((flat >= low) & (flat <= high)).float().mean()) for low, high in (AIR, LUNG, TISSUE))
    padded = float((flat < AIR[0]).float().mean())
    if min(air + padded, tissue) < SHARE or float(flat.min()) > AIR[1]:
        return None
    return lung / (lung + tissue)


def measured(images: Images, start: Start) -> Measured:
    """What the images have to do with one another where the start, whose score is known, brings them together."""
    fixed, moving = images
    size = float(np.prod(np.array(fixed.grid.shape) * np.array(fixed.grid.spacing))) ** (1 / 3) / ACROSS
    shape = tuple(min(n, max(2, 1 + round(e / size))) for n, e in zip(fixed.grid.shape, fixed.grid.extent, strict=True))
    where = fixed.grid.resized(shape)
    first, second = read_through(fixed, where, np.eye(4)), read_through(moving, where, start.matrix)
    ones = moving.with_data(torch.ones_like(moving.data, dtype=torch.float32))
    seen = _mean((read_through(ones, where, start.matrix, fill=0.0) > 0.99).float()) > 0.99
    covariance = _mean(first * second) - _mean(first) * _mean(second)
    spread = [(_mean(x * x) - _mean(x).square()).clamp_min(0) for x in (first, second)]
    told = seen & (_strong(spread[0]) & _strong(spread[1]))
    inside = told & (_mean(_background(first)) < 0.1) & (_mean(_background(second)) < 0.1)
    windows = inside if int(inside.sum()) > 200 else told
    if int(windows.sum()) < 20:
        return Measured(None, None, start.score)
    c = (covariance / (spread[0] * spread[1] + 1e-12).sqrt())[windows]
    square = float(c.square().mean())
    return Measured(square, float((c * c.abs()).mean()) / max(square, 1e-9), start.score)


def _mean(x: Tensor) -> Tensor:
    """Over windows, smaller where an axis has fewer voxels."""
    sides = [min(WINDOW, n - 1 + n % 2) for n in x.shape[2:]]
    return F.avg_pool3d(x, sides, 1, [side // 2 for side in sides], count_include_pad=False)


def _strong(spread: Tensor) -> Tensor:
    """Where windows are not flat."""
    return spread > 0.02 * spread.flatten().sort().values[int(0.98 * (spread.numel() - 1))]


def _background(x: Tensor) -> Tensor:
    faces = torch.cat([x[0, 0].select(axis, end).flatten() for axis in range(3) for end in (0, -1)])
    return ((x - faces.median()).abs() < BACKGROUND).float()
