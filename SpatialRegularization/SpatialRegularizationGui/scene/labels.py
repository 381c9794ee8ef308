"""Read label maps, segmentations and masks as arrays on the grid of an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import slicer

from SpatialRegularizationLib.geometry.grid import Grid

from .images import Image
from .nodes import image_of, oriented_image_of, parent_to_world, pulled

BINARY = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()


def is_segmentation(node: Any) -> bool:
    """True for a segmentation node, False for a volume."""
    return bool(node.IsA("vtkMRMLSegmentationNode"))


def segment_names(segmentation: Any) -> tuple[str, ...]:
    """Names of all segments, in their order.

    Raises:
        ValueError: none, or two of one name: segments of two nodes are matched by their names.
    """
    content = segmentation.GetSegmentation()
    names = [content.GetNthSegment(n).GetName() for n in range(content.GetNumberOfSegments())]
    if not names:
        raise ValueError(f"{segmentation.GetName()} holds no segments: add one, or choose another node.")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{segmentation.GetName()} has two segments named {twice[0]!r}: give every segment its own name.")
    return tuple(names)


def label_values(nodes: Sequence[Any]) -> dict[str, int] | None:
    """Name of a segment → its value in the label maps of all these nodes; None where they are label-map volumes.

    Raises:
        ValueError: segmentations and label maps are mixed, or two segmentations share no name.
    """
    kinds = {is_segmentation(node) for node in nodes}
    if len(kinds) > 1:
        names = " and ".join(node.GetName() for node in nodes)
        raise ValueError(
            f"Of {names} one is a segmentation and one a label map: convert one of them (Data module, right click on it)."
        )
    if kinds != {True}:
        return None
    lists = [segment_names(node) for node in nodes]
    if len(lists) > 1 and not set(lists[0]) & set(lists[1]):
        raise ValueError(
            f"{nodes[0].GetName()} and {nodes[1].GetName()} have no segment of the same name ({', '.join(lists[0][:3])}; "
            f"{', '.join(lists[1][:3])}): name the segments that correspond alike."
        )
    return {name: number + 1 for number, name in enumerate(dict.fromkeys(name for names in lists for name in names))}


def label_image(node: Any, grid: Grid, values: Mapping[str, int] | None, *, below: Any = None) -> Image:
    """Labels (int32, 0 is background) of a label map or segmentation on a grid, nearest voxel.

    Args:
        node: volume of integers, or segmentation; where segments overlap, the later one counts.
        grid: the grid of the image that the labels belong to.
        values: as of `label_values`.
        below: as in `scene`.

    Raises:
        ValueError: values that are not integers, or what `scene` raises.
    """
    if not is_segmentation(node):
        return _volume_labels(node, grid, below)
    merged = np.zeros(grid.shape, dtype=np.int32)
    segment_names(node)
    for segment_id, mask in segment_masks(node, below=below).items():
        inside = _on(mask, grid).values > 0
        merged[inside] = values[node.GetSegmentation().GetSegment(segment_id).GetName()]
    return Image(merged, grid)


def mask_image(node: Any, grid: Grid, *, below: Any = None) -> Image:
    """1 (uint8) where a volume is > 0, or where any segment is, on a grid.

    Raises:
        ValueError: nothing is inside, or what `scene` raises.
    """
    if is_segmentation(node):
        masks = list(segment_masks(node, below=below).values())
    else:
        image = image_of(node, below=below)
        masks = [Image((image.values > 0).astype(np.uint8), image.grid)]
    inside = np.zeros(grid.shape, dtype=np.uint8)
    for mask in masks:
        inside |= _on(mask, grid).values
    if not inside.any():
        raise ValueError(f"The mask {node.GetName()} is empty within its image: draw it, or leave the mask out.")
    return Image(inside, grid)


def segment_masks(segmentation: Any, *, below: Any = None) -> dict[str, Image]:
    """Segment ID → 1 inside (uint8) of every segment that is not empty, each on its own part of the lattice.

    Raises:
        ValueError: a parent that is not linear, or surfaces that cannot be converted.
    """
    parent = parent_to_world(segmentation, below=below)
    content = with_binary_labelmap(segmentation)
    masks = {}
    for n in range(content.GetNumberOfSegments()):
        segment = content.GetNthSegment(n)
        layer = oriented_image_of(segment.GetRepresentation(BINARY), parent=parent)
        if layer is not None:
            masks[content.GetNthSegmentID(n)] = Image((layer.values == segment.GetLabelValue()).astype(np.uint8), layer.grid)
    return masks


def with_binary_labelmap(segmentation: Any) -> Any:
    """The vtkSegmentation of a node if it has binary label maps, else a copy that has; the node stays as it is.

    Raises:
        ValueError: its surfaces cannot be converted.
    """
    content = segmentation.GetSegmentation()
    if content.ContainsRepresentation(BINARY):
        return content
    copy = slicer.vtkSegmentation()
    copy.DeepCopy(content)
    if not copy.CreateRepresentation(BINARY):
        raise ValueError(
            f"The surfaces of {segmentation.GetName()} cannot be converted to label maps: create a binary label map in the "
            "Segmentations module."
        )
    return copy


def _volume_labels(volume: Any, grid: Grid, below: Any) -> Image:
    image = image_of(volume, below=below)
    values = image.values
    if not np.issubdtype(values.dtype, np.integer) and not np.array_equal(values, np.rint(values)):
        raise ValueError(f"{volume.GetName()} is no label map, its values are not whole numbers: choose a label map.")
    return _on(Image(values.astype(np.int32), image.grid), grid)


def _on(image: Image, grid: Grid) -> Image:
    return image if image.grid.matches(grid) else pulled(image, None, grid, nearest=True, fill=0)
