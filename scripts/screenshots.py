"""Draw the pictures of the extension's page from a real registration of two synthetic heads, in the real scene, offscreen.

    python scripts/screenshots.py                    # writes Resources/Screenshots/*.png
    python scripts/screenshots.py --out DIR --small  # a quick look

The heads are procedural: of no person. Needs slicer-core and the packages that offscreen rendering needs (see Testing/README.md).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "Testing" / "module"), str(REPOSITORY / "SpatialRegularization")]

import numpy as np  # noqa: E402
import offscreen  # noqa: E402
import slicer_scene  # noqa: E402

OUT = REPOSITORY / "Resources" / "Screenshots"
PLANES = ("Axial", "Sagittal", "Coronal")
TILE = (250, 250)
COLORS = {"review": 256, "compare": 40, "grid3d": 256}
"""Of each picture: gray ones need few."""
SKIN = 120.0
"""Intensity of the surface of the head."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Register, draw, write; returns the exit code."""
    parser = argparse.ArgumentParser(description="Draws the screenshots of the extension from a real run.")
    parser.add_argument("--out", type=Path, default=OUT, help="folder for the pictures")
    parser.add_argument("--small", action="store_true", help="heads of 4 mm voxels instead of 2 mm")
    choices = parser.parse_args(arguments)
    if offscreen.missing():
        print(f"Nothing can be drawn here: {offscreen.missing()}.", file=sys.stderr)
        return 1
    choices.out.mkdir(parents=True, exist_ok=True)
    host = slicer_scene.fresh_scene()
    views = {plane: offscreen.SliceView(host, plane, TILE) for plane in PLANES}
    outcome = registered(host, (48, 56, 48) if choices.small else (96, 112, 96))
    pictures = {
        "review": review_picture(host, views, outcome),
        "compare": compare_picture(host, views, outcome),
        "grid3d": grid_picture(host, outcome),
    }
    for name, picture in pictures.items():
        (choices.out / f"{name}.png").write_bytes(small_png(picture, COLORS[name]))
    host.close()
    return 0


def registered(host: Any, shape: tuple[int, int, int]) -> Any:
    """The outcome of the module's own logic, with its worker process, on two synthetic heads."""
    from SpatialRegularizationGui.logic import RegistrationLogic
    from SpatialRegularizationGui.scene.images import Image
    from SpatialRegularizationGui.scene.nodes import set_image

    from SpatialRegularizationLib.phantoms.heads import two_subjects

    pair = two_subjects(shape)
    nodes = []
    for name, volume in (("Head A", pair.fixed), ("Head B", pair.moving)):
        node = host.add("vtkMRMLScalarVolumeNode", name)
        set_image(node, Image(volume.data[0].numpy(), volume.grid))
        node.CreateDefaultDisplayNodes()
        nodes.append(node)
    logic = RegistrationLogic()
    try:
        return logic.register(*nodes, preset="brain-mri")
    finally:
        logic.close()


def review_picture(host: Any, views: dict[str, Any], outcome: Any) -> np.ndarray:
    """λ and log-Jacobian over the fixed image, and the deformation grid, in three planes."""
    from SpatialRegularizationGui.review.view import Overlay

    rows = (
        ("Regularization weight", {"overlay": Overlay.LAMBDA, "fade": 0.0, "opacity": 0.55}),
        ("Volume change", {"overlay": Overlay.LOG_JACOBIAN, "fade": 0.0, "opacity": 0.65}),
        ("Deformation grid", {"grid_slices": True, "fade": 1.0}),
    )
    return drawn(host, views, outcome, rows)


def compare_picture(host: Any, views: dict[str, Any], outcome: Any) -> np.ndarray:
    """Fixed, moving as it was, warped, checkerboard, in three planes."""
    from SpatialRegularizationGui.review.view import Compare

    moving = outcome.request.moving
    before = moving.GetTransformNodeID()
    moving.SetAndObserveTransformNodeID(None)
    rows = (
        ("Fixed", {"fade": 0.0}),
        ("Moving, before", {"fade": 1.0, "warped": moving}),
        ("Warped", {"fade": 1.0}),
        ("Checkerboard", {"compare": Compare.CHECKERBOARD, "tiles": 7}),
    )
    picture = drawn(host, views, outcome, rows)
    moving.SetAndObserveTransformNodeID(before)
    return picture


