"""Speed and memory of TM-SPR's forward pass and training step against the plain forms (plain_network.py, plain_forms.py).

    python scripts/benchmarks/networks.py                        the paper's network at 160x192x224, on the CPU
    python scripts/benchmarks/networks.py --sizes half           96x112x96 rounded up to what the network needs
    python scripts/benchmarks/networks.py --device cuda --name networks_cuda

Network and weight head as released for the journal paper (T = 7, C = 96, head on the fine maps), random parameters, fields of a
few voxels. Inference is everything from two images to the displacement (and λ) on their lattice. A training step is forward
pass, integration, warp, loss and gradients; the plain one has the local correlation of five convolutions. All is compared with
the first form: `difference_voxels` is the largest, `gradient_difference` the relative L2 distance of all gradients together.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import harness
import plain_forms
from plain_network import PlainTmSpr

from SpatialRegularizationLib.fields.sampling import ZeroPadding, warp_zero_padded
from SpatialRegularizationLib.models.catalogue import build_model
from SpatialRegularizationLib.models.tm_spr import TmSpr

SHAPES = {"trial": (64, 64, 64), "half": (96, 128, 96), "brain": (160, 192, 224)}
HEAD_DEVIATION = 0.012
"""Of the registration heads' parameters: largest displacement about three voxels."""


