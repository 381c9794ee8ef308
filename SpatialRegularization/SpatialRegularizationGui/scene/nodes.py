"""Convert MRML nodes to images, displacement fields and points in patient space, and back. RAS exists in this file alone.

Everything that goes in or comes out is numpy in millimetres LPS: `Grid` of the library, voxels (i, j, k), vectors
(3, i, j, k) with component c along LPS axis c, matrices 4x4. With F = diag(-1, -1, 1) a displacement is d_RAS = F d_LPS and
an index-to-world matrix M_RAS = F M_LPS; an affine map of the world is B_RAS = F B_LPS F.

A registration φ carries points of the fixed image to points of the moving image. In Slicer it is the TransformFromParent
of the node that the **moving** data are put under. Volumes may have linear parents, which are composed into the grid;
other parents are refused. `below` names a transform node to stop at: the output of an earlier run, below which the moving
volume may hang to be seen warped, is not part of where the volume lies.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from SpatialRegularizationLib.geometry.grid import Grid

from .arrays import array_of_matrix, matrix_of, voxels_of, vtk_image, vtk_vectors
from .images import Image, total_displacement

FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])


def volume_problem(volume: Any, *, below: Any = None) -> str:
    """The sentence that says why a volume node cannot be registered; "" where it can. Reads no voxels."""
    try:
        shape = image_of(volume, below=below).grid.shape
    except ValueError as error:
        return str(error)
    if min(shape) < 2:
        return f"{volume.GetName()} is a single slice: choose a volume with at least 2 voxels along each axis."
    return ""


def nodes_of_class(scene: Any, kind: str) -> list[Any]:
    """The nodes of a scene that are of a class, or derived from it."""
    return [scene.GetNthNodeByClass(n, kind) for n in range(scene.GetNumberOfNodesByClass(kind))]


def hierarchy_of(scene: Any) -> Any:
    """The subject hierarchy: the folders that the Data module shows."""
    return slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)


def is_under(node: Any, transform: Any) -> bool:
    """True where a transform is among the parents of a node."""
    parent = node.GetParentTransformNode()
    while parent is not None and parent is not transform:
        parent = parent.GetParentTransformNode()
    return parent is not None


def parent_to_world(node: Any, *, below: Any = None) -> np.ndarray:
    """4x4 from the node's own frame to the world, its linear parents composed (LPS mm).

    Raises:
        ValueError: a parent is not linear.
    """
    total, parent = np.eye(4), node.GetParentTransformNode()
    while parent is not None and parent is not below:
        if not parent.IsLinear():
            raise ValueError(
                f"{node.GetName()} is under the transform {parent.GetName()}, which is not linear: take it out from under "
                "the transform, or harden the transform, in the Data module."
            )
        matrix = vtk.vtkMatrix4x4()
        parent.GetMatrixTransformToParent(matrix)
        total, parent = _flipped(matrix) @ total, parent.GetParentTransformNode()
    return total


def grid_of(volume: Any, *, below: Any = None) -> Grid:
    """Where the voxels of a volume node lie in the world.

    Raises:
        ValueError: no voxels, a parent that is not linear, or a lattice with shear.
    """
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    affine = parent_to_world(volume, below=below) @ FLIP @ array_of_matrix(matrix)
    try:
        return Grid.from_affine(affine, _image_data(volume).GetDimensions())
    except ValueError as error:
        raise ValueError(f"{volume.GetName()}: {error}") from error


def image_of(volume: Any, *, below: Any = None) -> Image:
    """Voxels (a view into the node, not to be written to) and grid of a scalar volume or label map.

    Raises:
        ValueError: as `grid_of`, or more than one value per voxel.
    """
    data = _image_data(volume)
    if data.GetNumberOfScalarComponents() != 1:
        raise ValueError(
            f"{volume.GetName()} has {data.GetNumberOfScalarComponents()} values per voxel, expected 1: convert it to a "
            "scalar volume (Vector to Scalar Volume module)."
        )
    return Image(voxels_of(data), grid_of(volume, below=below))


def set_image(volume: Any, image: Image) -> None:
    """Give a volume node other voxels, in the world: its parent transform, where it had one, is taken away.

    The voxels that it had are replaced, not overwritten, so that whoever still holds them keeps them.
    """
    affine = FLIP @ image.grid.affine
    spacing = np.array(image.grid.spacing)
    matrix = matrix_of(affine)
    data = vtk_image(image.values)
    volume.SetAndObserveTransformNodeID(None)
    volume.SetIJKToRASMatrix(matrix)
    volume.SetAndObserveImageData(data)
    if not np.allclose(volume.GetSpacing(), spacing):
        raise RuntimeError(f"{volume.GetName()} took the spacing {volume.GetSpacing()}, expected {tuple(spacing)}.")


def set_transform(
    node: Any, affine: np.ndarray, displacement: np.ndarray | None, grid: Grid | None, *, composite: bool = True
) -> None:
    """Store φ(x) = B (x + d(x)) in a transform node, so that the moving data under it lie where the fixed data are.

    The node becomes a node of the world (no parent transform); grids interpolate linearly, as the library does. B alone is
    stored as Slicer stores its own linear transforms, as the matrix to the parent, so that its sliders and inversion work on it.

    Args:
        node: a vtkMRMLTransformNode; not one of a linear class where there is a field, none of B-splines where there is none.
        affine: B, 4x4.
        displacement: d (3, i, j, k), or None for B alone.
        grid: where d lies, the fixed grid.
        composite: B and d side by side, exact everywhere; otherwise one grid of φ(x) - x, which repeats its border outside.

    Raises:
        ValueError: the class of the node cannot hold it.
    """
    affine = np.asarray(affine, dtype=np.float64)
    (check_holds_linear if displacement is None else check_holds_field)(node)
    node.SetAndObserveTransformNodeID(None)
    if displacement is None:
        node.SetAndObserveTransformToParent(_linear(np.linalg.inv(affine)))
    else:
        node.SetAndObserveTransformFromParent(_phi(affine, displacement, grid, composite))


def check_holds_field(node: Any) -> None:
    """Refuses a transform node of a class that can hold no displacement field.

    Raises:
        ValueError: it is linear or a B-spline.
    """
    if node.GetClassName() in ("vtkMRMLLinearTransformNode", "vtkMRMLBSplineTransformNode"):
        raise ValueError(
            f"{node.GetName()} can hold no displacement field ({node.GetNodeTagName()}): choose another output transform, or "
            "create a new one."
        )


def check_holds_linear(node: Any) -> None:
    """Refuses a transform node of a class that can hold no linear transform.

    Raises:
        ValueError: it is a grid or a B-spline.
    """
    if node.GetClassName() in ("vtkMRMLGridTransformNode", "vtkMRMLBSplineTransformNode"):
        raise ValueError(
            f"{node.GetName()} can hold no linear transform ({node.GetNodeTagName()}): choose another output transform, or "
            "create a new one."
        )


def interpolate_linearly(node: Any) -> None:
    """Make the grids of a transform node linear, as `set_transform` stores them: Slicer reads them from files as cubic."""
    for transform in (node.GetTransformFromParent(), node.GetTransformToParent()):
        for part in _parts(transform):
            if part.IsA("vtkGridTransform"):
                part.SetInterpolationModeToLinear()


def initial_affine(node: Any) -> np.ndarray:
    """B (4x4) of the linear transform that one would put the moving volume under: fixed points to moving points.

    Raises:
        ValueError: the transform, or one above it, is not linear.
    """
    inner = vtk.vtkMatrix4x4()
    if not node.IsLinear() or not slicer.vtkMRMLTransformNode.GetMatrixTransformBetweenNodes(None, node, inner):
        raise ValueError(
            f"The initial transform {node.GetName()} is not linear: choose a linear one, or harden it onto the moving volume."
        )
    return _flipped(inner)


def from_world(node: Any, *, inverse: bool = False) -> Any:
    """φ of a transform node and what is above it, as a VTK transform for `pulled`: world to node, or back.

    Images are pulled through it; points are pushed through its inverse.
    """
    general = vtk.vtkGeneralTransform()
    ends = (node, None) if inverse else (None, node)
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(*ends, general)
    return general


def oriented_image_of(data: Any, *, parent: np.ndarray | None = None) -> Image | None:
    """Image of a vtkOrientedImageData (one layer of a segmentation), or None where it is empty.

    Args:
        data: its extent may begin anywhere.
        parent: 4x4 from the segmentation's frame to the world, as of `parent_to_world`.
    """
    if data is None or data.IsEmpty() or data.GetPointData().GetScalars() is None:
        return None
    matrix = vtk.vtkMatrix4x4()
    data.GetImageToWorldMatrix(matrix)
    affine = FLIP @ array_of_matrix(matrix)
    affine[:, 3] = affine @ np.array([*data.GetExtent()[::2], 1.0])
    world = affine if parent is None else parent @ affine
    return Image(voxels_of(data), Grid.from_affine(world, data.GetDimensions()))


def oriented_image(image: Image) -> Any:
    """A vtkOrientedImageData of the image, for a segment."""
    data = slicer.vtkOrientedImageData()
    data.ShallowCopy(vtk_image(image.values))
    data.SetImageToWorldMatrix(matrix_of(FLIP @ image.grid.affine))
    return data


def positions_of(node: Any, *, below: Any = None) -> np.ndarray:
    """Points (n, 3) of a model, or placed control points of markups, in the world."""
    if not node.IsA("vtkMRMLModelNode"):
        return points_of(node, below=below)[0]
    mesh = node.GetMesh()
    if mesh is None or mesh.GetNumberOfPoints() == 0:
        return np.zeros((0, 3))
    return _moved(vtk_to_numpy(mesh.GetPoints().GetData()).astype(np.float64), parent_to_world(node, below=below))


def points_of(markups: Any, *, below: Any = None) -> tuple[np.ndarray, tuple[str, ...]]:
    """Placed control points of a markups node: positions (n, 3) in the world, and their labels.

    Raises:
        ValueError: a parent that is not linear.
    """
    world = parent_to_world(markups, below=below)
    placed = [
        n
        for n in range(markups.GetNumberOfControlPoints())
        if markups.GetNthControlPointPositionStatus(n) == slicer.vtkMRMLMarkupsNode.PositionDefined
    ]
    own = np.array([markups.GetNthControlPointPosition(n) for n in placed], dtype=np.float64).reshape(-1, 3)
    return _moved(own, world), tuple(markups.GetNthControlPointLabel(n) for n in placed)


def slice_position(point: np.ndarray) -> tuple[float, float, float]:
    """A point (3,) LPS as `vtkMRMLSliceNode.JumpSliceByCentering` takes it."""
    return tuple(float(c) for c in FLIP[:3, :3] @ np.asarray(point, dtype=np.float64))


def mapped(transform: Any, points: np.ndarray) -> np.ndarray:
    """Points (n, 3) LPS through a VTK transform between RAS frames, such as that of `from_world`."""
    given, moved = vtk.vtkPoints(), vtk.vtkPoints()
    given.SetData(numpy_to_vtk(np.ascontiguousarray(np.asarray(points, dtype=np.float64) @ FLIP[:3, :3]), deep=1))
    moved.SetDataTypeToDouble()
    transform.TransformPoints(given, moved)
    return vtk_to_numpy(moved.GetData()).reshape(-1, 3) @ FLIP[:3, :3]


def pushing(phi: Any, parent: np.ndarray) -> Any:
    """The VTK transform that moves data with linear parents (4x4, as of `parent_to_world`) through φ⁻¹ into the world."""
    push = vtk.vtkGeneralTransform()
    push.PostMultiply()
    push.Concatenate(matrix_of(FLIP @ parent @ FLIP))
    push.Concatenate(phi.GetInverse())
    return push


def set_parent_matrix(node: Any, matrix: np.ndarray) -> None:
    """Make a transform node linear, with this matrix (4x4) to its parent."""
    node.SetMatrixTransformToParent(matrix_of(FLIP @ matrix @ FLIP))


def pulled(image: Image, phi: Any, grid: Grid, *, nearest: bool, fill: float) -> Image:
    """The image on another grid:  out(x) = image(φ(x)).

    Linear between voxel centers (or the nearest one), the border value up to half a voxel beyond the outermost centers.

    Args:
        image: in the world that φ leads to.
        phi: VTK transform as of `from_world`, or None for the identity.
        grid: where to compute it.
        nearest: for labels.
        fill: value outside of the image.
    """
    through = vtk.vtkGeneralTransform() if phi is not None else vtk.vtkTransform()
    through.PostMultiply()
    through.Concatenate(matrix_of(FLIP @ grid.affine))
    if phi is not None:
        through.Concatenate(phi)
    through.Concatenate(matrix_of(np.linalg.inv(FLIP @ image.grid.affine)))
    reslice = vtk.vtkImageReslice()
    reslice.SetInputData(vtk_image(image.values))
    reslice.SetResliceTransform(through)
    reslice.SetOutputExtent(*(e for n in grid.shape for e in (0, n - 1)))
    reslice.SetOutputOrigin(0, 0, 0)
    reslice.SetOutputSpacing(1, 1, 1)
    reslice.SetInterpolationModeToNearestNeighbor() if nearest else reslice.SetInterpolationModeToLinear()
    reslice.SetBackgroundLevel(fill)
    reslice.Update()
    return Image(voxels_of(reslice.GetOutput()), grid)


def _linear(matrix: np.ndarray) -> Any:
    """VTK's transform of a matrix (4x4, LPS): a new one, since those of nodes are replaced and never overwritten."""
    linear = vtk.vtkTransform()
    linear.SetMatrix(matrix_of(FLIP @ matrix @ FLIP))
    return linear


