"""Run `spatialreg models`: list, show, import, remove and download trained models."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from typing import Any

from ..declaration import suggestion
from ..io.atomic import write_text
from ..registration.progress import Progress
from ..zoo.card import ModelCard, load_model, read_card
from ..zoo.fetch import fetch_model
from ..zoo.folder import installed, is_shipped, locate, zoo_folder
from ..zoo.importing import ImportChoices, import_file, remove_model
from ..zoo.manifest import read_manifest
from .console import Console, UsageError
from .model_page import model_page
from .model_words import card_lines, lattice_words, size_words, table
from .models_options import ACTIONS, PRIOR_VALUES


def run(options: argparse.Namespace, console: Console, arguments: Sequence[str]) -> int:
    """Do what the command line says; returns the exit code."""
    actions = dict(zip(ACTIONS, (_list, _info, _import, _remove, _fetch), strict=True))
    if options.action not in actions:
        raise UsageError(f"There is no action {options.action!r}: {suggestion(options.action, ACTIONS)}")
    if (options.what is None) != (options.action == "list"):
        what = "FILE" if options.action == "import" else "NAME"
        expected = "takes no name" if options.action == "list" else f"needs a {what}"
        raise UsageError(f"'spatialreg models {options.action}' {expected}: see 'spatialreg models --help'.")
    if options.html is not None and options.action != "info":
        raise UsageError("--html has an effect with 'spatialreg models info' only: leave it out.")
    actions[options.action](options, console)
    return 0


def _list(options: argparse.Namespace, console: Console) -> None:
    models = installed()
    rows: list[dict[str, Any]] = []
    for name, path in sorted(models.items()):
        row: dict[str, Any] = {"name": name, "path": str(path), "bundled": is_shipped(path)}
        try:
            card = read_card(path)
            row |= {"system": card.system, "purpose": card.purpose, "lattice": lattice_words(card)}
        except ValueError as error:
            row |= {"system": "damaged", "purpose": str(error), "lattice": ""}
        rows.append(row)
    offers = [e for e in read_manifest(options.manifest).values() if e.name not in models]
    lines = table([(r["name"], "shipped" if r["bundled"] else "yours", r["system"], r["lattice"], r["purpose"]) for r in rows])
    if not rows:
        lines = [f"There are no models in {zoo_folder()}; 'spatialreg models import FILE' adds one."]
    if offers:
        downloads = table([(e.name, size_words(e.size_bytes), e.license, e.purpose) for e in offers])
        lines += ["", "To download with 'spatialreg models fetch NAME':", *downloads]
    fetchable = [{"name": e.name, "size_bytes": e.size_bytes, "license": e.license, "purpose": e.purpose} for e in offers]
    values = {"folder": str(zoo_folder()), "models": rows, "fetchable": fetchable}
    console.result(values, "\n".join(lines), only_here=True)


def _info(options: argparse.Namespace, console: Console) -> None:
    model, card = load_model(options.what)
    shipped = is_shipped(locate(options.what))
    if options.html is not None:
        write_text(options.html, model_page(card, model, shipped=shipped))
    count = sum(p.numel() for p in model.parameters())
    conditions = [vars(h) for h in model.hyperparameters]
    values = card.to_dict() | {"parameters": count, "hyperparameters": conditions, "bundled": shipped}
    lines = card_lines(card, model, shipped=shipped)
    page = [] if options.html is None else ["", f"Page: {options.html}"]
    console.result(values | ({"html": options.html} if page else {}), "\n".join([*lines, *page]), only_here=not page)


def _import(options: argparse.Namespace, console: Console) -> None:
    choices = ImportChoices(
        name=options.model_name,
        prior=_prior(options),
        spacing_mm=options.spacing,
        orientation=options.orientation,
        intensity=options.intensity,
        license=options.license,
        replace=options.force,
    )
    console.step("Reading")
    card = import_file(options.what, choices)
    console.result(card.to_dict(), _arrived(card))


def _remove(options: argparse.Namespace, console: Console) -> None:
    path = remove_model(options.what)
    console.result({"removed": options.what, "path": str(path)}, f"Removed {path}.")


def _fetch(options: argparse.Namespace, console: Console) -> None:
    manifest = read_manifest(options.manifest)
    tell = _teller(console, options.what, manifest[options.what].size_bytes) if options.what in manifest else lambda n: None
    card = fetch_model(options.what, manifest, replace_existing=options.force, tell=tell)
    console.result(card.to_dict(), _arrived(card))


def _teller(console: Console, name: str, size_bytes: int) -> Callable[[int], None]:
    start = time.monotonic()

    def tell(received: int) -> None:
        words = f"{size_words(received)} of {size_words(size_bytes)}"
        share = min(1.0, received / size_bytes)
        console.progress(Progress(f"downloading {name}", share, time.monotonic() - start, message=words))

    return tell


def _prior(options: argparse.Namespace) -> dict[str, Any] | None:
    """Plain settings of the prior; None where nothing was said."""
    given = {n: getattr(options, n) for names in PRIOR_VALUES.values() for n in names if getattr(options, n) is not None}
    if options.prior is None and not given:
        return None
    kind = options.prior or next(kind for kind, names in PRIOR_VALUES.items() if any(name in given for name in names))
    expected = PRIOR_VALUES[kind]
    if set(given) != set(expected):
        flags = [f"--{name.replace('_', '-')}" for name in (*expected, *given)]
        raise UsageError(
            f"The {kind} prior needs {flags[0]} and {flags[1]}, got {', '.join(flags[2:]) or 'neither'}: give exactly these two."
        )
    return {"kind": kind, **given}


def _arrived(card: ModelCard) -> str:
    text = f"{card.name}: {card.system}{f', dialect {card.dialect}' if card.dialect else ''}, {lattice_words(card)}."
    return "\n".join([text, *card.limits, f"Use it with 'spatialreg register FIXED MOVING --out DIR --model {card.name}'."])
