"""How long a slider step of Hyper-TM-SPR takes: from a condition to displacement, λ, Jacobian and warped image.

    python scripts/benchmarks/slider.py --shape 96 112 96 --threads 2
    python scripts/benchmarks/slider.py --shape 160 192 224 --device cuda --name slider_cuda

The network has the paper's size and random parameters (its time does not depend on them), the pair is a synthetic one that
moves by some voxels. Rows: a whole pass for each condition; the slider step, with what no condition touches computed once; the
same with its arrays written for another process, as `spatialreg worker` does; and the parts of the step.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from harness import measure, write_results

from SpatialRegularizationLib.geometry import Grid, Volume
from SpatialRegularizationLib.models.base import EncodingModel
from SpatialRegularizationLib.models.catalogue import build_model
from SpatialRegularizationLib.registration.session import PairSession
from SpatialRegularizationLib.registration.settings import RegistrationSettings
from SpatialRegularizationLib.worker.arrays import ArrayFiles
from SpatialRegularizationLib.zoo.card import ModelCard

CONDITION = {"alpha_prime": 0.1, "lambda_max": 2.5}


def pair(shape: tuple[int, int, int]) -> tuple[Volume, Volume]:
    """Two smooth random images on one grid of 1 mm, one a little beside the other."""
    generator = torch.Generator().manual_seed(3)
    coarse = torch.rand(1, 1, *[n // 8 + 1 for n in shape], generator=generator)
    image = torch.nn.functional.interpolate(coarse, size=shape, mode="trilinear", align_corners=True)[0]
    identity = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    grid = Grid(shape, (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), identity)
    return Volume(image, grid), Volume(image.roll(2, 2), grid)


def model_of(shape: tuple[int, int, int], size: str) -> tuple[EncodingModel, ModelCard]:
    """Hyper-TM-SPR with random parameters, increments of some voxels."""
    torch.manual_seed(0)
    model = build_model({"system": "hyper-tm-spr", "size": size, "image_shape": list(shape)}).eval()
    return model, ModelCard("random", shape, (1.0, 1.0, 1.0), "LPS", "none")


def rows(session: PairSession, model: EncodingModel) -> dict[str, Callable[[], Any]]:
    """What is timed, by name."""
    seen, encoding = session._seen, session._encoding
    condition = model.condition(CONDITION, device=session.device)
    files = ArrayFiles()

    def whole() -> None:
        session._encoding = None
        try:
            session.predict(CONDITION)
        finally:
            session._encoding = encoding

    def written() -> None:
        answer = session.predict(CONDITION)
        files.write({
            "displacement": answer.displacement, "lambda": answer.lambda_map, "jacobian": answer.jacobian,
            "warped": answer.warped,
        })  # fmt: skip

    prediction = model.decode(encoding, condition)
    return {
        "whole pass": whole,
        "slider step": lambda: session.predict(CONDITION),
        "slider step, arrays written": written,
        "part: first half of the network": lambda: model.encode(seen.moving, seen.fixed),
        "part: second half of the network": lambda: model.decode(encoding, condition),
        "part: integration": lambda: model.displacement(prediction, seen.grid.shape),
    }


def main() -> None:
    """Time all rows and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", type=int, nargs=3, default=(96, 112, 96))
    parser.add_argument("--size", default="paper", choices=("paper", "small", "tiny"))
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--name", default="slider")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    shape = tuple(options.shape)
    settings = RegistrationSettings(affine="none", intensity="none", device=options.device, threads=options.threads)
    model, card = model_of(shape, options.size)
    session = PairSession(*pair(shape), (model, card), settings)
    found = []
    with torch.no_grad():
        for name, function in rows(session, model).items():
            row = {"method": name, "shape": list(shape), "size": options.size, **measure(function, options.repeats)}
            print(f"{name:36s} {row['seconds_median']:.3f} s  (+{row['peak_extra_mb']:.0f} MB)", flush=True)
            found.append(row)
    write_results(options.name, found)


if __name__ == "__main__":
    main()
