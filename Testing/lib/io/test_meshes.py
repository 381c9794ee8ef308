"""Surface models: every format there and back, frames, and bad input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from SpatialRegularizationLib.io.meshes import FORMATS, Mesh, read_mesh, write_mesh

vtk = pytest.importorskip("vtk", reason="surface models need vtk")


def sphere(center: tuple[float, float, float] = (10.0, -20.0, 30.0)) -> Mesh:
    source = vtk.vtkSphereSource()
    source.SetCenter(*center)
    source.SetRadius(8)
    source.Update()
    points = np.array([source.GetOutput().GetPoint(n) for n in range(source.GetOutput().GetNumberOfPoints())])
    return Mesh(points, source.GetOutput())


def spread(points: np.ndarray) -> np.ndarray:
    """Points in an order of their own: readers may merge and reorder them."""
    return np.unique(np.round(points, 3), axis=0)


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_surface_comes_back_from_every_format(tmp_path: Path, suffix: str) -> None:
    mesh = sphere()
    write_mesh(tmp_path / f"m{suffix}", mesh)
    again = read_mesh(tmp_path / f"m{suffix}")
    np.testing.assert_allclose(spread(again.points), spread(mesh.points), atol=1.1e-3)
    assert again.polydata.GetNumberOfPolys() == mesh.polydata.GetNumberOfPolys()
    assert [p.name for p in tmp_path.iterdir()] == [f"m{suffix}"]


@pytest.mark.parametrize("suffix", [".vtk", ".stl", ".ply", ".obj"])
def test_a_note_of_ras_in_the_header_is_honored(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"m{suffix}"
    write_mesh(path, sphere())
    data = path.read_bytes()
    assert b"SPACE=LPS" in data
    path.write_bytes(data.replace(b"SPACE=LPS", b"SPACE=RAS", 1))
    mesh = read_mesh(path)
    np.testing.assert_allclose(mesh.points.mean(0), [-10, 20, 30], atol=1e-3)
    np.testing.assert_allclose(mesh.polydata.GetCenter(), [-10, 20, 30], atol=1e-2)


def test_a_note_of_ras_in_the_field_data_of_vtp_is_honored(tmp_path: Path) -> None:
    note = vtk.vtkStringArray()
    note.SetName("SPACE")
    note.InsertNextValue("RAS")
    polydata = sphere().polydata
    polydata.GetFieldData().AddArray(note)
    writer = vtk.vtkXMLPolyDataWriter()
    writer.SetFileName(str(tmp_path / "m.vtp"))
    writer.SetInputData(polydata)
    writer.Write()
    mesh = read_mesh(tmp_path / "m.vtp")
    np.testing.assert_allclose(mesh.points.mean(0), [-10, 20, 30], atol=1e-3)
    write_mesh(tmp_path / "n.vtp", mesh)
    np.testing.assert_allclose(read_mesh(tmp_path / "n.vtp").points, mesh.points)


def test_moved_points_get_new_normals_and_leave_the_original_alone() -> None:
    mesh = sphere()
    flat = mesh.with_points(mesh.points * [1, 1, 0.01])
    assert flat.polydata.GetNumberOfPoints() == len(mesh.points)
    np.testing.assert_allclose(flat.points, mesh.points * [1, 1, 0.01])
    assert flat.polydata.GetPointData().GetNormals() is not None
    before = np.array([mesh.polydata.GetPointData().GetNormals().GetTuple(n) for n in range(len(mesh.points))])
    after = np.array([flat.polydata.GetPointData().GetNormals().GetTuple(n) for n in range(len(mesh.points))])
    assert np.abs(after - before).max() > 0.3
    np.testing.assert_allclose(mesh.polydata.GetCenter(), [10, -20, 30], atol=1e-3)
    with pytest.raises(ValueError, match="needs as many"):
        mesh.with_points(np.zeros((3, 3)))


def test_data_on_points_survives(tmp_path: Path) -> None:
    mesh = sphere()
    thickness = vtk.vtkFloatArray()
    thickness.SetName("thickness")
    thickness.SetNumberOfTuples(len(mesh.points))
    thickness.Fill(2.5)
    mesh.polydata.GetPointData().AddArray(thickness)
    write_mesh(tmp_path / "m.vtk", mesh.with_points(mesh.points + 1))
    again = read_mesh(tmp_path / "m.vtk").polydata
    assert again.GetPointData().GetArray("thickness").GetValue(3) == 2.5


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_file_that_is_no_surface_is_refused(tmp_path: Path, suffix: str, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / f"m{suffix}"
    path.write_text("nothing of the kind")
    with pytest.raises(ValueError, match="no readable surface") as caught:
        read_mesh(path)
    assert path.name in str(caught.value)


def test_missing_files_and_unknown_endings_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="does not exist"):
        read_mesh(tmp_path / "none.vtk")
    (tmp_path / "a.xyz").write_text("")
    with pytest.raises(ValueError, match="endings"):
        read_mesh(tmp_path / "a.xyz")
    with pytest.raises(ValueError, match="endings"):
        write_mesh(tmp_path / "b.xyz", sphere())


def with_corner(suffix: str, content: bytes, corner: int) -> bytes:
    """One triangle's last corner replaced by another number, in the file of a single triangle."""
    if suffix == ".obj":
        return content.replace(b"f 1 2 3", f"f 1 2 {corner + 1}".encode())
    kind = ">i4" if suffix == ".vtk" else "<i4"
    return content.replace(np.array([0, 1, 2], kind).tobytes(), np.array([0, 1, corner], kind).tobytes())


