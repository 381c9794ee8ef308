"""SyN of ANTs through antspyx (deformable part only; the pair is already affinely aligned)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import ants
import job
import numpy as np

MUTUAL_INFORMATION = "ants.registration(fixed, moving, 'SyNOnly', initial_transform='Identity')"
CROSS_CORRELATION = (
    "ants.registration(fixed, moving, 'SyNOnly', initial_transform='Identity', syn_metric='CC', syn_sampling=2, "
    "reg_iterations=(40, 20, 0))"
)
CROSS_CORRELATION_FULL = (
    "ants.registration(fixed, moving, 'SyNOnly', initial_transform='Identity', syn_metric='CC', syn_sampling=4, "
    "reg_iterations=(100, 70, 50, 20))"
)


def _prepare(**options: object) -> Callable[[Path], Callable[[], np.ndarray]]:
    def prepare(folder: Path) -> Callable[[], np.ndarray]:
        fixed = ants.image_read(str(folder / "fixed.nii"))
        moving = ants.image_read(str(folder / "moving.nii"))

        def register() -> np.ndarray:
            result = ants.registration(
                fixed, moving, "SyNOnly", initial_transform="Identity", outprefix=str(folder / "ants_"), **options
            )
            warp = next(name for name in result["fwdtransforms"] if name.endswith("Warp.nii.gz"))
            return np.moveaxis(ants.image_read(warp).numpy(), -1, 0)

        return register

    return prepare


if __name__ == "__main__":
    job.main(
        {
            "syn_mi": (MUTUAL_INFORMATION, _prepare()),
            "syn_cc": (CROSS_CORRELATION, _prepare(syn_metric="CC", syn_sampling=2, reg_iterations=(40, 20, 0))),
            "syn_cc_full": (
                CROSS_CORRELATION_FULL,
                _prepare(syn_metric="CC", syn_sampling=4, reg_iterations=(100, 70, 50, 20)),
            ),
        }
    )
