"""A process that works on a study of a parabola: python search_worker.py URL TRIALS SECONDS_PER_STEP LOG."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from SpatialRegularizationLib.tuning.plan import HeartbeatSettings, SearchPlan
from SpatialRegularizationLib.tuning.ranges import Range
from SpatialRegularizationLib.tuning.search import run_search
from SpatialRegularizationLib.tuning.trials import RunningTrial

RANGES = {"alpha_prime": Range(0.0, 0.2), "lambda_max": Range(0.5, 5.0)}
QUICK_HEART = HeartbeatSettings(interval_s=0.2, grace_s=1.5)


def parabola(values: dict[str, float]) -> float:
    """Highest, 0.8, at α′ = 0.15 and λmax = 3; λmax hardly matters."""
    return 0.8 - 20 * (values["alpha_prime"] - 0.15) ** 2 - 0.001 * (values["lambda_max"] - 3) ** 2


def main(url: str, trials: int, pause: float, log: Path) -> None:
    """Writes one line "number alpha_prime" into the log as each trial starts."""

    def objective(trial: RunningTrial) -> float:
        with log.open("a") as stream:
            stream.write(f"{trial.number} {trial.values['alpha_prime']!r}\n")
        for step in range(3):
            time.sleep(pause)
            trial.report(step, parabola(trial.values) - 0.1 / (step + 1))
        return parabola(trial.values)

    settings = SearchPlan("parabola", url, RANGES, {"data": "none"}, trials=trials, heartbeat=QUICK_HEART)
    run_search(settings, objective)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), Path(sys.argv[4]))
