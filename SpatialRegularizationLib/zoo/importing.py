"""Import files of others as models of the zoo: read safely, renamed, described, stored as .safetensors with a card."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..io.claims import claimed
from ..models.catalogue import describe
from .card import ModelCard, load_model, save_model, sha256_of
from .checkpoints import read_state
from .dialects import Dialect, ImportedModel, import_state
from .folder import CARD, PARAMETERS, check_name, installed, is_shipped, unknown_model, zoo_folder

BRAIN_MM, AUTOPET_MM = (1.0, 1.0, 1.0), (2.8, 2.8, 3.8)
BRAIN_SHAPE, AUTOPET_SHAPE = (160, 192, 224), (192, 192, 256)
_PAPER = (
    "J. Chen et al., Unsupervised learning of spatially varying regularization for diffeomorphic image registration, "
    "Medical Image Analysis, 2025, 103887"
)
_CONFERENCE = "J. Chen et al., Spatially-varying Regularization with Conditional Transformer, arXiv 2303.06168, 2023"
_TVF = "J. Chen et al., Unsupervised Learning of Diffeomorphic Image Registration via TransMorph, WBIR 2022"
_BRAIN = "Trained on skull-stripped T1 images of heads, affinely aligned, 1 mm, intensities in [0, 1] as FreeSurfer leaves them."
_LIA = "That the axes run to the Left, Inferior and Anterior is inferred from FreeSurfer's convention; the file does not say it."
_AS_STORED = "The file does not say how the axes of its training images run: images are taken with their axes as stored."


@dataclass(frozen=True)
class ImportChoices:
    """What a user knows of a file; None: what is known of its dialect.

    Args:
        name: in the zoo; None: from the file's name.
        prior: plain settings of the prior it was trained with, e.g. {"kind": "beta", "lambda_max": 2.3, "alpha_prime": 0.005}.
        spacing_mm: of its training images.
        orientation: of its training images, three letters, or "" for axes as stored.
        intensity: preparation of its training images.
        license: on which terms its parameters may be used.
        replace: a model of the same name gives way.
    """

    name: str | None = None
    prior: Mapping[str, Any] | None = None
    spacing_mm: tuple[float, float, float] | None = None
    orientation: str | None = None
    intensity: str | None = None
    license: str | None = None
    replace: bool = False


@dataclass(frozen=True)
class _Origin:
    """What is known of the models of one dialect beside the file."""

    purpose: str
    source: str
    license: str
    citation: str
    spacing_mm: tuple[float, float, float] = BRAIN_MM
    orientation: str = "LIA"
    intensity: str = "percentile"
    limit: str = _BRAIN
    axes_limit: str = _LIA


_MIT = "MIT (of the code it was published with)"
_JOURNAL = _Origin(
    "T1 brain, atlas to subject", "github.com/junyuchen245/Spatially-Varying-Regularization-ImgReg", _MIT, _PAPER
)
_ORIGINS = {
    Dialect.CONFERENCE: _Origin(
        "T1 brain, atlas to subject", "github.com/junyuchen245/Spatially_varying_regularization", _MIT, _CONFERENCE
    ),
    Dialect.JOURNAL: _JOURNAL,
    Dialect.JOURNAL_HYPER: _JOURNAL,
    Dialect.PLAIN_TVF: replace(_JOURNAL, citation=_TVF),
    Dialect.MIR: _Origin(
        "T1 brain", "github.com/junyuchen245/MIR", "Apache-2.0 (of the code it was published with)", _PAPER
    ),
}
_AUTOPET = replace(
    _ORIGINS[Dialect.MIR],
    purpose="CT of the whole body, atlas to patient",
    spacing_mm=AUTOPET_MM,
    orientation="",
    intensity="ct-soft",
    limit="Trained on CT in Hounsfield units, affinely aligned to an atlas.",
    axes_limit=_AS_STORED,
)


def import_file(path: str | Path, choices: ImportChoices | None = None) -> ModelCard:
    """A file becomes a model in the user's zoo folder.

    Args:
        path: a checkpoint of the authors (.pth.tar), or a .safetensors model of this package.
        choices: what the user knows of it.

    Returns:
        The card, as it was stored.

    Raises:
        FileNotFoundError: no such file.
        FileExistsError: a model of that name is there, or another process is writing it.
        ValueError: damaged, foreign, or it needs to execute code.
    """
    path, choices = Path(path), choices or ImportChoices()
    if not path.is_file():
        raise FileNotFoundError(f"The file {path} does not exist: check the path.")
    name = check_name(choices.name or default_name(path))
    place = zoo_folder() / f"{name}{PARAMETERS}"
    with claimed(place):
        return _imported(path, replace(choices, name=name), place)


def _imported(path: Path, choices: ImportChoices, place: Path) -> ModelCard:
    name = choices.name
    if name in installed() and not is_shipped(installed()[name]) and not choices.replace:
        raise FileExistsError(f"There is a model {name} already: give another --name, or --force to replace it.")
    if path.suffix == PARAMETERS:
        if choices.prior is not None:
            raise ValueError("A model of this package knows its prior: import it without one.")
        model, card = load_model(path)
        card = replace(card, name=name)
    else:
        imported = import_state(read_state(path), prior=choices.prior)
        if choices.prior is not None and "prior" not in describe(imported.model):
            raise ValueError(
                f"A checkpoint of dialect {imported.dialect.value} has no prior with fixed values: import it without one."
            )
        model, card = imported.model, card_of(imported, name, path, axes_said=choices.orientation is not None)
    given = {key: getattr(choices, key) for key in ("spacing_mm", "orientation", "intensity", "license")}
    card = replace(card, **{key: value for key, value in given.items() if value is not None})
    return save_model(model, card, place)


def default_name(path: Path) -> str:
    """A name for the model in a file: the file's, with what names may not have replaced."""
    stem = re.sub(r"(\.pth)?\.(tar|pth|pt|safetensors)$", "", path.name)
    return re.sub(r"[^A-Za-z0-9._+-]+", "-", stem).strip("-._+") or "model"


