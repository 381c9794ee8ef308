"""Make a model that comes with the package from a finished training: a float16 file of at most 8 MB, and its card.

    python3 scripts/ship.py RUN_FOLDER --name hippocampus-t1-beta --study RESULT/study.json --machine "2 CPU cores"

RUN_FOLDER is `out` of the training, with best.safetensors, history.csv and last.pt. Studies come from
`spatialreg evaluate STUDY.yaml` and must have tried this very best.safetensors. What the card says of data, license, use
and limits stands in scripts/cards.yaml. The model is refused where it is not finite in float16, where float16 changes its
displacement by more than 0.02 voxel, where it folds the trial pair, or where its card is incomplete.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from SpatialRegularizationLib.commands.console import one_sentence
from SpatialRegularizationLib.commands.model_words import card_lines
from SpatialRegularizationLib.declaration import refuse_unknown, suggestion
from SpatialRegularizationLib.models.base import RegistrationModel
from SpatialRegularizationLib.models.catalogue import build_model
from SpatialRegularizationLib.training.config_file import read_config
from SpatialRegularizationLib.training.outcome import BEST
from SpatialRegularizationLib.training.run_record import run_record
from SpatialRegularizationLib.training.shipping import Shipment, ship_model
from SpatialRegularizationLib.zoo.card import ModelCard, load_model
from SpatialRegularizationLib.zoo.record import StudyRecord, study_record

CARDS = Path(__file__).resolve().parent / "cards.yaml"
SAID = ("purpose", "intended_use", "license", "citation", "data", "limits")
"""Entries of a model in cards.yaml that go into its card; `config` goes into the command."""
TUNED = "tuned"
"""Entry of a Hyper model: the values of its hyperparameters where none are given, the optimum of a sweep."""


def main(arguments: list[str] | None = None) -> int:
    """Ship one model; returns the exit code: 0 done, 1 refused or failed."""
    options = parsed(arguments)
    try:
        shipment = ship(options)
    except (ValueError, OSError, RuntimeError) as error:
        print(f"ship: {one_sentence(error)}", file=sys.stderr)
        return 1
    size, difference = shipment.size_bytes / 1e6, shipment.difference_voxels
    model, _ = load_model(shipment.path)
    print("\n".join(card_lines(shipment.card, model, shipped=True)))
    print(f"\n{shipment.path}: {size:.2f} MB; float16 changes the displacement by at most {difference:.4f} voxel.")
    return 0


def parsed(arguments: list[str] | None) -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", metavar="RUN_FOLDER", type=Path, help="`out` of the training")
    parser.add_argument("--name", required=True, help="of the model, an entry of the cards")
    parser.add_argument("--study", metavar="FILE", type=Path, action="append", default=[], help="study.json, may be repeated")
    parser.add_argument("--machine", default="", help='on what it was trained, e.g. "2 CPU cores"')
    parser.add_argument("--cards", metavar="FILE", type=Path, default=CARDS, help="what the cards say; default: %(default)s")
    parser.add_argument("--out", metavar="DIR", type=Path, help="default: the package's folder of shipped models")
    parser.add_argument("--force", action="store_true", help="replace a shipped model of the same name")
    return parser.parse_args(arguments)


def ship(options: argparse.Namespace) -> Shipment:
    """The model of a run, with its card, in its place.

    Raises:
        FileNotFoundError, FileExistsError, ValueError: see `zoo.shipping.ship_model` and `training.run_record.run_record`.
    """
    said = entry_of(options.cards, options.name)
    best = options.run / BEST
    model, card = load_model(best)
    command = f"spatialreg train scripts/{said['config']}"
    record = run_record(options.run, card, command=command, machine=options.machine)
    studies = tuple(study_of(path, card) for path in options.study)
    model, card = with_defaults(model, card, said.get(TUNED) or {})
    entries = {name: said[name] for name in SAID if name in said}
    card = replace(card, name=options.name, training=record, studies=studies, **entries)
    return ship_model(model, card, folder=options.out, replace_existing=options.force)


def entry_of(path: Path, name: str) -> dict[str, Any]:
    """What the file of cards says of a model.

    Raises:
        ValueError: nothing, or an entry that is unknown or missing; the nearest is suggested.
    """
    models = read_config(path).get("models")
    if not isinstance(models, Mapping):
        raise ValueError(f"{path} must hold the models under 'models', got {models!r}.")
    if name not in models:
        raise ValueError(f"{path} says nothing of a model {name!r}: {suggestion(name, models)}")
    entry = dict(models[name])
    known = ("config", *SAID)
    refuse_unknown(entry, (*known, TUNED), f"entry of {name} in {path},")
    missing = [key for key in known if not entry.get(key)]
    if missing:
        raise ValueError(f"{path}, {name}: {missing[0]} is missing.")
    return entry


def with_defaults(
    model: RegistrationModel, card: ModelCard, values: Mapping[str, float]
) -> tuple[RegistrationModel, ModelCard]:
    """The same model with these values of its hyperparameters where none are given.

    Raises:
        ValueError: it has no such hyperparameter, or the value is outside of its range.
    """
    if not values:
        return model, card
    model.condition(values)
    description = {**card.description, **{f"default_{name}": float(value) for name, value in values.items()}}
    changed = build_model(description)
    changed.load_state_dict(model.state_dict())
    return changed.eval(), replace(card, description=description)


def study_of(path: Path, card: ModelCard) -> StudyRecord:
    """A study that has tried this model.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no study, or one of another model.
    """
    if not path.is_file():
        raise FileNotFoundError(f"The study {path} does not exist: run 'spatialreg evaluate STUDY.yaml' first.")
    try:
        return study_record(json.loads(path.read_text(encoding="utf-8")), card.sha256)
    except ValueError as error:
        raise ValueError(f"{path} cannot be used: {error}.") from error


if __name__ == "__main__":
    sys.exit(main())
