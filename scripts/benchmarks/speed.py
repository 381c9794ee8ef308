"""Seconds and memory of a whole registration at 160x192x224 on the synthetic heads; needs no data and no other package.

python scripts/benchmarks/speed.py --preset brain-mri --device cpu
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import harness

from SpatialRegularizationLib.geometry.companions import Companions
from SpatialRegularizationLib.phantoms.heads import two_subjects
from SpatialRegularizationLib.registration.presets import preset_settings
from SpatialRegularizationLib.registration.register import register


def main() -> None:
    """Register the same pair several times; the first time is reported apart (it compiles and warms caches)."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="brain-mri")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--shape", default="160,192,224")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--name", default="speed", help="name of the file in results/")
    options = parser.parse_args()
    pair = two_subjects(tuple(int(n) for n in options.shape.split(",")))
    settings = dataclasses.replace(preset_settings(options.preset), device=options.device, threads=options.threads)
    companions = Companions(fixed_labels=pair.fixed_labels, moving_labels=pair.moving_labels)
    rows = []
    for run in range(options.repeats + 1):
        start = time.perf_counter()
        result = register(pair.fixed, pair.moving, settings, companions=companions)
        row = {
            "run": run,
            "preset": options.preset,
            "shape": list(pair.fixed.grid.shape),
            "device": options.device,
            "wall_seconds": time.perf_counter() - start,
            **dataclasses.asdict(result.figures),
        }
        if options.device == "cuda":
            row["cuda_peak_mb"] = torch.cuda.max_memory_allocated() / 1e6
        rows.append(row)
        print({key: row[key] for key in ("run", "wall_seconds", "peak_memory_mb", "folding_percent", "ndv_percent")})
    print(harness.write_results(options.name, rows))


if __name__ == "__main__":
    main()