def _phi(affine: np.ndarray, displacement: np.ndarray, grid: Grid, composite: bool) -> Any:
    if np.array_equal(affine, np.eye(4)):
        return _field(displacement, grid)
    if not composite:
        return _field(total_displacement(affine, displacement, grid), grid)
    general = vtk.vtkGeneralTransform()  # pre-multiply: what is concatenated last acts first
    general.Concatenate(matrix_of(FLIP @ affine @ FLIP))
    general.Concatenate(_field(displacement, grid))
    return general


def _field(displacement: np.ndarray, grid: Grid) -> Any:
    """VTK's transform of a displacement field, linear between its voxels."""
    if tuple(displacement.shape) != (3, *grid.shape):
        raise ValueError(f"A displacement must be {(3, *grid.shape)} as its grid, got {tuple(displacement.shape)}.")
    image = vtk_vectors(displacement, tuple(FLIP.diagonal()[:3]))
    image.SetOrigin(*(FLIP[:3, :3] @ np.array(grid.origin)))
    image.SetSpacing(*grid.spacing)
    directions = np.eye(4)
    directions[:3, :3] = FLIP[:3, :3] @ np.array(grid.direction)
    transform = slicer.vtkOrientedGridTransform()
    transform.SetGridDirectionMatrix(matrix_of(directions))
    transform.SetDisplacementGridData(image)
    transform.SetInterpolationModeToLinear()
    return transform


def _image_data(volume: Any) -> Any:
    data = volume.GetImageData()
    if data is None or data.GetPointData().GetScalars() is None or 0 in data.GetDimensions():
        raise ValueError(f"{volume.GetName()} holds no voxels: load an image into it, or choose another volume.")
    return data


def _moved(ras: np.ndarray, world: np.ndarray) -> np.ndarray:
    """Points (n, 3) RAS of a node's own frame, in the world, LPS."""
    return ras @ FLIP[:3, :3] @ world[:3, :3].T + world[:3, 3]


def _parts(transform: Any) -> list[Any]:
    """What a general transform is made of; it may know that only after an update."""
    if transform is None or not transform.IsA("vtkGeneralTransform"):
        return [] if transform is None else [transform]
    transform.Update()
    count = transform.GetNumberOfConcatenatedTransforms()
    return [part for n in range(count) for part in _parts(transform.GetConcatenatedTransform(n))]


def _flipped(matrix: Any) -> np.ndarray:
    """The LPS form of a RAS-to-RAS matrix."""
    return FLIP @ array_of_matrix(matrix) @ FLIP
