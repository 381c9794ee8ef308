"""Demons of SimpleITK, three levels, intensities matched by histogram first as in SimpleITK's own examples."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import job
import numpy as np
import SimpleITK as sitk

LEVELS = ((4, 100), (2, 70), (1, 40))
RECIPE = "HistogramMatching + sitk.{name}, shrink 4/2/1, 100/70/40 iterations, field smoothing 1.5 voxels"


def _prepare(name: str) -> Callable[[Path], Callable[[], np.ndarray]]:
    def prepare(folder: Path) -> Callable[[], np.ndarray]:
        fixed = sitk.ReadImage(str(folder / "fixed.nii"), sitk.sitkFloat32)
        moving = sitk.ReadImage(str(folder / "moving.nii"), sitk.sitkFloat32)

        def register() -> np.ndarray:
            matched = sitk.HistogramMatching(moving, fixed, 256, 15, True)
            demons = getattr(sitk, name)()
            demons.SetStandardDeviations(1.5)
            field = None
            for shrink, iterations in LEVELS:
                demons.SetNumberOfIterations(iterations)
                field = _level(demons, fixed, matched, shrink, field)
            return job.field_array(field)

        return register

    return prepare


def _level(
    demons: sitk.ImageFilter, fixed: sitk.Image, moving: sitk.Image, shrink: int, start: sitk.Image | None
) -> sitk.Image:
    factors = [shrink if n >= 8 * shrink else 1 for n in fixed.GetSize()]

    def shrunk(image: sitk.Image) -> sitk.Image:
        if max(factors) == 1:
            return image
        sigmas = [0.5 * f * s if f > 1 else 1e-3 for f, s in zip(factors, image.GetSpacing(), strict=True)]
        return sitk.Shrink(sitk.SmoothingRecursiveGaussian(image, sigmas), factors)

    small = shrunk(fixed)
    if start is None:
        field = sitk.Image(small.GetSize(), sitk.sitkVectorFloat64)
        field.CopyInformation(small)
    else:
        field = sitk.Resample(start, small, sitk.Transform(3, sitk.sitkIdentity), sitk.sitkLinear)
    return demons.Execute(small, shrunk(moving), field)


if __name__ == "__main__":
    filters = {
        "demons": "DiffeomorphicDemonsRegistrationFilter",
        "demons_symmetric": "FastSymmetricForcesDemonsRegistrationFilter",
    }
    job.main({key: (RECIPE.format(name=name), _prepare(name)) for key, name in filters.items()})