def drawn(host: Any, views: dict[str, Any], outcome: Any, rows: Sequence[tuple[str, dict[str, Any]]]) -> np.ndarray:
    """One row of pictures per title and view; "warped" among the choices stands for another image."""
    from dataclasses import replace

    from SpatialRegularizationGui.review.review import Review
    from SpatialRegularizationGui.review.view import Result, View

    review = Review(host.mrml)
    pictures = []
    for title, choices in rows:
        result = Result.of(outcome.outputs, outcome.request)
        shown = choices.get("warped", result.warped)
        view = View(**{name: value for name, value in choices.items() if name != "warped"})
        review.show(replace(result, warped=shown), view)
        views[PLANES[0]].caption(title)
        pictures.append([views[plane].picture() for plane in PLANES])
    views[PLANES[0]].caption("")
    review.clear()
    return offscreen.mosaic(pictures)


def grid_picture(host: Any, outcome: Any) -> np.ndarray:
    """The deformation grid in 3-D with the surface of the fixed head."""
    from SpatialRegularizationGui.review.review import Review
    from SpatialRegularizationGui.review.view import Result, View

    surface(host, outcome.request.fixed)
    view = offscreen.ThreeDView(host, (560, 500))
    review = Review(host.mrml)
    review.show(Result.of(outcome.outputs, outcome.request), View(grid_views=True))
    view.look(zoom=1.5)
    picture = view.picture()
    review.clear()
    return picture


class Palette:
    """256 colors in place of a color map."""

    def __init__(self, colors: np.ndarray) -> None:
        self._colors = colors

    def palette(self) -> np.ndarray:
        """(256, 3) uint8."""
        return self._colors


def small_png(picture: np.ndarray, count: int) -> bytes:
    """A PNG of the `count` colors (at most 256) that represent the picture (rows, columns, 3) best."""
    import vtk
    from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

    from SpatialRegularizationLib.report.pixels import encode_png

    rows, columns, _ = picture.shape
    image = vtk.vtkImageData()
    image.SetDimensions(columns, rows, 1)
    image.GetPointData().SetScalars(numpy_to_vtk(np.ascontiguousarray(picture).reshape(-1, 3), deep=1))
    quantizer = vtk.vtkImageQuantizeRGBToIndex()
    quantizer.SetInputData(image)
    quantizer.SetNumberOfColors(count)
    quantizer.Update()
    table = quantizer.GetLookupTable()
    colors = np.zeros((256, 3), np.uint8)
    for n in range(table.GetNumberOfTableValues()):
        colors[n] = np.round(255 * np.array(table.GetTableValue(n)[:3]))
    indices = vtk_to_numpy(quantizer.GetOutput().GetPointData().GetScalars()).reshape(rows, columns)
    order = np.argsort(colors.astype(int).sum(axis=1), kind="stable")
    rank = np.argsort(order).astype(np.uint8)  # colors by brightness: neighbors get near numbers, which compress well
    return encode_png(rank[indices], Palette(colors[order]))


def surface(host: Any, volume: Any) -> None:
    """A half transparent model of the head."""
    import vtk

    contour = vtk.vtkFlyingEdges3D()
    contour.SetInputData(volume.GetImageData())
    contour.SetValue(0, SKIN)
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    to_world = vtk.vtkTransform()
    to_world.SetMatrix(matrix)
    smooth = vtk.vtkWindowedSincPolyDataFilter()
    smooth.SetInputConnection(contour.GetOutputPort())
    placed = vtk.vtkTransformPolyDataFilter()
    placed.SetTransform(to_world)
    placed.SetInputConnection(smooth.GetOutputPort())
    placed.Update()
    model = host.add("vtkMRMLModelNode", "Head surface")
    model.SetAndObservePolyData(placed.GetOutput())
    model.CreateDefaultDisplayNodes()
    model.GetDisplayNode().SetScalarVisibility(False)
    model.GetDisplayNode().SetColor(0.93, 0.82, 0.74)
    model.GetDisplayNode().SetOpacity(0.35)


if __name__ == "__main__":
    sys.exit(main())
