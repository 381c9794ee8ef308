"""Settings that work for a kind of image, each with the reason for its choices."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from .settings import RegistrationSettings


@dataclass(frozen=True)
class Preset:
    """A name, what it is for (one sentence for help and tool-tip), and its settings."""

    name: str
    purpose: str
    settings: RegistrationSettings


_ALL = (
    Preset(
        "generic", "any two images of one modality; a cautious start when no other preset fits", RegistrationSettings()
    ),
    Preset(
        "brain-mri",
        "brain MRI of one contrast, skull on or off; anatomy differs in detail, so fine levels and a small alpha-prime",
        RegistrationSettings(
            global_search="off", lncc_window=9, lambda_floor=0.1, levels=((8, 8, 60), (4, 4, 40), (2, 4, 30), (1, 2, 10))
        ),
    ),
    Preset(
        "chest-ct",
        "breathing motion in chest CT; large displacements and sliding, so a search for large motion and a coarse velocity",
        RegistrationSettings(
            intensity="ct", global_search="on", levels=((8, 8, 60), (4, 4, 60), (2, 4, 60), (1, 4, 30))
        ),
    ),
    Preset(
        "abdomen-ct",
        "abdominal CT of one or two people; a global search, a soft-tissue window and stronger regularization",
        RegistrationSettings(intensity="ct", global_search="on", alpha_prime=0.05),
    ),
    Preset(
        "cardiac-mri",
        "short-axis cine MRI between phases; few thick slices, same person, so no affine part",
        RegistrationSettings(affine="none", levels=((4, 4, 60), (2, 2, 60), (1, 2, 30))),
    ),
    Preset("knee-mri", "knee MRI; rigid bones in soft tissue", RegistrationSettings(levels=((8, 8, 60), (4, 4, 60), (2, 2, 60)))),
    Preset(
        "multi-modal",
        "different modalities or contrasts (CT to MRI, T1 to T2); structure instead of intensity is compared",
        RegistrationSettings(similarity="mind", global_search="auto"),
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
    near = difflib.get_close_matches(name.lower().replace("_", "-"), PRESETS, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"Unknown preset {name!r}; choose from {', '.join(PRESETS)}.{hint}")