def network(shape: tuple[int, ...], device: str) -> TmSpr:
    """The released network of the journal paper, with windows for the shape."""
    torch.manual_seed(0)
    released = {"composition": "self_warped", "warp": "zeros", "norm": "batch", "window": [n // 32 for n in shape]}
    head = {"tap": "fine", "width": 48, "upsample_logits": True, "norm": "batch"}
    model = build_model({"system": "tm-spr", "backbone": released, "head": head})
    for step in model.network.steps:
        torch.nn.init.normal_(step.out.weight, std=HEAD_DEVIATION)
    return model.to(device)


def images(shape: tuple[int, ...], device: str) -> tuple[Tensor, Tensor]:
    """Two smooth random images in [0, 1]."""
    generator = torch.Generator().manual_seed(1)
    coarse = torch.rand(2, 1, *[n // 8 for n in shape], generator=generator)
    fine = F.interpolate(coarse, size=shape, mode="trilinear", align_corners=True).to(device)
    return fine[:1], fine[1:]


def inference(shape: tuple[int, ...], device: str) -> dict[str, Callable[[], tuple[Tensor, Tensor | None]]]:
    """(u, λ) in every form; the first is the one that the others are compared with."""
    model = network(shape, device).eval()
    plain, (moving, fixed) = PlainTmSpr(model, shape).to(device), images(shape, device)

    def ours(with_lambda: bool) -> tuple[Tensor, Tensor | None]:
        prediction = model(moving, fixed, with_lambda=with_lambda)
        return model.displacement(prediction, shape), model.lambda_on(prediction, shape)

    def in_16_bits(form: Callable[[], tuple[Tensor, Tensor | None]]) -> Callable[[], tuple[Tensor, Tensor | None]]:
        def run() -> tuple[Tensor, Tensor | None]:
            with torch.autocast(device, dtype=torch.bfloat16):
                return form()

        return run

    forms: dict[str, Callable[[], tuple[Tensor, Tensor | None]]] = {
        "plain": lambda: plain(moving, fixed),
        "ours": lambda: ours(True),
        "ours, without λ": lambda: ours(False),
    }
    sixteen = {f"{name}, bf16": in_16_bits(form) for name, form in forms.items()}
    return {name: torch.no_grad()(form) for name, form in {**forms, **sixteen}.items()}


def training(shape: tuple[int, ...], device: str) -> dict[str, Callable[[], list[Tensor]]]:
    """Gradients of one step in every form."""
    model = network(shape, device).train()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm3d):
            module.eval()  # the same numbers in every step and form
    model.network.encoder.eval()  # no stochastic depth
    plain, (moving, fixed) = PlainTmSpr(model, shape).to(device), images(shape, device)
    prior, parameters = model.settings.prior, list(model.parameters())

    def plain_step() -> list[Tensor]:
        u, w = plain(moving, fixed)
        loss = 1 - plain_forms.lncc_conv(plain.warp(moving, u), fixed)
        loss = loss + plain_forms.weighted_diffusion(u, prior.lambda_max * w) + prior(prior.lambda_max * w)
        return list(torch.autograd.grad(loss, parameters))

    def our_step() -> list[Tensor]:
        prediction = model(moving, fixed)
        u, lambda_map = model.displacement(prediction, shape), model.lambda_on(prediction, shape)
        warped = warp_zero_padded(moving, u, ZeroPadding.CENTERED)
        return list(torch.autograd.grad(model.objective()(warped, fixed, u, lambda_map).total, parameters))

    def recomputing() -> list[Tensor]:
        model.use_checkpointing()
        try:
            return our_step()
        finally:
            model.use_checkpointing(False)

    def in_16_bits() -> list[Tensor]:
        with torch.autocast(device, dtype=torch.bfloat16):
            return recomputing()

    return {"plain": plain_step, "ours": our_step, "ours, recomputing": recomputing, "ours, recomputing, bf16": in_16_bits}


def compared(reference: object, other: object) -> dict[str, float]:
    """How far a form's result is from the first form's."""
    if isinstance(reference, list):
        distance = sum(float((a - b).square().sum()) for a, b in zip(reference, other, strict=True))
        return {"gradient_difference": (distance / sum(float(a.square().sum()) for a in reference)) ** 0.5}
    difference = (other[0] - reference[0]).abs()
    return {
        "difference_voxels": float(difference.max()),
        "mean_difference_voxels": float(difference.mean()),
        "largest_displacement_voxels": float(reference[0].abs().max()),
    }


FORMS = {"inference": inference, "training step": training}


def memory_of(task: str, size: str, form: str, threads: int) -> dict[str, float | str]:
    """Peak memory of one form on the CPU, in a fresh process."""
    torch.set_num_threads(threads)
    return harness.peak_memory(FORMS[task](SHAPES[size], "cpu")[form])


def measured(task: str, size: str, device: str, repeats: int) -> list[dict[str, object]]:
    """All forms of a task at one size; ratios are to the first form."""
    forms = FORMS[task](SHAPES[size], device)
    rows: list[dict[str, object]] = []
    reference = next(iter(forms.values()))()
    for name, form in forms.items():
        row = {"task": task, "shape": list(SHAPES[size]), "form": name, "device": device, **compared(reference, form())}
        row.update(harness.timed(form, repeats=repeats, warmup=0))
        if device == "cpu":
            with get_context("spawn").Pool(1) as fresh:
                row.update(fresh.apply(memory_of, (task, size, name, torch.get_num_threads())))
        else:
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
            form()
            row["peak_extra_mb"] = (torch.cuda.max_memory_allocated() - before) / 1e6
            row["peak_method"] = "allocator"
        first = rows[0] if rows else row
        row["times_faster"] = first["seconds_median"] / row["seconds_median"]
        row["memory_ratio"] = row["peak_extra_mb"] / max(1.0, first["peak_extra_mb"])
        rows.append(row)
        figures = {key: f"{value:.3g}" for key, value in row.items() if isinstance(value, float)}
        print(f"{size:6} {task:14} {name:24}", *(f"{key} {value}" for key, value in figures.items()), flush=True)
    return rows


def main() -> None:
    """Measure, print, write one file of results/ for each task."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="brain")
    parser.add_argument("--tasks", default="inference,training step")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--name", default="networks", help="the files in results/ are NAME_inference.json and NAME_training.json")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for task in options.tasks.split(","):
        rows = [row for size in options.sizes.split(",") for row in measured(task, size, options.device, options.repeats)]
        print(harness.write_results(f"{options.name}_{task.split()[0]}", rows))


if __name__ == "__main__":
    main()
