"""Read and write a trained model: NAME.safetensors with its parameters, NAME.json with its card.

The card is in the header of the .safetensors file as well, so that this file alone is a model: a crash between the two files,
or a download of the first, loses nothing.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..declaration import built, check_fields, choice, three
from ..io.atomic import atomic_path, write_text
from ..models.base import RegistrationModel
from ..models.catalogue import build_model, describe
from ..priors import STRENGTHS
from .folder import CARD, PARAMETERS, check_name, locate
from .manifest import read_manifest
from .record import NOT_A_MEDICAL_DEVICE, DataSource, StudyRecord, TrainingRecord, built_each
from .training_grid import TrainingGrid

INTENSITIES = ("percentile", "ct", "ct-soft", "none")
"""Kinds of `registration.prepare.prepare_intensity`."""


@dataclass(frozen=True)
class ModelCard:
    """What is known of a trained model.

    Args:
        name: in the zoo.
        shape: voxels of the training images along each axis.
        spacing_mm: voxel spacing of the training images along each axis, mm.
        orientation: three letters, the direction in which each axis runs ("LIA"); "" where images are taken as stored.
        intensity: preparation of the images: a kind of `prepare_intensity`, e.g. "percentile".
        description: system and settings, as `models.catalogue.describe` gives them; filled in by `save_model`.
        purpose: what it registers, for people.
        dialect: of an imported checkpoint: "A", "B", "B Hyper", "C", "TVF"; "" for our own trainings.
        source, license, citation: where it comes from, and on which terms.
        limits: what it was not made for, and what was assumed at import.
        figures: how good it was on validation data; None for a figure that is not finite.
        sha256: of the .safetensors file, hexadecimal; filled in by `save_model`.
        intended_use: for what, and for whom; "" where nobody said.
        notice: what it is not.
        data: what it was trained and chosen on.
        training: how it was trained; None where that is not known.
        studies: how good it was on several data sets, beside other methods.
    """

    name: str
    shape: tuple[int, int, int] = three(int, "voxels", "of the training images", MISSING)
    spacing_mm: tuple[float, float, float] = three(float, "mm", "of the training images", MISSING)
    orientation: str = ""
    intensity: str = choice("percentile", INTENSITIES, "preparation of the training images")
    description: Mapping[str, Any] = field(default_factory=dict)
    purpose: str = ""
    dialect: str = ""
    source: str = ""
    license: str = ""
    citation: str = ""
    limits: tuple[str, ...] = ()
    figures: Mapping[str, float | None] = field(default_factory=dict)
    sha256: str = ""
    intended_use: str = ""
    notice: str = NOT_A_MEDICAL_DEVICE
    data: tuple[DataSource, ...] = ()
    training: TrainingRecord | None = None
    studies: tuple[StudyRecord, ...] = ()

    def __post_init__(self) -> None:
        check_fields(self, "a card's ")
        check_name(self.name)
        object.__setattr__(self, "limits", tuple(self.limits))
        object.__setattr__(self, "data", built_each(DataSource, self.data, "its data"))
        object.__setattr__(self, "studies", built_each(StudyRecord, self.studies, "its study"))
        if self.training is not None:
            object.__setattr__(self, "training", built(TrainingRecord, self.training, "its training"))
        TrainingGrid(self.shape, self.spacing_mm, self.orientation)

    @property
    def training_grid(self) -> TrainingGrid:
        """Where its training images lay."""
        return TrainingGrid(self.shape, self.spacing_mm, self.orientation)

    @property
    def system(self) -> str:
        """Name of the system in the catalogue, e.g. "tm-spr"."""
        return str(self.description.get("system", ""))

    @property
    def regularization(self) -> dict[str, float]:
        """λmax, α′ (or λmean, σ′, or the uniform λ) that it was trained with; empty where a condition chooses them."""
        values = {**self.description, **(self.description.get("prior") or {})}
        return {name: values[name] for name in (*STRENGTHS, "uniform_lambda") if values.get(name) is not None}

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as in the .json file."""
        return json.loads(json.dumps(asdict(replace(self, figures=_finite(self.figures))), allow_nan=False))

    @staticmethod
    def from_dict(values: Any) -> ModelCard:
        """The card of plain values.

        Raises:
            ValueError: an unknown or missing entry, or a value that cannot be.
        """
        if isinstance(values, Mapping) and "description" not in values:
            raise ValueError("The entry 'description' of the card is missing.")
        return built(ModelCard, values, "the card")


