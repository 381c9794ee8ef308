"""Is one Hyper-TM-SPR as good, at each of nine (α′, λmax), as a TM-SPR trained there?

    python scripts/hippocampus.py --data HIPPOCAMPUS --out FOLDER
    python scripts/benchmarks/hyper_points.py --work FOLDER --jobs 2
    python scripts/benchmarks/hyper_points.py --work FOLDER --jobs 2 --shipped

Trains the ten networks (each run resumes where it was interrupted) with scripts/configs/hippocampus_points.yaml, the Hyper
network `--longer` times as long since it learns nine problems and all between, and scores all of them on the same validation
pairs at the same (α′, λmax). All have the same backbone; the last state of each is taken: nothing is chosen by the score.

`--shipped` asks it of the shipped `hippocampus-t1-hyper`, against networks of similar length: the shipped `hippocampus-t1-beta`
(trained at (0.038, 1.6)) goes on at each of the nine points for `--epochs` epochs with that point's prior.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import harness
import torch

from SpatialRegularizationLib.models.base import predict
from SpatialRegularizationLib.training.data import load_data
from SpatialRegularizationLib.training.loop import train
from SpatialRegularizationLib.training.outcome import BEST
from SpatialRegularizationLib.training.pairs import Batch, validation_pairs
from SpatialRegularizationLib.training.settings import TrainingSettings
from SpatialRegularizationLib.training.validation import mean_figures, pair_figures
from SpatialRegularizationLib.zoo.card import load_model
from SpatialRegularizationLib.zoo.folder import locate

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "scripts" / "configs" / "hippocampus_points.yaml"
SHIPPED_CONFIG = CONFIG.with_name("hippocampus_beta.yaml")
ALPHA_PRIME = (0.01, 0.04, 0.15)
LAMBDA_MAX = (0.5, 1.5, 4.0)
POINTS = list(itertools.product(ALPHA_PRIME, LAMBDA_MAX))
SHIPPED = {"plain": "hippocampus-t1-beta", "hyper": "hippocampus-t1-hyper"}
HYPER_RANGES = {"alpha_prime_range": [0.0, 0.2], "lambda_max_range": [0.05, 5.0]}


def runs(options: argparse.Namespace) -> dict[str, TrainingSettings]:
    """The trainings by name: one of every point and, unless the shipped one is asked about, one of the Hyper network."""
    lists = {"train": str(options.work / "train.csv"), "validation": None}
    shared = lists | {"cache": str(options.work / "cache"), "threads": 1, "device": options.device}
    shared |= {"epochs": options.epochs}
    if options.shipped:
        shared |= {"start": SHIPPED["plain"], "learning_rate": 5e-4}
    trainings = {}
    for alpha, lam in POINTS:
        name = f"{'shipped_' if options.shipped else ''}{point_name(alpha, lam)}"
        prior = {"kind": "beta", "alpha_prime": alpha, "lambda_max": lam}
        trainings[point_name(alpha, lam)] = shared | {"out": str(options.work / name), "model.prior": prior}
    config = SHIPPED_CONFIG if options.shipped else CONFIG
    if not options.shipped:
        hyper = {k: v for k, v in TrainingSettings.from_file(config, lists).model.items() if k != "prior"}
        trainings["hyper"] = shared | {
            "out": str(options.work / "hyper"),
            "model": hyper | {"system": "hyper-tm-spr"} | HYPER_RANGES,
            "epochs": options.epochs * options.longer,
        }
    return {name: TrainingSettings.from_file(config, changes) for name, changes in trainings.items()}


def point_name(alpha_prime: float, lambda_max: float) -> str:
    """The name of the training at this point."""
    return f"alpha_prime_{alpha_prime:g}_lambda_max_{lambda_max:g}"


def train_all(trainings: dict[str, TrainingSettings], jobs: int) -> None:
    """Each in a process of its own, the longest first."""

    def one(name: str) -> None:
        command = [sys.executable, str(Path(__file__).resolve()), *sys.argv[1:], "--only", name]
        subprocess.run(command, check=True)

    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(one, sorted(trainings, key=lambda n: -trainings[n].epochs)))


@torch.no_grad()
def figures_at(path: Path, settings: TrainingSettings, points: list[dict[str, float]]) -> list[list[dict[str, float]]]:
    """Figures of every validation pair of the model at `path`, at each condition (an empty one for a plain model)."""
    model, _ = load_model(path, torch.device("cpu"))
    model.eval()
    settings = dataclasses.replace(settings, validation=str(Path(settings.train).with_name("validation.csv")))
    data = load_data(settings)
    pairs = validation_pairs(settings, data.validation, None)
    rows = []
    for values in points:
        condition = model.condition(values)
        rows.append([])
        for pair in pairs:
            batch = Batch.of([pair], torch.device("cpu"))
            prediction = predict(model, batch.moving, batch.fixed, condition)
            rows[-1].append(pair_figures(model, prediction, condition, pair, batch)[0])
    return rows


def compare(separate: dict[str, TrainingSettings], hyper: Path) -> list[dict[str, float]]:
    """At each point: the separate model, the Hyper model, and their difference."""
    points = [dict(alpha_prime=alpha, lambda_max=lam) for alpha, lam in POINTS]
    rows = []
    for point, theirs in zip(points, figures_at(hyper, next(iter(separate.values())), points), strict=True):
        settings = separate[point_name(*point.values())]
        alone = mean_figures(figures_at(Path(settings.out) / BEST, settings, [{}])[0])
        one = mean_figures(theirs)
        rows.append(
            point
            | {"pairs": len(theirs), "dice_separate": alone["dice"], "dice_hyper": one["dice"]}
            | {"difference": one["dice"] - alone["dice"]}
            | {"sd_log_j_separate": alone["sd_log_j"], "sd_log_j_hyper": one["sd_log_j"]}
        )
        print("  ".join(f"{k} {v:.4g}" for k, v in rows[-1].items()), flush=True)
    return rows


def main() -> None:
    """Train, compare, print, write results/hyper_points.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder of train.csv and validation.csv; the runs go there")
    parser.add_argument("--epochs", type=int, default=12, help="of each separate model")
    parser.add_argument("--longer", type=int, default=4, help="times as many epochs for the Hyper model")
    parser.add_argument("--jobs", type=int, default=2, help="trainings at once, one thread each")
    parser.add_argument("--shipped", action="store_true", help="of the shipped networks, instead of fresh ones")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--only", help="train this one and stop")
    options = parser.parse_args()
    trainings = runs(options)
    if options.only:
        train(trainings[options.only])
        return
    train_all(trainings, options.jobs)
    if options.shipped:
        hyper, about = locate(SHIPPED["hyper"]), {"separate": SHIPPED["plain"], "further_epochs": options.epochs}
    else:
        hyper = Path(trainings.pop("hyper").out) / BEST
        about = {"epochs_separate": options.epochs, "epochs_hyper": options.epochs * options.longer}
    rows = [row | about for row in compare(trainings, hyper)]
    print(harness.write_results(f"hyper_points{'_shipped' if options.shipped else ''}", rows))


if __name__ == "__main__":
    main()
