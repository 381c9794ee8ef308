"""From two volumes of a scene through a real worker back into the scene: everything in place, against the known deformation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import bending
import numpy as np
import physical
import pytest
import slicer_nodes as nodes
from slicer_nodes import far

pytest.importorskip("slicer", reason="needs the slicer-core package")
pytestmark = pytest.mark.slicer

from SpatialRegularizationGui.inputs.files import label_names  # noqa: E402
from SpatialRegularizationGui.inputs.request import OUTPUT_NAMES, Outputs, RegistrationRequest  # noqa: E402
from SpatialRegularizationGui.run.worker import ProcessWorker  # noqa: E402
from SpatialRegularizationGui.scene.apply_to import apply_to  # noqa: E402
from SpatialRegularizationGui.scene.images import Image  # noqa: E402
from SpatialRegularizationGui.scene.nodes import from_world, grid_of, image_of, positions_of, pulled, set_image  # noqa: E402
from watched_logic import Watched  # noqa: E402

SETTINGS = {
    "affine": "none", "global_search": "off", "levels": [[4, 4, 20], [2, 2, 8]], "lambda_max": 0.3, "device": "cpu", "threads": 1,
}  # fmt: skip
BEND = bending.Bend()
PARENT = nodes.rigid(7)
SHIFT = np.eye(4)
SHIFT[:3, 3] = (25.0, -12.0, 9.0)
INNER = (slice(4, -4),) * 3


def drawn(scene: Any, name: str, bend: bending.Bend, grid: Any, world: np.ndarray) -> Any:
    """The anatomy on a grid of the node's own frame, which `world` carries to where the anatomy is."""
    centers = physical.voxel_centers(grid) @ world[:3, :3].T + world[:3, 3]
    node = scene.add("vtkMRMLScalarVolumeNode", name)
    set_image(node, Image(bending.anatomy(centers + bend(centers)).astype(np.float32), grid))
    return node


@pytest.fixture
def oblique(scene: Any) -> RegistrationRequest:
    """An oblique left-handed fixed image; a moving one of other axes, turned by its parent, and 29 mm off."""
    fixed = drawn(scene, "fixed", BEND, bending.cube(30, 3.0, "oblique left-handed"), np.eye(4))
    center = PARENT[:3, :3].T @ (physical.CENTER - PARENT[:3, 3])
    own = physical.grid("LIA", shape=(34, 33, 35), spacing=(3.0, 3.0, 3.0), center=center)
    moving = drawn(scene, "moving", bending.REST, own, PARENT)
    moving.SetAndObserveTransformNodeID(nodes.linear(scene, np.linalg.inv(SHIFT) @ PARENT, "couch").GetID())
    initial = nodes.linear(scene, SHIFT, "initial")
    outputs = Outputs(wanted=frozenset(OUTPUT_NAMES))
    return RegistrationRequest(fixed, moving, initial=initial, preset="generic", settings=SETTINGS, outputs=outputs)


def test_the_moving_volume_shown_under_the_node_is_the_warped_output(
    scene: Any, worker: ProcessWorker, oblique: RegistrationRequest
) -> None:
    fixed, moving = oblique.fixed, oblique.moving
    made = Watched(worker).run(oblique).outputs
    assert grid_of(made.warped).matches(grid_of(fixed))
    before = np.abs(pulled(image_of(moving), None, grid_of(fixed), nearest=False, fill=0).values - image_of(fixed).values)
    after = np.abs(image_of(made.warped).values - image_of(fixed).values)
    assert after.mean() < 0.2 * before.mean()
    inside = Image(np.ones(image_of(moving).values.shape, dtype=np.float32), grid_of(moving))
    covered = pulled(inside, from_world(made.transform), grid_of(fixed), nearest=False, fill=0).values > 0.999
    apply_to(made.transform, [moving])
    shown = scene.slicer.vtkSlicerVolumesLogic.ResampleVolumeToReferenceVolume(moving, fixed)
    assert covered.mean() > 0.5
    assert far(scene.array(shown)[covered], scene.array(made.warped)[covered]) < 0.05  # of 900

    points = bending.points_of(40)
    expected = points + BEND(points) - SHIFT[:3, 3]
    untouched = np.linalg.norm(BEND(points), axis=1).mean()
    assert np.linalg.norm(scene.from_parent(made.transform, points) - expected, axis=1).mean() < 0.4 * untouched
    landmarks = nodes.markups(scene, expected)
    apply_to(made.transform, [landmarks], harden=True)
    assert np.linalg.norm(positions_of(landmarks) - points, axis=1).mean() < 0.4 * untouched


