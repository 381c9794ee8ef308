"""B-spline registration of elastix through itk-elastix."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import itk
import job
import numpy as np

DEFAULT = "itk.elastix_registration_method(fixed, moving, default parameter map 'bspline', 4 resolutions, 10 mm grid)"
AFFINE = "itk.elastix_registration_method(fixed, moving, default maps translation + affine + bspline)"
LUNG = (
    "itk.elastix_registration_method with translation + affine + bspline maps, 5 resolutions, 500 iterations, 5000 "
    "samples, AdvancedNormalizedCorrelation, final grid 10 mm, fixed mask"
)


def _parameters(lung: bool, affine: bool) -> itk.ParameterObject:
    parameters = itk.ParameterObject.New()
    for name in (["translation", "affine"] if affine else []) + ["bspline"]:
        values = parameters.GetDefaultParameterMap(name, 5 if lung else 4)
        if lung:
            values["Metric"] = ("AdvancedNormalizedCorrelation",)
            values["Registration"] = ("MultiResolutionRegistration",)
            values["MaximumNumberOfIterations"] = ("500",)
            values["NumberOfSpatialSamples"] = ("5000",)
        values["WriteResultImage"] = ("false",)
        parameters.AddParameterMap(values)
    return parameters


def _prepare(*, lung: bool = False, affine: bool = False) -> Callable[[Path], Callable[[], np.ndarray]]:
    def prepare(folder: Path) -> Callable[[], np.ndarray]:
        fixed = itk.imread(str(folder / "fixed.nii"), itk.F)
        moving = itk.imread(str(folder / ("moving_native.nii" if affine else "moving.nii")), itk.F)
        options = {}
        if lung and (folder / "fixed_mask.nii").exists():
            options["fixed_mask"] = itk.imread(str(folder / "fixed_mask.nii"), itk.UC)
        json.loads((folder / "job.json").read_text())
        parameters = _parameters(lung, affine)

        def register() -> np.ndarray:
            _, transform = itk.elastix_registration_method(
                fixed, moving, parameter_object=parameters, log_to_console=False, **options
            )
            field = itk.transformix_deformation_field(moving, transform)
            return np.moveaxis(itk.array_from_image(field).transpose(2, 1, 0, 3), -1, 0)

        return register

    return prepare


if __name__ == "__main__":
    job.main(
        {
            "elastix": (DEFAULT, _prepare()),
            "elastix_affine": (AFFINE, _prepare(affine=True)),
            "elastix_lung": (LUNG, _prepare(lung=True, affine=True)),
        }
    )
