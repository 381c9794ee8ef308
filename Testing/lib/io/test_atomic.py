"""Whole or absent."""

from __future__ import annotations

from pathlib import Path

import pytest

from SpatialRegularizationLib.io.atomic import atomic_path


def test_a_finished_file_replaces_the_old_one(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("old")
    with atomic_path(tmp_path / "a.txt", ".txt") as temporary:
        assert temporary.parent == tmp_path
        assert temporary.name.endswith(".part.txt")
        temporary.write_text("new")
        assert (tmp_path / "a.txt").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "new"


@pytest.mark.parametrize("error", [RuntimeError("ITK ERROR: X(0x55d): no\nroom"), OSError(28, "No space left")])
def test_a_failed_write_becomes_one_sentence_and_leaves_the_old_file(tmp_path: Path, error: Exception) -> None:
    (tmp_path / "a.txt").write_text("old")
    expected = pytest.raises(OSError, match=r"a\.txt could not be written \(.*\): check free space")
    with expected as caught, atomic_path(tmp_path / "a.txt", ".txt") as temporary:
        temporary.write_text("half")
        raise error
    assert "\n" not in str(caught.value)
    assert "0x" not in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "old"


def test_other_errors_pass_through_and_leave_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), atomic_path(tmp_path / "a.txt", ".txt") as temporary:  # noqa: PT012
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_no_file_and_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match="is a folder"), atomic_path(tmp_path, ".txt"):
        pass
    with pytest.raises(FileNotFoundError, match="does not exist"), atomic_path(tmp_path / "no" / "a.txt", ".txt"):
        pass


def test_too_little_room_is_noticed_before_writing(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="are free"), atomic_path(tmp_path / "a.h5", ".h5", needed_bytes=1 << 60):
        pass
