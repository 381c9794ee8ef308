"""Rigid and affine in the scene: a linear transform node, no maps, and the same node for the next deformation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import physical
import pytest
import slicer_nodes as nodes
from slicer_nodes import far

pytest.importorskip("slicer", reason="needs the slicer-core package")
pytestmark = pytest.mark.slicer

from SpatialRegularizationGui.inputs.request import OUTPUT_NAMES, Outputs, RegistrationRequest  # noqa: E402
from SpatialRegularizationGui.review.review import Review  # noqa: E402
from SpatialRegularizationGui.review.view import Overlay, Result  # noqa: E402
from SpatialRegularizationGui.run import outputs  # noqa: E402
from SpatialRegularizationGui.run.events import Outcome  # noqa: E402
from SpatialRegularizationGui.run.worker import ProcessWorker  # noqa: E402
from SpatialRegularizationGui.scene.apply_to import apply_to  # noqa: E402
from SpatialRegularizationGui.scene.images import Image  # noqa: E402
from SpatialRegularizationGui.scene.nodes import grid_of, image_of, set_transform  # noqa: E402
from watched_logic import QUICK, Watched, request  # noqa: E402

from SpatialRegularizationLib.geometry import SpatialTransform, Volume  # noqa: E402
from SpatialRegularizationLib.transforms.resample import resample  # noqa: E402

GRID = physical.grid("oblique")
MATRIX = physical.affine()
ALL = frozenset(OUTPUT_NAMES)
LINEAR = {"device": "cpu", "threads": 1}


def through(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    return points @ matrix[:3, :3].T + matrix[:3, 3]


def stored(scene: Any, asked: RegistrationRequest, matrix: np.ndarray = MATRIX, field: np.ndarray | None = None) -> Any:
    """A linear result, or one with a field, put into the nodes of a request."""
    images = {"warped": Image(physical.image(GRID).data[0].float().numpy(), GRID)}
    if field is not None:
        images |= {name: Image(np.ones(GRID.shape, dtype=np.float32), GRID) for name in ("lambda_map", "jacobian")}
    return outputs.store(scene.mrml, asked, outputs.Found(matrix, field, GRID, images), {"model": ""})


@pytest.fixture
def asked(scene: Any, tmp_path: Path) -> RegistrationRequest:
    pair = nodes.volume(scene, GRID, tmp_path, "fixed"), nodes.volume(scene, GRID, tmp_path, "moving")
    scene.slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene.mrml)
    return RegistrationRequest(*pair, preset="rigid", outputs=Outputs(wanted=ALL))


def test_the_node_holds_a_linear_transform_as_slicer_makes_its_own(scene: Any, asked: RegistrationRequest) -> None:
    node = stored(scene, asked).outputs.transform
    assert node.IsLinear()
    assert node.GetTransformToParent().IsA("vtkTransform")
    points = physical.inner_points(GRID, margin=-30)
    assert far(scene.from_parent(node, points), through(points, MATRIX)) < 1e-5
    assert far(scene.to_parent(node, points), through(points, np.linalg.inv(MATRIX))) < 1e-5
    node.Inverse()  # what the button Invert of the module Transforms does
    assert far(scene.from_parent(node, points), through(points, np.linalg.inv(MATRIX))) < 1e-5


def test_it_comes_back_linear_from_a_file(scene: Any, asked: RegistrationRequest, tmp_path: Path) -> None:
    node = stored(scene, asked).outputs.transform
    points = physical.inner_points(GRID)
    for suffix in (".h5", ".tfm"):
        scene.write(node, tmp_path / f"t{suffix}")
        again = scene.transform(tmp_path / f"t{suffix}")
        assert again.IsLinear()
        assert far(scene.from_parent(again, points), through(points, MATRIX)) < 1e-4


@pytest.mark.parametrize("kind", ["vtkMRMLTransformNode", "vtkMRMLLinearTransformNode"])
def test_moving_data_are_hardened_onto_the_fixed_image(scene: Any, asked: RegistrationRequest, tmp_path: Path, kind: str) -> None:
    node = scene.add(kind, "mine")
    assert stored(scene, replace(asked, outputs=Outputs(transform=node))).outputs.transform is node
    points = physical.inner_points(GRID)
    markups = nodes.markups(scene, through(points, MATRIX))
    apply_to(node, [markups], harden=True)
    positions = np.array([markups.GetNthControlPointPosition(n) for n in range(markups.GetNumberOfControlPoints())])
    assert far(positions * [-1, -1, 1], points) < 1e-4
    moving = nodes.volume(scene, physical.other_grid("LIA"), tmp_path, "far")
    expected = resample(Volume(physical.image(physical.other_grid("LIA")).data, physical.other_grid("LIA")),
                        SpatialTransform(MATRIX), GRID)  # fmt: skip
    apply_to(node, [moving], harden=True, reference=asked.fixed)
    assert grid_of(moving).matches(GRID)
    assert far(image_of(moving).values[5:-5, 5:-5, 5:-5], expected.data[0].numpy()[5:-5, 5:-5, 5:-5]) < 0.5


def test_there_are_no_maps_and_chosen_nodes_for_them_stay_as_they_were_with_a_word(
    scene: Any, asked: RegistrationRequest
) -> None:
    field = np.zeros((3, *GRID.shape), dtype=np.float32)
    first = stored(scene, asked, field=field)
    assert set(first.outputs.nodes) == ALL
    before = {name: image_of(getattr(first.outputs, name)).values.copy() for name in ("lambda_map", "jacobian")}
    again = replace(asked, outputs=first.outputs)
    second = stored(scene, again)
    assert second.outputs.lambda_map is second.outputs.jacobian is None
    assert second.outputs.transform is first.outputs.transform
    assert second.outputs.transform.IsLinear()
    for name, values in before.items():
        assert np.array_equal(image_of(getattr(first.outputs, name)).values, values)
    words = outputs.left_alone(again, second)
    assert words == (
        "A linear transform has no weight map and no Jacobian map: Lambda of moving to fixed and Jacobian of moving to fixed "
        "are as before."
    )
    assert outputs.left_alone(asked, stored(scene, asked)) == "", "nothing was chosen"
    third = stored(scene, again, field=field)
    assert third.outputs == first.outputs, "the next deformation takes the same nodes"
    assert not third.outputs.transform.IsLinear()


def test_the_magnitude_is_how_far_a_linear_map_moves_points(scene: Any, asked: RegistrationRequest) -> None:
    image = image_of(stored(scene, asked).outputs.magnitude)
    index = np.random.default_rng(0).integers(0, GRID.shape, (50, 3))
    points = GRID.index_to_point(index)
    assert far(image.values[tuple(index.T)], np.linalg.norm(through(points, MATRIX) - points, axis=1)) < 1e-3


def test_undo_brings_back_what_the_nodes_held(scene: Any, asked: RegistrationRequest) -> None:
    first = stored(scene, asked)
    before = scene.fingerprint()
    turned = np.array(MATRIX)
    turned[:3, 3] += 5
    second = stored(scene, replace(asked, outputs=first.outputs), turned)
    assert scene.fingerprint() != before
    second.undo.restore()
    assert scene.fingerprint() == before
    points = physical.inner_points(GRID)
    assert far(scene.from_parent(first.outputs.transform, points), through(points, MATRIX)) < 1e-5
    first.undo.restore()
    assert scene.nodes("vtkMRMLTransformNode") == []


@pytest.mark.parametrize(
    ("kind", "deforms"),
    [("vtkMRMLGridTransformNode", False), ("vtkMRMLBSplineTransformNode", False), ("vtkMRMLLinearTransformNode", True)],
)
def test_a_node_of_a_class_that_cannot_hold_it_is_refused(scene: Any, kind: str, deforms: bool) -> None:
    node = scene.add(kind, "mine")
    field = np.zeros((3, *GRID.shape), dtype=np.float32) if deforms else None
    with pytest.raises(ValueError, match="mine can hold no"):
        set_transform(node, MATRIX, field, GRID)
    watched = Watched(ProcessWorker(lambda: pytest.fail("refused before anything starts")))
    preset = "generic" if deforms else "rigid"
    with pytest.raises(ValueError, match="mine can hold no"):
        watched.logic.start(request(scene, preset=preset, settings=LINEAR, outputs=Outputs(transform=node)))


def test_the_review_says_why_there_is_no_map(scene: Any, asked: RegistrationRequest) -> None:
    review = Review(scene.mrml)
    review.show(Result.of(stored(scene, asked).outputs, asked))
    for overlay in (Overlay.LAMBDA, Overlay.LOG_JACOBIAN, Overlay.FOLDS):
        assert review.missing(overlay) == "This result is a linear transform: nothing deforms, so there is no such map."
    assert review.missing(Overlay.DISPLACEMENT) == ""
    assert review.missing(Overlay.DIFFERENCE) == ""


@pytest.mark.parametrize("preset", ["rigid", "affine"])
def test_a_run_of_the_worker_ends_in_a_linear_transform_and_can_be_undone(
    scene: Any, worker: ProcessWorker, preset: str
) -> None:
    watched = Watched(worker)
    lambda_map = scene.add("vtkMRMLScalarVolumeNode", "my weights")
    asked = request(scene, preset=preset, settings=LINEAR, outputs=Outputs(lambda_map=lambda_map, wanted=ALL))
    before = scene.fingerprint()
    outcome = watched.run(asked)
    assert isinstance(outcome, Outcome), outcome
    assert set(outcome.outputs.nodes) == {"transform", "warped", "magnitude"}
    assert outcome.outputs.transform.IsLinear()
    assert outcome.figures["affine_part"]["rotation_degrees"] < 30
    assert "folding_percent" not in outcome.figures
    assert "my weights is as before." in outcome.notes[-1]
    assert lambda_map.GetImageData() is None
    outside = lambda_map.GetName(), outcome.outputs.warped.GetName()
    assert outside == ("my weights", "Registered moving to fixed")
    watched.logic.undo()
    assert scene.fingerprint() == before
    deformed = watched.run(request(scene, settings=QUICK))
    assert not deformed.outputs.transform.IsLinear()
