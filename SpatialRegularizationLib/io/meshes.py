"""Read and write surface models through VTK, which is imported only when a model is read or written.

In memory points are millimetres LPS. Slicer notes the frame of a file as SPACE=LPS or SPACE=RAS in its header; a file
without a note is LPS, as in Slicer. VTK's readers crash on damaged files: they run in a process of their own.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from .atomic import atomic_path
from .isolated import Content, read_isolated

FORMATS = (".vtk", ".vtp", ".stl", ".ply", ".obj")
LPS_FROM_RAS = np.array([-1.0, -1.0, 1.0])
HEADER = "SPACE=LPS"
HOMES = {
    "vtkCommonCore": ("vtkLookupTable", "vtkPoints", "vtkSMPTools", "vtkStringArray"),
    "vtkCommonDataModel": ("vtkCellArray", "vtkPolyData"),
    "vtkFiltersCore": ("vtkPolyDataNormals",),
    "vtkIOLegacy": ("vtkPolyDataReader", "vtkPolyDataWriter"),
    "vtkIOXML": ("vtkXMLPolyDataReader", "vtkXMLPolyDataWriter"),
    "vtkIOGeometry": ("vtkOBJReader", "vtkOBJWriter", "vtkSTLReader", "vtkSTLWriter"),
    "vtkIOPLY": ("vtkPLYReader", "vtkPLYWriter"),
}
"""Module of VTK → the classes of it that are used: loading all of VTK takes a second, and slows every fork."""
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
CELLS = ("Verts", "Lines", "Polys", "Strips")
DATA = ("PointData", "CellData", "FieldData")


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
        ValueError: unknown ending, no surface in the file, points that are not finite, or a damaged file.
        RuntimeError: VTK is not installed.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: check the path.")
    _vtk(READERS[_known_suffix(path)])
    polydata = _polydata_of(read_isolated(surface_content, path))
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
    writer = _vtk(WRITERS[suffix])()
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


def surface_content(path: str) -> Content:
    """The cells and the data of a file as arrays; runs in a process of its own, because VTK may crash.

    Raises:
        ValueError: no surface, cells of points that do not exist, or points that are not finite.
    """
    _vtk("vtkSMPTools").SetBackend("Sequential")  # the threads of this process's parent do not exist here
    reader = _vtk(READERS[_known_suffix(Path(path))])()
    messages: list[str] = []
    reader.AddObserver("ErrorEvent", lambda *_: messages.append("error"))
    reader.SetFileName(path)
    reader.Update()
    polydata = reader.GetOutput()
    if messages or polydata is None or polydata.GetNumberOfPoints() == 0:
        raise ValueError(f"{path} holds no readable surface model: expected polygons in {', '.join(FORMATS)}.")
    about, arrays = {}, {"points": _numbers_of(polydata.GetPoints().GetData())}
    bad = int((~np.isfinite(arrays["points"]).all(axis=1)).sum())
    if bad:
        raise ValueError(
            f"{path} has {bad} of {len(arrays['points'])} points with NaN or infinite coordinates: remove them, or export the "
            "surface again."
        )
    for kind in CELLS:
        arrays |= _cells_content(getattr(polydata, f"Get{kind}")(), kind, path, len(arrays["points"]))
    for kind in DATA:
        about[kind], found = _data_content(getattr(polydata, f"Get{kind}")(), kind, path)
        arrays |= found
    return Content(about, arrays)


def _cells_content(cells: Any, kind: str, path: str, points: int) -> dict[str, np.ndarray]:
    if cells.GetNumberOfCells() == 0:
        return {}
    if cells.IsStorageFixedSize():
        cells.ConvertToDefaultStorage()
    offsets, corners = _numbers_of(cells.GetOffsetsArray()), _numbers_of(cells.GetConnectivityArray())
    if offsets[0] != 0 or offsets[-1] != len(corners) or (offsets[1:] < offsets[:-1]).any():
        raise ValueError(f"{path} is damaged: the sizes of its cells do not agree with its list of corners; export it again.")
    if len(corners) and not (corners.min() >= 0 and corners.max() < points):
        raise ValueError(f"{path} is damaged: its cells name points beyond the {points} that it holds; export it again.")
    return {f"{kind} offsets": offsets, f"{kind} corners": corners}


def _data_content(data: Any, kind: str, path: str) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
    """Every array of a data set: what it is called and how it is used, and its values."""
    from vtkmodules.util.vtkConstants import VTK_BIT, VTK_UNSIGNED_CHAR

    lines, arrays = [], {}
    for n in range(data.GetNumberOfArrays()):
        array = data.GetAbstractArray(n)
        names = [array.GetComponentName(c) for c in range(array.GetNumberOfComponents())]
        line = {"name": array.GetName(), "key": f"{kind} {n}", "components": names}
        line["type"] = VTK_UNSIGNED_CHAR if array.GetDataType() == VTK_BIT else array.GetDataType()
        line["use"] = data.IsArrayAnAttribute(n) if kind != "FieldData" else -1
        if array.IsA("vtkStringArray"):
            line["texts"] = [_text(array.GetValue(v)) for v in range(array.GetNumberOfValues())]
        elif array.IsNumeric():
            arrays[line["key"]] = _numbers_of(array)
            if array.GetLookupTable() is not None:
                arrays[f"{line['key']} colors"] = _numbers_of(array.GetLookupTable().GetTable())
        else:
            raise ValueError(f"{path} holds {array.GetClassName()} data, which cannot be kept: remove {line['name']!r} from it.")
        lines.append(line)
    return lines, arrays


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("latin-1")


def _polydata_of(content: Content) -> Any:
    polydata = _vtk("vtkPolyData")()
    points = _vtk("vtkPoints")()
    points.SetData(_array_of(content.arrays["points"]))
    polydata.SetPoints(points)
    for kind in CELLS:
        if f"{kind} offsets" in content.arrays:
            cells = _vtk("vtkCellArray")()
            cells.SetData(*(_array_of(content.arrays[f"{kind} {part}"]) for part in ("offsets", "corners")))
            getattr(polydata, f"Set{kind}")(cells)
    for kind in DATA:
        data = getattr(polydata, f"Get{kind}")()
        for line in content.about[kind]:
            index = data.AddArray(_named_array(line, content.arrays))
            if line["use"] >= 0:
                data.SetActiveAttribute(index, line["use"])
    return polydata


def _named_array(line: dict[str, Any], arrays: dict[str, np.ndarray]) -> Any:
    if "texts" in line:
        array = _vtk("vtkStringArray")()
        array.SetNumberOfComponents(len(line["components"]))
        for text in line["texts"]:
            array.InsertNextValue(text)
    else:
        array = _array_of(arrays[line["key"]], line["type"])
        if (colors := arrays.get(f"{line['key']} colors")) is not None:
            table = _vtk("vtkLookupTable")()
            table.SetTable(_array_of(colors))
            array.SetLookupTable(table)
    if line["name"] is not None:
        array.SetName(line["name"])
    for number, name in enumerate(line["components"]):
        if name is not None:
            array.SetComponentName(number, name)
    return array


def _known_suffix(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise ValueError(f"{path.name} is no surface model: expected one of the endings {', '.join(FORMATS)}.")
    return suffix


def _vtk(name: str) -> Any:
    """A class of VTK."""
    module = next(module for module, names in HOMES.items() if name in names)
    try:
        return getattr(import_module(f"vtkmodules.{module}"), name)
    except ImportError as error:
        raise RuntimeError("Surface models need the package vtk, which is not installed: pip install vtk.") from error


def _numbers_of(array: Any) -> np.ndarray:
    from vtkmodules.util.numpy_support import vtk_to_numpy

    return vtk_to_numpy(array)


def _array_of(numbers: np.ndarray, kind: int | None = None) -> Any:
    from vtkmodules.util.numpy_support import numpy_to_vtk

    return numpy_to_vtk(numbers, array_type=kind)  # VTK keeps the numbers alive, there is no copy


def _points_of(polydata: Any) -> np.ndarray:
    return _numbers_of(polydata.GetPoints().GetData()).astype(np.float64)


def _is_ras(path: Path, polydata: Any) -> bool:
    note = polydata.GetFieldData().GetAbstractArray("SPACE")
    if note is not None and note.GetNumberOfValues() > 0:
        return str(note.GetValue(0)).upper() == "RAS"
    with path.open("rb") as file:
        return b"SPACE=RAS" in file.read(2048).split(b"end_header")[0]


def _moved(polydata: Any, positions: np.ndarray) -> Any:
    """A copy with other points, in the precision of the old ones; old normals are replaced by new ones."""
    copy = _vtk("vtkPolyData")()
    copy.ShallowCopy(polydata)
    kind = np.float64 if polydata.GetPoints().GetData().IsA("vtkDoubleArray") else np.float32
    points = _vtk("vtkPoints")()
    points.SetData(_array_of(np.ascontiguousarray(positions, dtype=kind)))
    copy.SetPoints(points)
    had_normals = copy.GetPointData().GetNormals() is not None
    copy.GetPointData().SetNormals(None)
    copy.GetCellData().SetNormals(None)
    if not had_normals or copy.GetNumberOfPolys() == 0:
        return copy
    normals = _vtk("vtkPolyDataNormals")()
    normals.SetInputData(copy)
    normals.SplittingOff()
    normals.ConsistencyOff()
    normals.Update()
    return normals.GetOutput()


def _noted(polydata: Any) -> Any:
    copy = _vtk("vtkPolyData")()
    copy.ShallowCopy(polydata)
    note = _vtk("vtkStringArray")()
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
