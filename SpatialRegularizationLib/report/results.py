"""Write the result folder: transforms, maps, images, report; whole or absent.

transform.h5        φ, fixed points to moving points: resamples the moving image onto the fixed grid
inverse.h5          φ⁻¹, moving points to fixed points: carries points and meshes of the moving image along
warped.nii.gz       the moving image on the fixed grid
lambda.nrrd         λ(p)
jacobian.nrrd       determinant of the Jacobian of the nonlinear part
displacement.nrrd   total displacement φ(x) - x, mm LPS; these three where something deforms only
report.json, report.html
warped_labels.nii.gz   the label map of the moving image on the fixed grid, where one was given
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..io.fields import write_field
from ..io.itk import reason_of
from ..io.transforms import file_bytes, write_transform
from ..io.volumes import write_volume
from ..transforms.resample import resample_labels_linear, total_displacement
from .report import report_html
from .result_folder import FILES, MAPS, REPORT, check_destination, claimed_folder, read_report, replaced
from .summary import summary

if TYPE_CHECKING:
    from ..geometry.companions import Companions
    from ..registration.result import Registration
from ..io.atomic import NAMES

__all__ = ["FILES", "check_destination", "read_report", "write_result"]

ZEROS = 1 << 24
"""Bytes written at a time where room is tried."""
BYTES_PER_VOXEL = 32
"""Room that is asked for before writing, beside that of the transforms: the images as if they did not compress."""


def write_result(
    folder: str | os.PathLike,
    registration: Registration,
    command: str = "",
    *,
    overwrite: bool = False,
    companions: Companions | None = None,
    about: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Write everything about a registration into one folder, at once or not at all.

    Args:
        folder: where to; its parents are made.
        registration: the finished registration.
        command: the exact command, for the report.
        overwrite: replace an earlier result, which survives when writing fails.
        companions: label maps of the pair: outlined in the report, the moving one warped.
        about: more entries of report.json; "title" heads the report.

    Returns:
        The content of its report.json.

    Raises:
        FileExistsError: something is there already, see `check_destination`, or another process is writing there.
        OSError: disk full or no permission; nothing is left behind.
    """
    with claimed_folder(folder) as folder:
        check_destination(folder, overwrite=overwrite)
        _check_space(folder, registration)
        files = [name for name in FILES if registration.displacement is not None or name not in MAPS]
        content = summary(registration, command) | {"files": files} | (about or {})
        texts = {
            REPORT: json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False),
            "report.html": report_html(registration, content, companions=companions),
        }
        try:
            with replaced(folder, overwrite=overwrite) as temporary:
                for name, text in texts.items():
                    (temporary / name).write_text(text, encoding="utf-8", errors=NAMES)
                _write_images(temporary, registration, companions)
        except FileExistsError:
            raise
        except OSError as error:
            raise OSError(
                f"The result could not be written to {folder} ({_first_cause(error)}): free some space or choose another "
                "folder; nothing was left there."
            ) from error
    return content


def _write_images(folder: Path, registration: Registration, companions: Companions | None) -> None:
    transform, grid = registration.transform, registration.fixed.grid
    inverse = registration.inverse_transform
    _try_room(folder, file_bytes(transform), file_bytes(inverse))
    write_transform(folder / "transform.h5", transform)
    write_transform(folder / "inverse.h5", inverse)
    write_volume(folder / "warped.nii.gz", registration.warped)
    if registration.displacement is not None:
        write_volume(folder / "lambda.nrrd", registration.lambda_map)
        write_volume(folder / "jacobian.nrrd", registration.jacobian)
        write_field(folder / "displacement.nrrd", total_displacement(transform, registration.displacement.grid))
    if companions is not None and companions.moving_labels is not None:
        labels = resample_labels_linear(companions.moving_labels, transform, grid)
        write_volume(folder / "warped_labels.nii.gz", labels)


def _try_room(folder: Path, *sizes: int) -> None:
    """Take and return the room of both transforms: HDF5 crashes on a full disk or quota, a plain file does not."""
    paths = [folder / f".reserved.{number}" for number in range(len(sizes))]
    try:
        for path, size in zip(paths, sizes, strict=True):
            with path.open("wb") as file:
                for start in range(0, size, ZEROS):
                    file.write(bytes(min(ZEROS, size - start)))
                file.flush()
                os.fsync(file.fileno())
    finally:
        for path in paths:
            path.unlink(missing_ok=True)


def _first_cause(error: BaseException) -> str:
    """The reason at the bottom of a chain of errors."""
    while isinstance(error.__cause__, Exception):
        error = error.__cause__
    return reason_of(error)


def _check_space(folder: Path, registration: Registration) -> None:
    transforms = file_bytes(registration.transform) + file_bytes(registration.inverse_transform)
    needed = BYTES_PER_VOXEL * registration.fixed.data.numel() + transforms + 5_000_000
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(nearest).free
    if free < needed:
        raise OSError(
            f"The result needs about {needed / 1e6:.0f} MB but {nearest} has only {free / 1e6:.0f} MB free: free some "
            "space or choose another folder; nothing was left there."
        )
