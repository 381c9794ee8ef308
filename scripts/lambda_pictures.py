"""Pictures of what a network says of λ: beside the deformation, and under other values of the prior.

    python3 scripts/lambda_pictures.py FIXED MOVING --model head-any-beta --hyper head-any-hyper [--out DIR]

DIR (default Resources/Screenshots) gets, of middle sections,

- lambda.png: axial, coronal and sagittal rows of fixed, moving (affine), warped, λ(p), |∇u| of the model;
- lambda_hyper.png: λ(p)/λmax of the Hyper model, α′ rising from left to right, λmax from top to bottom.

λ is dark where the image may deform and bright where it is held together; |∇u| is bright where it does deform. The images have
the axes L, P, S.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import torch
from synthesis_pictures import section

from SpatialRegularizationLib.geometry.transform import SpatialTransform
from SpatialRegularizationLib.geometry.volume import Volume
from SpatialRegularizationLib.io.atomic import atomic_path
from SpatialRegularizationLib.io.volumes import read_volume
from SpatialRegularizationLib.registration.presets import preset_settings
from SpatialRegularizationLib.registration.register import register
from SpatialRegularizationLib.registration.result import Registration
from SpatialRegularizationLib.regularizers.diffusion import gradient_energy
from SpatialRegularizationLib.report.pixels import GRAY, WEIGHT, ColorMap, encode_png, indices
from SpatialRegularizationLib.transforms.resample import resample
from SpatialRegularizationLib.zoo.card import load_model

OUT = Path(__file__).resolve().parent.parent / "Resources" / "Screenshots"
SHARES = (0.15, 0.5, 1.0)
"""Of the upper ends of both ranges: the conditions that are drawn."""
GAP = 3


def main() -> int:
    """Register, draw, write; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fixed", type=Path)
    parser.add_argument("moving", type=Path)
    parser.add_argument("--model", required=True, help="a model with λ(p), name or file")
    parser.add_argument("--hyper", help="a Hyper model; without one there is no lambda_hyper.png")
    parser.add_argument("--out", type=Path, default=OUT, help="folder of the pictures (default %(default)s)")
    options = parser.parse_args()
    try:
        pair = [read_volume(file) for file in (options.fixed, options.moving)]
        pictures = {"lambda": beside_deformation(pair, options.model)}
        if options.hyper:
            pictures["lambda_hyper"] = under_conditions(pair, options.hyper)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    options.out.mkdir(parents=True, exist_ok=True)
    for name, picture in pictures.items():
        with atomic_path(options.out / f"{name}.png", ".png") as temporary:
            temporary.write_bytes(picture)
        print(options.out / f"{name}.png")
    return 0


def beside_deformation(pair: list[Volume], model: str) -> bytes:
    """The first picture; gray images on the left, colors on the right."""
    result = answered(pair, model, None)
    start = resample(result.moving, SpatialTransform(result.affine), result.fixed.grid)
    gradient = gradient_energy(result.displacement.to_voxels()[None])[0].sqrt()
    volumes = [result.fixed, start, result.warped, result.lambda_map, Volume(gradient, result.fixed.grid)]
    low = float(result.lambda_map.data.min())
    ends = [(0.0, float(torch.quantile(v.data.flatten()[::7], 0.998))) for v in volumes]
    ends[3] = (low, float(result.lambda_map.data.max()))
    columns = [(v.data[None], *end, color) for v, end, color in zip(volumes, ends, (0, 0, 0, 1, 1), strict=True)]
    return drawn([[(section(image, view), *rest) for image, *rest in columns] for view in range(3)])


def under_conditions(pair: list[Volume], model: str) -> bytes:
    """The second picture, axial sections."""
    loaded = load_model(model)
    highest = {h.name: h.high for h in loaded[0].hyperparameters}
    if not {"alpha_prime", "lambda_max"} <= highest.keys():
        raise ValueError(f"{model} takes no α′ and λmax: give a Hyper-TM-SPR with the beta prior as --hyper.")
    rows = []
    for lambda_max in SHARES:
        row = []
        for alpha in SHARES:
            condition = {"alpha_prime": alpha * highest["alpha_prime"], "lambda_max": lambda_max * highest["lambda_max"]}
            weight = answered(pair, loaded, condition).lambda_map
            row.append((section(weight.data[None] / condition["lambda_max"], 0), 0.0, 1.0, 1))
        rows.append(row)
    return drawn(rows)


def answered(pair: list[Volume], model: str | tuple, condition: dict[str, float] | None) -> Registration:
    """The network's answer, not refined."""
    return register(*pair, replace(preset_settings("multi-modal"), affine="affine"), model=model, condition=condition)


def drawn(rows: list[list[tuple[np.ndarray, float, float, int]]]) -> bytes:
    """A sheet of (section, low, high, 0 for gray or 1 for λ's colors), in one palette of 127 grays and 127 colors."""
    height = max(tile.shape[0] for row in rows for tile, *_ in row)
    width = max(tile.shape[1] for row in rows for tile, *_ in row)
    canvas = np.zeros((len(rows) * (height + GAP), len(rows[0]) * (width + GAP)), dtype=np.uint8)
    for r, row in enumerate(rows):
        for c, (tile, low, high, color) in enumerate(row):
            top = r * (height + GAP) + (height - tile.shape[0]) // 2
            left = c * (width + GAP) + (width - tile.shape[1]) // 2
            canvas[top : top + tile.shape[0], left : left + tile.shape[1]] = (
                np.minimum(indices(tile, low, high) // 2, 126) + 127 * color
            )
    both = np.vstack([GRAY.palette()[:254:2], WEIGHT.palette()[:254:2]])
    colors = ColorMap(tuple("#" + bytes(color.tolist()).hex() for color in both))
    return encode_png(np.kron(canvas, np.ones((2, 2), dtype=np.uint8)), colors)


if __name__ == "__main__":
    sys.exit(main())
