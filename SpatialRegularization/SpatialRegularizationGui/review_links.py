"""Links of the slice views: made while a result is reviewed, then put back as the user had them. No qt."""

from __future__ import annotations

from typing import Any

from .review_display import composites

LINKED = (1, 1)
"""Of a view that follows the others, also while it is dragged."""


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
