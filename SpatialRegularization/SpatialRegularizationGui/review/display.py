"""Style what views show: color tables, ranges, legends, the deformation grid, links of views. Display nodes only, no data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import slicer

from SpatialRegularizationLib.report.pixels import DIFFERENCE, GRAY, VOLUME_CHANGE, WEIGHT, ColorMap

from ..scene.nodes import nodes_of_class

LENGTH = ColorMap(("#0b0924", "#4a1079", "#a5317e", "#f1605d", "#fec287", "#fcfdbf"))
"""For lengths: lightness only rises, and no color is that of λ."""
FOLD_COLOR = (0.88, 0.0, 0.0)
MAPS = {"Weight": WEIGHT, "VolumeChange": VOLUME_CHANGE, "Difference": DIFFERENCE, "Length": LENGTH, "Gray": GRAY}
"""Name of a color node → its colors, the same as in report.html."""
PREFIX = "SpatialRegularization"
GRID_LINES = {False: 28, True: 9}
"""Lines along the longest edge of the image: in the slices, and in 3-D."""
LINE_SHARE = 0.0028
"""Thickness of a line in 3-D as a share of the longest edge."""
LABELS = 5
"""Numbers beside a color legend; odd, so that the middle of a diverging map has one."""

LINKED = (1, 1)
"""Control and hot link of a view that follows the others, also while it is dragged."""


@dataclass(frozen=True)
class Scale:
    """How one map is colored.

    Args:
        colors: key of `MAPS`.
        low, high: values of the first and last color.
        title: of the legend, with the unit.
    """

    colors: str
    low: float
    high: float
    title: str


def color_node(scene: Any, name: str) -> Any:
    """The color table of `MAPS`, one per scene; saved with it."""
    colors = MAPS[name].palette()[:-1] / 255.0
    return _color_table(scene, name, [(str(n), *color, 1.0) for n, color in enumerate(colors)])


def fold_color_node(scene: Any) -> Any:
    """The color table of the label map of folds: 0 transparent, 1 red."""
    return _color_table(scene, "Folds", [("no fold", 0, 0, 0, 0), ("fold", *FOLD_COLOR, 1)])


def _color_table(scene: Any, name: str, entries: Sequence[tuple]) -> Any:
    """The table of that name, made once; an entry is (name, r, g, b, opacity)."""
    tag = f"{PREFIX}{name}"
    found = scene.GetSingletonNode(tag, "vtkMRMLColorTableNode")
    if found is not None:
        return found
    node = slicer.vtkMRMLColorTableNode()
    node.SetSingletonTag(tag)
    node.SetName(tag)
    node.SetTypeToUser()
    node.SetNumberOfColors(len(entries))
    for n, entry in enumerate(entries):
        node.SetColor(n, *entry)
    return scene.AddNode(node)


def color_volume(volume: Any, scale: Scale, threshold: tuple[float, float] | None) -> None:
    """Color a scalar volume by a scale; values outside the threshold are not shown."""
    if volume.GetDisplayNode() is None:
        volume.CreateDefaultDisplayNodes()
    display = volume.GetDisplayNode()
    modifying = display.StartModify()
    display.SetAndObserveColorNodeID(color_node(volume.GetScene(), scale.colors).GetID())
    display.SetAutoWindowLevel(False)
    display.SetWindowLevelMinMax(scale.low, scale.high)
    display.SetAutoThreshold(False)
    display.SetApplyThreshold(threshold is not None)
    if threshold is not None:
        display.SetThreshold(*threshold)
    display.EndModify(modifying)


def show_legend(volume: Any, scale: Scale) -> None:
    """A color legend in the views that show the volume."""
    legend = slicer.modules.colors.logic().AddDefaultColorLegendDisplayNode(volume)
    modifying = legend.StartModify()
    legend.SetTitleText(scale.title)
    legend.SetNumberOfLabels(LABELS)
    legend.SetLabelFormat("%.2g")
    legend.SetSize(0.14, 0.5)
    legend.SetPosition(0.98, 0.5)
    legend.SetVisibility(True)
    legend.EndModify(modifying)


def hide_legend(volume: Any) -> None:
    """Remove the legend of a volume, where it has one."""
    legend = slicer.modules.colors.logic().GetColorLegendDisplayNode(volume)
    if legend is not None:
        volume.GetScene().RemoveNode(legend)


def show_grid(transform: Any, region: Any, *, slices: bool, views: bool) -> None:
    """The deformation as a bent grid.

    Slicer draws it in the sense in which it moves points: a straight grid on the moving image, carried to the fixed image.

    Args:
        transform: transform node.
        region: volume over which the grid is drawn.
        slices, views: in the slice views (2-D), in the 3-D views.
    """
    if transform.GetDisplayNode() is None:
        if not (slices or views):
            return
        transform.CreateDefaultDisplayNodes()
    display = transform.GetDisplayNode()
    modifying = display.StartModify()
    longest = max(_extents(region))
    display.SetVisualizationMode(display.VIS_MODE_GRID)
    display.SetAndObserveRegionNode(region)
    display.SetGridSpacingMm(longest / GRID_LINES[views])
    display.SetGridResolutionMm(longest / GRID_LINES[views] / 4)
    display.SetGridLineDiameterMm(longest * LINE_SHARE)
    display.SetGridScalePercent(100)
    display.SetGridShowNonWarped(False)
    display.SetVisibility2D(slices)
    display.SetVisibility3D(views)
    display.SetVisibility(slices or views)
    display.EndModify(modifying)


def composites(scene: Any) -> list[Any]:
    """The nodes that say what the slice views show."""
    return nodes_of_class(scene, "vtkMRMLSliceCompositeNode")


class Links:
    """Links all slice views of a scene, and remembers how each one was.

    Args:
        scene: vtkMRMLScene.
    """

    def __init__(self, scene: Any) -> None:
        self._scene = scene
        self._before: dict[str, tuple[int, int]] = {}

    def link(self) -> None:
        """Every slice view follows the others; a view that was linked here before is left as it is now."""
        for view in composites(self._scene):
            if view.GetID() not in self._before:
                self._before[view.GetID()] = _state(view)
                _set(view, LINKED)

    def restore(self) -> None:
        """As before `link`, but where the user has changed a view's link meanwhile."""
        before, self._before = self._before, {}
        for view in composites(self._scene):
            if view.GetID() in before and _state(view) == LINKED:
                _set(view, before[view.GetID()])


def _state(view: Any) -> tuple[int, int]:
    return int(view.GetLinkedControl()), int(view.GetHotLinkedControl())


def _set(view: Any, state: tuple[int, int]) -> None:
    modifying = view.StartModify()
    view.SetLinkedControl(state[0])
    view.SetHotLinkedControl(state[1])
    view.EndModify(modifying)


def _extents(volume: Any) -> list[float]:
    return [n * s for n, s in zip(volume.GetImageData().GetDimensions(), volume.GetSpacing(), strict=True)]
