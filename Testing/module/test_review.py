"""What the review puts into the layers of the slice views, by numbers (pictures: test_review_pictures.py)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reviewed

pytest.importorskip("slicer", reason="needs the slicer-core package")
pytestmark = pytest.mark.slicer


@pytest.fixture
def nodes(scene: Any) -> reviewed.Reviewed:
    return reviewed.put(scene)


@pytest.fixture
def review(scene: Any, nodes: reviewed.Reviewed) -> Any:
    """Shows the synthetic result in three slice views."""
    from SpatialRegularizationGui.review.review import Review
    from SpatialRegularizationGui.review.view import Result

    for name, orientation in (("Red", "Axial"), ("Yellow", "Sagittal"), ("Green", "Coronal")):
        view = scene.add("vtkMRMLSliceNode", name)
        view.SetName(name)
        view.SetLayoutName(name)
        view.SetOrientation(orientation)
        composite = scene.add("vtkMRMLSliceCompositeNode", name)
        composite.SetLayoutName(name)
    made = Review(scene.mrml)
    made.show(result(nodes, Result))
    return made


def result(nodes: reviewed.Reviewed, kind: Any, **changes: Any) -> Any:
    names = ("fixed", "warped", "lambda_map", "jacobian", "transform")
    return kind(**({name: getattr(nodes, name) for name in names} | changes))


def layers(scene: Any) -> tuple[Any, Any, Any]:
    """Background, foreground and label of the views, which are the same in all."""
    found = {
        (c.GetBackgroundVolumeID(), c.GetForegroundVolumeID(), c.GetLabelVolumeID())
        for c in scene.nodes("vtkMRMLSliceCompositeNode")
    }
    assert len(found) == 1, f"the views differ: {found}"
    return tuple(None if i is None else scene.mrml.GetNodeByID(i) for i in found.pop())


def view(**choices: Any) -> Any:
    from SpatialRegularizationGui.review.view import View

    return View(**choices)


def overlay(name: str) -> Any:
    from SpatialRegularizationGui.review.view import Overlay

    return Overlay[name]


def compare(name: str) -> Any:
    from SpatialRegularizationGui.review.view import Compare

    return Compare[name]


def test_a_result_is_shown_at_once_as_fixed_below_and_warped_above_it(scene: Any, nodes: Any, review: Any) -> None:
    background, foreground, _ = layers(scene)
    assert (background, foreground) == (nodes.fixed, nodes.warped)
    review.apply(view(fade=0.25, linked=True))
    for composite in scene.nodes("vtkMRMLSliceCompositeNode"):
        assert composite.GetForegroundOpacity() == 0.25
        assert composite.GetLinkedControl() == 1
    review.apply(view(linked=False))
    assert not any(c.GetLinkedControl() for c in scene.nodes("vtkMRMLSliceCompositeNode"))


def test_lambda_lies_over_the_images_in_the_colors_of_the_report(scene: Any, nodes: Any, review: Any) -> None:
    review.apply(view(overlay=overlay("LAMBDA"), opacity=0.4))
    _, foreground, _ = layers(scene)
    assert foreground is nodes.lambda_map
    display = foreground.GetDisplayNode()
    assert (display.GetWindowLevelMin(), display.GetWindowLevelMax()) == pytest.approx((0, 1.2))
    color = np.zeros(4)
    display.GetColorNode().GetColor(0, color)
    assert (color[:3] * 255).round().tolist() == [0x1D, 0x11, 0x47], "dark is free to deform, as in report.html"
    assert [c.GetForegroundOpacity() for c in scene.nodes("vtkMRMLSliceCompositeNode")] == [0.4] * 3


def test_the_scale_of_lambda_is_the_setting_where_there_is_one(scene: Any, nodes: Any, review: Any) -> None:
    from SpatialRegularizationGui.review.view import Result

    review.show(result(nodes, Result, lambda_max=4.0), view(overlay=overlay("LAMBDA")))
    assert nodes.lambda_map.GetDisplayNode().GetWindowLevelMax() == pytest.approx(4.0)


@pytest.mark.parametrize(("highest", "end"), [(1.2000002, 1.2), (1.21, 1.3), (0.034, 0.034), (27.3, 28), (0.0, 1.0)])
def test_a_scale_ends_at_two_digits_not_below_the_largest_value(highest: float, end: float) -> None:
    from SpatialRegularizationGui.review.maps import rounded_top

    assert rounded_top(np.array([0.0, highest])) == pytest.approx(end)


def test_the_log_jacobian_has_a_scale_centered_on_zero(scene: Any, nodes: Any, review: Any) -> None:
    review.apply(view(overlay=overlay("LOG_JACOBIAN")))
    _, foreground, _ = layers(scene)
    values = scene.array(foreground)
    assert values == pytest.approx(np.log(np.maximum(reviewed.arrays()["jacobian"], 1e-9)), abs=1e-5)
    display = foreground.GetDisplayNode()
    assert display.GetWindowLevelMin() == -display.GetWindowLevelMax()
    assert np.exp(display.GetWindowLevelMax()) == pytest.approx(2.0), "from ÷ 2 to × 2"
    assert scene.grid(foreground).matches(reviewed.grid())
    color, middle = np.zeros(4), display.GetColorNode().GetNumberOfColors() // 2
    display.GetColorNode().GetColor(middle, color)
    assert color[:3] == pytest.approx((1, 1, 1)), "no change of volume is white"


def test_folds_are_red_and_nothing_else_is_marked(scene: Any, nodes: Any, review: Any) -> None:
    review.apply(view(overlay=overlay("FOLDS")))
    _, foreground, label = layers(scene)
    assert foreground is nodes.warped
    marked = scene.array(label)
    assert np.array_equal(marked == 1, reviewed.arrays()["jacobian"] <= 0)
    assert marked[reviewed.FOLD] == 1
    red, clear = np.zeros(4), np.zeros(4)
    label.GetDisplayNode().GetColorNode().GetColor(1, red)
    label.GetDisplayNode().GetColorNode().GetColor(0, clear)
    assert red == pytest.approx((0.88, 0, 0, 1), abs=0.01)
    assert clear[3] == 0
    review.apply(view(overlay=overlay("LAMBDA"), mark_folds=False))
    assert layers(scene)[2] is None


def test_the_difference_is_zero_where_the_images_agree_up_to_brightness(scene: Any, nodes: Any, review: Any) -> None:
    review.apply(view(overlay=overlay("DIFFERENCE")))
    _, foreground, _ = layers(scene)
    values = scene.array(foreground)
    away = np.abs(values)[reviewed.arrays()["warped"] < 100]
    assert away.max() < 0.02, "both backgrounds are dark"
    shell = (reviewed.arrays()["warped"] > 100) & (reviewed.arrays()["fixed"] < 100)
    assert values[shell].min() >= 0, "the warped ball is larger: brighter there"
    assert values[shell].mean() > 0.3
    assert values.min() >= -1
    assert values.max() <= 1


def test_the_displacement_is_that_of_the_transform_in_mm(scene: Any, nodes: Any, review: Any) -> None:
    review.apply(view(overlay=overlay("DISPLACEMENT")))
    _, foreground, _ = layers(scene)
    values, truth = scene.array(foreground), np.linalg.norm(reviewed.displacement(), axis=0)
    assert values.shape == reviewed.SHAPE, "a small image needs no coarser lattice"
    assert values == pytest.approx(truth, abs=1e-3)
    assert review.scale.title == "mm"
    assert review.scale.high >= truth.max()


def test_the_displacement_of_a_large_image_is_sampled_on_a_coarser_lattice(scene: Any, nodes: Any) -> None:
    from SpatialRegularizationGui.review import volumes

    from SpatialRegularizationLib.geometry.grid import Grid

    shape, spacing = tuple(n * 3 for n in reviewed.SHAPE), tuple(s / 3 for s in reviewed.SPACING)
    fine = Grid(shape, spacing, (30.0, 30.0, -30.0), reviewed.DIRECTION)
    image = volumes._length(nodes.transform, fine)
    assert image.values.size <= volumes.LENGTH_VOXELS
    corner = np.array(image.grid.index_to_point(np.array(image.grid.shape) - 1.0))
    last = np.array(fine.index_to_point(np.array(fine.shape) - 1.0))
    assert np.linalg.norm(corner - last) < 3 * np.linalg.norm(image.grid.spacing)


def test_the_checkerboard_takes_cubes_of_one_size_in_mm_from_both_images(scene: Any, review: Any) -> None:
    from SpatialRegularizationGui.review import maps

    review.apply(view(compare=compare("CHECKERBOARD"), tiles=10))
    background, foreground, _ = layers(scene)
    assert foreground is None
    values, data = scene.array(background), reviewed.arrays()
    fixed, warped = maps.scaled(data["fixed"]), maps.scaled(data["warped"])
    edge = max(n * s for n, s in zip(reviewed.SHAPE, reviewed.SPACING, strict=True)) / 10
    index = np.stack(np.meshgrid(*map(np.arange, reviewed.SHAPE), indexing="ij"), axis=-1)
    odd = (np.floor(index * reviewed.SPACING / edge).sum(-1) % 2).astype(bool)
    assert np.array_equal(values[odd], warped[odd])
    assert np.array_equal(values[~odd], fixed[~odd])


def test_fading_goes_on_below_an_overlay(scene: Any, nodes: Any, review: Any) -> None:
    from SpatialRegularizationGui.review import maps

    review.apply(view(overlay=overlay("LAMBDA"), fade=0.3))
    background, _, _ = layers(scene)
    fixed, warped = (maps.scaled(reviewed.arrays()[name]) for name in ("fixed", "warped"))
    assert scene.array(background) == pytest.approx(0.7 * fixed + 0.3 * warped, abs=1e-6)
    review.apply(view(overlay=overlay("LAMBDA"), fade=0.0))
    assert layers(scene)[0] is nodes.fixed


def test_blinking_changes_fixed_and_warped_with_every_beat(scene: Any, nodes: Any, review: Any) -> None:
    review.apply(view(compare=compare("BLINK")))
    seen = []
    for _ in range(4):
        review.blink()
        seen.append(layers(scene)[0])
    assert seen == [nodes.warped, nodes.fixed] * 2


def test_all_views_jump_to_the_worst_fold(scene: Any, review: Any) -> None:
    point = np.array(reviewed.grid().index_to_point(np.array(reviewed.FOLD, dtype=float)))
    assert review.worst_fold() == pytest.approx(point)
    assert review.jump_to_worst_fold()
    ras = point * (-1, -1, 1)
    offsets = {node.GetName(): node.GetSliceOffset() for node in scene.nodes("vtkMRMLSliceNode")}
    assert offsets["Red"] == pytest.approx(ras[2])
    assert abs(offsets["Yellow"]) == pytest.approx(abs(ras[0]))
    assert abs(offsets["Green"]) == pytest.approx(abs(ras[1]))


def test_without_folds_there_is_nowhere_to_jump(scene: Any, nodes: Any, review: Any) -> None:
    from SpatialRegularizationGui.review.view import Result
    from SpatialRegularizationGui.scene.images import Image
    from SpatialRegularizationGui.scene.nodes import set_image

    set_image(nodes.jacobian, Image(np.ones(reviewed.SHAPE, dtype=np.float32), nodes.grid))
    review.show(result(nodes, Result))
    assert review.worst_fold() is None
    assert not review.jump_to_worst_fold()


def test_a_threshold_hides_the_values_outside_of_it(scene: Any, nodes: Any, review: Any) -> None:
    review.apply(view(overlay=overlay("LAMBDA"), threshold=(0.2, 0.7)))
    display = nodes.lambda_map.GetDisplayNode()
    assert display.GetApplyThreshold() == 1
    assert (display.GetLowerThreshold(), display.GetUpperThreshold()) == pytest.approx((0.2, 0.7))
    review.apply(view(overlay=overlay("LAMBDA")))
    assert display.GetApplyThreshold() == 0


def test_there_is_one_legend_and_it_belongs_to_the_overlay(scene: Any, nodes: Any, review: Any) -> None:
    for name, title in (("LAMBDA", "lambda"), ("LOG_JACOBIAN", "log J"), ("DISPLACEMENT", "mm")):
        review.apply(view(overlay=overlay(name)))
        (legend,) = scene.nodes("vtkMRMLColorLegendDisplayNode")
        assert legend.GetTitleText() == title
    review.apply(view(overlay=overlay("LAMBDA"), legend=False))
    assert scene.nodes("vtkMRMLColorLegendDisplayNode") == []


def test_the_deformation_grid_appears_where_it_is_asked_for(nodes: Any, review: Any) -> None:
    review.apply(view())
    assert nodes.transform.GetDisplayNode() is None, "nothing is made before it is asked for"
    for slices, views in ((True, False), (False, True), (True, True), (False, False)):
        review.apply(view(grid_slices=slices, grid_views=views))
        display = nodes.transform.GetDisplayNode()
        assert (bool(display.GetVisibility2D()), bool(display.GetVisibility3D())) == (slices, views)
        assert bool(display.GetVisibility()) == (slices or views)
        assert display.GetRegionNode() is nodes.fixed


@pytest.mark.parametrize("name", ["LAMBDA", "LOG_JACOBIAN", "FOLDS", "DISPLACEMENT", "DIFFERENCE"])
def test_what_was_no_output_is_refused_in_a_sentence_and_left_out(scene: Any, nodes: Any, review: Any, name: str) -> None:
    from SpatialRegularizationGui.review.view import Result

    review.show(Result(nodes.fixed), view(overlay=overlay(name)))
    sentence = review.missing(overlay(name))
    assert "register again" in sentence
    assert sentence.endswith(".")
    assert layers(scene) == (nodes.fixed, None, None)


def test_a_warped_image_on_another_grid_is_not_compared(scene: Any, nodes: Any, review: Any) -> None:
    from SpatialRegularizationGui.review.view import Result

    nodes.warped.SetSpacing(1, 2, 3)
    review.show(result(nodes, Result), view(overlay=overlay("DIFFERENCE")))
    assert "grid of the fixed" in review.missing(overlay("DIFFERENCE"))
    review.apply(view(compare=compare("CHECKERBOARD")))
    assert layers(scene)[0] is nodes.fixed


def test_a_removed_output_is_left_out_and_nothing_fails(scene: Any, nodes: Any, review: Any) -> None:
    review.apply(view(overlay=overlay("LAMBDA")))
    scene.mrml.RemoveNode(nodes.lambda_map)
    scene.mrml.RemoveNode(nodes.transform)
    review.apply(view(overlay=overlay("LAMBDA"), grid_slices=True))
    assert layers(scene)[1] is not None
    scene.mrml.RemoveNode(nodes.fixed)
    review.apply(view())
    assert review.result is None
    assert "Register" in review.missing(overlay("LAMBDA"))


def test_many_results_leave_no_more_nodes_than_one(scene: Any, nodes: Any, review: Any) -> None:
    from SpatialRegularizationGui.review.view import Compare, Overlay, Result

    def look() -> int:
        for over in Overlay:
            for mode in Compare:
                review.show(result(nodes, Result), view(overlay=over, compare=mode, grid_slices=True))
        return scene.mrml.GetNumberOfNodes()

    first = look()
    assert look() == look() == first


def test_clearing_takes_the_hidden_volumes_legend_and_grid_away(scene: Any, nodes: Any, review: Any) -> None:
    own = {nodes.fixed, nodes.warped, nodes.lambda_map, nodes.jacobian}
    for name in ("LOG_JACOBIAN", "DIFFERENCE", "DISPLACEMENT"):
        review.apply(view(overlay=overlay(name), compare=compare("CHECKERBOARD"), grid_slices=True))
    assert set(scene.nodes("vtkMRMLVolumeNode")) > own
    review.clear()
    assert set(scene.nodes("vtkMRMLVolumeNode")) == own
    assert scene.nodes("vtkMRMLColorLegendDisplayNode") == []
    assert not nodes.transform.GetDisplayNode().GetVisibility()
    assert layers(scene) == (nodes.fixed, nodes.warped, None)


def test_a_saved_scene_keeps_the_colors_of_lambda_and_none_of_the_hidden_volumes(
    scene: Any, nodes: Any, review: Any, tmp_path: Path
) -> None:
    from slicer_scene import Application

    for name in ("LOG_JACOBIAN", "DIFFERENCE", "FOLDS", "LAMBDA"):
        review.apply(view(overlay=overlay(name), grid_slices=True))
    scene.save(tmp_path / "scene.mrb")
    second = Application()
    second.load(tmp_path / "scene.mrb")
    names = {node.GetName() for node in second.nodes("vtkMRMLVolumeNode")}
    assert names == {"fixed", "warped", "lambda_map", "jacobian"}
    display = second.named("lambda_map", "vtkMRMLScalarVolumeNode").GetDisplayNode()
    assert display.GetWindowLevelMax() == pytest.approx(1.2)
    first, last = np.zeros(4), np.zeros(4)
    display.GetColorNode().GetColor(0, first)
    display.GetColorNode().GetColor(display.GetColorNode().GetNumberOfColors() - 1, last)
    assert (first[:3] * 255).round().tolist() == [0x1D, 0x11, 0x47]
    assert (last[:3] * 255).round().tolist() == [0xF4, 0xE9, 0x6B]
    second.close()