def test_a_second_run_sees_the_moving_volume_where_it_was(worker: ProcessWorker, oblique: RegistrationRequest) -> None:
    """It hangs below the output of the first run, its parent taken along: neither counts twice."""
    made = Watched(worker).run(oblique).outputs
    apply_to(made.transform, [oblique.moving])
    first = image_of(made.warped).values.copy()
    again = Watched(worker).run(replace(oblique, outputs=made))
    assert again.outputs == made
    assert far(image_of(made.warped).values, first) < 1e-2


def test_segments_and_landmarks_of_the_pair_are_scored_by_name(scene: Any, worker: ProcessWorker) -> None:
    """Also when the labels and landmarks of the moving volume hang under the transform, and it is run again."""
    grid = bending.cube(24, 3.6)
    segments, landmarks, volumes = [], [], []
    points = bending.points_of(20)
    for name, bend, at in (("fixed", BEND, points), ("moving", bending.REST, points + BEND(points))):
        volumes.append(drawn(scene, name, bend, grid, np.eye(4)))
        drawing = scene.add("vtkMRMLLabelMapVolumeNode", f"{name} map")
        set_image(drawing, Image(bending.labels(grid, bend).data[0].numpy().astype(np.int16), grid))
        segments.append(nodes.segmentation(scene, drawing, {1: "ball", 2: "body"}, f"{name} segments"))
        landmarks.append(nodes.markups(scene, at, f"{name} points"))
    asked = RegistrationRequest(
        *volumes, preset="generic", settings=SETTINGS,
        fixed_labels=segments[0], moving_labels=segments[1], fixed_points=landmarks[0], moving_points=landmarks[1],
    )  # fmt: skip
    first = Watched(worker).run(asked)
    assert set(label_names(asked).values()) == {"ball", "body"}
    assert first.figures["dice_after"]["mean"] > first.figures["dice_before"]["mean"]
    assert first.figures["tre_after_mm"]["mean"] < 0.5 * first.figures["tre_before_mm"]["mean"]
    apply_to(first.outputs.transform, [volumes[1], segments[1], landmarks[1]])
    second = Watched(worker).run(replace(asked, outputs=first.outputs))
    assert second.figures["dice_before"] == first.figures["dice_before"]
    assert second.figures["tre_before_mm"] == pytest.approx(first.figures["tre_before_mm"])


def test_real_images_of_two_people_end_where_the_file_says(scene: Any, worker: ProcessWorker, shared_data: Path) -> None:
    """Read by Slicer, registered, and the moving volume under the node is the warped output."""
    fixed, moving = (scene.read("vtkMRMLScalarVolumeNode", shared_data / "brain_t1" / f"subject_{n}.nii.gz") for n in "bc")
    quick = {"levels": [[8, 4, 8]], "device": "cpu", "threads": 1, "max_voxels": 100_000}
    end = Watched(worker).run(RegistrationRequest(fixed, moving, preset="generic", settings=quick))
    assert end.figures["similarity_after"] > end.figures["similarity_before"]
    moving.SetAndObserveTransformNodeID(end.outputs.transform.GetID())
    shown = scene.slicer.vtkSlicerVolumesLogic.ResampleVolumeToReferenceVolume(moving, fixed)
    ours, theirs = scene.array(end.outputs.warped).astype(float), scene.array(shown).astype(float)
    assert np.percentile(np.abs(ours - theirs)[INNER], 99.9) < 0.01 * np.ptp(ours)
