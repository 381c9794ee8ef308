"""Show a registration in the slice views: overlays, compare modes, deformation grid, the worst fold. No qt.

    layers of a slice view:   label       folds, red
                              foreground  the overlay; where there is none, the warped image (fade, blink)
                              background  fixed, warped, checkerboard or blend
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import slicer

from ..scene.nodes import grid_of, image_of, nodes_of_class, slice_position
from . import maps
from .display import Links, Scale, color_volume, composites, hide_legend, show_grid, show_legend
from .view import OUTPUTS, Compare, Overlay, Result, View
from .volumes import ReviewVolumes


class Review:
    """Shows one result at a time in all slice views of a scene.

    Args:
        scene: vtkMRMLScene.
    """

    def __init__(self, scene: Any) -> None:
        self._scene = scene
        self._volumes, self._links = ReviewVolumes(scene), Links(scene)
        self._watched = True
        self._result: Result | None = None
        self._view = View()
        self._scale: Scale | None = None
        self._legend_of: Any = None
        self._blinked = False

    @property
    def result(self) -> Result | None:
        """What is shown, without the nodes that the user has removed; None once the fixed image is gone."""
        if self._result is None or not self._alive(self._result.fixed):
            return None
        return replace(self._result, **{name: None for name in OUTPUTS if not self._alive(getattr(self._result, name))})

    @property
    def scale(self) -> Scale | None:
        """Colors, range and unit of the overlay that is shown."""
        return self._scale

    def show(self, result: Result, view: View | None = None) -> None:
        """Look at a result, as before or as a view says; views are fitted when its fixed image is another than before."""
        fit = self._result is None or self._result.fixed is not result.fixed
        self._result = result
        self._volumes.renew()
        self.apply(view or self._view)
        if fit:
            self._fit()

    def missing(self, overlay: Overlay) -> str:
        """Why an overlay cannot be shown, in a sentence; "" where it can."""
        result = self.result
        if result is None:
            return "Register a pair first."
        linear = result.transform is not None and result.transform.IsLinear()
        if linear and overlay in (Overlay.LAMBDA, Overlay.LOG_JACOBIAN, Overlay.FOLDS):
            return "This result is a linear transform: nothing deforms, so there is no such map."
        if overlay is Overlay.LAMBDA and result.lambda_map is None:
            return "The weight map was not among the outputs: check it there and register again."
        if overlay in (Overlay.LOG_JACOBIAN, Overlay.FOLDS) and result.jacobian is None:
            return "The Jacobian map was not among the outputs: check it there and register again."
        if overlay is Overlay.DISPLACEMENT and result.magnitude is None and result.transform is None:
            return "Neither transform nor displacement magnitude was among the outputs: check one and register again."
        return self.not_comparable() if overlay is Overlay.DIFFERENCE else ""

    def not_comparable(self) -> str:
        """Why fixed and warped image cannot be compared voxel by voxel, in a sentence; "" where they can."""
        result = self.result
        if result is None or result.warped is None:
            return "The warped image was not among the outputs: check it there and register again."
        try:
            same = grid_of(result.fixed).matches(grid_of(result.warped))
        except ValueError as error:
            return str(error)
        return "" if same else "The warped image is not on the grid of the fixed one: check the warped output and register again."

    def apply(self, view: View) -> None:
        """Show the result as a view says; an overlay that is not available is left out (see `missing`)."""
        self._view = view
        result = self.result
        if result is None:
            return
        overlay = view.overlay if not self.missing(view.overlay) else Overlay.NONE
        volume, self._scale = self._overlay(result, overlay)
        background, foreground, opacity = self._images(result, view, volume)
        marked = result.jacobian is not None and (view.mark_folds or overlay is Overlay.FOLDS)
        label = self._volumes.folds(result) if marked else None
        for composite in composites(self._scene):
            modifying = composite.StartModify()
            composite.SetBackgroundVolumeID(_id(background))
            composite.SetForegroundVolumeID(_id(foreground))
            composite.SetForegroundOpacity(opacity)
            composite.SetLabelVolumeID(_id(label))
            composite.SetLabelOpacity(1.0)
            composite.EndModify(modifying)
        self._link()
        self._color(volume, view)
        if result.transform is not None:
            show_grid(result.transform, result.fixed, slices=view.grid_slices, views=view.grid_views)

    def watch(self, watched: bool) -> None:
        """Whether somebody looks: while nobody does, the slice views are linked as the user had them."""
        self._watched = watched
        self._link()

    def _link(self) -> None:
        if self._watched and self._view.linked and self.result is not None:
            self._links.link()
        else:
            self._links.restore()

    def blink(self) -> None:
        """One beat of the blink mode: fixed and warped image change places."""
        self._blinked = not self._blinked
        if self._view.compare is Compare.BLINK:
            self.apply(self._view)

    def worst_fold(self) -> np.ndarray | None:
        """Where the Jacobian determinant is most negative, mm LPS; None without folds or without a map."""
        result = self.result
        if result is None or result.jacobian is None:
            return None
        image = image_of(result.jacobian)
        index = maps.worst_fold(image.values)
        return None if index is None else np.asarray(image.grid.index_to_point(np.array(index, dtype=float)))

    def jump_to_worst_fold(self) -> bool:
        """Move all slice views to the worst fold; False where there is none."""
        position = self.worst_fold()
        if position is None:
            return False
        for node in nodes_of_class(self._scene, "vtkMRMLSliceNode"):
            node.JumpSliceByCentering(*slice_position(position))
        return True

    def clear(self) -> None:
        """Stop showing: hidden volumes, legend, grid and links go, the two images stay in the views."""
        self._links.restore()
        result = self.result
        if result is not None:
            if result.transform is not None:
                show_grid(result.transform, result.fixed, slices=False, views=False)
            for composite in composites(self._scene):
                composite.SetBackgroundVolumeID(_id(result.fixed))
                composite.SetForegroundVolumeID(_id(result.warped))
                composite.SetLabelVolumeID(None)
        if self._alive(self._legend_of):
            hide_legend(self._legend_of)
        self._volumes.remove()
        self._result, self._scale, self._legend_of = None, None, None

    def _overlay(self, result: Result, overlay: Overlay) -> tuple[Any, Scale | None]:
        """The volume of the foreground and its scale; (None, None) without one."""
        if overlay is Overlay.LAMBDA:
            top = result.lambda_max or maps.rounded_top(image_of(result.lambda_map).values)
            return result.lambda_map, Scale("Weight", 0.0, top, "lambda")
        if overlay is Overlay.LOG_JACOBIAN:
            volume = self._volumes.log_jacobian(result)
            limit = maps.change_limit(image_of(volume).values)
            return volume, Scale("VolumeChange", -limit, limit, "log J")
        if overlay is Overlay.DIFFERENCE:
            volume = self._volumes.difference(result)
            limit = maps.difference_limit(image_of(volume).values)
            return volume, Scale("Difference", -limit, limit, "share")
        if overlay is Overlay.DISPLACEMENT:
            volume = result.magnitude if result.magnitude is not None else self._volumes.magnitude(result)
            return volume, Scale("Length", 0.0, maps.rounded_top(image_of(volume).values), "mm")
        return None, None

    def _images(self, result: Result, view: View, overlay: Any) -> tuple[Any, Any, float]:
        """Background, foreground and opacity of the foreground."""
        comparable = not self.not_comparable()
        if view.compare is Compare.CHECKERBOARD and comparable:
            return self._volumes.checkerboard(result, view.tiles), overlay, view.opacity
        if view.compare is Compare.BLINK and result.warped is not None:
            return (result.warped if self._blinked else result.fixed), overlay, view.opacity
        if overlay is None:
            return result.fixed, result.warped, view.fade
        blended = comparable and view.fade > 0
        return (self._volumes.blend(result, view.fade) if blended else result.fixed), overlay, view.opacity

    def _color(self, volume: Any, view: View) -> None:
        if self._alive(self._legend_of) and (self._legend_of is not volume or not view.legend):
            hide_legend(self._legend_of)
            self._legend_of = None
        if volume is None or self._scale is None:
            return
        color_volume(volume, self._scale, view.threshold)
        if view.legend:
            show_legend(volume, self._scale)
            self._legend_of = volume

    def _alive(self, node: Any) -> bool:
        return node is not None and bool(self._scene.IsNodePresent(node))

    def _fit(self) -> None:
        """All slice views around the fixed image."""
        logics = slicer.app.applicationLogic().GetSliceLogics()
        for n in range(logics.GetNumberOfItems()):
            logics.GetItemAsObject(n).FitSliceToBackground()


def _id(node: Any) -> str | None:
    return None if node is None else node.GetID()
