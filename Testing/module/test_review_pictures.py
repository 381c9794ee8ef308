"""What the views look like, drawn offscreen: against small stored pictures, and by what must be at which place.

The stored pictures (Testing/data/review) show synthetic data only. They were drawn with slicer-core 5.13, VTK 9.6 and Mesa 22.3;
another version may draw lines and letters a little differently, hence the tolerance. To draw them again after a wanted
change:  SPATIALREG_NEW_PICTURES=1 pytest Testing/module/test_review_pictures.py , and look at them.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import offscreen
import pytest
import reviewed

pytest.importorskip("slicer", reason="needs the slicer-core package")
pytestmark = [
    pytest.mark.slicer,
    pytest.mark.render,
    pytest.mark.skipif(bool(offscreen.missing()), reason=offscreen.missing() or "drawn"),
]

STORED = Path(__file__).resolve().parents[1] / "data" / "review"
SIZE = (160, 160)
MEAN_TOLERANCE, SHARE_TOLERANCE = 4.0, 0.04
"""Largest mean difference (of 255), and share of pixels that may differ by more than 40: letters and lines that moved."""
VIEWS = {
    "fade": {"fade": 0.5},
    "lambda": {"overlay": "LAMBDA", "fade": 0.0},
    "log-jacobian": {"overlay": "LOG_JACOBIAN", "fade": 0.0, "opacity": 0.8},
    "displacement": {"overlay": "DISPLACEMENT", "fade": 0.0},
    "difference": {"overlay": "DIFFERENCE", "fade": 0.0, "opacity": 1.0, "mark_folds": False},
    "folds": {"overlay": "FOLDS", "fade": 0.0},
    "checkerboard": {"compare": "CHECKERBOARD", "tiles": 6, "mark_folds": False},
    "grid": {"grid_slices": True, "fade": 0.0, "mark_folds": False},
}


@pytest.fixture
def shown(scene: Any) -> tuple[Any, Any, reviewed.Reviewed]:
    """An axial view through the fold, a review of the synthetic result, and its nodes."""
    from SpatialRegularizationGui.review.review import Review
    from SpatialRegularizationGui.review.view import Result

    nodes = reviewed.put(scene)
    axial = offscreen.SliceView(scene, "Axial", SIZE)
    review = Review(scene.mrml)
    review.show(Result(nodes.fixed, nodes.warped, nodes.lambda_map, nodes.jacobian, None, nodes.transform))
    return axial, review, nodes


def view(choices: dict[str, Any]) -> Any:
    from SpatialRegularizationGui.review.view import Compare, Overlay, View

    kinds = {"overlay": Overlay, "compare": Compare}
    return View(**{name: kinds[name][value] if name in kinds else value for name, value in choices.items()})


def pixel_of(axial: Any, point: np.ndarray) -> tuple[int, int]:
    """Row and column of a position (LPS) in the picture of a slice view."""
    import vtk

    to_view = vtk.vtkMatrix4x4()
    vtk.vtkMatrix4x4.Invert(axial.node.GetXYToRAS(), to_view)
    x, y, _, _ = to_view.MultiplyPoint((-point[0], -point[1], point[2], 1.0))
    return SIZE[1] - 1 - round(y), round(x)


def redness(picture: np.ndarray) -> np.ndarray:
    """How much redder than green and blue each pixel is."""
    values = picture.astype(int)
    return values[..., 0] - values[..., 1:].max(-1)


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_looks_like_the_stored_picture(shown: Any, name: str) -> None:
    axial, review, _ = shown
    review.apply(view(VIEWS[name]))
    picture = axial.picture()
    path = STORED / f"{name}.png"
    if os.environ.get("SPATIALREG_NEW_PICTURES"):
        path.parent.mkdir(parents=True, exist_ok=True)
        offscreen.write_picture(path, picture)
    apart = np.abs(picture.astype(int) - offscreen.read_picture(path).astype(int))
    assert apart.mean() < MEAN_TOLERANCE
    assert (apart.max(-1) > 40).mean() < SHARE_TOLERANCE


def test_the_stored_pictures_differ_by_more_than_the_tolerance() -> None:
    pictures = {name: offscreen.read_picture(STORED / f"{name}.png").astype(int) for name in VIEWS}
    for name, picture in pictures.items():
        for other in set(VIEWS) - {name}:
            apart = np.abs(picture - pictures[other])
            close = apart.mean() < MEAN_TOLERANCE and (apart.max(-1) > 40).mean() < SHARE_TOLERANCE
            assert not close, f"{name} would pass for {other}"


def test_the_stored_pictures_are_small() -> None:
    sizes = [path.stat().st_size for path in STORED.glob("*.png")]
    assert len(sizes) == len(VIEWS)
    assert sum(sizes) < 200_000


def test_the_view_is_at_the_worst_fold_and_the_red_mark_there(shown: Any) -> None:
    axial, review, nodes = shown
    fold = np.array(nodes.grid.index_to_point(np.array(reviewed.FOLD, dtype=float)))
    review.apply(view(VIEWS["folds"]))
    review.jump_to_worst_fold()
    red = redness(axial.picture()) > 80
    row, column = pixel_of(axial, fold)
    assert red[row, column]
    rows, columns = np.nonzero(red)
    assert abs(rows - row).max() < 20, "nothing far from the fold is red"
    assert abs(columns - column).max() < 20


def test_lambda_is_dark_in_the_middle_and_bright_around_it(shown: Any) -> None:
    axial, review, _ = shown
    review.apply(view({"overlay": "LAMBDA", "opacity": 1.0, "legend": False, "mark_folds": False}))
    picture = axial.picture().astype(int)
    middle, edge = (picture[pixel_of(axial, np.array([x, 0.0, 0.0]))] for x in (0.0, 32.0))
    assert middle.sum() < 0.5 * edge.sum()
    assert edge[:2].min() > edge[2] + 60, "bright is yellow"


def test_the_legend_takes_its_place_and_leaves_it(shown: Any) -> None:
    axial, review, _ = shown
    choices = {"overlay": "LAMBDA", "fade": 0.0, "mark_folds": False}
    review.apply(view({**choices, "legend": True}))
    with_legend = axial.picture().astype(int)
    review.apply(view({**choices, "legend": False}))
    without = axial.picture().astype(int)
    changed = np.abs(with_legend - without).max(-1) > 20
    assert changed.sum() > 300
    assert not changed[:, : SIZE[0] // 2].any(), "the legend is at the right"


def test_the_grid_is_bent_where_the_field_is_and_straight_without_it(shown: Any) -> None:
    from SpatialRegularizationGui.scene.nodes import set_transform

    axial, review, nodes = shown
    review.apply(view(VIEWS["grid"]))
    bent = axial.picture()
    set_transform(nodes.transform, np.eye(4), 0 * reviewed.displacement(), nodes.grid)
    review.apply(view(VIEWS["grid"]))
    straight = axial.picture()
    review.apply(view({"fade": 0.0, "mark_folds": False}))
    plain = axial.picture()
    lines = np.abs(straight.astype(int) - plain).max(-1) > 20
    full_rows = lines.mean(axis=1) > 0.5
    assert full_rows.sum() >= 8, "straight lines fill whole rows"
    moved = np.abs(bent.astype(int) - plain).max(-1) > 20
    assert (moved.mean(axis=1) > 0.9).sum() < full_rows.sum() / 2


def test_the_deformation_grid_is_drawn_in_3d(shown: Any, scene: Any) -> None:
    _, review, _ = shown
    space = offscreen.ThreeDView(scene, SIZE)
    review.apply(view({"grid_views": False}))
    empty = space.picture()
    review.apply(view({"grid_views": True}))
    space.look()
    drawn = space.picture()
    colored = np.ptp(drawn.astype(int), axis=-1) > 90
    assert colored.mean() > 0.03
    assert (np.ptp(empty.astype(int), axis=-1) > 90).mean() < 0.01
