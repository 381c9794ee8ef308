"""Slice views and 3-D views of a scene drawn without a display: what the application's windows would show, as arrays.

    view = SliceView(host, "Axial", size=(240, 240))
    picture = view.picture()            # (rows, columns, 3) uint8

Needs EGL or OSMesa with software rendering; `available` says whether they are there.
"""

from __future__ import annotations

import ctypes.util
import os
from pathlib import Path
from typing import Any

import numpy as np

PACKAGES = "libegl1 libegl-mesa0 libgl1-mesa-dri"
"""Debian packages that offscreen rendering needs."""
SLICE_MANAGERS = (
    "vtkMRMLModelSliceDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager2D",
    "vtkMRMLMarkupsDisplayableManager",
    "vtkMRMLTransformsDisplayableManager2D",
    "vtkMRMLColorLegendDisplayableManager",
)
VIEW_MANAGERS = (
    "vtkMRMLCameraDisplayableManager",
    "vtkMRMLViewDisplayableManager",
    "vtkMRMLModelDisplayableManager",
    "vtkMRMLThreeDReformatDisplayableManager",
    "vtkMRMLTransformsDisplayableManager3D",
    "vtkMRMLColorLegendDisplayableManager",
)


def missing() -> str:
    """"" or what this machine lacks, in words for a skipped test."""
    if os.environ.get("DISPLAY") or ctypes.util.find_library("EGL") or ctypes.util.find_library("OSMesa"):
        return ""
    return f"offscreen rendering needs the Debian packages {PACKAGES}"


class _View:
    """A window, its renderer, and the displayable managers that fill it."""

    def __init__(self, host: Any, factory: Any, managers: tuple[str, ...], size: tuple[int, int]) -> None:
        import slicer
        import vtk

        if not os.environ.get("DISPLAY"):
            kind = "EGL" if ctypes.util.find_library("EGL") else "OSOpenGL"
            os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", f"vtk{kind}RenderWindow")
        factory.SetMRMLApplicationLogic(host.logic)
        for name in managers:
            if not factory.IsDisplayableManagerRegistered(name):
                factory.RegisterDisplayableManager(name)
        self._caption: Any = None
        self.renderer = vtk.vtkRenderer()
        self.window = vtk.vtkRenderWindow()
        self.window.SetOffScreenRendering(1)
        self.window.SetMultiSamples(0)
        self.window.SetSize(*size)
        self.window.AddRenderer(self.renderer)
        self._interactor = vtk.vtkRenderWindowInteractor()
        self._interactor.SetRenderWindow(self.window)
        self._interactor.SetInteractorStyle(vtk.vtkInteractorStyleUser())
        self.group = slicer.vtkMRMLDisplayableManagerGroup()
        self.group.Initialize(factory, self.renderer)

    def caption(self, text: str) -> None:
        """Write a title into the upper left corner; "" removes it."""
        import vtk

        if self._caption is None:
            self._caption = vtk.vtkTextActor()
            self._caption.GetTextProperty().SetFontSize(18)
            self._caption.GetTextProperty().SetVerticalJustificationToTop()
            self._caption.GetTextProperty().ShadowOn()
            self._caption.SetPosition(8, self.window.GetSize()[1] - 6)
            self.renderer.AddViewProp(self._caption)
        self._caption.SetInput(text)
        self._caption.SetVisibility(bool(text))

    def picture(self) -> np.ndarray:
        """(rows, columns, 3) uint8; the first row is the top."""
        import vtk
        from vtk.util.numpy_support import vtk_to_numpy

        self.window.Render()
        self.window.Render()  # the color legend takes its place in the second
        grabbed = vtk.vtkWindowToImageFilter()
        grabbed.SetInput(self.window)
        grabbed.ReadFrontBufferOff()
        grabbed.Update()
        image = grabbed.GetOutput()
        columns, rows, _ = image.GetDimensions()
        return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(rows, columns, -1)[::-1, :, :3].copy()