def save_model(
    model: RegistrationModel, card: ModelCard, path: str | os.PathLike, *, half: bool = False
) -> ModelCard:
    """Write a model and its card, replacing an earlier one of the same path.

    At every moment the files are the earlier model or the new one.

    Args:
        model: on any device.
        card: what is known of it; description and sha256 are filled in.
        path: ends with .safetensors; the card goes beside it with the ending .json.
        half: store numbers as float16, half as large; a model is always loaded as float32.

    Returns:
        The card as it was written.

    Raises:
        ValueError: another ending.
        OSError: it cannot be written; what was there before is untouched.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save

    path = Path(path)
    if path.suffix != PARAMETERS:
        raise ValueError(f"A model is a file {PARAMETERS}, got {path.name!r}; give it that ending.")
    card = replace(card, description=describe(model), figures=_finite(card.figures), sha256="")
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in model.state_dict().items()}
    if half:
        tensors = {name: value.half() if value.is_floating_point() else value for name, value in tensors.items()}
    with atomic_path(path, PARAMETERS) as temporary:
        try:
            temporary.write_bytes(save(tensors, metadata={"card": json.dumps(card.to_dict())}))  # save_file: for the owner only
        except SafetensorError as error:
            raise OSError(f"{error}") from error
        card = replace(card, sha256=sha256_of(temporary))
        path.with_suffix(CARD).unlink(missing_ok=True)  # an old card never stands beside new parameters
    write_card(card, path)
    return card


def write_card(card: ModelCard, path: Path) -> None:
    """The .json file beside a .safetensors file.

    Raises:
        OSError: it cannot be written.
    """
    write_text(path.with_suffix(CARD), json.dumps(card.to_dict(), indent=2, ensure_ascii=False))


def load_model(
    name: str | os.PathLike, device: torch.device | str | None = None
) -> tuple[RegistrationModel, ModelCard]:
    """A model of the zoo, or of a file, ready to predict.

    Args:
        name: in the zoo, or path of a .safetensors file.
        device: where it shall be; None: CPU.

    Raises:
        FileNotFoundError: there is none; the nearest name is suggested.
        ValueError: the file is damaged, of others, or not the one that its card names.
    """
    path = locate(name, read_manifest())
    card, state = read_card(path), _parameters(path)
    found = sha256_of(path)
    if card.sha256 and found != card.sha256:
        raise ValueError(
            f"{path} is not the file of its card (expected sha256 {card.sha256[:12]}…, got {found[:12]}…): it is damaged or was "
            "exchanged; import or fetch the model again."
        )
    try:
        model = build_model(card.description)
    except (ValueError, TypeError) as error:
        raise ValueError(f"The card of {path} describes no model that can be built: {error}") from error
    _fill(model, state, path)
    return model.to(device or "cpu").eval(), replace(card, sha256=found)


def read_card(path: Path) -> ModelCard:
    """The card of a .safetensors file: the file beside it, else the one in its header.

    Raises:
        ValueError: none is there, or it is damaged.
    """
    beside = path.with_suffix(CARD)
    try:
        text = beside.read_text(encoding="utf-8") if beside.is_file() else _header_card(path)
        return ModelCard.from_dict(json.loads(text))
    except (ValueError, TypeError) as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        where = beside if beside.is_file() else path
        reason = str(error).rstrip(".")
        raise ValueError(f"{where} holds no card of a model ({reason}): import or fetch the model again.") from error


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _header_card(path: Path) -> str:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except SafetensorError as error:
        raise ValueError(f"damaged, or not a .safetensors file, {error}") from error
    if "card" not in metadata:
        raise ValueError("it is a file of another program")
    return metadata["card"]


def _parameters(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged, or not a .safetensors file ({error}): import or fetch the model again.") from error


def _fill(model: RegistrationModel, state: Mapping[str, Tensor], path: Path) -> None:
    expected = model.state_dict()
    wrong = sorted(expected.keys() ^ state.keys())
    wrong += sorted(key for key in expected.keys() & state.keys() if expected[key].shape != state[key].shape)
    if wrong:
        raise ValueError(
            f"{path} does not hold the parameters of the model that its card describes: {len(wrong)} entries differ, the first "
            f"is {wrong[0]}; import or fetch the model again."
        )
    broken = sorted(key for key, value in state.items() if not bool(torch.isfinite(value).all()))
    if broken:
        raise ValueError(f"{path} has values that are NaN or infinite in {broken[0]}; use another model.")
    model.load_state_dict(state)


def _finite(figures: Mapping[str, float | None]) -> dict[str, float | None]:
    return {name: value if value is not None and math.isfinite(value) else None for name, value in figures.items()}
