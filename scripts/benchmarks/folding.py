"""How long and how much memory do %|J|≤0 and the non-diffeomorphic volume take?

    python scripts/benchmarks/folding.py [--sizes 96x96x96 160x192x224] [--repeats 5] [--threads 2]

Three ways, on the same random smooth displacement with folds: ours; the formulas on whole volumes (numpy and torch);
and the package `digital-diffeomorphism` of the authors of the measure, as a user calls it, where it can be imported.
The result goes to results/folding.json.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # waiting threads sleep soon: a shared machine does not slow them down

import numpy as np
import torch
from harness import measure, write_results

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from SpatialRegularizationLib.measures.regularity import measure_regularity

Figures = tuple[float, int]
"""Σ non-diffeomorphic volume in voxels; number of voxels with J⁰ <= 0."""


def displacement(shape: tuple[int, ...]) -> torch.Tensor:
    """(3, i, j, k) voxels: noise on every eighth voxel, linear between, folding about one voxel in 500."""
    knots = torch.randn(1, 3, *[n // 8 for n in shape], generator=torch.Generator().manual_seed(0))
    u = torch.nn.functional.interpolate(knots, size=shape, mode="trilinear", align_corners=True)[0]
    return (2.5 * u).contiguous()


def ours(u: torch.Tensor, interior: bool) -> Figures:
    found = measure_regularity(u, interior=interior)
    return found.ndv_percent * found.voxels / 100, found.folded_voxels


def whole_volume_numpy(u: torch.Tensor, interior: bool) -> Figures:
    """The formulas, one after the other, on arrays of the whole volume."""
    field = u.numpy()
    if not interior:
        field = np.pad(field, ((0, 0), (1, 1), (1, 1), (1, 1)), mode="edge")
    identity = np.stack(np.meshgrid(*[np.arange(n, dtype=field.dtype) for n in field.shape[1:]], indexing="ij"))
    return _formulas(field + identity, lambda a, b: np.cross(a, b, axis=0), lambda x: np.clip(x, 0, None))


def whole_volume_torch(u: torch.Tensor, interior: bool) -> Figures:
    """The same in torch."""
    field = u if interior else torch.nn.functional.pad(u[None], (1,) * 6, mode="replicate")[0]
    axes = [torch.arange(n, dtype=u.dtype) for n in field.shape[1:]]
    identity = torch.stack(torch.meshgrid(*axes, indexing="ij"))
    return _formulas(field + identity, lambda a, b: torch.cross(a, b, dim=0), lambda x: x.clamp(min=0))


def _formulas(phi, cross: Callable, positive: Callable) -> Figures:
    def at(*step: int):
        return phi[(slice(None), *(slice(1 + s, n - 1 + s) for s, n in zip(step, phi.shape[1:], strict=True)))]

    def det(a, b, c):
        return (a * cross(b, c)).sum(0)

    here, unit = at(0, 0, 0), np.eye(3, dtype=int).tolist()
    forward = [at(*e) - here for e in unit]
    backward = [here - at(*(-s for s in e)) for e in unit]
    central = [(a + b) / 2 for a, b in zip(forward, backward, strict=True)]
    folded = int((det(*central) <= 0).sum())
    volume = sum(
        float(positive(-det(*columns)).sum()) for columns in itertools.product(*zip(forward, backward, strict=True))
    )
    diagonals = [(at(-1, -1, 0), at(-1, 0, -1), at(0, -1, -1)), (at(1, 1, 0), at(0, 1, 1), at(1, 0, 1))]
    volume += sum(float(positive(-det(*(column - here for column in columns))).sum()) for columns in diagonals)
    return volume / 12, folded


def package(u: torch.Tensor, interior: bool) -> Figures:
    """`ndv` of digital-diffeomorphism, a black box; it repeats the border, always, and changes its input: a copy."""
    from digital_diffeomorphism import ndv

    found = ndv(u.permute(1, 2, 3, 0).contiguous().numpy(), is_disp=True)
    return float(found[0]), int(found[3])


def methods() -> dict[str, tuple[Callable[[torch.Tensor, bool], Figures], tuple[bool, ...]]]:
    """Name → function and the boundary rules it can do (False: replicate, True: interior)."""
    found = {
        "ours": (ours, (False, True)),
        "whole volume, numpy": (whole_volume_numpy, (False, True)),
        "whole volume, torch": (whole_volume_torch, (False, True)),
    }
    try:
        import digital_diffeomorphism  # noqa: F401
    except ImportError:
        return found
    return {**found, "digital-diffeomorphism": (package, (False,))}


def rows_for(shape: tuple[int, ...], repeats: int) -> list[dict]:
    u = displacement(shape)
    rows = []
    for name, (function, boundaries) in methods().items():
        for interior in boundaries:
            volume, folded = function(u, interior)
            row = {
                "method": name,
                "shape": list(shape),
                "boundary": "interior" if interior else "replicate",
                "ndv_voxels": volume,
                "folded_voxels": folded,
                **measure(lambda f=function, i=interior: f(u, i), repeats),
            }
            first = rows[int(interior)] if len(rows) > 1 else row
            row["times_ours"] = row["seconds_median"] / first["seconds_median"]
            rows.append(row)
            sys.stderr.write(
                f"{name:24s} {row['boundary']:9s} {shape} {row['seconds_median']:8.3f} s "
                f"{row['peak_extra_mb']:7.0f} MB  {volume:.2f} {folded}\n"
            )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="+", default=["96x96x96", "160x192x224"])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    shapes = [tuple(map(int, size.split("x"))) for size in options.sizes]
    write_results("folding", [row for shape in shapes for row in rows_for(shape, options.repeats)])


if __name__ == "__main__":
    main()
