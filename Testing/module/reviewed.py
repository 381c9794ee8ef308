"""A synthetic registration in a scene, for the tests of what the views show: two spheres, a known field, a known fold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from SpatialRegularizationLib.geometry.grid import Grid

SHAPE = (40, 44, 36)
SPACING = (2.0, 2.0, 2.5)
DIRECTION = ((-1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (0.0, 0.0, 1.0))
FOLD = (12, 20, 18)
"""Index of the voxel whose Jacobian determinant is the lowest."""
LOWEST = -0.5


@dataclass(frozen=True)
class Reviewed:
    """Nodes of one result, and its grid."""

    grid: Grid
    fixed: Any
    warped: Any
    lambda_map: Any
    jacobian: Any
    transform: Any


def grid() -> Grid:
    """Of all volumes; voxel axes along R, A, S, the middle at 0."""
    middle = np.array(DIRECTION) @ ((np.array(SHAPE) - 1) / 2 * np.array(SPACING))
    return Grid(SHAPE, SPACING, tuple(-middle), DIRECTION)


def arrays() -> dict[str, np.ndarray]:
    """(i, j, k) values: a ball and a larger one, λ that is low in the middle, a Jacobian with a small fold."""
    index = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), axis=-1)
    away = np.linalg.norm((index - (np.array(SHAPE) - 1) / 2) * SPACING, axis=-1)
    texture = 40 * np.sin(index[..., 0] / 2.5) * np.cos(index[..., 1] / 3.0)
    near = np.linalg.norm(index - np.array(FOLD), axis=-1)
    jacobian = 1 + 0.4 * np.sin(index[..., 0] / 6.0) - (1 + 0.4 - LOWEST) * np.exp(-((near / 2.0) ** 2))
    jacobian[FOLD] = LOWEST
    return {
        "fixed": np.where(away < 30, 300 + texture, 20).astype(np.float32),
        "warped": np.where(away < 33, 900 + 3 * texture, 60).astype(np.float32),
        "lambda_map": (1.2 * (1 - np.exp(-((away / 18) ** 2)))).astype(np.float32),
        "jacobian": jacobian.astype(np.float32),
    }


def displacement() -> np.ndarray:
    """(3, i, j, k) mm LPS: a swirl about the vertical axis that vanishes at the border, at most 6 mm."""
    index = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"))
    share = index / (np.array(SHAPE) - 1).reshape(3, 1, 1, 1)
    window = np.prod(np.sin(np.pi * share), axis=0)
    field = 12 * window * np.stack([-(share[1] - 0.5), share[0] - 0.5, 0 * share[2]])
    return field.astype(np.float32)


def put(host: Any) -> Reviewed:
    """The result as nodes of a scene."""
    from SpatialRegularizationGui.scene.images import Image
    from SpatialRegularizationGui.scene.nodes import set_image, set_transform

    lattice = grid()
    nodes = {}
    for name, values in arrays().items():
        node = nodes[name] = host.add("vtkMRMLScalarVolumeNode", name)
        set_image(node, Image(values, lattice))
        node.CreateDefaultDisplayNodes()
    transform = host.add("vtkMRMLTransformNode", "transform")
    set_transform(transform, np.eye(4), displacement(), lattice)
    return Reviewed(lattice, transform=transform, **nodes)
