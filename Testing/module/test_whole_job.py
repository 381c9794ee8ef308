"""The whole job on real images: register with the module's logic and its worker, look at λ and Jacobian in the slice views."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import offscreen
import pytest

pytest.importorskip("slicer", reason="needs the slicer-core package")
pytestmark = [
    pytest.mark.slicer,
    pytest.mark.render,
    pytest.mark.skipif(bool(offscreen.missing()), reason=offscreen.missing() or "drawn"),
]

SIZE = (220, 220)
QUICK = {"threads": 2, "levels": ((8, 8, 20), (4, 4, 15)), "working_spacing_mm": 2.0}
PAIRS = {
    "brain": ("brain_t1/subject_b.nii.gz", "brain_t1/subject_c.nii.gz", "brain-mri"),
    "lung": ("lung_ct/baseline.mha", "lung_ct/followup.mha", "chest-ct"),
}


@pytest.fixture(scope="module")
def logic() -> Iterator[Any]:
    from SpatialRegularizationGui.logic import RegistrationLogic
    from SpatialRegularizationGui.run.channels import PipeChannel
    from SpatialRegularizationGui.run.worker import ProcessWorker

    made = RegistrationLogic(worker=ProcessWorker(PipeChannel))
    yield made
    made.close()


BLOCK = 11
"""Pixels of a view that become one of a stored picture: colors of regions, no anatomy of anybody."""
STORED = Path(__file__).resolve().parents[1] / "data" / "whole_job"
TOLERANCE = 12.0
"""Of 255, mean over a picture: threads and processors round differently; the two maps of a pair are over 24 apart."""


def coarse(pictures: list[np.ndarray]) -> np.ndarray:
    """The views side by side, each block's mean color."""
    means = [p.reshape(p.shape[0] // BLOCK, BLOCK, p.shape[1] // BLOCK, BLOCK, -1).mean((1, 3)) for p in pictures]
    return np.concatenate(means, axis=1).round().astype(np.uint8)


def apart(one: np.ndarray, other: np.ndarray) -> float:
    """Mean difference of two pictures, 0 to 255."""
    return float(np.abs(one.astype(float) - other.astype(float)).mean())


def gray_apart(picture: np.ndarray) -> np.ndarray:
    """How colored each pixel is, 0 to 255."""
    return np.ptp(picture.astype(int), axis=-1)


@pytest.mark.parametrize("name", PAIRS)
def test_a_real_pair_is_registered_and_its_maps_lie_over_the_images(
    scene: Any, logic: Any, shared_data: Path, tmp_path: Path, name: str
) -> None:
    from SpatialRegularizationGui.review.review import Review
    from SpatialRegularizationGui.review.view import Overlay, Result, View

    fixed, moving, preset = PAIRS[name]
    nodes = [scene.slicer.util.loadVolume(str(shared_data / path)) for path in (fixed, moving)]
    outcome = logic.register(*nodes, preset=preset, **QUICK)
    assert outcome.figures["folding_percent"] == 0
    assert outcome.figures["similarity_after"] > outcome.figures["similarity_before"]

    views = [offscreen.SliceView(scene, plane, SIZE) for plane in ("Axial", "Sagittal", "Coronal")]
    review = Review(scene.mrml)
    pictures = {}
    for overlay in (Overlay.NONE, Overlay.LAMBDA, Overlay.LOG_JACOBIAN, Overlay.FOLDS):
        review.show(Result.of(outcome.outputs, outcome.request), View(overlay=overlay, fade=0.0, legend=False, opacity=0.7))
        pictures[overlay] = [view.picture() for view in views]
        offscreen.write_picture(tmp_path / f"{name}-{overlay.name.lower()}.png", offscreen.mosaic([pictures[overlay]]))
    for overlay in (Overlay.LAMBDA, Overlay.LOG_JACOBIAN):
        path, drawn = STORED / f"{name}-{overlay.name.lower().replace('_', '-')}.png", coarse(pictures[overlay])
        if os.environ.get("SPATIALREG_NEW_PICTURES"):
            path.parent.mkdir(exist_ok=True)
            offscreen.write_picture(path, drawn)
        assert apart(drawn, offscreen.read_picture(path)) < TOLERANCE, f"{path.name} looks different"
    for plain, weight, change, folds in zip(*pictures.values(), strict=True):
        assert gray_apart(plain).max() < 10, "the image itself is gray"
        assert (plain > 60).mean() > 0.1, "and fills a part of the view"
        assert (gray_apart(weight) > 15).mean() > 0.3, "λ colors the field of view"
        assert (gray_apart(change) > 8).mean() > 0.05, "so does the volume change"
        assert np.array_equal(folds, plain), "no fold, nothing red"
        shapes = np.corrcoef(plain.astype(float).mean(-1).ravel(), weight.astype(float).mean(-1).ravel())[0, 1]
        assert shapes > 0.3, "the anatomy stays visible through the overlay, in the same place"


def test_the_stored_pictures_differ_by_more_than_the_tolerance() -> None:
    for name in PAIRS:
        one, other = (offscreen.read_picture(STORED / f"{name}-{overlay}.png") for overlay in ("lambda", "log-jacobian"))
        assert one.shape == (SIZE[1] // BLOCK, 3 * SIZE[0] // BLOCK, 3)
        assert apart(one, other) > 2 * TOLERANCE