class SliceView(_View):
    """One slice view.

    Args:
        host: `slicer_scene.Application`.
        orientation: "Axial", "Sagittal" or "Coronal".
        size: columns and rows of the picture.
        name: of the view; one per scene.
    """

    def __init__(self, host: Any, orientation: str, size: tuple[int, int], name: str = "") -> None:
        import slicer
        import vtk

        super().__init__(host, slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance(), SLICE_MANAGERS, size)
        self.renderer.GetActiveCamera().ParallelProjectionOn()
        self.logic = slicer.vtkMRMLSliceLogic()
        self.logic.SetMRMLApplicationLogic(host.logic)
        host.logic.GetSliceLogics().AddItem(self.logic)
        self.logic.SetMRMLScene(host.mrml)
        self.node = self.logic.AddSliceNode(name or orientation)
        self.node.SetOrientation(orientation)
        self.group.SetMRMLDisplayableNode(self.node)
        self.logic.ResizeSliceNode(*size)
        self.composite = self.logic.GetSliceCompositeNode()
        self._mapper = vtk.vtkImageMapper()
        self._mapper.SetColorWindow(255)
        self._mapper.SetColorLevel(127.5)
        actor = vtk.vtkActor2D()
        actor.SetMapper(self._mapper)
        actor.GetProperty().SetDisplayLocationToBackground()
        self.renderer.AddViewProp(actor)

    def picture(self) -> np.ndarray:
        """As for every view; the image's connection changes with what is shown."""
        self._mapper.SetInputConnection(self.logic.GetImageDataConnection())
        return super().picture()


class ThreeDView(_View):
    """One 3-D view, seen from the front and above."""

    def __init__(self, host: Any, size: tuple[int, int]) -> None:
        import slicer

        super().__init__(host, slicer.vtkMRMLThreeDViewDisplayableManagerFactory.GetInstance(), VIEW_MANAGERS, size)
        self.node = host.add("vtkMRMLViewNode", "View1")
        self.node.SetBoxVisible(False)
        self.node.SetAxisLabelsVisible(False)
        self.group.SetMRMLDisplayableNode(self.node)

    def look(self, azimuth: float = -30, elevation: float = 20, zoom: float = 1.3) -> None:
        """Turn to a three-quarter view of everything (degrees)."""
        self.window.Render()
        camera = self.renderer.GetActiveCamera()
        camera.SetPosition(0, 500, 0)
        camera.SetFocalPoint(0, 0, 0)
        camera.SetViewUp(0, 0, 1)
        camera.Azimuth(azimuth)
        camera.Elevation(elevation)
        self.renderer.ResetCamera()
        camera.Zoom(zoom)
        self.renderer.ResetCameraClippingRange()


def write_picture(path: Path, picture: np.ndarray) -> None:
    """(rows, columns, 3) uint8 as PNG."""
    import SimpleITK as sitk

    sitk.WriteImage(sitk.GetImageFromArray(np.ascontiguousarray(picture), isVector=True), str(path), useCompression=True)


def read_picture(path: Path) -> np.ndarray:
    """The (rows, columns, 3) uint8 of a PNG."""
    import SimpleITK as sitk

    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))[..., :3]


def mosaic(rows: list[list[np.ndarray]], gap: int = 4, color: int = 255) -> np.ndarray:
    """Pictures side by side and below one another; those of a row have one height."""
    lines = [_joined(row, gap, color, axis=1) for row in rows]
    width = max(line.shape[1] for line in lines)
    padded = [np.pad(line, ((0, 0), (0, width - line.shape[1]), (0, 0)), constant_values=color) for line in lines]
    return _joined(padded, gap, color, axis=0)


def _joined(pictures: list[np.ndarray], gap: int, color: int, axis: int) -> np.ndarray:
    parts = []
    for n, picture in enumerate(pictures):
        if n:
            shape = list(picture.shape)
            shape[axis] = gap
            parts.append(np.full(shape, color, np.uint8))
        parts.append(picture)
    return np.concatenate(parts, axis=axis)
