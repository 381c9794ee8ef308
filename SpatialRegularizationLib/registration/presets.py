"""Offer settings that work for a kind of image, each with the reason for its choices."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..declaration import suggestion
from .settings import RegistrationSettings


@dataclass(frozen=True)
class Preset:
    """A name, what it is for (one sentence for help and tool-tip), and its settings."""

    name: str
    purpose: str
    settings: RegistrationSettings


_FREE_BORDERS = RegistrationSettings(
    global_search="on",
    lambda_max=4.0,
    alpha_prime=0.02,
    lambda_floor=0.02,
    levels=((8, 8, 60), (4, 4, 60), (2, 2, 60), (1, 2, 30)),
)
"""Organs that slide along one another: stiff inside (a large λmax), nearly free at the border (a low floor), with λ and the
velocity on fine lattices so that the border stays narrow; the search brings in what moves farther than a gradient can see."""

_SLIDING = replace(
    _FREE_BORDERS, lncc_window=5, lambda_max=8.0, alpha_prime=0.04, edge_relief=0.9, learning_rate=0.2,
)  # fmt: skip
"""Twice as stiff, since edges of the image take weight from differences across them; a small window, which sees one side of a
border at a time. Found on breathing CT and MR with known motion (scripts/benchmarks)."""

_ALL = (
    Preset(
        "auto",
        "any pair: the images are measured (CT or not, one person or two, how their contrasts are related, what moves) and the "
        "preset that fits is taken, but for the settings that you change; the report says which and why",
        RegistrationSettings(automatic="on"),
    ),
    Preset(
        "generic",
        "any two images of one modality; searches for large motion and takes it only where it helps",
        RegistrationSettings(),
    ),
    Preset(
        "brain-mri",
        "brain MRI of one contrast, skull on or off, different people or dates: a small window and twelve steps at full "
        "resolution for the cortex; no search, since heads are brought together by the affine start",
        RegistrationSettings(
            global_search="off",
            lncc_window=5,
            lambda_max=1.2,
            alpha_prime=0.04,
            lambda_floor=0.25,
            lambda_pooling=2,
            levels=((8, 8, 60), (4, 4, 40), (2, 4, 30), (1, 2, 12)),
        ),
    ),
    Preset(
        "chest-ct",
        "breathing in chest CT: a search for motion of several centimeters, lungs and ribs may slide along one another",
        replace(_SLIDING, intensity="ct"),
    ),
    Preset(
        "abdomen-ct",
        "abdominal CT of one or two people: a search for large motion, organs may slide along one another",
        replace(_SLIDING, intensity="ct"),
    ),
    Preset(
        "abdomen-mri",
        "abdominal MRI of one contrast, phases of breathing: organs may slide, a coarse velocity until the last level, since MRI "
        "shows less of a border than CT",
        RegistrationSettings(lncc_window=5, lambda_max=8.0, alpha_prime=0.04, edge_relief=0.9, learning_rate=0.2),
    ),
    Preset(
        "cardiac-mri",
        "short-axis cine MRI between phases of one person: no affine part, and a finer last velocity for the wall",
        replace(_FREE_BORDERS, affine="none", global_search="auto", levels=((4, 4, 60), (2, 2, 60), (1, 2, 40))),
    ),
    Preset(
        "knee-mri",
        "knee MRI: rigid bones in soft tissue, so lambda may rise far above its value between them",
        replace(_FREE_BORDERS, lncc_window=9, global_search="auto", lambda_floor=0.02),
    ),
    Preset(
        "multi-modal",
        "different modalities or contrasts (CT to MRI, T1 to T2): descriptors of the structure are compared, not intensities",
        RegistrationSettings(similarity="mind", lambda_max=0.8, alpha_prime=0.012, levels=((8, 8, 60), (4, 4, 50), (2, 4, 40))),
    ),
    Preset(
        "same-person",
        "visits or contrasts of one person: a rigid alignment, and a stiff deformation only where the structures of both images "
        "clearly ask for one, so that unchanged anatomy stays rigid",
        RegistrationSettings(
            affine="rigid", global_search="off", similarity="mind", lambda_max=20.0, alpha_prime=0.3, lambda_floor=0.25,
            evidence="clear", levels=((8, 8, 40), (4, 8, 30), (2, 4, 20)),
        ),
    ),
    Preset(
        "rigid",
        "rotation and shift alone, images of any contrast: the bones of one person, visits, a linear transform in seconds",
        RegistrationSettings(affine="rigid", deformable="none", similarity="mind"),
    ),
    Preset(
        "affine",
        "rotation, shift, stretch and shear alone, images of any contrast: people brought together by a linear transform",
        RegistrationSettings(affine="affine", deformable="none", similarity="mind"),
    ),
)

DETAILS: dict[str, Preset] = {preset.name: preset for preset in _ALL}
"""Each preset with its purpose, for help texts."""

PRESETS: dict[str, RegistrationSettings] = {preset.name: preset.settings for preset in _ALL}
"""The settings of each preset."""


def preset_settings(name: str) -> RegistrationSettings:
    """The settings of a preset.

    Raises:
        ValueError: no such preset; the nearest name is suggested.
    """
    if name in PRESETS:
        return PRESETS[name]
    raise ValueError(f"Unknown preset {name!r}; {suggestion(name, PRESETS)}")