def remove_model(name: str) -> Path:
    """Delete a model of the user's folder.

    Raises:
        FileNotFoundError: there is none; the nearest name is suggested.
        FileExistsError: another process is writing it.
        ValueError: it comes with the package.
    """
    if name not in (models := installed()):
        raise FileNotFoundError(unknown_model(name, models))
    if is_shipped(models[name]):
        raise ValueError(f"The model {name} comes with the package and stays; only models in {zoo_folder()} can be removed.")
    path = zoo_folder() / f"{name}{PARAMETERS}"
    with claimed(path):
        if not path.is_file():
            raise FileNotFoundError(unknown_model(name, installed()))
        path.unlink()
        path.with_suffix(CARD).unlink(missing_ok=True)
    return path


def card_of(imported: ImportedModel, name: str, path: Path, *, axes_said: bool = False) -> ModelCard:
    """What is known of a checkpoint of others: from its shapes, and from the publications of its dialect.

    Args:
        imported: from `zoo.dialects.import_state`.
        name: in the zoo.
        path: of the checkpoint.
        axes_said: the user says how the axes of its training images run.
    """
    origin = _ORIGINS[imported.dialect]
    shape, limits = imported.training_shape, list(imported.notes)
    if imported.dialect is Dialect.MIR and shape == AUTOPET_SHAPE:
        origin = _AUTOPET
    elif imported.dialect is Dialect.MIR and shape != BRAIN_SHAPE:
        limits.append("The file does not say on which images it was trained: T1 images of heads are assumed.")
    if shape is None:
        shape = _shape_of_windows(describe(imported.model))
        limits.append("The size of the training images is inferred from the attention windows (a 32nd of it).")
    return ModelCard(
        name=name,
        shape=shape,
        spacing_mm=origin.spacing_mm,
        orientation=origin.orientation,
        intensity=origin.intensity,
        purpose=origin.purpose,
        dialect=imported.dialect.value,
        source=f"{path.name}, sha256 {sha256_of(path)}; published network: {origin.source}",
        license=origin.license,
        citation=origin.citation,
        limits=(*limits, origin.limit, *(() if axes_said else (origin.axes_limit,))),
    )


def _shape_of_windows(description: Mapping[str, Any]) -> tuple[int, ...]:
    """Image size of the released networks: their windows are a 32nd of it."""
    return tuple(32 * n for n in description["backbone"]["window"])
