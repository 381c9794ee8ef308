"""The result folder is whole or absent, and what was there before survives."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from finished import finished_registration, linear_registration

from SpatialRegularizationLib.geometry.companions import Companions
from SpatialRegularizationLib.io.atomic import write_text
from SpatialRegularizationLib.io.fields import read_field
from SpatialRegularizationLib.io.transforms import read_transform
from SpatialRegularizationLib.io.volumes import read_volume
from SpatialRegularizationLib.report import results
from SpatialRegularizationLib.report.result_folder import FILES, MAPS, check_destination, read_report
from SpatialRegularizationLib.report.results import write_result
from SpatialRegularizationLib.transforms.resample import resample_labels_linear, transform_points

KEYS = [
    "seconds",
    "peak_memory_mb",
    "device",
    "settings",
    "similarity_before",
    "similarity_after",
    "dice_before",
    "dice_after",
    "tre_before_mm",
    "tre_after_mm",
    "folding_percent",
    "ndv_percent",
    "sd_log_j",
    "inverse_residual_mm",
]
SHIFT = np.array([[1.0, 0, 0, 3], [0, 1, 0, -2], [0, 0, 1, 1], [0, 0, 0, 1]])


def _everything_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_folder_holds_all_files_and_nothing_beside_it(tmp_path: Path) -> None:
    write_result(tmp_path / "deep" / "result", finished_registration())
    assert _everything_in(tmp_path / "deep" / "result") == sorted(FILES)
    assert _everything_in(tmp_path / "deep") == ["result"]


def test_the_report_has_the_promised_keys_and_no_nan(tmp_path: Path) -> None:
    returned = write_result(tmp_path / "r", finished_registration(), "spatialreg register a b", about={"job": {"x": 1}})
    content = read_report(tmp_path / "r")
    assert returned == content
    assert not set(KEYS) - content.keys()
    assert content["command"] == "spatialreg register a b"
    assert content["dice_after"] == {"1": 0.75, "mean": 0.75}
    assert content["tre_after_mm"]["share_outside"] is None
    assert content["job"] == {"x": 1}
    assert "NaN" not in (tmp_path / "r" / "report.json").read_text(encoding="utf-8")


def test_the_files_agree_with_each_other(tmp_path: Path) -> None:
    registration = finished_registration(affine=SHIFT)
    write_result(tmp_path / "r", registration)
    points = np.array([registration.fixed.grid.center])
    there = transform_points(read_transform(tmp_path / "r" / "transform.h5"), points)
    assert np.allclose(there - points, [[3.5, -1.5, 1.5]], atol=1e-5)
    back = transform_points(read_transform(tmp_path / "r" / "inverse.h5"), there)
    assert np.allclose(back, points, atol=1e-5)
    total = read_field(tmp_path / "r" / "displacement.nrrd")
    assert np.allclose(total.vectors[:, 5, 5, 5], [3.5, -1.5, 1.5], atol=1e-5)
    warped = read_volume(tmp_path / "r" / "warped.nii.gz")
    assert warped.grid.matches(registration.fixed.grid)
    assert np.allclose(warped.data, registration.warped.data)


def test_the_label_map_of_the_moving_image_is_carried_along(tmp_path: Path) -> None:
    registration = finished_registration()
    labels = registration.moving.with_data((registration.moving.data > 1).int())
    write_result(tmp_path / "r", registration, companions=Companions(moving_labels=labels))
    expected = resample_labels_linear(labels, registration.transform, registration.fixed.grid)
    assert bool((read_volume(tmp_path / "r" / "warped_labels.nii.gz", labels=True).data == expected.data).all())


def test_an_earlier_result_is_replaced_only_when_asked(tmp_path: Path) -> None:
    write_result(tmp_path / "r", finished_registration(), "first")
    with pytest.raises(FileExistsError, match="holds an earlier result"):
        write_result(tmp_path / "r", finished_registration(), "second")
    assert read_report(tmp_path / "r")["command"] == "first"
    write_result(tmp_path / "r", finished_registration(), "second", overwrite=True)
    assert read_report(tmp_path / "r")["command"] == "second"
    assert _everything_in(tmp_path) == ["r"]


def test_a_folder_with_other_files_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.docx").write_text("years of work")
    with pytest.raises(FileExistsError, match=r"no registration result \(thesis.docx\)"):
        check_destination(tmp_path, overwrite=True)


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match="is a file"):
        check_destination(tmp_path / "file" / "result")


def test_a_failure_while_writing_leaves_the_earlier_result_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_result(tmp_path / "r", finished_registration(), "first")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(results, "write_field", full)
    with pytest.raises(OSError, match=r"could not be written to .*No space left on device.*free some space"):
        write_result(tmp_path / "r", finished_registration(), "second", overwrite=True)
    assert read_report(tmp_path / "r")["command"] == "first"
    with pytest.raises(OSError, match="nothing was left there"):
        write_result(tmp_path / "new", finished_registration())
    assert _everything_in(tmp_path) == ["r"]


def test_an_interruption_while_writing_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(results, "write_field", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_result(tmp_path / "r", finished_registration())
    assert _everything_in(tmp_path) == []


def test_too_little_room_is_said_before_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(results.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(OSError, match="has only 0 MB free"):
        write_result(tmp_path / "r", finished_registration())
    assert _everything_in(tmp_path) == []


def test_an_incomplete_folder_is_no_result(tmp_path: Path) -> None:
    write_result(tmp_path / "r", finished_registration())
    (tmp_path / "r" / "inverse.h5").unlink()
    assert read_report(tmp_path / "r") is None
    assert read_report(tmp_path / "nowhere") is None


def test_a_linear_result_is_whole_without_maps_and_its_transforms_are_exact_and_small(tmp_path: Path) -> None:
    registration = linear_registration(SHIFT)
    write_result(tmp_path / "r", registration)
    assert _everything_in(tmp_path / "r") == sorted(set(FILES) - set(MAPS))
    content = read_report(tmp_path / "r")
    assert content["files"] == [name for name in FILES if name not in MAPS]
    assert content["displacement_mm"] is None
    assert content["affine_part"]["shift_mm"] == [3, -2, 1]
    assert not {"jacobian", "sd_log_j", "displacement.nrrd"} & content["conventions"].keys()
    for name, matrix in (("transform.h5", SHIFT), ("inverse.h5", np.linalg.inv(SHIFT))):
        read = read_transform(tmp_path / "r" / name)
        assert read.is_affine
        assert np.array_equal(read.affine_matrix, matrix)
        assert (tmp_path / "r" / name).stat().st_size < 20_000
    (tmp_path / "r" / "inverse.h5").unlink()
    assert read_report(tmp_path / "r") is None


def test_a_linear_result_takes_the_place_of_a_deformation_and_the_other_way(tmp_path: Path) -> None:
    for registration, names in ((finished_registration(), FILES), (linear_registration(SHIFT), set(FILES) - set(MAPS))) * 2:
        write_result(tmp_path / "r", registration, overwrite=True)
        assert _everything_in(tmp_path / "r") == sorted(names)
        assert read_report(tmp_path / "r") is not None


def test_a_report_of_a_version_that_did_not_name_its_files_needs_all_of_them(tmp_path: Path) -> None:
    write_result(tmp_path / "r", finished_registration())
    content = read_report(tmp_path / "r")
    del content["files"]
    (tmp_path / "r" / "report.json").write_text(json.dumps(content), encoding="utf-8")
    assert read_report(tmp_path / "r") == content
    (tmp_path / "r" / "lambda.nrrd").unlink()
    assert read_report(tmp_path / "r") is None


def test_a_text_file_is_replaced_in_one_step(tmp_path: Path) -> None:
    write_text(tmp_path / "a.json", json.dumps([1]))
    write_text(tmp_path / "a.json", json.dumps([2]))
    assert _everything_in(tmp_path) == ["a.json"]
    with pytest.raises(FileNotFoundError, match=r"could not be written: the folder .*missing does not exist, create it"):
        write_text(tmp_path / "missing" / "a.json", "")
