"""Check the nodes of a request, and write them as files into a temporary folder for the worker."""

from __future__ import annotations

import csv
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..scene.images import Image
from ..scene.labels import label_image, label_values, mask_image
from ..scene.nodes import check_holds_field, check_holds_linear, image_of, initial_affine, is_under, points_of, volume_problem
from .request import INPUT_NAMES, OUTPUT_NAMES, SIDES, RegistrationRequest, missing_nodes


class TemporaryFolders:
    """Temporary folders; each is removed when what it was made for ends, however it ends.

    Args:
        parent: tells where to make them; None is the system's folder for temporary files.
    """

    def __init__(self, parent: Callable[[], str | None] = lambda: None) -> None:
        self._parent = parent
        self._open: list[Path] = []

    def make(self) -> Path:
        """A new folder."""
        folder = Path(tempfile.mkdtemp(prefix="spatialreg-files-", dir=self._parent()))
        self._open.append(folder)
        return folder

    def remove(self, folder: Path | None) -> None:
        """Delete one; where another process still holds a file open (on Windows), `remove_all` tries again."""
        if folder in self._open:
            shutil.rmtree(folder, ignore_errors=True)
            if not folder.exists():
                self._open.remove(folder)

    def remove_all(self) -> None:
        """Delete all."""
        for folder in tuple(self._open):
            self.remove(folder)


def check_inputs(request: RegistrationRequest) -> None:
    """Refuses a request that cannot be run; reads no voxels.

    Raises:
        ValueError: one sentence that says what is missing or wrong, and the remedy.
    """
    lacking = missing_nodes({name: getattr(request, name) for name in INPUT_NAMES})
    if lacking:
        raise ValueError(f"{lacking}.")
    _check_outputs(request)
    below = request.outputs.transform
    for side in SIDES:
        problem = volume_problem(getattr(request, side), below=below if side == "moving" else None)
        if problem:
            raise ValueError(problem)
    _check_initial(request)
    if request.fixed_labels is not None:
        label_values([request.fixed_labels, request.moving_labels])
    if request.fixed_points is not None:
        paired_points(request.fixed_points, request.moving_points, below=below)


def export_inputs(request: RegistrationRequest, folder: Path) -> dict[str, Path]:
    """Write what the nodes hold into an existing folder, everything in the world, mm LPS.

    Args:
        request: checked by `check_inputs`.
        folder: a temporary one.

    Returns:
        Name of a field of the request → file; fields without a node are left out. Images are .nrrd without compression,
        points .csv, the initial transform .tfm.

    Raises:
        ValueError: an empty mask, labels that are no labels.
        OSError: the folder cannot be written to.
    """
    below = request.outputs.transform
    values = None
    if request.fixed_labels is not None:
        values = label_values([request.fixed_labels, request.moving_labels])
    paths = {}
    for side in SIDES:
        image = image_of(getattr(request, side), below=below if side == "moving" else None)
        paths[side] = write_image(folder / f"{side}.nrrd", image)
        mask, labels = (getattr(request, f"{side}_{kind}") for kind in ("mask", "labels"))
        if mask is not None:
            paths[f"{side}_mask"] = write_image(folder / f"{side}_mask.nrrd", mask_image(mask, image.grid, below=below))
        if labels is not None:
            made = label_image(labels, image.grid, values, below=below)
            paths[f"{side}_labels"] = write_image(folder / f"{side}_labels.nrrd", made)
    if request.fixed_points is not None:
        *pairs, names, left_out = paired_points(request.fixed_points, request.moving_points, below=below)
        for side, positions in zip(SIDES, pairs, strict=True):
            paths[f"{side}_points"] = _write_points(folder / f"{side}_points.csv", positions, names, left_out)
    if request.initial is not None:
        paths["initial"] = _write_affine(folder / "initial.tfm", initial_affine(request.initial))
    return paths


def label_names(request: RegistrationRequest) -> dict[int, str]:
    """Value in the exported label maps → name of the segment, or of the color of a label map where it has one."""
    if request.fixed_labels is None or request.moving_labels is None:
        return {}
    values = label_values([request.fixed_labels, request.moving_labels])
    if values is not None:
        return {value: name for name, value in values.items()}
    display = request.fixed_labels.GetDisplayNode()
    colors = display.GetColorNode() if display is not None else None
    if colors is None:
        return {}
    found = np.unique(image_of(request.fixed_labels).values)
    return {int(v): colors.GetColorName(int(v)) for v in found if 0 < v < colors.GetNumberOfColors()}


