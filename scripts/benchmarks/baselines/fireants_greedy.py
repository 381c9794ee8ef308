"""FireANTs greedy registration as its public quick-start page runs it (only that page and the signatures were read)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import job
import numpy as np
import SimpleITK as sitk
from fireants.io import BatchedImages, Image
from fireants.registration.greedy import GreedyRegistration

RECIPE = (
    "GreedyRegistration(scales=[4, 2, 1], iterations=[200, 100, 25], cc_kernel_size=5, deformation_type='compositive', "
    "smooth_grad_sigma=1, optimizer='adam', optimizer_lr=0.5)"
)


def _prepare(folder: Path) -> Callable[[], np.ndarray]:
    fixed = BatchedImages([Image.load_file(str(folder / "fixed.nii"), device="cpu")])
    moving = BatchedImages([Image.load_file(str(folder / "moving.nii"), device="cpu")])

    def register() -> np.ndarray:
        greedy = GreedyRegistration(
            scales=[4, 2, 1],
            iterations=[200, 100, 25],
            fixed_images=fixed,
            moving_images=moving,
            cc_kernel_size=5,
            deformation_type="compositive",
            smooth_grad_sigma=1,
            optimizer="adam",
            optimizer_lr=0.5,
        )
        greedy.optimize()
        greedy.save_as_ants_transforms(str(folder / "fireants_warp.nii.gz"))
        return job.field_array(sitk.ReadImage(str(folder / "fireants_warp.nii.gz")))

    return register


if __name__ == "__main__":
    job.main({"fireants": (RECIPE, _prepare)})
