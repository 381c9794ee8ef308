"""The whole job on real images: register with the module's logic and its worker, look at λ and Jacobian in the slice views."""

from __future__ import annotations

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
    from SpatialRegularizationGui.channels import PipeChannel
    from SpatialRegularizationGui.logic import RegistrationLogic
    from SpatialRegularizationGui.worker import ProcessWorker

    made = RegistrationLogic(worker=ProcessWorker(PipeChannel))
    yield made
    made.close()


def gray_apart(picture: np.ndarray) -> np.ndarray:
    """How colored each pixel is, 0 to 255."""
    return np.ptp(picture.astype(int), axis=-1)


@pytest.mark.parametrize("name", PAIRS)
def test_a_real_pair_is_registered_and_its_maps_lie_over_the_images(
    scene: Any, logic: Any, shared_data: Path, tmp_path: Path, name: str
) -> None:
    from SpatialRegularizationGui.review import Review
    from SpatialRegularizationGui.review_view import Overlay, Result, View

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
    for plain, weight, change, folds in zip(*pictures.values(), strict=True):
        assert gray_apart(plain).max() < 10, "the image itself is gray"
        assert (plain > 60).mean() > 0.1, "and fills a part of the view"
        assert (gray_apart(weight) > 15).mean() > 0.3, "λ colors the field of view"
        assert (gray_apart(change) > 8).mean() > 0.05, "so does the volume change"
        assert np.array_equal(folds, plain), "no fold, nothing red"
        shapes = np.corrcoef(plain.astype(float).mean(-1).ravel(), weight.astype(float).mean(-1).ravel())[0, 1]
        assert shapes > 0.3, "the anatomy stays visible through the overlay, in the same place"
