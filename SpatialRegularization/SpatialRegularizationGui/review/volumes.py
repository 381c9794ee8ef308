"""Keep maps that are looked at and were not asked for in hidden volume nodes: one per role, not saved with the scene."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from SpatialRegularizationLib.geometry.grid import Grid

from ..scene.images import Image
from ..scene.nodes import from_world, grid_of, image_of, mapped, nodes_of_class, set_image
from . import maps
from .display import PREFIX, fold_color_node
from .view import Result

ROLE = f"{PREFIX}.Review"
"""Attribute of a hidden volume: the role it plays."""
KEY = f"{ROLE}.Key"
"""Attribute of a hidden volume: what its content depends on besides the result."""
LOG_JACOBIAN, DIFFERENCE, COMPARISON, FOLDS, MAGNITUDE = ROLES = (
    "log-jacobian",
    "difference",
    "comparison",
    "folds",
    "magnitude",
)

LENGTH_VOXELS = 125_000
"""Positions that |u| is computed at: a tenth of a second."""


class ReviewVolumes:
    """Makes each map when it is first asked for after a new result, into the node of its role.

    Args:
        scene: vtkMRMLScene.
    """

    def __init__(self, scene: Any) -> None:
        self._scene = scene
        self._stale = set(ROLES)

    def renew(self) -> None:
        """There is a new result: every map is computed again when it is next asked for."""
        self._stale = set(ROLES)

    def remove(self) -> None:
        """Take all hidden volumes out of the scene."""
        for node in filter(None, map(self._node, ROLES)):
            for display in [node.GetNthDisplayNode(n) for n in range(node.GetNumberOfDisplayNodes())]:
                self._scene.RemoveNode(display)
            self._scene.RemoveNode(node)

    def log_jacobian(self, result: Result) -> Any:
        """log J on the lattice of the Jacobian map."""
        return self._made(LOG_JACOBIAN, lambda: _mapped(result.jacobian, maps.log_jacobian))

    def folds(self, result: Result) -> Any:
        """Label map: 1 where the Jacobian determinant is not positive, shown red."""
        node = self._made(FOLDS, lambda: _mapped(result.jacobian, maps.folds), kind="vtkMRMLLabelMapVolumeNode")
        node.GetDisplayNode().SetAndObserveColorNodeID(fold_color_node(self._scene).GetID())
        return node

    def difference(self, result: Result) -> Any:
        """Warped minus fixed, each as a share of its window."""
        return self._made(DIFFERENCE, lambda: _of_pair(result, maps.difference))

    def checkerboard(self, result: Result, tiles: int) -> Any:
        """Cubes of fixed and warped in turn, shown in gray."""

        def make() -> Image:
            spacing = grid_of(result.fixed).spacing
            return _of_pair(result, lambda fixed, warped: maps.checkerboard(fixed, warped, spacing, tiles))

        return self._gray(self._made(COMPARISON, make, key=f"tiles {tiles}"))

    def blend(self, result: Result, share: float) -> Any:
        """Fixed and warped mixed, for the time when an overlay takes the foreground; share in steps of 0.01."""
        share = round(share, 2)
        return self._gray(
            self._made(
                COMPARISON,
                lambda: _of_pair(result, lambda fixed, warped: maps.blend(fixed, warped, share)),
                key=f"fade {share}",
            )
        )

    def magnitude(self, result: Result) -> Any:
        """|φ(x) - x| of the whole transform in mm, on a lattice that is coarse enough to be there at once."""
        return self._made(MAGNITUDE, lambda: _length(result.transform, grid_of(result.fixed)))

    def _made(
        self, role: str, make: Callable[[], Image], *, key: str = "", kind: str = "vtkMRMLScalarVolumeNode"
    ) -> Any:
        node = self._node(role)
        if node is not None and role not in self._stale and (node.GetAttribute(KEY) or "") == key:
            return node
        image = make()
        node = node or self._new(role, kind)
        set_image(node, image)
        node.SetAttribute(KEY, key or None)
        self._stale.discard(role)
        return node

    def _node(self, role: str) -> Any:
        nodes = nodes_of_class(self._scene, "vtkMRMLVolumeNode")
        return next((node for node in nodes if node.GetAttribute(ROLE) == role), None)

    def _new(self, role: str, kind: str) -> Any:
        node = self._scene.AddNewNodeByClass(kind, f"{PREFIX} {role}")
        node.SetHideFromEditors(True)
        node.SetSaveWithScene(False)
        node.SetAttribute(ROLE, role)
        node.CreateDefaultDisplayNodes()
        node.GetDisplayNode().SetSaveWithScene(False)
        return node

    def _gray(self, node: Any) -> Any:
        node.GetDisplayNode().SetAutoWindowLevel(False)
        node.GetDisplayNode().SetWindowLevelMinMax(0, 1)
        return node


def _mapped(volume: Any, function: Callable[[np.ndarray], np.ndarray]) -> Image:
    image = image_of(volume)
    return Image(function(image.values), image.grid)


def _of_pair(result: Result, function: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Image:
    fixed = image_of(result.fixed)
    return Image(function(fixed.values, image_of(result.warped).values), fixed.grid)


def _length(transform: Any, grid: Grid) -> Image:
    stride = max(1, int(np.ceil((np.prod(grid.shape, dtype=float) / LENGTH_VOXELS) ** (1 / 3))))
    shape = tuple((n - 1) // stride + 1 for n in grid.shape)
    coarse = Grid(shape, tuple(s * stride for s in grid.spacing), grid.origin, grid.direction)
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1).reshape(-1, 3)
    points = index @ coarse.affine[:3, :3].T + coarse.affine[:3, 3]
    moved = mapped(from_world(transform), points)
    return Image(np.linalg.norm(moved - points, axis=1).reshape(shape).astype(np.float32), coarse)
