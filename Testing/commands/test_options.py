"""What spatialreg register cannot work with: one sentence, an exit code, and nothing written."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from command_line import GRID, IDENTITY, POINTS, blob, register, run, the_sentence

from SpatialRegularizationLib.geometry import Grid, Volume
from SpatialRegularizationLib.io.points import write_points
from SpatialRegularizationLib.io.volumes import read_volume, write_volume


def _nifti(path: Path, data: np.ndarray, affine: np.ndarray | None = None) -> None:
    nib.save(nib.Nifti1Image(data.astype(np.float32), np.diag([2, 2, 2, 1]) if affine is None else affine), path)


def _flat(path: Path) -> None:
    """Two axes that lead nearly the same way: no lattice at right angles can stand for it."""
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[0, 1] = 12.0
    image = nib.Nifti1Image(blob()[0].numpy(), affine)
    image.set_sform(affine, code=1)
    image.set_qform(None, code=0)
    nib.save(image, path)


def _without_spacing(path: Path) -> None:
    _nifti(path, blob()[0].numpy())
    raw = bytearray(path.read_bytes())
    raw[80:84] = np.float32(0).tobytes()  # pixdim[1]
    path.write_bytes(bytes(raw))


def _truncated(path: Path) -> None:
    _nifti(path, np.random.default_rng(0).random((24, 24, 24)))
    path.write_bytes(path.read_bytes()[:20000])


def _far_away(path: Path) -> None:
    write_volume(path, Volume(blob(), Grid(GRID.shape, GRID.spacing, (5000.0, 0.0, 0.0), IDENTITY)))


BAD_IMAGES = {
    "missing": (lambda path: None, "bad.nii", "does not exist"),
    "not an image": (lambda path: path.write_text("hello"), "bad.nii", "not a readable image"),
    "truncated": (_truncated, "bad.nii", "damaged or incomplete"),
    "2-D": (lambda path: _nifti(path, np.random.rand(24, 24)), "bad.nii", "2-D image"),
    "4-D": (lambda path: _nifti(path, np.random.rand(8, 8, 8, 5)), "bad.nii", "series of 5 volumes"),
    "NaN": (lambda path: _nifti(path, np.full((24, 24, 24), np.nan)), "bad.nii", "NaN or infinite"),
    "infinite": (lambda path: _nifti(path, np.full((24, 24, 24), np.inf)), "bad.nii", "NaN or infinite"),
    "constant": (lambda path: _nifti(path, np.ones((24, 24, 24))), "bad.nii", "is constant"),
    "flat": (_flat, "bad.nii", "in one plane"),
    "zero spacing": (_without_spacing, "bad.nii", "spacing"),
    "no overlap": (_far_away, "bad.nii.gz", "overlap"),
}


@pytest.mark.parametrize("kind", BAD_IMAGES)
def test_a_bad_image_is_refused_in_one_sentence(kind: str, pair: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make, name, words = BAD_IMAGES[kind]
    make(pair / name)
    before = sorted(path.name for path in pair.iterdir())
    assert register(pair, moving=name) == 1
    sentence = the_sentence(capsys)
    assert words in sentence
    assert any(mark in sentence for mark in (": ", "; ")), "what is wrong, then the remedy"
    assert sorted(path.name for path in pair.iterdir()) == before


def _other_grid(pair: Path) -> list[object]:
    labels = read_volume(pair / "f_labels.nii.gz", labels=True)
    smaller = Grid((20, 24, 24), GRID.spacing, GRID.origin, IDENTITY)
    write_volume(pair / "bad.nii.gz", Volume(labels.data[:, :20], smaller))
    return ["--fixed-labels", pair / "bad.nii.gz", "--moving-labels", pair / "m_labels.nii.gz"]


def _gray_labels(pair: Path) -> list[object]:
    return ["--fixed-labels", pair / "f.nii.gz", "--moving-labels", pair / "m_labels.nii.gz"]


def _empty_mask(pair: Path) -> list[object]:
    write_volume(pair / "bad.nii.gz", Volume(torch.zeros(1, *GRID.shape, dtype=torch.uint8), GRID))
    return ["--fixed-mask", pair / "bad.nii.gz"]


def _points_outside(pair: Path) -> list[object]:
    write_points(pair / "bad.csv", POINTS + 500)
    return ["--fixed-points", pair / "bad.csv", "--moving-points", pair / "m_points.csv"]


def _too_few_points(pair: Path) -> list[object]:
    write_points(pair / "bad.csv", POINTS[:2])
    return ["--fixed-points", pair / "bad.csv", "--moving-points", pair / "m_points.csv"]


def _bad_points(pair: Path) -> list[object]:
    (pair / "bad.csv").write_text("nothing here")
    return ["--fixed-points", pair / "bad.csv", "--moving-points", pair / "m_points.csv"]


def _bad_initial(pair: Path) -> list[object]:
    (pair / "bad.h5").write_text("nothing here")
    return ["--initial", pair / "bad.h5"]


BAD_COMPANIONS = {
    "label map of another grid": (_other_grid, "another grid"),
    "label map with gray values": (_gray_labels, "not integers"),
    "empty mask": (_empty_mask, "empty"),
    "landmarks outside": (_points_outside, "outside"),
    "landmark counts": (_too_few_points, "2"),
    "unreadable points": (_bad_points, "bad.csv"),
    "unreadable initial transform": (_bad_initial, "not a readable transform"),
}


@pytest.mark.parametrize("kind", BAD_COMPANIONS)
def test_a_bad_companion_is_refused_in_one_sentence(kind: str, pair: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make, words = BAD_COMPANIONS[kind]
    arguments = make(pair)
    before = sorted(path.name for path in pair.iterdir())
    assert register(pair, *arguments) == 1
    assert words in the_sentence(capsys)
    assert sorted(path.name for path in pair.iterdir()) == before


def test_an_option_that_no_choice_of_auto_can_give_an_effect_is_refused(pair: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = pair / "f.nii.gz", pair / "m.nii.gz"
    assert run("register", *images, "--out", pair / "out", "--similarity", "lncc", "--mind-radius", 1) == 2
    assert "--mind-radius has an effect with --similarity mind only, and it is lncc" in the_sentence(capsys)
    assert run("register", *images, "--out", pair / "out", "--lambda-mean", 1) == 2
    assert "--prior gaussian" in the_sentence(capsys)


USAGE = {
    "unknown option": (["--lamda-max", "1"], "Unknown option --lamda-max: did you mean --lambda-max?"),
    "abbreviated option": (["--lambda", "1"], "Unknown option --lambda"),
    "unknown choice": (["--prior", "betta"], "'beta'"),
    "unknown preset": (["--preset", "brain"], "did you mean 'brain-mri'?"),
    "not a number": (["--lambda-max", "much"], "--lambda-max"),
    "out of range": (["--lambda-max", "-3"], "--lambda-max must be a number from"),
    "even window": (["--lncc-window", "8"], "--lncc-window must be odd, got 8; use 9"),
    "no effect": (["--lambda-mean", "0.5"], "--prior gaussian"),
    "one-sided labels": (["--fixed-labels", "x.nii"], "--moving-labels"),
    "wrong number of steps": (["--iterations", "1,2,3,4,5,6,7,8,9"], "--iterations needs"),
    "three images": (["third.nii"], "third.nii"),
}


@pytest.mark.parametrize("kind", USAGE)
def test_wrong_usage_ends_with_code_2(kind: str, pair: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more, words = USAGE[kind]
    assert register(pair, *more) == 2
    assert words in the_sentence(capsys)
    assert not (pair / "out").exists()


def test_missing_arguments_are_wrong_usage(pair: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("register", "--out", pair / "out") == 2
    assert "FIXED and MOVING" in the_sentence(capsys)
    assert run("register", pair / "f.nii.gz", pair / "m.nii.gz") == 2
    assert "--out" in the_sentence(capsys)
    assert run() == 2
    assert "COMMAND" in the_sentence(capsys)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_an_absent_device_is_an_error_and_no_fallback(pair: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert register(pair, "--device", "cuda") == 1
    assert "The device cuda was asked for, but PyTorch finds none here: use cpu or auto" in the_sentence(capsys)
    assert not (pair / "out").exists()
