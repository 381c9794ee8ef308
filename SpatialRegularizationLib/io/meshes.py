"""Surface models from and to files, through VTK (imported only when a model is read or written).

In memory points are millimetres LPS. Slicer notes the frame of a file as SPACE=LPS or SPACE=RAS in its header; a file
without a note is LPS, as in Slicer.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .atomic import atomic_path

FORMATS = (".vtk", ".vtp", ".stl", ".ply", ".obj")
LPS_FROM_RAS = np.array([-1.0, -1.0, 1.0])
HEADER = "SPACE=LPS"
READERS = {
    ".vtk": "vtkPolyDataReader",
    ".vtp": "vtkXMLPolyDataReader",
    ".stl": "vtkSTLReader",
    ".ply": "vtkPLYReader",
    ".obj": "vtkOBJReader",
}
WRITERS = {
    ".vtk": "vtkPolyDataWriter",
    ".vtp": "vtkXMLPolyDataWriter",
    ".stl": "vtkSTLWriter",
    ".ply": "vtkPLYWriter",
    ".obj": "vtkOBJWriter",
}


@dataclass(frozen=True)
class Mesh:
    """A surface model.

    Args:
        points: (n, 3) float64 mm LPS.
        polydata: the vtkPolyData with the same points in LPS, its cells and its data; not to be changed.
    """

    points: np.ndarray
    polydata: Any

    def with_points(self, points: np.ndarray) -> Mesh:
        """The same cells and data with other points (n, 3); normals, where there were any, are computed anew."""
        if np.shape(points) != self.points.shape:
            raise ValueError(f"A mesh of {len(self.points)} points needs as many new ones, got {np.shape(points)}.")
        return Mesh(np.asarray(points, dtype=np.float64), _moved(self.polydata, points))


def read_mesh(path: str | os.PathLike) -> Mesh:
    """A surface model.

    Raises:
        FileNotFoundError: nothing there.
        ValueError: unknown ending, no surface in the file, or a damaged file.
        RuntimeError: VTK is not installed.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: check the path.")
    suffix = _known_suffix(path)
    reader = _made(READERS[suffix])
    messages: list[str] = []
    reader.AddObserver("ErrorEvent", lambda *_: messages.append("error"))
    reader.SetFileName(str(path))
    reader.Update()
    polydata = reader.GetOutput()
    if messages or polydata is None or polydata.GetNumberOfPoints() == 0:
        raise ValueError(f"{path} holds no readable surface model: expected polygons in {', '.join(FORMATS)}.")
    points = _points_of(polydata)
    if _is_ras(path, polydata):
        points = points * LPS_FROM_RAS
        polydata = _moved(polydata, points)
    return Mesh(points, polydata)


def write_mesh(path: str | os.PathLike, mesh: Mesh) -> None:
    """Write a surface model in LPS, with Slicer's note of it where the format has a place; whole or absent.

    Raises:
        ValueError: unknown ending.
        OSError: the file cannot be written.
    """
    path = Path(path)
    suffix = _known_suffix(path)
    writer = _made(WRITERS[suffix])
    writer.SetInputData(_noted(mesh.polydata) if suffix == ".vtp" else mesh.polydata)
    _note_frame(writer, suffix)
    messages: list[str] = []
    writer.AddObserver("ErrorEvent", lambda *_: messages.append("VTK reports an error"))
    with atomic_path(path, suffix) as temporary:
        writer.SetFileName(str(temporary))
        if not writer.Write() or messages or writer.GetErrorCode():
            raise OSError("VTK could not write it")
        if suffix == ".obj":
            temporary.write_text(f"# {HEADER}\n" + temporary.read_text(encoding="utf-8"), encoding="utf-8")


def _known_suffix(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise ValueError(f"{path.name} is no surface model: expected one of the endings {', '.join(FORMATS)}.")
    return suffix


def _vtk() -> Any:
    try:
        import vtk
    except ImportError as error:
        raise RuntimeError("Surface models need the package vtk, which is not installed: pip install vtk.") from error
    return vtk


def _made(class_name: str) -> Any:
    return getattr(_vtk(), class_name)()


def _points_of(polydata: Any) -> np.ndarray:
    from vtk.util.numpy_support import vtk_to_numpy

    return vtk_to_numpy(polydata.GetPoints().GetData()).astype(np.float64)


def _is_ras(path: Path, polydata: Any) -> bool:
    note = polydata.GetFieldData().GetAbstractArray("SPACE")
    if note is not None and note.GetNumberOfValues() > 0:
        return str(note.GetValue(0)).upper() == "RAS"
    with path.open("rb") as file:
        return b"SPACE=RAS" in file.read(2048).split(b"end_header")[0]


def _moved(polydata: Any, positions: np.ndarray) -> Any:
    """A copy with other points, in the precision of the old ones; old normals are replaced by new ones."""
    vtk = _vtk()
    from vtk.util.numpy_support import numpy_to_vtk

    copy = vtk.vtkPolyData()
    copy.ShallowCopy(polydata)
    kind = np.float64 if polydata.GetPoints().GetDataType() == vtk.VTK_DOUBLE else np.float32
    points = vtk.vtkPoints()
    points.SetData(numpy_to_vtk(np.ascontiguousarray(positions, dtype=kind), deep=1))
    copy.SetPoints(points)
    had_normals = copy.GetPointData().GetNormals() is not None
    copy.GetPointData().SetNormals(None)
    copy.GetCellData().SetNormals(None)
    if not had_normals or copy.GetNumberOfPolys() == 0:
        return copy
    normals = vtk.vtkPolyDataNormals()
    normals.SetInputData(copy)
    normals.SplittingOff()
    normals.ConsistencyOff()
    normals.Update()
    return normals.GetOutput()


def _noted(polydata: Any) -> Any:
    vtk = _vtk()
    copy = vtk.vtkPolyData()
    copy.ShallowCopy(polydata)
    note = vtk.vtkStringArray()
    note.SetName("SPACE")
    note.InsertNextValue("LPS")
    copy.GetFieldData().AddArray(note)
    return copy


def _note_frame(writer: Any, suffix: str) -> None:
    if suffix in (".vtk", ".stl"):
        writer.SetHeader(HEADER)
    if suffix == ".vtk":
        writer.SetFileVersion(42)  # the layout that older readers know as well
    if suffix in (".vtk", ".stl"):
        writer.SetFileTypeToBinary()
    if suffix == ".ply":
        writer.AddComment(HEADER)
