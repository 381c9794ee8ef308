"""Accuracy and regularity of our registration and of the baselines on the same pairs, scored by the same code.

    python scripts/benchmarks/accuracy.py --set hippocampus --methods ours,syn_mi,demons --pairs 20 \\
        --out scripts/benchmarks/results/accuracy_hippocampus.json

Every (method, case) runs in a process of its own and is cached as one JSON line, so an interrupted run resumes. The
baselines need antspyx, itk-elastix, SimpleITK, convexAdam and fireants: name an environment that holds them with
SPATIALREG_BENCH_PYTHON. SPATIALREG_BENCH_CACHE holds lines, shared starts and displacement fields.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import cases
import harness
import known_pair
import numpy as np
import SimpleITK as sitk
import torch

from SpatialRegularizationLib.geometry.volume import Volume
from SpatialRegularizationLib.pose.start import StartKind, find_start

HERE = Path(__file__).resolve().parent
CACHE = Path(os.environ.get("SPATIALREG_BENCH_CACHE", Path(tempfile.gettempdir()) / "spatialreg_bench"))
BASELINE_PYTHON = os.environ.get("SPATIALREG_BENCH_PYTHON", sys.executable)


@dataclass(frozen=True)
class Method:
    """A script below baselines/ and whether its displacement already contains an affine part of its own."""

    script: str
    own_start: bool = False


METHODS = {name: Method(**entry) for name, entry in json.loads((HERE / "baselines" / "baselines.json").read_text()).items()}
"""Baselines; `ours`, `ours:field=value,…` and `ours+masks` are methods too."""

PRIMARY = {
    "hippocampus": ("dice", "dice_nearest"),
    "head": ("dice", "dice_nearest"),
    "head_whole": ("dice", "dice_nearest"),
    "lung": ("tre_mm", "tre_max_mm"),
    "breathing": ("error_inside_voxels", "error_outside_voxels", "error_border_voxels"),
    "ms": ("error_head_mm",),
    "brain_t1": ("lncc",),
    "abdomen": ("dice", "lncc"),
}
ALWAYS = ("folding_percent", "ndv_percent", "sd_log_j", "seconds", "peak_memory_mb")


def shared_start(case: known_pair.Case) -> np.ndarray:
    """4x4 LPS matrix that every method of a case starts from; computed once and kept in the cache."""
    if case.start == "none":
        return np.eye(4)
    if case.start == "center":
        matrix = np.eye(4)
        matrix[:3, 3] = np.array(case.moving_grid.center) - np.array(case.fixed_grid.center)
        return matrix
    path = CACHE / "starts" / f"{case.name}.txt"
    if not path.exists():
        fixed, moving = (
            Volume(torch.from_numpy(a)[None], g)
            for a, g in ((case.fixed, case.fixed_grid), (case.moving, case.moving_grid))
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savetxt(path, find_start(fixed, moving, StartKind.AFFINE).matrix)
    return np.loadtxt(path)


def write_job(case: known_pair.Case, start: np.ndarray, folder: Path) -> None:
    """The files that baselines/job.py describes."""
    fixed, native = known_pair.to_image(case.fixed, case.fixed_grid), known_pair.to_image(case.moving, case.moving_grid)
    transform = sitk.AffineTransform(3)
    transform.SetMatrix(start[:3, :3].ravel())
    transform.SetTranslation(start[:3, 3])
    if np.array_equal(start, np.eye(4)) and case.fixed_grid.matches(case.moving_grid):
        moving = native
    else:
        moving = sitk.Resample(native, fixed, transform, sitk.sitkLinear, float(case.moving.min()))
    images = {"fixed": fixed, "moving": moving, "moving_native": native}
    if case.fixed_mask is not None:
        images["fixed_mask"] = known_pair.to_image(case.fixed_mask.astype(np.uint8), case.fixed_grid)
        images["moving_mask"] = known_pair.to_image(case.moving_mask.astype(np.uint8), case.moving_grid)
    for name, image in images.items():
        sitk.WriteImage(image, str(folder / f"{name}.nii"))
    (folder / "job.json").write_text(json.dumps({"preset": case.preset, "start": start.tolist()}))


def run_method(case: known_pair.Case, name: str, start: np.ndarray, options: argparse.Namespace) -> dict[str, object]:
    """One registration in its own process, scored; an `error` entry when it failed or ran out of time."""
    import scoring

    ours = name.startswith("ours")
    method = Method("ours.py") if ours else METHODS[name]
    threads = str(options.threads)
    environment = os.environ | {
        "OMP_NUM_THREADS": threads,
        "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": threads,
        "MKL_NUM_THREADS": threads,
    }
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_job(case, start, folder)
        python = sys.executable if ours else BASELINE_PYTHON
        command = [python, str(HERE / "baselines" / method.script), temporary, name]
        begin = time.perf_counter()
        try:
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, timeout=options.timeout, cwd=folder
            )
        except subprocess.TimeoutExpired:
            return {"error": f"stopped after {options.timeout} s"}
        if done.returncode:
            said = (done.stderr or done.stdout).strip().splitlines()
            return {"error": said[-1][-400:] if said else f"exit status {done.returncode}, nothing said"}
        figures = json.loads((folder / "result.json").read_text())
        figures["process_seconds"] = time.perf_counter() - begin
        displacement = np.load(folder / "displacement.npy")
        own = folder / "affine.npy"
        start = np.load(own) if own.exists() else np.eye(4) if method.own_start else start
    if options.keep_fields:
        path = CACHE / "fields" / f"{name}_{case.name}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, displacement=displacement, start=start)
    return figures | scoring.score(case, start, displacement)


def collect(options: argparse.Namespace) -> list[dict[str, object]]:
    """All lines of the set, from the cache where they exist."""
    import scoring

    path = CACHE / f"accuracy_{options.set}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    known = {(line["method"], line["case"]): line for line in lines}
    wanted = []
    for case in cases.load_set(options.set, options.pairs):
        start = None
        for name in ["start", *options.methods]:
            key = (name, case.name)
            kept = CACHE / "fields" / f"{name}_{case.name}.npz"
            failed = "error" in known.get(key, {}) and "stopped after" not in known[key]["error"]
            rescore = options.rescore and (name == "start" or kept.exists())
            if key not in known or failed or options.again or rescore:
                start = shared_start(case) if start is None else start
                if name == "start":
                    figures = scoring.identity_score(case, start)
                elif rescore and key in known:
                    field = np.load(kept)
                    figures = known[key] | scoring.score(case, field["start"], field["displacement"])
                else:
                    figures = run_method(case, name, start, options)
                known[key] = {"method": name, "case": case.name, "threads": options.threads} | figures
                with path.open("a") as file:
                    file.write(json.dumps(known[key]) + "\n")
                report = {k: v for k, v in known[key].items() if k in (*PRIMARY[options.set], *ALWAYS, "error")}
                print(name, case.name, json.dumps(report), flush=True)
            wanted.append(known[key])
    return wanted


def summarise(lines: list[dict[str, object]], keys: tuple[str, ...]) -> dict[str, dict[str, float]]:
    """Medians per method over the pairs where it ran; beside ours: mean difference of the first figure, median ratio of
    seconds, both over the pairs where both ran."""
    methods = list(dict.fromkeys(line["method"] for line in lines))
    ours = {line["case"]: line for line in lines if line["method"] == "ours" and "error" not in line}
    table = {}
    for name in methods:
        good = [line for line in lines if line["method"] == name and "error" not in line]
        known = [key for key in keys if good and key in good[0]]
        row = {key: float(np.median([line[key] for line in good])) for key in known}
        row |= {"mean_" + key: float(np.mean([line[key] for line in good])) for key in known[:1]}
        row |= {"pairs": len(good), "failed": sum(line["method"] == name for line in lines) - len(good)}
        both = [(line, ours[line["case"]]) for line in good if line["case"] in ours and name != "ours"]
        if both:
            row[f"ours_minus_this_{keys[0]}"] = float(np.mean([mine[keys[0]] - other[keys[0]] for other, mine in both]))
        if both and "seconds" in both[0][0]:
            row["seconds_over_ours"] = float(np.median([other["seconds"] / mine["seconds"] for other, mine in both]))
        table[name] = row
    return table


def print_table(table: dict[str, dict[str, float]]) -> None:
    """A Markdown table on standard output."""
    columns = list(dict.fromkeys(key for row in table.values() for key in row))
    print("| method | " + " | ".join(columns) + " |\n|---" * 1 + "|---" * len(columns) + "|")
    for name, row in table.items():
        print(f"| {name} | " + " | ".join(f"{row[c]:.4g}" if c in row else "" for c in columns) + " |")


def main() -> None:
    """Run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", required=True, choices=list(PRIMARY))
    parser.add_argument(
        "--methods",
        default="ours,syn_mi,syn_cc,demons,convexadam,elastix,fireants",
        type=lambda text: text.split(";") if ";" in text or ":" in text else text.split(","),
    )
    parser.add_argument("--pairs", type=int, help="how many cases of the set (default: all)")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--timeout", type=float, default=1800, help="seconds a registration may take")
    parser.add_argument("--again", action="store_true", help="ignore cached lines of the methods")
    parser.add_argument("--rescore", action="store_true", help="score kept fields again instead of registering")
    parser.add_argument("--keep-fields", action="store_true", help="keep the displacement fields in the cache")
    options = parser.parse_args()
    lines = collect(options)
    table = summarise(lines, (*PRIMARY[options.set], *ALWAYS))
    print_table(table)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        content = {
            "set": options.set,
            "environment": harness.environment() | {"threads": options.threads},
            "summary": table,
            "lines": lines,
        }
        options.out.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
