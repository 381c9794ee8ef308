"""Fingerprints of every kind of result, to show that a change of the house changes no number:

    python scripts/benchmarks/golden.py --save before.json        before the change
    python scripts/benchmarks/golden.py --compare before.json     after it, on the same machine

Every preset, prior and similarity registers two synthetic subjects, every installed model answers a pair on its own lattice (as
it is, refined, and in a session), previews and carried labels and points follow. A fingerprint is a checksum of the bytes of
every field and figure, times and memory apart; it holds on one machine with one version of PyTorch.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from SpatialRegularizationLib.geometry.companions import Companions
from SpatialRegularizationLib.geometry.transform import SpatialTransform
from SpatialRegularizationLib.phantoms.heads import two_subjects
from SpatialRegularizationLib.phantoms.trial_pair import trial_pair
from SpatialRegularizationLib.registration.presets import PRESETS
from SpatialRegularizationLib.registration.preview import PairPreview
from SpatialRegularizationLib.registration.register import register
from SpatialRegularizationLib.registration.result import Registration
from SpatialRegularizationLib.registration.session import PairSession
from SpatialRegularizationLib.transforms.mapping import transform_points
from SpatialRegularizationLib.transforms.resample import resample
from SpatialRegularizationLib.zoo.card import load_model
from SpatialRegularizationLib.zoo.folder import installed

SHAPE = (44, 52, 48)
PASSING = ("seconds", "peak_memory_mb", "device")
QUICK = {"max_voxels": 60_000, "threads": 1, "device": "cpu"}
"""Where the lattice of the two subjects is coarsened, as well, so that this way is covered."""


def main() -> int:
    """Write or compare the fingerprints; 1 where one differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--save", type=Path, metavar="FILE")
    parser.add_argument("--compare", type=Path, metavar="FILE")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    found = {}
    for name, print_of in fingerprints():
        found[name] = print_of
        sys.stdout.write(f"{name}: {hashlib.sha256(json.dumps(print_of).encode()).hexdigest()[:12]}\n")
        sys.stdout.flush()
    if asked.save:
        asked.save.write_text(json.dumps(found, indent=1), encoding="utf-8")
    if not asked.compare:
        return 0
    known = json.loads(asked.compare.read_text(encoding="utf-8"))
    different = [name for name in known if known[name] != found.get(name)]
    for name in different:
        parts = [part for part in known[name] if known[name][part] != found.get(name, {}).get(part)]
        sys.stdout.write(f"DIFFERENT {name}: {', '.join(parts)}\n")
    sys.stdout.write(f"{len(known) - len(different)} of {len(known)} as before.\n")
    return 1 if different else 0


def fingerprints() -> Iterator[tuple[str, dict[str, str]]]:
    """Every case by name."""
    pair = two_subjects(SHAPE, seed=3)
    points = pair.fixed.grid.index_to_point(np.random.default_rng(0).uniform(8, 36, (20, 3)))
    companions = Companions(
        fixed_labels=pair.fixed_labels, moving_labels=pair.moving_labels, fixed_points=points, moving_points=points
    )
    cases = {f"preset {name}": replace(settings, **QUICK) for name, settings in PRESETS.items()}
    generic = replace(PRESETS["generic"], **QUICK, levels=((4, 4, 20), (2, 4, 20)))
    cases |= {f"prior {name}": replace(generic, prior=name) for name in ("gaussian", "uniform")}
    cases |= {f"similarity {name}": replace(generic, similarity=name) for name in ("mse", "mind")}
    cases["no affine, pooled"] = replace(generic, affine="none", lambda_pooling=2, precision="float64")
    for name, settings in cases.items():
        yield name, of_registration(register(pair.fixed, pair.moving, settings, companions=companions))
    masks = Companions(fixed_mask=pair.fixed_labels, moving_mask=pair.moving_labels)
    found = register(pair.fixed, pair.moving, generic, companions=masks)
    yield "masks", of_registration(found)
    yield "carried", carried(found, pair.moving_labels, points)
    yield "continued", of_registration(register(pair.fixed, pair.moving, generic, initial=found.transform))
    preview = PairPreview(pair.fixed, pair.moving, generic)
    yield "preview", of_answer(preview.predict({"alpha_prime": 0.1}))
    for name in sorted(installed()):
        yield from of_model(name)


def of_model(name: str) -> Iterator[tuple[str, dict[str, str]]]:
    """One installed model on its own lattice."""
    model, card = load_model(name, torch.device("cpu"))
    fixed, moving = trial_pair(card.training_grid, card.intensity)
    settings = replace(PRESETS["generic"], threads=1, device="cpu", affine="rigid", intensity=card.intensity)
    yield f"model {name}", of_registration(register(fixed, moving, settings, model=(model, card)))
    refined = replace(settings, refine_steps=4)
    yield f"model {name}, refined", of_registration(register(fixed, moving, refined, model=(model, card)))
    session = PairSession(fixed, moving, (model, card), settings)
    values = {h.name: h.low + 0.3 * (h.high - h.low) for h in model.hyperparameters}
    yield f"model {name}, session", of_answer(session.predict(values))


def of_registration(found: Registration) -> dict[str, str]:
    """Checksums of all that a registration holds."""
    figures = {name: value for name, value in asdict(found.figures).items() if name not in PASSING}
    maps = ("warped",) if found.displacement is None else ("warped", "lambda_map", "jacobian")
    return {
        **{name: _sum(getattr(found, name).data) for name in maps},
        "displacement": "" if found.displacement is None else _sum(found.displacement.vectors),
        "inverse": _of_transform(found.inverse_transform),
        "affine": _sum(torch.from_numpy(found.affine)),
        "grids": repr([found.displacement and found.displacement.grid, found.warped.grid]),
        "figures": repr(figures),
        "history": repr(found.history),
        "notes": repr(found.notes),
        "model": repr(found.model),
    }


def of_answer(found: Any) -> dict[str, str]:
    """Of a live answer."""
    fields = ("displacement", "lambda_map", "jacobian", "warped")
    figures = {name: value for name, value in found.figures.items() if name not in PASSING}
    return {name: _sum(getattr(found, name)) for name in fields} | {"figures": repr(figures)}


def carried(found: Registration, labels: Any, points: np.ndarray) -> dict[str, str]:
    """Labels and points through the transform and back."""
    there = transform_points(found.transform, points)
    back = transform_points(found.inverse_transform, there)
    moved = resample(labels, found.transform, found.fixed.grid, nearest=True)
    return {"there": _sum(torch.from_numpy(there)), "back": _sum(torch.from_numpy(back)), "labels": _sum(moved.data)}


def _of_transform(transform: SpatialTransform) -> str:
    parts = [
        (_sum(torch.from_numpy(part.affine_matrix)), part.displacement and _sum(part.displacement.vectors))
        for part in transform.parts
    ]
    return repr(parts)


def _sum(values: Tensor) -> str:
    array = np.ascontiguousarray(values.detach().cpu().numpy())
    return hashlib.sha256(repr((array.shape, array.dtype)).encode() + array.tobytes()).hexdigest()[:16]


if __name__ == "__main__":
    sys.exit(main())
