"""Declare the settings of a training, and read them from a YAML or JSON file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any

from ..declaration import (
    check_fields,
    checked_choice,
    choice,
    entry,
    file_path,
    flag,
    integer,
    number,
    parts,
    refuse_unknown,
    three,
)
from ..zoo.folder import PARAMETERS, check_name
from ..zoo.training_grid import TrainingGrid
from .config_file import read_config
from .synthesis_settings import SynthesisSettings

FILES = ("train", "validation", "out", "cache", "synthesis.anatomy")
"""Settings that are paths; in a file they are relative to it."""
FLIPS = ("left-right", "front-back", "head-foot")


def _checked_flips(name: str, given: Any) -> tuple[str, ...]:
    flips = [given] if isinstance(given, str) else given
    if not isinstance(flips, list | tuple):
        raise ValueError(f"{name} must be a list of {', '.join(FLIPS)}, got {given!r}.")
    return tuple(checked_choice(name, item, FLIPS) for item in flips)


@dataclass(frozen=True)
class TrainingSettings:
    """What `train` does. The fields carry their help, unit, range and choices in `metadata`.

    Raises:
        ValueError: a field outside its range or choices, or choices that do not go together; one sentence.
    """

    model: Mapping[str, Any] = entry(MISSING, "which system, and its settings: {system: tm-spr, size: tiny}")
    out: str = file_path("folder of this run: checkpoints, history, TensorBoard", MISSING)
    start: str | None = file_path(
        "model whose parameters the training starts from: a name of 'models list' or a .safetensors file, whose layers `model` "
        "must have; a Hyper system may start from its plain one; default: fresh ones"
    )
    train: str | None = file_path("list of the training images (.csv or .json); of label maps where images are synthesized")
    name: str | None = entry(None, "of the model in the zoo; default: that of the folder")
    purpose: str = entry("", "what the model registers, for its card")
    validation: str | None = file_path(
        "list of the validation images (label maps: of which the same images are synthesized each time); default: none, the "
        "last state is the result"
    )
    synthesis: SynthesisSettings | None = parts(
        SynthesisSettings, "train on synthesized images, as {source: labels, anatomy: FILE}; default: on the images"
    )

    pairs: str = choice(
        "inter-subject",
        ("inter-subject", "atlas-to-subject", "intra-subject", "warped"),
        "which images meet: any two people, the atlas (moving) and a person, two images of one group of the list, or (where "
        "images are synthesized) two deformations of one label map",
    )
    atlas: str | None = entry(None, "name of the atlas in the list of training images")
    orientation: str | None = entry(None, "direction of each axis, e.g. LIA; default: that of the first training image")
    spacing_mm: tuple[float, float, float] | None = three(
        float, "mm", "voxel spacing of the network's grid; default: median of the training images"
    )
    shape: tuple[int, int, int] | None = three(
        int, "voxels", "size of the network's grid; default: the largest image, rounded up to `multiple`"
    )
    multiple: int = integer(16, 1, 128, "voxels", "a size that is not given is rounded up to a multiple of this")
    intensity: str = choice(
        "percentile", ("percentile", "ct", "none"), "intensity preparation: robust percentiles, a CT window, or none"
    )
    cache: str | None = file_path("folder of prepared images, shared by all runs that name it; default: OUT/cache")

    flips: tuple[str, ...] = entry(
        (),
        "directions mirrored at random, both images alike, of " + ", ".join(FLIPS) + "; only where anatomy allows it",
        check=_checked_flips,
    )
    deform_voxels: float = number(
        0.0, 0.0, 20.0, "voxels", "standard deviation of random smooth velocities that deform each image; 0: none"
    )
    deform_scale: int = integer(16, 4, 128, "voxels", "distance of the control points of those velocities")
    intensity_jitter: float = number(
        0.0, 0.0, 1.0, "", "standard deviation of the logarithm of a random gamma and contrast of each image; 0: none"
    )

    dice_weight: float = number(
        0.0, 0.0, 100.0, "", "weight of the Dice term of the label maps (1: as much as the similarity); 0: unsupervised"
    )
    dice_labels: int | None = integer(
        None, 1, 1000, "labels", "labels of the Dice term, drawn anew for each step; default: all of them"
    )
    symmetric: bool = flag(False, "mean of the energies of the map and of its inverse with the images exchanged")

    epochs: int = integer(500, 1, 1_000_000, "epochs", "length of the training")
    steps_per_epoch: int | None = integer(
        None, 1, 10_000_000, "steps", "optimizer steps of an epoch; default: every training image is fixed once"
    )
    batch: int = integer(1, 1, 1024, "pairs", "pairs of a forward pass, of each process")
    accumulate: int = integer(1, 1, 10_000, "passes", "forward passes whose gradients are averaged for one step")
    optimizer: str = choice("adam", ("adam", "adamw"), "Adam, or Adam with decoupled weight decay")
    amsgrad: bool = flag(False, "keep the largest second moment (AMSGrad), as the released code of TM-SPR does")
    weight_decay: float = number(0.0, 0.0, 1.0, "", "decay of the network's parameters per unit learning rate")
    learning_rate: float = number(1e-4, 1e-8, 1.0, "", "learning rate at the start")
    schedule: str = choice(
        "polynomial",
        ("polynomial", "cosine", "constant"),
        "learning rate over the epochs: (1 - epoch/epochs)^0.9 rounded to 1e-8 as in the papers' code, half a cosine, or none",
    )
    gradient_norm: float | None = number(None, 1e-6, 1e6, "", "longer gradients are shortened to this norm; default: never")
    precision: str = choice("float32", ("float32", "bf16", "fp16"), "precision of the network; energies are always float32")
    checkpointing: bool = flag(False, "recompute the time steps of the network in the backward pass: less memory, slower")
    ema_decay: float = number(
        0.0, 0.0, 0.99999, "", "validate and keep an exponential moving average of the parameters with this decay; 0: none"
    )

    validate_every: int = integer(1, 1, 10_000, "epochs", "epochs between two validations")
    validation_pairs: int | None = integer(None, 1, 1_000_000, "pairs", "validation pairs; default: every image is fixed once")
    score: str = choice(
        "auto",
        ("auto", "dice", "tre", "energy"),
        "what the best checkpoint is chosen by; auto: Dice with labels, else landmarks, else the energy",
    )
    patience: int | None = integer(None, 1, 100_000, "epochs", "stop when the score has not improved for so many epochs")
    save_minutes: float = number(10.0, 0.0, 10_000.0, "min", "time between two saves within an epoch; the end always saves")
    tensorboard: bool = flag(False, "write scalars and slice pictures for TensorBoard to OUT/tensorboard")

    seed: int = integer(0, 0, 2**31 - 1, "", "seed of everything random")
    device: str = choice("auto", ("auto", "cpu", "cuda", "mps"), "where to compute; auto takes a GPU when there is one")
    threads: int | None = integer(None, 1, 1024, "", "CPU threads; default: all")

    def __post_init__(self) -> None:
        check_fields(self)
        if not isinstance(self.model, Mapping) or "system" not in self.model:
            raise ValueError(f"model must name a system, such as {{system: tm-spr, size: tiny}}, got {self.model!r}.")
        object.__setattr__(self, "model", dict(self.model))
        if self.name is not None:
            check_name(self.name)
        TrainingGrid((1, 1, 1), (1.0, 1.0, 1.0), self.orientation or "")
        if (self.pairs == "atlas-to-subject") != (self.atlas is not None):
            raise ValueError(
                f"atlas names the moving image of atlas-to-subject pairs, got pairs {self.pairs} and atlas {self.atlas!r}; "
                "give both or neither."
            )
        self._check_synthesis()

    def _check_synthesis(self) -> None:
        """Refuses settings that do not go together with how images are made."""
        synthesis = self.synthesis
        if synthesis is None:
            _refuse_if(self.train is None, "The setting train is missing: a training needs a list of images.")
            _refuse_if(self.pairs == "warped", "pairs: warped deforms label maps, got no synthesis: set synthesis.source.")
            return
        _refuse_if(
            self.intensity != "percentile",
            f"Synthesized images have intensity percentile, got {self.intensity}; leave intensity out.",
        )
        _refuse_if(
            self.deform_voxels > 0,
            f"deform_voxels deforms images from lists, got {self.deform_voxels:g} with synthesis; set synthesis.warp_voxels.",
        )
        if synthesis.source == "labels":
            _refuse_if(self.train is None, "The setting train is missing: synthesis from labels needs a list of label maps.")
            return
        _refuse_if(self.train is not None, "synthesis.source shapes makes images from nothing, got a list train; leave it out.")
        _refuse_if(
            self.pairs != "warped", f"Random shapes meet their own deformation, got pairs {self.pairs}; set pairs: warped."
        )
        missing = [name for name in ("shape", "spacing_mm", "steps_per_epoch") if getattr(self, name) is None]
        _refuse_if(bool(missing), f"Random shapes need {', '.join(missing)}, which no list of images tells; set it.")

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, strings, lists and mappings; `from_dict` takes them."""
        return {name: _plain(value) for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TrainingSettings:
        """From names and values.

        Raises:
            ValueError: a name that is no setting (the nearest one is suggested), one that is missing, or a bad value.
        """
        refuse_unknown(values, tuple(f.name for f in fields(cls)), "setting")
        needed = ("model", "train", "out") if values.get("synthesis") is None else ("model", "out")
        missing = [name for name in needed if values.get(name) is None]
        if missing:
            raise ValueError(f"The setting {missing[0]} is missing: a training needs {', '.join(needed[:-1])} and {needed[-1]}.")
        return cls(**dict(values))

    @classmethod
    def from_file(cls, path: str | os.PathLike, changes: Mapping[str, Any] | None = None) -> TrainingSettings:
        """From a YAML or JSON file.

        Args:
            path: the file; relative paths in it start at its folder.
            changes: settings that replace those of the file; parts of a setting with a dot ("model.size"). Relative paths in it
                start where the program runs.

        Raises:
            FileNotFoundError, ValueError: no such file, or as `from_dict`.
        """
        values = read_config(path, FILES)
        if str(values.get("start", "")).endswith(PARAMETERS):  # a file; anything else is a name
            values["start"] = str(Path(path).parent / Path(values["start"]).expanduser())
        for name, value in (changes or {}).items():
            values = _changed(values, name.split("."), value)
        return cls.from_dict(values)


def _changed(values: Mapping[str, Any], path: list[str], value: Any) -> dict[str, Any]:
    """The mapping with another value at a place; mappings on the way are made where they are missing."""
    if len(path) == 1:
        return {**values, path[0]: value}
    inner = values.get(path[0])
    return {**values, path[0]: _changed(inner if isinstance(inner, Mapping) else {}, path[1:], value)}


def _plain(value: Any) -> Any:
    """Tuples as lists, however nested."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _refuse_if(condition: bool, problem: str) -> None:
    if condition:
        raise ValueError(problem)
