"""Make a trained model one that comes with the package: small, described, and the same as it was.

    parameters → float16, all finite → loaded again as float32 → displacement within 0.02 voxel of the original → file + card
"""

from __future__ import annotations

import itertools
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..io.claims import claimed
from ..models.base import RegistrationModel
from ..phantoms.trial_pair import trial_pair
from ..registration.network import seen_pair
from ..registration.register import register
from ..registration.settings import RegistrationSettings
from ..zoo.card import ModelCard, load_model, read_card, save_model, sha256_of
from ..zoo.folder import BUNDLED, CARD, PARAMETERS, check_name
from ..zoo.record import NOT_A_MEDICAL_DEVICE

LARGEST_BYTES = 8_000_000
"""Of one shipped model."""
LARGEST_BYTES_TOGETHER = 30_000_000
"""Of all shipped models."""
LARGEST_DIFFERENCE_VOXELS = 0.02
"""Between the displacements of a model before and after it was stored as float16."""
NEEDED = ("purpose", "intended_use", "license", "citation", "source", "limits", "figures", "data", "training", "studies")
"""Entries of a card that a shipped model must have."""
_PLACES = re.compile(r"(?:^|[\s\"'=:(])(?:/[\w.-]+/|[A-Za-z]:\\|~/)")
"""Absolute paths and paths in a home folder, but not the address of a page."""


@dataclass(frozen=True)
class Shipment:
    """What `ship_model` has written.

    Args:
        path: of the parameters; the card stands beside it.
        card: as it was written.
        size_bytes: of the parameters' file.
        difference_voxels: largest distance of the displacements before and after rounding to float16.
    """

    path: Path
    card: ModelCard
    size_bytes: int
    difference_voxels: float


def ship_model(
    model: RegistrationModel, card: ModelCard, *, folder: Path | None = None, replace_existing: bool = False
) -> Shipment:
    """Write a model as NAME.safetensors (float16) and NAME.json into the package.

    What was written is read again as a user will read it, and checked; only then does it get its place.

    Args:
        model: as trained, float32, on the CPU.
        card: complete, see `NEEDED`.
        folder: instead of the package's.
        replace_existing: a shipped model of the same name gives way.

    Raises:
        ValueError: the card is incomplete, the model is not finite in float16, answers differently after rounding, folds the
            trial pair, or is too large; nothing is left then.
        FileExistsError: a shipped model has that name, or another process is writing it.
        OSError: it cannot be written.
    """
    folder = folder or BUNDLED
    path = folder / f"{check_name(card.name)}{PARAMETERS}"
    gaps = card_faults(card)
    if gaps:
        raise ValueError(f"The card of {card.name} is not complete ({'; '.join(gaps)}): complete it and ship the model again.")
    check_half(model)
    folder.mkdir(parents=True, exist_ok=True)
    with claimed(path):
        return _shipped(model, card, path, replace_existing=replace_existing)


def _shipped(model: RegistrationModel, card: ModelCard, path: Path, *, replace_existing: bool) -> Shipment:
    if path.exists() and not replace_existing:
        raise FileExistsError(f"A shipped model {card.name} is there already: give another name, or replace it (--force).")
    with tempfile.TemporaryDirectory(prefix=".", dir=path.parent) as name:
        written = Path(name) / path.name
        save_model(model, card, written, half=True)
        stored, card = load_model(written)
        difference = largest_difference(model.eval(), stored, card)
        if not difference <= LARGEST_DIFFERENCE_VOXELS:
            raise ValueError(
                f"As float16 the model {card.name} moves a point of the trial pair by {difference:.3g} voxel more or less than "
                f"before, at most {LARGEST_DIFFERENCE_VOXELS} is allowed: choose another checkpoint of the training."
            )
        faults = faults_of(written) + _room_faults(path.parent, written)
        if faults:
            raise ValueError(f"The model {card.name} cannot be shipped: {' '.join(faults)}")
        path.with_suffix(CARD).unlink(missing_ok=True)  # an old card never stands beside new parameters
        os.replace(written, path)
        os.replace(written.with_suffix(CARD), path.with_suffix(CARD))
    return Shipment(path, card, path.stat().st_size, difference)


def check_half(model: RegistrationModel) -> None:
    """Refuses a model that float16 cannot hold.

    Raises:
        ValueError: a number is too large for float16, or not finite before.
    """
    for name, value in model.state_dict().items():
        if value.is_floating_point() and not bool(torch.isfinite(value.half()).all()):
            raise ValueError(
                f"The parameters {name} are not finite as float16 (its largest number is 65504): choose another checkpoint of "
                "the training."
            )


