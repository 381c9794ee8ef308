"""Harden a transform onto one node: give it new voxels or points."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer

from SpatialRegularizationLib.geometry.grid import Grid

from .images import Image
from .labels import BINARY, segment_masks
from .nodes import (
    from_world,
    grid_of,
    image_of,
    mapped,
    nodes_of_class,
    oriented_image,
    parent_to_world,
    positions_of,
    pulled,
    pushing,
    set_image,
)
from .undo import Undo

TOLERANCE_MM = 1e-2
"""Largest accepted distance |φ(φ⁻¹(y)) - y|."""
STEPS = 24
"""Points along each edge of a lattice that tell how far it reaches after the transform."""
MARGIN = 1
"""Voxels added around a lattice for what bulges between those points."""


def harden_node(node: Any, transform: Any, undo: Undo, *, inverse: bool, reference: Any) -> list[str]:
    """Move one node's data through the transform and its linear parents; it ends in the world, under nothing.

    Returns:
        Sentences for the user.

    Raises:
        ValueError: parents that are not linear, several values per voxel.
    """
    if node.IsA("vtkMRMLSequenceNode"):
        return _harden_sequence(node, transform, undo, inverse, reference)
    phi = from_world(transform, inverse=inverse)
    grid = None if reference is None else grid_of(reference)
    undo.keep(node)
    if node.IsA("vtkMRMLScalarVolumeNode"):
        _harden_volume(node, phi, grid, transform)
        return []
    if node.IsA("vtkMRMLSegmentationNode"):
        _harden_segmentation(node, phi, reference, transform)
        return []
    return _harden_points(node, phi, transform)


def covering(grid: Grid, phi: Any) -> Grid:
    """The lattice continued (same axes, spacing and voxel centers) or cut until it holds what is on it, moved by φ⁻¹."""
    half = [np.linspace(-0.5, n - 0.5, STEPS) for n in grid.shape]
    index = np.stack(np.meshgrid(*half, indexing="ij"), axis=-1)
    faces = np.zeros(index.shape[:3], dtype=bool)
    for axis in range(3):
        np.moveaxis(faces, axis, 0)[[0, -1]] = True
    moved = grid.point_to_index(mapped(phi.GetInverse(), grid.index_to_point(index[faces])))
    low = np.floor(moved.min(axis=0)).astype(int) - MARGIN
    high = np.ceil(moved.max(axis=0)).astype(int) + MARGIN
    shape = tuple(int(n) for n in high - low + 1)
    return Grid(shape, grid.spacing, tuple(grid.index_to_point(low)), grid.direction)


def _turned(grid: Grid, phi: Any) -> Grid | None:
    """The lattice itself moved by a linear φ⁻¹, so that no voxel is interpolated; None where that would shear it."""
    ends = mapped(phi.GetInverse(), np.vstack([np.zeros(3), np.eye(3)]))
    matrix = np.eye(4)
    matrix[:3, 3] = ends[0]
    matrix[:3, :3] = (ends[1:] - ends[0]).T
    try:
        return Grid.from_affine(matrix @ grid.affine, grid.shape)
    except ValueError:
        return None


def _harden_volume(volume: Any, phi: Any, grid: Grid | None, transform: Any) -> None:
    image = image_of(volume, below=transform)
    labels = bool(volume.IsA("vtkMRMLLabelMapVolumeNode"))
    fill = 0.0 if labels else min(0.0, float(image.values.min()))
    turned = _turned(image.grid, phi) if grid is None and transform.IsTransformToWorldLinear() else None
    if turned is not None:
        set_image(volume, Image(image.values, turned))
        return
    target = covering(image.grid, phi) if grid is None else grid
    set_image(volume, pulled(image, phi, target, nearest=labels, fill=fill))


def _harden_segmentation(segmentation: Any, phi: Any, reference: Any, transform: Any) -> None:
    grid = None if reference is None else grid_of(reference)
    own = segmentation.GetSegmentation()
    moved = {}
    for segment_id, mask in segment_masks(segmentation, below=transform).items():
        target = covering(mask.grid, phi) if grid is None else grid
        moved[segment_id] = oriented_image(pulled(mask, phi, target, nearest=True, fill=0))
    shown = [name for name in _representations(own) if name != BINARY]
    segmentation.SetAndObserveTransformNodeID(None)
    for number in range(own.GetNumberOfSegments()):
        segment = own.GetNthSegment(number)
        segment.RemoveAllRepresentations()
        if own.GetNthSegmentID(number) in moved:
            segment.SetLabelValue(1)
            segment.AddRepresentation(BINARY, moved[own.GetNthSegmentID(number)])
    own.SetSourceRepresentationName(BINARY)
    if reference is not None:
        segmentation.SetReferenceImageGeometryParameterFromVolumeNode(reference)
    for name in shown:
        own.CreateRepresentation(name)
    segmentation.Modified()


def _representations(content: Any) -> list[str]:
    """Names of the representations that the segments have."""
    names: list[str] = []
    content.GetContainedRepresentationNames(names)
    return names


def _harden_points(node: Any, phi: Any, transform: Any) -> list[str]:
    """Markups and models: points are pushed through φ⁻¹, and must come back through φ."""
    before = positions_of(node, below=transform)
    push = pushing(phi, parent_to_world(node, below=transform))
    node.SetAndObserveTransformNodeID(None)
    node.ApplyTransform(push)
    if len(before) == 0:
        return []
    residual = np.linalg.norm(mapped(phi, positions_of(node)) - before, axis=1)
    open_ = int((residual > TOLERANCE_MM).sum())
    if open_ == 0:
        return []
    return [
        f"{open_} of {len(residual)} points of {node.GetName()} have no exact origin under the transform (largest error "
        f"{residual.max():.3g} mm): it folds there, or they lie at the border of its field."
    ]


def _harden_sequence(sequence: Any, transform: Any, undo: Undo, inverse: bool, reference: Any) -> list[str]:
    """Frame by frame; what the browsers show follows."""
    browsers = browsers_of(sequence)
    for browser in browsers:
        proxy = browser.GetProxyNode(sequence)
        parent = None if proxy is None else proxy.GetParentTransformNode()
        if parent is not None and parent is not transform:
            raise ValueError(
                f"The frames of {sequence.GetName()} are shown under {parent.GetName()}: take {proxy.GetName()} out from under "
                "it first."
            )
    notes = []
    for n in range(sequence.GetNumberOfDataNodes()):
        told = harden_node(sequence.GetNthDataNode(n), transform, undo, inverse=inverse, reference=reference)
        notes += [f"Frame {n + 1}: {sentence}" for sentence in told]
    for browser in browsers:
        proxy = browser.GetProxyNode(sequence)
        if proxy is not None:
            undo.keep(proxy)
            proxy.SetAndObserveTransformNodeID(None)
            slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
    return notes


def browsers_of(sequence: Any) -> list[Any]:
    """The browser nodes that show a sequence."""
    browsers = nodes_of_class(sequence.GetScene(), "vtkMRMLSequenceBrowserNode")
    return [browser for browser in browsers if browser.IsSynchronizedSequenceNode(sequence, True)]
