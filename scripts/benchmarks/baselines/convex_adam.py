"""ConvexAdam with MIND features, the package's defaults and a wider search."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import job
import nibabel as nib
import numpy as np
from convexAdam.convex_adam_MIND import convex_adam_pt

DEFAULT = "convex_adam_pt(img_fixed, img_moving)"
WIDE = "convex_adam_pt(img_fixed, img_moving, disp_hw=6)"


def _prepare(**options: object) -> Callable[[Path], Callable[[], np.ndarray]]:
    def prepare(folder: Path) -> Callable[[], np.ndarray]:
        fixed = nib.load(folder / "fixed.nii")
        moving = nib.load(folder / "moving.nii")
        linear = np.diag([-1.0, -1.0, 1.0]) @ fixed.affine[:3, :3]
        images = [np.asarray(image.dataobj, dtype=np.float32) for image in (fixed, moving)]

        def register() -> np.ndarray:
            voxels = convex_adam_pt(images[0], images[1], **options)
            return np.einsum("rc,ijkc->rijk", linear, voxels)

        return register

    return prepare


if __name__ == "__main__":
    job.main({"convexadam": (DEFAULT, _prepare()), "convexadam_wide": (WIDE, _prepare(disp_hw=6))})
