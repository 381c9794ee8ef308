"""The result folder: whole or absent. An earlier result stays until the new one is complete.

transform.h5        φ, fixed points to moving points: resamples the moving image onto the fixed grid
inverse.h5          φ⁻¹, moving points to fixed points: carries points and meshes of the moving image along
warped.nii.gz       the moving image on the fixed grid
lambda.nrrd         λ(p)
jacobian.nrrd       determinant of the Jacobian of the nonlinear part
displacement.nrrd   total displacement φ(x) - x, mm LPS
report.json, report.html
warped_labels.nii.gz   the label map of the moving image on the fixed grid, where one was given
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..evaluation.report import report_html
from ..evaluation.summary import summary
from ..registration.resample import resample_labels_linear, total_displacement
from .fields import write_field
from .itk import reason_of
from .transforms import BYTES_PER_VOXEL as TRANSFORM_BYTES_PER_VOXEL
from .transforms import write_transform
from .volumes import write_volume

if TYPE_CHECKING:
    from ..registration.result import Companions, Registration

REPORT = "report.json"
FILES = (
    "transform.h5",
    "inverse.h5",
    "warped.nii.gz",
    "lambda.nrrd",
    "jacobian.nrrd",
    "displacement.nrrd",
    REPORT,
    "report.html",
)
"""What every result folder holds."""
OPTIONAL_FILES = ("warped_labels.nii.gz",)
ZEROS = 1 << 24
"""Bytes written at a time where room is tried."""
BYTES_PER_VOXEL = 80
"""Room that is asked for before writing: two fields of doubles, and the images as if they did not compress."""


def check_destination(folder: str | os.PathLike, *, overwrite: bool = False) -> Path:
    """The folder, if a result may be written there; called before the work, so that a mistake costs no time.

    Args:
        folder: where the result shall be; need not exist.
        overwrite: whether an earlier result may be replaced. A folder with other files never is.

    Raises:
        FileExistsError: it holds something that may not be replaced.
        NotADirectoryError: it, or a folder above it, is a file.
        OSError: nothing can be created there.
    """
    folder = Path(folder).absolute()
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    if not nearest.is_dir():
        raise NotADirectoryError(f"{nearest} is a file: choose another folder for the result.")
    if not os.access(nearest, os.W_OK):
        raise PermissionError(f"{nearest} cannot be written to: choose another folder for the result.")
    found = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    strangers = [name for name in found if name not in (*FILES, *OPTIONAL_FILES)]
    if strangers:
        raise FileExistsError(
            f"{folder} holds files that are no registration result ({strangers[0]}): choose another folder or empty it."
        )
    if found and not overwrite:
        raise FileExistsError(
            f"{folder} holds an earlier result: choose another folder, or allow to replace it (--force)."
        )
    return folder


def write_result(
    folder: str | os.PathLike,
    registration: Registration,
    command: str = "",
    *,
    overwrite: bool = False,
    companions: Companions | None = None,
    about: dict[str, Any] | None = None,
) -> Path:
    """Write everything about a registration into one folder, at once or not at all.

    Args:
        folder: where to; its parents are made.
        registration: the finished registration.
        command: the exact command, for the report.
        overwrite: replace an earlier result, which survives when writing fails.
        companions: label maps of the pair: outlined in the report, the moving one warped.
        about: more entries of report.json; "title" heads the report.

    Returns:
        The folder.

    Raises:
        FileExistsError: something is there already, see `check_destination`.
        OSError: disk full or no permission; nothing is left behind.
    """
    folder = check_destination(folder, overwrite=overwrite)
    _check_space(folder, registration)
    about = about or {}
    content = summary(registration, command) | about
    texts = {
        REPORT: json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False),
        "report.html": report_html(registration, command, companions=companions, title=str(about.get("title", ""))),
    }
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _replacing(folder) as temporary:
            for name, text in texts.items():
                (temporary / name).write_text(text, encoding="utf-8")
            _write_images(temporary, registration, companions)
    except OSError as error:
        raise OSError(
            f"The result could not be written to {folder} ({_first_cause(error)}): free some space or choose another "
            "folder; nothing was left there."
        ) from error
    return folder


def read_report(folder: str | os.PathLike) -> dict[str, Any] | None:
    """The content of report.json of a complete result folder, or None where there is none."""
    folder = Path(folder)
    if not all((folder / name).is_file() for name in FILES):
        return None
    try:
        return json.loads((folder / REPORT).read_text(encoding="utf-8"))
    except ValueError:
        return None


def write_text(path: str | os.PathLike, text: str) -> None:
    """A text file (UTF-8), whole or absent; what was there before survives a failure.

    Raises:
        OSError: it cannot be written.
    """
    path = Path(path)
    temporary = path.with_name(f".{secrets.token_hex(4)}.part")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    except OSError as error:
        raise OSError(f"{path} could not be written ({reason_of(error)}): check free space and permissions.") from error
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def _replacing(folder: Path) -> Iterator[Path]:
    """A new folder beside `folder` that takes its place when the block ends well; an old one is removed then."""
    temporary = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.part")
    old = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.old")
    temporary.mkdir()
    try:
        yield temporary
        if folder.exists():
            os.replace(folder, old)
        try:
            os.replace(temporary, folder)
        except OSError:
            if old.exists():
                os.replace(old, folder)
            raise
    finally:
        for leftover in (temporary, old):
            shutil.rmtree(leftover, ignore_errors=True)


def _write_images(folder: Path, registration: Registration, companions: Companions | None) -> None:
    transform, grid = registration.transform, registration.fixed.grid
    _try_room(folder, TRANSFORM_BYTES_PER_VOXEL * registration.displacement.vectors[0].numel())
    write_transform(folder / "transform.h5", transform)
    write_transform(folder / "inverse.h5", registration.inverse_transform)
    write_volume(folder / "warped.nii.gz", registration.warped)
    write_volume(folder / "lambda.nrrd", registration.lambda_map)
    write_volume(folder / "jacobian.nrrd", registration.jacobian)
    write_field(folder / "displacement.nrrd", total_displacement(transform, registration.displacement.grid))
    if companions is not None and companions.moving_labels is not None:
        labels = resample_labels_linear(companions.moving_labels, transform, grid)
        write_volume(folder / "warped_labels.nii.gz", labels)


def _try_room(folder: Path, size: int) -> None:
    """Take and return the room of both transforms: HDF5 crashes on a full disk or quota, a plain file does not."""
    paths = [folder / "reserved.1", folder / "reserved.2"]
    try:
        for path in paths:
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
    voxels = registration.fixed.data.numel()
    needed = BYTES_PER_VOXEL * voxels + 5_000_000
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(nearest).free
    if free < needed:
        raise OSError(
            f"The result needs about {needed / 1e6:.0f} MB but {nearest} has only {free / 1e6:.0f} MB free: free some "
            "space or choose another folder; nothing was left there."
        )
