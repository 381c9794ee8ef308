"""Calibrate the verdict: register pairs with known truth, gather the evidence, fit the bounds to some of them, report the others.

    python scripts/benchmarks/verdicts.py gather --cache DIR [--only KIND]
    python scripts/benchmarks/verdicts.py report --cache DIR

The first step takes an hour or two. Its transforms stay in the cache (.npz): where the evidence has changed, delete the .json
files beside them, and it is gathered again from the transforms.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import torch
import verdict_list
from harness import environment
from scipy.ndimage import gaussian_filter
from verdict_pairs import Pair

from SpatialRegularizationLib.geometry.displacement import DisplacementField
from SpatialRegularizationLib.geometry.transform import SpatialTransform
from SpatialRegularizationLib.measures.regularity import measure_regularity
from SpatialRegularizationLib.measures.scores import landmark_scores, overlap_scores
from SpatialRegularizationLib.registration.evidence import gather
from SpatialRegularizationLib.registration.optimize import optimize
from SpatialRegularizationLib.registration.prepare import prepare
from SpatialRegularizationLib.registration.progress import Reporter
from SpatialRegularizationLib.registration.verdict import BOUNDS, FAILED, GOOD, Evidence, judge
from SpatialRegularizationLib.transforms.diffeomorphism import without_folds
from SpatialRegularizationLib.transforms.mapping import transform_points

FITTED = 120
"""The bounds were fitted to so many of the pairs; all others were made afterwards and are kept apart."""
FAILED_MM = 5.0
"""A mean error above this is a failure."""


@dataclass(frozen=True)
class Solved:
    """A registration without its inverse and its figures, which take as long as the rest of it at this size.

    Args:
        transform: fixed points to moving points.
        folded: share of the voxels that folded before they were smoothed.
        notes: about the images and the start.
    """

    transform: SpatialTransform
    folded: float
    notes: tuple[str, ...]


def solved(pair: Pair) -> Solved:
    """The pair registered as `register` does it."""
    prepared = prepare(pair.fixed, pair.moving, pair.settings, reporter=Reporter(None), companions=pair.companions)
    tensors = prepared.tensors()
    shape = prepared.field_grid.shape
    _, u, folded, _ = without_folds(optimize(prepared, tensors).velocity, shape)
    field = DisplacementField.from_voxels(u[0], prepared.field_grid)
    return Solved(SpatialTransform(prepared.affine, field), folded / u[0, 0].numel(), prepared.notes)


def outcome(pair: Pair, transform: SpatialTransform) -> dict:
    """What became of a pair: its error, and whether it failed."""
    found = {"hopeless": pair.hopeless}
    if pair.truth is not None:
        found |= _errors(pair, transform)
    grid, companions = pair.fixed.grid, pair.companions
    if companions.fixed_labels is not None:
        before, after = (overlap_scores(companions, t, grid)[0]["mean"] for t in (SpatialTransform.identity(), transform))
        found |= {"dice_before": before, "dice_after": after}
    if companions.fixed_points is not None:
        tre = landmark_scores(companions, transform, pair.moving.grid)
        found |= {"error_mm": tre["mean"]}
    worse = found.get("dice_after", 1.0) < found.get("dice_before", 0.0)
    found["failed"] = bool(pair.hopeless or worse or found.get("error_mm", 0.0) > FAILED_MM)
    return found


def _errors(pair: Pair, transform: SpatialTransform) -> dict:
    """Mean distance between the transform and the truth over the content of the fixed image, after and before, mm."""
    data, grid = pair.fixed.data[0].numpy(), pair.fixed.grid
    low, high = np.percentile(data, [1, 99])
    content = gaussian_filter(data, 1.0) > (-500 if low < -500 else low + 0.15 * (high - low))
    index = np.argwhere(content)
    index = index[np.random.default_rng(0).permutation(len(index))[:20000]]
    points = grid.index_to_point(index.astype(float))
    target = transform_points(pair.truth, points)
    seen = pair.moving.grid.contains(target)
    points, target = points[seen], target[seen]
    distances = np.linalg.norm(transform_points(transform, points) - target, axis=1)
    start = np.linalg.norm(points - target, axis=1)
    return {
        "error_mm": float(distances.mean()), "error_p95_mm": float(np.percentile(distances, 95)),
        "error_before_mm": float(start.mean()),
    }  # fmt: skip


def in_random_order() -> list[verdict_list.Entry]:
    """The list, shuffled once for all: its first `FITTED` pairs are those that the bounds were fitted to."""
    every = verdict_list.entries()
    return [every[n] for n in np.random.default_rng(0).permutation(len(every))]


def gather_all(cache: Path, only: str) -> None:
    """Register and gather the evidence of every pair that is not in the cache yet."""
    for entry in (e for e in in_random_order() if e.kind.startswith(only)):
        path, start = cache / f"{entry.name}.npz", time.perf_counter()
        if path.exists() and path.with_suffix(".json").exists():
            continue
        pair = entry.pair()
        if not path.exists():
            try:
                found = solved(pair)
            except (ValueError, RuntimeError) as error:
                sys.stderr.write(f"{entry.name}: {error}\n")
                continue
            about = outcome(pair, found.transform) | {"notes": found.notes, "kind": entry.kind, "folded": found.folded}
            vectors = found.transform.displacement.vectors.numpy().astype(np.float16)
            np.savez_compressed(path, d=vectors, affine=found.transform.affine_matrix, about=json.dumps(about))
        transform, about = cached_transform(pair, path)
        record = {"about": about, "evidence": evidence_of(pair, transform, about)}
        path.with_suffix(".json").write_text(json.dumps(record))
        sys.stderr.write(f"{entry.name}: {time.perf_counter() - start:.1f} s, failed: {about['failed']}\n")


def evidence_of(pair: Pair, transform: SpatialTransform, about: dict) -> dict:
    """As `register` gathers it."""
    start = time.process_time()
    described = pair.settings.similarity == "mind"
    found = gather((pair.fixed, pair.moving), transform, intensity=pair.settings.intensity, described=described)
    seconds = time.process_time() - start
    roughness = measure_regularity(transform.displacement.to_voxels()[None]).sd_log_j
    return asdict(found) | {"roughness": float(roughness), "folded": about.get("folded"), "seconds": seconds}


def cached_transform(pair: Pair, path: Path) -> tuple[SpatialTransform, dict]:
    """The transform of a cached registration, and what is known of it."""
    with np.load(path) as file:
        vectors = torch.from_numpy(file["d"].astype(np.float32))
        affine, about = file["affine"], json.loads(str(file["about"]))
    grid = pair.fixed.grid
    return SpatialTransform(affine, DisplacementField(vectors, grid.resized(tuple(vectors.shape[1:])))), about


@dataclass(frozen=True)
class Judged:
    """A pair, what is known of it, and what the verdict says."""

    name: str
    kind: str
    part: str
    about: dict
    evidence: Evidence
    level: str

    @property
    def failed(self) -> bool:
        """Whether it is a failure."""
        return self.about["failed"]

    def line(self) -> dict:
        """For the results."""
        known = {key: round(self.about[key], 3) for key in ("error_mm", "dice_before", "dice_after") if key in self.about}
        return {"name": self.name, "part": self.part, "failed": self.failed, **known, "verdict": self.level}


def judged_pairs(cache: Path) -> list[Judged]:
    """All pairs of the cache, judged by the bounds of the library."""
    found, names = [], {field.name for field in fields(Evidence)}
    for number, entry in enumerate(in_random_order()):
        path = cache / f"{entry.name}.json"
        if not path.exists():
            continue
        record = json.loads(path.read_text())
        evidence = Evidence(**{key: value for key, value in record["evidence"].items() if key in names})
        part = "fit" if number < FITTED else "kept apart"
        found.append(Judged(entry.name, entry.kind, part, record["about"], evidence, judge(evidence).level))
    return sorted(found, key=lambda pair: (pair.kind, pair.name))


def shares(pairs: list[Judged]) -> dict:
    """How many are good and failures, and how many of them are flagged (look here or failed) and called failed."""
    good, bad = ([p for p in pairs if p.failed is failed] for failed in (False, True))
    return {
        "good": len(good),
        "good_flagged": sum(p.level != GOOD for p in good),
        "good_called_failed": sum(p.level == FAILED for p in good),
        "failures": len(bad),
        "failures_flagged": sum(p.level != GOOD for p in bad),
        "failures_called_failed": sum(p.level == FAILED for p in bad),
    }


def advised_bounds(pairs: list[Judged]) -> dict:
    """Of each kind of evidence: what 2 % of the good pairs pass, what none passes, and how many failures that finds."""
    found = {}
    for bound in BOUNDS:
        sign = -1 if bound.least else 1
        good, bad = (
            np.array([sign * v for p in pairs if p.failed is failed and (v := getattr(p.evidence, bound.name)) is not None])
            for failed in (False, True)
        )
        if len(good) and len(bad):
            look, worst = np.quantile(good, 0.98), good.max()
            found[bound.name] = {
                "good_98_percent": round(float(sign * look), 4), "good_worst": round(float(sign * worst), 4),
                "failures_beyond_98_percent": round(float((bad > look).mean()), 3),
                "failures_beyond_worst": round(float((bad > worst).mean()), 3),
            }  # fmt: skip
    return found


def report(cache: Path) -> dict:
    """The results as they are committed."""
    pairs = judged_pairs(cache)
    fit, apart = ([p for p in pairs if p.part == part] for part in ("fit", "kept apart"))
    kinds = dict.fromkeys(p.kind for p in pairs)
    rows = [{"pairs": "all that the bounds were fitted to"} | shares(fit), {"pairs": "all that were kept apart"} | shares(apart)]
    rows += [{"pairs": f"kept apart: {kind}"} | shares([p for p in apart if p.kind == kind]) for kind in kinds]
    return {
        "environment": environment(),
        "what": "failures: more than 5 mm in the mean, Dice below the start, or no right answer; good: all others",
        "compared": rows,
        "bounds": {b.name: {"look": b.look, "failed": b.failed} for b in BOUNDS},
        "evidence_of_the_fit": advised_bounds(fit),
        "rows": [p.line() for p in pairs],
    }


def main() -> None:
    """Run one step."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=("gather", "report"))
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--only", default="", help="kinds of pairs that begin like this")
    options = parser.parse_args()
    options.cache.mkdir(parents=True, exist_ok=True)
    if options.step == "gather":
        gather_all(options.cache, options.only)
        return
    found = report(options.cache)
    (Path(__file__).parent / "results" / "verdicts.json").write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    print(json.dumps(found["compared"], indent=1))


if __name__ == "__main__":
    main()
