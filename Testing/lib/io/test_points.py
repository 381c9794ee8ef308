"""Point lists: every format there and back, frames, and bad input."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import physical
import pytest

from SpatialRegularizationLib.io.points import read_landmarks, write_points
from SpatialRegularizationLib.io.volumes import read_volume

POINTS = np.array([[1.5, -2.25, 3.125], [-40.0, 50.5, 1e-3], [123.456789, 0, -99.9]])
NAMES = ("left, upper", 'the "tip"', "")


@pytest.mark.parametrize("name", ["p.csv", "p.fcsv", "p.mrk.json", "p.txt"])
def test_points_come_back_from_every_format(tmp_path: Path, name: str) -> None:
    write_points(tmp_path / name, POINTS, NAMES)
    found = read_landmarks(tmp_path / name)
    positions, names = found.positions, found.names
    np.testing.assert_allclose(positions, POINTS, atol=1e-6)
    assert names == (NAMES if name != "p.txt" else ("1", "2", "3"))
    assert len(list(tmp_path.iterdir())) == 1


LPS_TEXTS = {
    "plain.csv": "1,2,3\n4,5,6\n",
    "header.csv": "x,y,z\n1,2,3\n4,5,6\n",
    "ants.csv": "x,y,z,t,label\n1,2,3,0,a\n4,5,6,0,b\n",
    "ras-comment.csv": "# coordinates: RAS\nlabel,x,y,z\na,-1,-2,3\nb,-4,-5,6\n",
    "ras-columns.csv": "label,r,a,s,defined\na,-1,-2,3,1\nb,-4,-5,6,1\n",
    "lps-columns.csv": "label;l;p;s\na;1;2;3\nb;4;5;6\n",
    "tabs.csv": "x\ty\tz\n1\t2\t3\n4\t5\t6\n",
    "bom.csv": "\ufeffx, y, z\n1, 2, 3\n4, 5, 6\n",
    "old.fcsv": "# Markups fiducial file version = 4.10\n# CoordinateSystem = 0\n"
    "# columns = id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID\n"
    "f1,-1,-2,3,0,0,0,1,1,1,0,a,,\nf2,-4,-5,6,0,0,0,1,1,1,0,b,,\n",
    "silent.fcsv": "f1,-1,-2,3,0,0,0,1,1,1,0,a,,\nf2,-4,-5,6,0,0,0,1,1,1,0,b,,\n",
    "new.fcsv": "# Markups fiducial file version = 5.8\n# CoordinateSystem = LPS\n"
    "# columns = id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID\n"
    "1,1,2,3,0,0,0,1,1,1,0,a,,,2,0\n2,4,5,6,0,0,0,1,1,1,0,b,,,2,0\n",
    "point.txt": "point\n2\n1 2 3\n4 5 6\n",
    "ras.mrk.json": json.dumps(
        {
            "markups": [
                {"coordinateSystem": "RAS", "controlPoints": [{"label": "a", "position": [-1, -2, 3]}]},
                {
                    "coordinateSystem": "LPS",
                    "controlPoints": [
                        {"label": "?", "position": [0, 0, 0], "positionStatus": "undefined"},
                        {"label": "b", "position": [4, 5, 6]},
                    ],
                },
            ]
        }
    ),
}


@pytest.mark.parametrize("name", LPS_TEXTS)
def test_the_frame_that_a_file_states_is_honored(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(LPS_TEXTS[name], encoding="utf-8")
    found = read_landmarks(tmp_path / name)
    positions, names = found.positions, found.names
    np.testing.assert_array_equal(positions, [[1, 2, 3], [4, 5, 6]])
    assert names in (("a", "b"), ("1", "2"))


def test_voxel_indices_of_elastix_need_the_image_they_count(tmp_path: Path) -> None:
    (tmp_path / "i.txt").write_text("index\n1\n3 4 5\n")
    grid = physical.grid("oblique")
    np.testing.assert_allclose(
        read_landmarks(tmp_path / "i.txt", grid=grid).positions, [grid.index_to_point([3, 4, 5])], atol=1e-9
    )
    with pytest.raises(ValueError, match="name that image"):
        read_landmarks(tmp_path / "i.txt")


def test_a_curve_stays_a_curve_when_its_points_move(tmp_path: Path) -> None:
    curve = {
        "@schema": "x",
        "markups": [
            {
                "type": "Curve",
                "coordinateSystem": "RAS",
                "controlPoints": [
                    {"id": "7", "label": "a", "position": [-1, -2, 3], "locked": True},
                    {"id": "8", "label": "b", "position": [0, 0, 0], "positionStatus": "undefined"},
                ],
                "measurements": [{"name": "length", "value": 3}],
                "display": {"color": [1, 0, 0]},
            }
        ],
    }
    (tmp_path / "c.mrk.json").write_text(json.dumps(curve))
    write_points(tmp_path / "d.mrk.json", np.array([[10.0, 20, 30]]), ("a",), like=tmp_path / "c.mrk.json")
    markup = json.loads((tmp_path / "d.mrk.json").read_text())["markups"][0]
    assert markup["type"] == "Curve"
    assert markup["display"] == {"color": [1, 0, 0]}
    assert markup["controlPoints"][0] == {"id": "7", "label": "a", "position": [-10, -20, 30], "locked": True}
    assert "measurements" not in markup
    np.testing.assert_array_equal(read_landmarks(tmp_path / "d.mrk.json").positions, [[10, 20, 30]])
    with pytest.raises(ValueError, match="1 points, but 2"):
        write_points(tmp_path / "e.mrk.json", np.zeros((2, 3)), like=tmp_path / "c.mrk.json")


BAD = {
    "empty.csv": ("", "no points"),
    "letters.csv": ("x,y,z\n1,2,three\n", "three numbers"),
    "short.csv": ("x,y,z\n1,2\n", "not a readable point list"),
    "columns.csv": ("a,b,c\n1,2,3\n", "expected x,y,z"),
    "nan.csv": ("x,y,z\n1,2,nan\n", "NaN"),
    "ijk.fcsv": ("# CoordinateSystem = 2\n1,1,2,3,0,0,0,1,1,1,0,a,,\n", "coordinate system"),
    "broken.mrk.json": ("{", "not a readable point list"),
    "other.json": ('{"points": []}', "not a readable point list"),
    "count.txt": ("point\n3\n1 2 3\n", "announces 3 points and holds 1"),
    "kind.txt": ("1 2 3\n", "first line"),
    "image.png": ("x", "endings"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_point_list_is_refused_in_one_sentence(tmp_path: Path, name: str) -> None:
    text, message = BAD[name]
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        read_landmarks(tmp_path / name)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_point_list_and_an_unknown_ending_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="does not exist"):
        read_landmarks(tmp_path / "none.csv")
    with pytest.raises(ValueError, match="endings"):
        write_points(tmp_path / "p.xyz", POINTS)
    with pytest.raises(ValueError, match="3 points and 1 names"):
        write_points(tmp_path / "p.csv", POINTS, ("a",))


def test_real_landmarks_lie_inside_of_their_lung_mask(shared_data: Path) -> None:
    mask = read_volume(shared_data / "lung_ct" / "baseline_mask.mha")
    points = read_landmarks(shared_data / "lung_ct" / "baseline_landmarks_index.txt", grid=mask.grid).positions
    assert points.shape == (10, 3)
    index = np.round(mask.grid.point_to_index(points)).astype(int)
    assert all(mask.data[0, i, j, k] > 0 for i, j, k in index)


UNPLACED = {
    "slicer.mrk.json": json.dumps(
        {
            "markups": [
                {
                    "coordinateSystem": "LPS",
                    "coordinateUnits": "mm",
                    "controlPoints": [
                        {"label": "a", "position": [1, 2, 3], "positionStatus": "defined"},
                        {"label": "b", "position": "", "positionStatus": "undefined"},
                        {"label": "c", "position": [0, 0, 0], "positionStatus": "missing"},
                        {"label": "d", "position": [9, 9, 9], "positionStatus": "preview"},
                        {"label": "e", "position": [4, 5, 6]},
                    ],
                }
            ]
        }
    ),
    "slicer.csv": '"label","l","p","s","defined","selected","visible","locked","description"\n"a",1,2,3,1,1,1,0,""\n'
    '"b",0,0,0,0,1,1,0,""\n"c",0,0,0,0,1,1,0,""\n"d",,,,1,1,1,0,""\n"e",4,5,6,1,0,0,1,"hidden, not missing"\n',
    "slicer.fcsv": "# Markups fiducial file version = 5.8\n# CoordinateSystem = LPS\n"
    "# columns = id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID\n"
    "1,1,2,3,0,0,0,1,1,1,0,a,,,2,0\n2,7,7,7,0,0,0,1,1,1,0,b,,,0,0\n3,7,7,7,0,0,0,1,1,1,0,c,,,3,0\n"
    "4,7,7,7,0,0,0,1,1,1,0,d,,,1,0\n5,4,5,6,0,0,0,1,0,0,1,e,,,2,0\n",
}


@pytest.mark.parametrize("name", UNPLACED)
def test_points_that_were_never_placed_are_no_points_in_any_format_of_slicer(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(UNPLACED[name], encoding="utf-8")
    found = read_landmarks(tmp_path / name)
    np.testing.assert_array_equal(found.positions, [[1, 2, 3], [4, 5, 6]])
    assert (found.names, found.places, found.unplaced) == (("a", "e"), (0, 4), ("b", "c", "d"))
    assert found.labeled


def test_a_list_of_points_that_were_never_placed_is_refused(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("label,l,p,s,defined\na,0,0,0,0\n")
    with pytest.raises(ValueError, match=r"p\.csv holds no points, only such as were never placed"):
        read_landmarks(tmp_path / "p.csv")


def test_what_slicer_writes_about_points_that_were_never_placed_is_read(tmp_path: Path) -> None:
    slicer = pytest.importorskip("slicer", reason="needs slicer-core")
    scene, node = slicer.vtkMRMLScene(), slicer.vtkMRMLMarkupsFiducialNode()
    scene.AddNode(node)
    for n in range(4):
        node.AddControlPoint([10.0 * n, 5.0, 2.0], f"#{n}")
    node.UnsetNthControlPointPosition(1)
    node.SetNthControlPointPositionMissing(2)
    for kind, name in (("Json", "p.mrk.json"), ("Fiducial", "p.fcsv")):
        storage = getattr(slicer, f"vtkMRMLMarkups{kind}StorageNode")()
        scene.AddNode(storage)
        storage.SetFileName(str(tmp_path / name))
        assert storage.WriteData(node)
    assert slicer.vtkSlicerMarkupsLogic.ExportControlPointsToCSV(node, str(tmp_path / "p.csv"), False)
    for name in ("p.mrk.json", "p.fcsv", "p.csv"):
        found = read_landmarks(tmp_path / name)
        np.testing.assert_allclose(found.positions, [[0, -5, 2], [-30, -5, 2]])
        assert (found.names, found.unplaced) == (("#0", "#3"), ("#1", "#2")), name


MORE_TEXTS = {
    "hash-labels.csv": "# coordinates: LPS\nlabel,x,y,z\n#1,1,2,3\n# a comment, with commas, in, it\n#2,4,5,6\n",
    "hash-quoted.csv": '# "a comment\nlabel,x,y,z\n"#1",1,2,3\n"#2",4,5,6\n',
    "hash-header.csv": "# x,y,z\n1,2,3\n4,5,6\n",
    "hash-spaced-header.csv": "#x, y, z\n1,2,3\n4,5,6\n",
    "decimal-commas.csv": "label;x;y;z\na;1,0;2,0;3,0\nb;4,0;5,0;6,0\n",
    "decimal-commas-only.csv": "1,0;2,0;3,0\n4,0;5,0;6,0\n",
    "decimal-commas-tabs.csv": "x\ty\tz\n1,0\t2,0\t3,0\n4,0\t5,0\t6,0\n",
    "upper.csv": "Label,R,A,S\na,-1,-2,3\nb,-4,-5,6\n",
    "units.csv": "label,x (mm),y [mm],z (mm)\na,1,2,3\nb,4,5,6\n",
    "empty-lines.csv": "label,x,y,z\r\na,1,2,3\r\n,,,\r\nb,4,5,6\r\n\r\n",
    "slicer3.fcsv": "# name = L\na,-1,-2,3,1,1\nb,-4,-5,6,1,1\n",
    "semicolon-in-label.csv": "label,x,y,z\na; b,1,2,3\nc,4,5,6\n",
    "lines-in-quotes.csv": 'label,x,y,z,description\na,1,2,3,"two\nlines"\nb,4,5,6,one\n',
}


@pytest.mark.parametrize("name", MORE_TEXTS)
def test_lists_as_other_programs_write_them_are_read(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(MORE_TEXTS[name], encoding="utf-8")
    np.testing.assert_array_equal(read_landmarks(tmp_path / name).positions, [[1, 2, 3], [4, 5, 6]])


MORE_BAD = {
    "decimal-commas.csv": ("x,y,z\n1,5,2,5,3,5\n", "6 values"),
    "four-numbers.csv": ("1,2,3,4\n5,6,7,8\n", "4 values"),
    "centimeters.mrk.json": (json.dumps({"markups": [{"coordinateUnits": "cm", "controlPoints": []}]}), "expected mm"),
    "status.mrk.json": (
        json.dumps({"markups": [{"controlPoints": [{"position": [1, 2, 3], "positionStatus": "maybe"}]}]}),
        "position status 'maybe'",
    ),
    "nested.mrk.json": ('{"markups":' + "[" * 200 + "]" * 200 + "}", "nested deeper"),
    "deep.mrk.json": ('{"markups":' + "[" * 200_000 + "]" * 200_000 + "}", "nested deeper"),
    "list.mrk.json": ("[1, 2]", "markups"),
    "numbers.mrk.json": ('{"markups": [1, 2]}', "markups"),
    "points.mrk.json": ('{"markups": [{"controlPoints": 3}]}', "controlPoints"),
    "dict.mrk.json": ('{"markups": [{"controlPoints": [{"position": {"a": 1}}]}]}', "three numbers"),
    "true.mrk.json": ('{"markups": [{"controlPoints": [{"position": [true, null, 1]}]}]}', "three numbers"),
    "long.csv": ("x,y,z\n" + "1" * 200_000 + ",2,3\n", "not a readable point list"),
    "only-kind.txt": ("point\n", "announces no points"),
    "count.txt": ("point\nmany\n1 2 3\n", "announces many points"),
    "latin1.csv": ("x,y,z\n1,2,3\n\udce4", "UTF-8"),
}


@pytest.mark.parametrize("name", MORE_BAD)
def test_a_hostile_point_list_is_refused_in_one_sentence(tmp_path: Path, name: str) -> None:
    text, message = MORE_BAD[name]
    (tmp_path / name).write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(ValueError, match=message) as caught:
        read_landmarks(tmp_path / name)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600