def triangle(last: tuple[float, float, float] = (0.0, 1.0, 0.0)) -> Mesh:
    points, cells = vtk.vtkPoints(), vtk.vtkCellArray()
    for point in ((0.0, 0.0, 0.0), (1.0, 0.0, 0.0), last):
        points.InsertNextPoint(point)
    cells.InsertNextCell(3, [0, 1, 2])
    polydata = vtk.vtkPolyData()
    polydata.SetPoints(points)
    polydata.SetPolys(cells)
    return Mesh(np.array([(0.0, 0.0, 0.0), (1.0, 0.0, 0.0), last]), polydata)


@pytest.mark.parametrize("corner", [3, 100_000, 2_000_000_000, -1, -2_000_000_000])
@pytest.mark.parametrize("suffix", [".vtk", ".ply", ".obj"])
def test_cells_of_points_that_do_not_exist_are_refused_in_a_sentence(tmp_path: Path, suffix: str, corner: int) -> None:
    path = tmp_path / f"m{suffix}"
    write_mesh(path, triangle())
    assert len(read_mesh(path).points) == 3
    damaged = with_corner(suffix, path.read_bytes(), corner)
    assert damaged != path.read_bytes()
    path.write_bytes(damaged)
    with pytest.raises(ValueError, match=r"^[^\n]*m\.(vtk|ply|obj) (is damaged|holds no readable)[^\n]*$"):
        read_mesh(path)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("suffix", FORMATS)
def test_points_that_are_no_numbers_are_refused_with_their_count(tmp_path: Path, suffix: str, bad: float) -> None:
    write_mesh(tmp_path / f"m{suffix}", triangle((0.0, bad, 0.0)))
    with pytest.raises(ValueError, match=r"1 of \d+ points with NaN or infinite|no readable surface"):
        read_mesh(tmp_path / f"m{suffix}")


def test_colors_names_and_texts_of_a_surface_survive(tmp_path: Path) -> None:
    mesh = triangle()
    colors = vtk.vtkUnsignedCharArray()
    colors.SetName("colors")
    colors.SetNumberOfComponents(3)
    colors.SetComponentName(0, "red")
    text = vtk.vtkStringArray()
    text.SetName("who")
    for n in range(3):
        colors.InsertNextTuple3(n, 2, 3)
        text.InsertNextValue(f"point {n}")
    mesh.polydata.GetPointData().SetScalars(colors)
    mesh.polydata.GetPointData().AddArray(text)
    write_mesh(tmp_path / "m.vtp", mesh.with_points(mesh.points + 1))
    again = read_mesh(tmp_path / "m.vtp").polydata.GetPointData()
    assert again.GetScalars().GetName() == "colors"
    assert again.GetScalars().GetTuple3(2) == (2.0, 2.0, 3.0)
    assert again.GetScalars().GetComponentName(0) == "red"
    assert again.GetAbstractArray("who").GetValue(2) == "point 2"


@pytest.mark.parametrize("name", ["crash-ply-1/x.ply", "crash-obj/x.obj", "crash-vtk-2/x.vtk"])
def test_files_that_crash_a_reader_of_vtk_end_in_a_sentence(shared_cases: Path, name: str) -> None:
    with pytest.raises(ValueError, match="is damaged"):
        read_mesh(shared_cases / name)
