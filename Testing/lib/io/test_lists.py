"""Lists of images and of pairs: CSV and JSON say the same, and a bad line is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from SpatialRegularizationLib.io.lists import ListedPair, read_images, read_pairs


def written(folder: Path, text: object, name: str = "list.csv") -> Path:
    (folder / name).write_text(text if isinstance(text, str) else json.dumps(text), encoding="utf-8")
    return folder / name


def test_a_csv_and_a_json_list_of_images_say_the_same(tmp_path: Path) -> None:
    table = written(tmp_path, "name;image;labels;group\none;x/1.nii.gz;x/l.nii.gz;A\n;x/2.nii.gz;;\n")
    rows = [{"name": "one", "image": "x/1.nii.gz", "labels": "x/l.nii.gz", "group": "A"}, "x/2.nii.gz"]
    entries = read_images(table)
    assert entries == read_images(written(tmp_path, rows, "list.json"))
    assert [entry.name for entry in entries] == ["one", "2"]
    assert entries[0].files == {"image": tmp_path / "x" / "1.nii.gz", "labels": tmp_path / "x" / "l.nii.gz"}
    assert entries[1].labels is None


def test_a_label_map_alone_is_an_entry_and_says_the_grid(tmp_path: Path) -> None:
    (entry,) = read_images(written(tmp_path, "image,labels,group\n,maps/l.nii,7\n"))
    assert (entry.name, entry.image, entry.main, entry.group) == ("l", None, tmp_path / "maps" / "l.nii", "7")


def test_a_csv_and_a_json_list_of_pairs_say_the_same(tmp_path: Path) -> None:
    table = written(tmp_path, "fixed,moving,fixed_labels,preset,initial\nf.nii.gz,m.nii,l.nii, brain-mri ,\n")
    rows = [{"fixed": "f.nii.gz", "moving": "m.nii", "fixed_labels": "l.nii", "preset": "brain-mri", "initial": None}]
    pairs = read_pairs(table)
    assert pairs == read_pairs(written(tmp_path, rows, "list.json"))
    inputs = {"fixed_labels": tmp_path / "l.nii"}
    assert pairs == (ListedPair("m_to_f", tmp_path / "f.nii.gz", tmp_path / "m.nii", inputs, "brain-mri"),)


@pytest.mark.parametrize(
    ("read", "content", "problem"),
    [
        (read_images, "picture\na.nii\n", r"list\.csv has the unknown column 'picture': the columns are image, labels"),
        (read_images, "name,image\na,\n", r"list\.csv, line 2: the column image is empty"),
        (read_images, "image\n", r"holds no images: write one line for each below the header \(image, labels"),
        (read_images, "image\na/x.nii\nb/x.nii\n", "names two images 'x'"),
        (read_images, "image\n" + "a" * 200_000, r"list\.csv is no readable list of images \(it is no table"),
        (read_images, [{"image": ["a.nii"]}], r"list\.json, line 1: the column image must hold a text, got list"),
        (read_images, {"image": "a.nii"}, r"list\.json is no readable list of images \(a list of objects with image, labels, …"),
        (read_pairs, "fixed,mowing\nf,m\n", r"unknown column 'mowing': the columns are fixed, moving, fixed_mask"),
        (read_pairs, "fixed\nf.nii\n", r"list\.csv, line 2: the column moving is empty, or not there"),
        (read_pairs, "fixed,moving\nf.nii,\n", r"list\.csv, line 2: the column moving is empty"),
        (read_pairs, ["f.nii"], r"list\.json, line 1: the column moving is empty, or not there"),
        (read_pairs, [["f.nii", "m.nii"]], r"list\.json is no readable list of pairs \(a list of objects with fixed, moving, …"),
        (read_pairs, "fixed,moving\n", "holds no pairs"),
        (read_pairs, "name,fixed,moving\na,f,m\na,m,f\n", "names two pairs 'a'"),
        (read_pairs, "name,fixed,moving\n../a,f,m\n", r"line 2: the name '\.\./a' cannot be a folder"),
        (read_pairs, "name,fixed,moving\n.a,f,m\n", r"line 2: the name '\.a' cannot be a folder"),
    ],
)
def test_a_bad_list_is_refused_by_its_line(tmp_path: Path, read: Callable, content: object, problem: str) -> None:
    path = written(tmp_path, content, "list.csv" if isinstance(content, str) else "list.json")
    with pytest.raises(ValueError, match=problem):
        read(path)


def test_a_list_that_is_not_there_is_named(tmp_path: Path) -> None:
    for read in (read_images, read_pairs):
        with pytest.raises(FileNotFoundError, match=r"none\.csv does not exist"):
            read(tmp_path / "none.csv")