def paired_points(
    fixed: Any, moving: Any, *, below: Any = None
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...], tuple[str, ...]]:
    """Corresponding positions of two markups nodes: by label where both name every point differently, else by order.

    Returns:
        fixed and moving positions (n, 3), the labels of the pairs where they were found by label, and the labels without a
        partner (of one list only, or not placed in both).

    Raises:
        ValueError: no points, or neither labels nor order say what belongs together.
    """
    (fixed_at, fixed_names), (moving_at, moving_names) = points_of(fixed), points_of(moving, below=below)
    everyone = [[node.GetNthControlPointLabel(n) for n in range(node.GetNumberOfControlPoints())] for node in (fixed, moving)]
    both = [name for name in fixed_names if name in moving_names]
    if both and all(all(names) and len(set(names)) == len(names) for names in everyone):
        chosen = [[names.index(name) for name in both] for names in (fixed_names, moving_names)]
        left_out = sorted({*everyone[0], *everyone[1]} - {*both})
        return fixed_at[chosen[0]], moving_at[chosen[1]], tuple(both), tuple(left_out)
    placed = [len(names) for names in everyone] == [len(fixed_at), len(moving_at)]
    if len(fixed_at) != len(moving_at) or len(fixed_at) == 0 or not placed:
        some = "" if placed else " (others were never placed)"
        raise ValueError(
            f"{fixed.GetName()} has {len(fixed_at)} placed points and {moving.GetName()} {len(moving_at)}{some}: landmarks must "
            "correspond one to one; give partners the same label, or remove the ones without a partner."
        )
    return fixed_at, moving_at, (), ()


def write_image(path: Path, image: Image) -> Path:
    """An uncompressed .nrrd file, which the worker reads fastest; returns the path."""
    import SimpleITK as sitk

    made = sitk.GetImageFromArray(image.values.transpose(2, 1, 0))
    made.SetSpacing(image.grid.spacing)
    made.SetOrigin(image.grid.origin)
    made.SetDirection([c for row in image.grid.direction for c in row])
    try:
        sitk.WriteImage(made, str(path), useCompression=False)
    except RuntimeError as error:
        raise OSError(f"{path} could not be written: free some space on this disk, or make its folder writable.") from error
    return path


def _write_points(path: Path, positions: np.ndarray, names: tuple[str, ...], left_out: tuple[str, ...]) -> Path:
    """The worker tells of the points that were left out: they are listed as never placed."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["label", "x", "y", "z", "defined"] if names else ["x", "y", "z"])
        for n, position in enumerate(positions):
            numbers = [repr(float(c)) for c in position]
            writer.writerow([names[n], *numbers, 1] if names else numbers)
        writer.writerows([name, 0, 0, 0, 0] for name in left_out)
    return path


def _write_affine(path: Path, matrix: np.ndarray) -> Path:
    import SimpleITK as sitk

    affine = sitk.AffineTransform(matrix[:3, :3].ravel().tolist(), matrix[:3, 3].tolist())
    sitk.WriteTransform(affine, str(path))
    return path


def _check_outputs(request: RegistrationRequest) -> None:
    inputs = [getattr(request, name) for name in INPUT_NAMES]
    nodes = {name: node for name, node in request.outputs.nodes.items() if name in request.outputs.wanted}
    for name in OUTPUT_NAMES:
        node = nodes.get(name)
        if node is None:
            continue
        if any(node is other for other in inputs):
            raise ValueError(f"{node.GetName()} is an input and an output: choose another output, or create a new one.")
        twins = [other for other, taken in nodes.items() if taken is node and other != name]
        if twins:
            raise ValueError(f"{node.GetName()} is chosen for two outputs ({name}, {twins[0]}): choose another one.")
    transform = nodes.get("transform")
    if transform is None:
        return
    if transform.GetParentTransformNode() is not None:
        raise ValueError(
            f"The output transform {transform.GetName()} is itself under {transform.GetParentTransformNode().GetName()}: take "
            "it out from under that transform, or choose another one."
        )
    (check_holds_field if request.deforms else check_holds_linear)(transform)
    if is_under(request.fixed, transform):
        raise ValueError(
            f"The fixed volume {request.fixed.GetName()} is under the output transform {transform.GetName()}: take it out; only "
            "the moving volume belongs there."
        )


def _check_initial(request: RegistrationRequest) -> None:
    if request.initial is None:
        return
    initial_affine(request.initial)
    if is_under(request.moving, request.initial):
        raise ValueError(
            f"{request.moving.GetName()} is already under {request.initial.GetName()}, which would count twice: leave the "
            "initial transform empty."
        )
