"""Does a weight λ(p) that varies in space give a higher Dice than a uniform one at the same irregularity?

    python scripts/benchmarks/spatial_weight.py --set hippocampus --pairs 40
    python scripts/benchmarks/spatial_weight.py --set head --pairs 4 --spacing 2

Both families run over a range of strengths on the same pairs, everything else being equal: the uniform prior with several
λ, and the beta prior of the preset with (λmax, α′) multiplied by several factors, which multiplies λ(p) of a given field.
The family with the higher mean Dice at equal mean SDlogJ wins; between two strengths Dice is interpolated linearly over
SDlogJ. The hippocampus pairs are other ones than those of `accuracy.py`, on which the presets were chosen (another seed), and the
heads are the pairs after the first three; the brain preset was changed once more after a first look at these pairs.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path

import accuracy
import cases
import harness
import known_pair
import numpy as np
import scoring
import torch

from SpatialRegularizationLib.geometry.transform import SpatialTransform
from SpatialRegularizationLib.geometry.volume import Volume
from SpatialRegularizationLib.registration.presets import preset_settings
from SpatialRegularizationLib.registration.register import register
from SpatialRegularizationLib.registration.settings import RegistrationSettings

UNIFORM = (0.3, 0.4, 0.5, 0.65, 0.85)
FACTORS = (0.75, 1.0, 1.33)
FRESH_SEED = 777
TUNED_HEADS = 3


def fresh_pairs(name: str, count: int) -> list[known_pair.Case]:
    """Pairs other than those of `accuracy.py`."""
    if name == "head":
        return cases.load_set(name, TUNED_HEADS + count)[TUNED_HEADS:]
    cases.HIPPOCAMPUS_SEED = FRESH_SEED
    return cases.load_set(name, count)


def variants(preset: RegistrationSettings) -> dict[str, list[tuple[str, RegistrationSettings]]]:
    """The two families, by rising strength."""
    uniform = [(f"lambda {c:g}", dataclasses.replace(preset, prior="uniform", lambda_max=c)) for c in UNIFORM]
    beta = [
        (
            f"lambda_max {preset.lambda_max * f:.3g}, alpha_prime {preset.alpha_prime * f:.3g}",
            dataclasses.replace(preset, lambda_max=preset.lambda_max * f, alpha_prime=preset.alpha_prime * f),
        )
        for f in FACTORS
    ]
    return {"uniform": uniform, "beta": beta}


def measured(case: known_pair.Case, start: np.ndarray, settings: RegistrationSettings) -> dict[str, float]:
    """Dice, SDlogJ and folds of one registration."""
    images = (
        Volume(torch.from_numpy(a)[None], g)
        for a, g in ((case.fixed, case.fixed_grid), (case.moving, case.moving_grid))
    )
    result = register(*images, settings, initial=SpatialTransform(start, None))
    figures = scoring.score(case, start, result.displacement.vectors.numpy())
    return {k: figures[k] for k in ("dice", "dice_nearest", "sd_log_j", "sd_log_j_mask", "folding_percent", "ndv_percent")}


def at_equal_irregularity(rows: list[dict[str, object]], measure: str) -> list[dict[str, float]]:
    """For every beta row inside the uniform family's range: what uniform λ reaches at the same mean SDlogJ, pair by pair."""
    uniform = sorted((r for r in rows if r["family"] == "uniform"), key=lambda r: r["mean"][measure])
    x = np.array([r["mean"][measure] for r in uniform])
    dice = np.array([[p["dice"] for p in r["pairs"]] for r in uniform])
    random = np.random.default_rng(0)
    compared = []
    for row in (r for r in rows if r["family"] == "beta"):
        here = row["mean"][measure]
        if not x[0] <= here <= x[-1]:
            continue
        theirs = np.array([np.interp(here, x, dice[:, n]) for n in range(dice.shape[1])])
        gain = np.array([p["dice"] for p in row["pairs"]]) - theirs
        means = random.choice(gain, (2000, gain.size)).mean(1)
        compared.append(
            {
                "strength": row["strength"],
                measure: here,
                "dice_beta": row["mean"]["dice"],
                "dice_uniform": float(theirs.mean()),
                "gain": float(gain.mean()),
                "gain_low": float(np.percentile(means, 2.5)),
                "gain_high": float(np.percentile(means, 97.5)),
                "pairs_better": int((gain > 0).sum()),
                "pairs": int(gain.size),
            }
        )
    return compared


def main() -> None:
    """Run both families, print, write results/spatial_weight_<set>.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", required=True, choices=("hippocampus", "head"))
    parser.add_argument("--pairs", type=int, default=40)
    parser.add_argument("--spacing", type=float, help="working spacing in mm (default: that of the images)")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    pairs = fresh_pairs(options.set, options.pairs)
    starts = [accuracy.shared_start(case) for case in pairs]
    preset = dataclasses.replace(preset_settings(pairs[0].preset), affine="none", working_spacing_mm=options.spacing)
    rows: list[dict[str, object]] = []
    for family, strengths in variants(preset).items():
        for strength, settings in strengths:
            figures = [measured(case, start, settings) for case, start in zip(pairs, starts, strict=True)]
            mean = {key: float(np.mean([f[key] for f in figures])) for key in figures[0]}
            rows.append({"family": family, "strength": strength, "mean": mean, "pairs": figures})
            print(f"{family:8} {strength:40} " + "  ".join(f"{k} {v:.4f}" for k, v in mean.items()), flush=True)
    content = {
        "set": options.set,
        "pairs": [case.name for case in pairs],
        "working_spacing_mm": options.spacing,
        "environment": harness.environment() | {"threads": options.threads},
        "best": {f: max(r["mean"]["dice"] for r in rows if r["family"] == f) for f in ("uniform", "beta")},
        "compared": at_equal_irregularity(rows, "sd_log_j"),
        "rows": rows,
    }
    print(json.dumps(content["best"]), *map(json.dumps, content["compared"]), sep="\n")
    path = Path(__file__).resolve().parent / "results" / f"spatial_weight_{options.set}.json"
    path.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
