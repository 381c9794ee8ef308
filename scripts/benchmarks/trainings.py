"""How do trainings go, and what did a search for hyperparameters find? Collects what finished runs left; computes nothing.

    python scripts/benchmarks/trainings.py --name training_hippocampus RUN [RUN ...]
    python scripts/benchmarks/trainings.py --name tuning_hippocampus --study scripts/configs/hippocampus_tune.yaml

RUN is the folder of a training (`history.csv`): one row per run with its last figures, and its whole course as `curve`. The study
gives one row per trial and, beside the rows, optimum and importance of the parameters.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from pathlib import Path

import harness

from SpatialRegularizationLib.commands.tune_search import training_search
from SpatialRegularizationLib.tuning.search import read_search
from SpatialRegularizationLib.tuning.settings import TuningSettings


def run_row(folder: Path) -> dict[str, object]:
    """The last figures of a training, and all of them by epoch."""
    with open(folder / "history.csv", encoding="utf-8", newline="") as file:
        lines = [{name: float(text) for name, text in line.items() if text} for line in csv.DictReader(file)]
    if not lines:
        raise ValueError(f"{folder} holds no finished epoch: train first.")
    validated = [line for line in lines if "score" in line]
    best = max(validated, key=lambda line: line["score"], default={})
    steps = {"best_epoch": best.get("epoch"), "best_score": best.get("score"), "minutes": lines[-1]["seconds"] / 60}
    shown = {name: lines[-1].get(name) for name in ("epoch", "train_total", "dice", "sd_log_j", "folding_percent", "ndv_percent")}
    return {"run": folder.name, **shown, **steps, "curve": lines}


def study_rows(config: Path) -> tuple[list[dict[str, object]], dict[str, object]]:
    """The trials of a study, and what it found."""
    record = read_search(training_search(TuningSettings.from_file(config), lambda progress: None).study)
    trials = [
        {"trial": t.number, "state": t.state, **t.values, "score": t.score, "seconds": t.seconds, "course": dict(t.course)}
        for t in record.trials
    ]
    best = record.best
    found = {"best_trial": best.number, "best_score": best.score, **best.values, "importance": dict(record.importance)}
    return trials, found


def main() -> None:
    """Collect, print, write results/NAME.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", type=Path, metavar="RUN", help="folders of trainings")
    parser.add_argument("--study", type=Path, help="configuration of `spatialreg tune`")
    parser.add_argument("--name", required=True, help="name of the file in results/")
    options = parser.parse_args()
    if bool(options.runs) == bool(options.study):
        sys.exit("Give folders of trainings or --study, one of both.")
    if options.study:
        rows, found = study_rows(options.study)
    else:
        rows, found = [run_row(folder) for folder in options.runs], {}
    path = harness.write_results(options.name, rows)
    if found:
        content = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps(content | {"found": found}, indent=2) + "\n", encoding="utf-8")
        print(found)
    print(path)


if __name__ == "__main__":
    main()
