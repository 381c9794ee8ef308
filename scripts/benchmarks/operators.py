"""Speed and memory of the operators of the energy against the plain forms, with gradients.

    python scripts/benchmarks/operators.py                      96^3 and 160x192x224 on the CPU
    python scripts/benchmarks/operators.py --device cuda --name operators_cuda

Compared with (plain_forms.py): local correlation 9^3 by five conv3d and by five avg_pool3d; weighted diffusion by
autograd (gradients to the displacement and to λ), as the released code writes it (weights at the far voxel: another
gradient) and with as few temporaries as autograd allows; scaling and squaring in VoxelMorph's form, at equal resolution, and
ours with the velocity at half resolution, enlarging included. Each row also states how far the gradient is from that of
the first form (relative L2, float32 for both).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import harness
import plain_forms

from SpatialRegularizationLib.fields.resize import resize_displacement
from SpatialRegularizationLib.integrators.scaling_and_squaring import integrate_velocity
from SpatialRegularizationLib.regularizers.diffusion import weighted_diffusion
from SpatialRegularizationLib.similarity.local_correlation import local_ncc

SHAPES = {"96": (96, 96, 96), "brain": (160, 192, 224)}


def smooth(shape: tuple[int, ...], channels: int, scale: float, device: str) -> Tensor:
    """A smooth random field (1, channels, *shape), largest value `scale`, the same for every run."""
    generator = torch.Generator().manual_seed(channels)
    coarse = torch.randn(1, channels, *[n // 8 for n in shape], generator=generator)
    field = torch.nn.functional.interpolate(coarse, size=shape, mode="trilinear", align_corners=True)
    return (field * (scale / field.abs().max())).to(device)


def lncc_rows(shape: tuple[int, ...], device: str) -> dict[str, Callable[[], list[Tensor]]]:
    """Value and gradient to the warped image."""
    fixed = smooth(shape, 1, 1.0, device) + 0.1 * torch.rand(1, 1, *shape, device=device)
    warped = fixed.roll(1, 2) + 0.1 * torch.rand(1, 1, *shape, device=device)

    def run(form: Callable[[Tensor, Tensor], Tensor]) -> Callable[[], list[Tensor]]:
        def value_and_gradient() -> list[Tensor]:
            x = warped.detach().requires_grad_()
            return list(torch.autograd.grad(form(x, fixed), x))

        return value_and_gradient

    return {
        "five conv3d": run(plain_forms.lncc_conv),
        "five avg_pool3d": run(plain_forms.lncc_average),
        "ours": run(local_ncc),
    }


def diffusion_rows(shape: tuple[int, ...], device: str) -> dict[str, Callable[[], list[Tensor]]]:
    """Value and both gradients."""
    u, weight = smooth(shape, 3, 4.0, device), smooth(shape, 1, 0.5, device) + 0.5

    def run(form: Callable[[Tensor, Tensor], Tensor]) -> Callable[[], list[Tensor]]:
        def value_and_gradients() -> list[Tensor]:
            a, b = u.detach().requires_grad_(), weight.detach().requires_grad_()
            return list(torch.autograd.grad(form(a, b), (a, b)))

        return value_and_gradients

    return {
        "autograd, released form": run(plain_forms.weighted_diffusion_released),
        "autograd, leanest form": run(plain_forms.weighted_diffusion),
        "ours": run(weighted_diffusion),
    }


def integration_rows(shape: tuple[int, ...], device: str) -> dict[str, Callable[[], list[Tensor]]]:
    """Seven squarings and the gradient to the velocity; half resolution: the velocity lives on half the lattice."""
    velocity = smooth(shape, 3, 6.0, device)
    half = tuple(n // 2 for n in shape)
    coarse = resize_displacement(velocity, half)
    gradient = smooth(shape, 3, 1.0, device)

    def run(form: Callable[[Tensor], Tensor], start: Tensor) -> Callable[[], list[Tensor]]:
        def value_and_gradient() -> list[Tensor]:
            v = start.detach().requires_grad_()
            return list(torch.autograd.grad(form(v), v, gradient))

        return value_and_gradient

    return {
        "VoxelMorph form": run(plain_forms.integrate, velocity),
        "ours": run(integrate_velocity, velocity),
        "VoxelMorph form, half resolution": run(lambda v: resize_displacement(plain_forms.integrate(v), shape), coarse),
        "ours, half resolution": run(lambda v: resize_displacement(integrate_velocity(v), shape), coarse),
    }


OPERATORS = {
    "local correlation 9^3, value + gradient": lncc_rows,
    "weighted diffusion, value + both gradients": diffusion_rows,
    "7-step integration, value + gradient": integration_rows,
}


def agreement(reference: list[Tensor], other: list[Tensor]) -> float | None:
    """Largest relative L2 distance of the gradients; None where they live on different lattices."""
    if any(a.shape != b.shape for a, b in zip(reference, other, strict=True)):
        return None
    return max(float((a - b).norm() / a.norm()) for a, b in zip(reference, other, strict=True))


def measure(operator: str, size: str, device: str, repeats: int) -> list[dict[str, object]]:
    """All forms of one operator at one size; ratios are to the first form."""
    forms = OPERATORS[operator](SHAPES[size], device)
    rows: list[dict[str, object]] = []
    reference = next(iter(forms.values()))()
    output_mb = sum(t.numel() * t.element_size() for t in reference) / 1e6
    for name, form in forms.items():
        row = {
            "operator": operator,
            "shape": list(SHAPES[size]),
            "form": name,
            "device": device,
            "gradient_difference": agreement(reference, form()),
            "output_mb": output_mb,
            **harness.measure(form, repeats=repeats),
        }
        if device == "cuda":
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
            form()
            row["cuda_peak_extra_mb"] = (torch.cuda.max_memory_allocated() - before) / 1e6
        row["times_faster"] = (rows[0] if rows else row)["seconds_median"] / row["seconds_median"]
        rows.append(row)
        print(
            f"{size:6} {operator:45} {name:35} {row['seconds_median']:9.4f} s  x{row['times_faster']:7.1f}  "
            f"{row['peak_extra_mb']:8.0f} MB  (outputs {output_mb:.0f} MB)",
            flush=True,
        )
    return rows


def main() -> None:
    """Measure, print, write results/<name>.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="96,brain")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda", "mps"))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--name", default="operators", help="name of the file in results/")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows = []
    for size in options.sizes.split(","):
        for operator in OPERATORS:
            rows += measure(operator, size, options.device, options.repeats)
    print(harness.write_results(options.name, rows))


if __name__ == "__main__":
    main()
