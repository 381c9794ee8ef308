"""Run `spatialreg sweep`: measure a model over a dense grid of its condition, on validation images."""

from __future__ import annotations

import argparse
import csv
import io
import shlex
from collections.abc import Sequence
from pathlib import Path

from ..io.atomic import write_text
from ..registration.choices import chosen_device
from ..registration.network import Network, network_of
from ..training.data import Data, load_data
from ..training.pairs import find_atlas, validation_pairs
from ..training.settings import TrainingSettings
from ..tuning.ranges import Range
from ..tuning.sweep import SweepRecord, SweepSettings, sweep, sweep_ranges
from ..tuning.sweep_report import TITLES, sweep_report_html
from .console import Console, UsageError
from .tune import range_of

REPORT, TABLE = "sweep.html", "sweep.csv"


def run(options: argparse.Namespace, console: Console, arguments: Sequence[str]) -> int:
    """Do what the command line says; returns the exit code."""
    for name in ("images", "out"):
        if not getattr(options, name):
            raise UsageError(f"--{name} is needed: see 'spatialreg sweep --help'.")
    network = network_of(options.model, {}, chosen_device(options.device))
    given = {name: Range.of(span, name) for name, span in map(range_of, options.range)}
    settings = SweepSettings(sweep_ranges(network.model, given), options.points)
    images = data_settings(options, network)
    data = load_data(images, tell=console.step)
    pairs = validation_pairs(images, data.training, find_atlas(images, data.training))
    out, command = Path(options.out), shlex.join(["spatialreg", *arguments])

    def after_pair(record: SweepRecord) -> None:
        write_report(out, record, network.card.name, command, images)
        console.step(f"{len(record.pairs)} of {record.wanted} pairs")

    record = sweep(network.model, pairs, settings, out, identity=_identity(network, data), after_pair=after_pair)
    console.result(_values(record, out), _text(record, out))
    return 0


def data_settings(options: argparse.Namespace, network: Network) -> TrainingSettings:
    """How to read the images: onto the model's grid, paired as asked."""
    lattice = network.card.training_grid
    return TrainingSettings.from_dict(
        {
            "model": {"system": network.model.system},
            "train": options.images,
            "out": options.out,
            "pairs": options.pairs,
            "atlas": options.atlas,
            "validation_pairs": options.count,
            "shape": lattice.shape,
            "spacing_mm": lattice.spacing_mm,
            "orientation": lattice.orientation,
            "intensity": network.card.intensity,
        }
    )


def write_report(out: Path, record: SweepRecord, model: str, command: str, images: TrainingSettings) -> None:
    """sweep.html and sweep.csv."""
    about = {"images": images.train, "pairs": images.pairs}
    write_text(out / REPORT, sweep_report_html(record, model=model, command=command, settings=about))
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([*record.settings.ranges, *record.figures])
    columns = [values.reshape(-1) for values in record.figures.values()]
    for point, *figures in zip(record.settings.values(), *columns, strict=True):
        writer.writerow([f"{value:.6g}" for value in (*(point[name] for name in record.settings.ranges), *figures)])
    write_text(out / TABLE, stream.getvalue())


def _identity(network: Network, data: Data) -> str:
    """Model and images: what must be the same for a sweep to go on."""
    return " ".join([network.card.name, network.card.sha256, *(str(image.entry.main) for image in data.training)])


def _values(record: SweepRecord, out: Path) -> dict[str, object]:
    values, score = record.best()
    return {"report": str(out / REPORT), "values": values, record.score_name: score, "pairs": len(record.pairs)}


def _text(record: SweepRecord, out: Path) -> str:
    values, score = record.best()
    lines = [f"Best {TITLES[record.score_name][0]} {score:.4f}, mean of {len(record.pairs)} pairs, at:"]
    return "\n".join([*lines, *(f"  {name:<16}{value:.4g}" for name, value in values.items()), f"Report: {out / REPORT}"])