@torch.no_grad()
def largest_difference(model: RegistrationModel, other: RegistrationModel, card: ModelCard) -> float:
    """Largest distance, in voxels, of the displacements of two models on the trial pair, over the range of the condition.

    Args:
        model, other: of the same hyperparameters, on the CPU.
        card: says on which lattice.

    Returns:
        NaN where an answer is not finite.
    """
    moving, fixed = trial_tensors(card)
    shape, largest = tuple(fixed.shape[2:]), 0.0
    for values in conditions(model):
        fields = [m.displacement(m(moving, fixed, m.condition(values)), shape) for m in (model, other)]
        largest = float(np.maximum(largest, float((fields[0] - fields[1]).norm(dim=1).max())))  # keeps NaN
    return largest


def conditions(model: RegistrationModel) -> list[Mapping[str, float]]:
    """The default condition and the corners of the range; one empty condition for models that take none."""
    ends = itertools.product(*[(h.low, h.high) for h in model.hyperparameters])
    corners = [{h.name: v for h, v in zip(model.hyperparameters, end, strict=True)} for end in ends]
    return [{}, *(corners if model.hyperparameters else [])]


def trial_tensors(card: ModelCard, *, seed: int = 0) -> tuple[Tensor, Tensor]:
    """(moving, fixed) of the trial pair as the network sees it, (1, 1, i, j, k)."""
    pair = trial_pair(card.training_grid, card.intensity, seed=seed)
    seen = seen_pair(pair, card, np.eye(4), torch.device("cpu"))
    return seen.moving, seen.fixed


def faults_of(path: Path) -> list[str]:
    """What keeps a file from being shipped; empty where nothing does.

    Args:
        path: of a model's parameters.

    Returns:
        one sentence each: a file too large, no card, an incomplete card, a wrong checksum, folds in a registration, …
    """
    if path.stat().st_size > LARGEST_BYTES:
        return [f"{path.name} has {path.stat().st_size / 1e6:.1f} MB, at most {LARGEST_BYTES / 1e6:g} MB."]
    if not path.with_suffix(CARD).is_file():
        return [f"{path.name} has no card {path.stem}{CARD} beside it."]
    try:
        card = read_card(path)
        model, _ = load_model(path)
    except ValueError as error:
        return [str(error)]
    faults = [f"{path.name}: {gap}." for gap in card_faults(card)]
    if card.name != path.stem:
        faults.append(f"{path.name} has the card of {card.name}.")
    if card.sha256 != sha256_of(path):
        faults.append(f"{path.name} is not the file that its card names.")
    wide = _wide(path)
    if wide:
        faults.append(f"{path.name} holds {wide[0]} in more than 16 bits.")
    return faults + trial_faults(model, card)


def card_faults(card: ModelCard) -> list[str]:
    """What a card lacks for a shipped model; words without a full stop."""
    faults = [f"{name} is missing" for name in NEEDED if not getattr(card, name)]
    if card.notice != NOT_A_MEDICAL_DEVICE:
        faults.append("the notice must say that it is not a medical device")
    if card.training is not None and not (card.training.command and card.training.curves and card.training.settings):
        faults.append("the training must have its command, settings and curves")
    if any(not (source.license and source.name and source.used_for) for source in card.data):
        faults.append("every data set must have its name, license and what it was used for")
    places = [text for text in _texts(card.to_dict()) if _PLACES.search(text)]
    if places:
        faults.append(f"it names a place on somebody's machine ({places[0]!r})")
    return faults


def _room_faults(folder: Path, written: Path) -> list[str]:
    """Whether all shipped models together stay small, `written` in place of an earlier one of its name."""
    others = [path for path in folder.glob(f"*{PARAMETERS}") if path.name != written.name]
    together = sum(path.stat().st_size for path in (*others, written))
    if together <= LARGEST_BYTES_TOGETHER:
        return []
    return [f"All shipped models together would take {together / 1e6:.1f} MB, at most {LARGEST_BYTES_TOGETHER / 1e6:g} MB."]


def trial_faults(model: RegistrationModel, card: ModelCard) -> list[str]:
    """A registration of the trial pair, as a user gets it."""
    fixed, moving = trial_pair(card.training_grid, card.intensity)
    try:
        found = register(fixed, moving, RegistrationSettings(affine="none", device="cpu"), model=(model, card))
    except (RuntimeError, ValueError) as error:
        return [f"The trial pair cannot be registered with {card.name}: {error}"]
    if found.figures.folding_percent != 0:
        return [f"{card.name} folds {found.figures.folding_percent:.3g} % of the trial pair."]
    return []


def _wide(path: Path) -> list[str]:
    """Floating-point tensors of a file that are not float16."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    return [name for name, value in tensors.items() if value.is_floating_point() and value.dtype != torch.float16]


def _texts(value: object) -> list[str]:
    """All texts in plain values."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        return [text for pair in value.items() for part in pair for text in _texts(part)]
    return [text for part in value for text in _texts(part)] if isinstance(value, list | tuple) else []
