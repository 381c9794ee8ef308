"""Apply a transform to further nodes: volumes, label maps, segmentations, markups, models, and sequences of them.

Applied means: what belongs to the moving image comes to lie where the fixed image is (with `inverse` the other way). A
node is either put under the transform, which can be undone by taking it out, or hardened: it gets new voxels or points.
Hardened images keep their own axes and spacing, on a lattice as large as they have become, or take the grid of a
reference. Segmentations are hardened voxel by voxel here, because Slicer's own hardening crops oblique ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .hardening import browsers_of, harden_node
from .nodes import from_world, is_under, nodes_of_class, parent_to_world, set_parent_matrix
from .undo import Undo

KINDS = ("vtkMRMLScalarVolumeNode", "vtkMRMLSegmentationNode", "vtkMRMLMarkupsNode", "vtkMRMLModelNode", "vtkMRMLSequenceNode")
"""Classes of nodes (and what is derived from them) that a transform can be applied to."""
INVERSE_OF = "SpatialRegularization.InverseOf"
CARRIED_PARENT = "SpatialRegularization.CarriedParent"


@dataclass(frozen=True)
class Applied:
    """What was done.

    Args:
        nodes: that were moved, in the order given.
        notes: sentences for the user, such as points without an exact origin.
        undo: `undo.restore()` takes it back.
    """

    nodes: tuple[Any, ...]
    notes: tuple[str, ...]
    undo: Undo


def can_apply(node: Any) -> str:
    """ "" where a transform can be applied to the node, or the sentence that says why not."""
    if node is None:
        return "Select something to apply the transform to."
    if not any(node.IsA(kind) for kind in KINDS):
        return (
            f"{node.GetName()} is a {node.GetNodeTagName()}: choose volumes, label maps, segmentations, markups, models or "
            "sequences of them."
        )
    if node.IsA("vtkMRMLSequenceNode"):
        if node.GetNumberOfDataNodes() == 0:
            return f"{node.GetName()} is a sequence without frames: load or record some."
        return can_apply(node.GetNthDataNode(0))
    return ""


def apply_to(
    transform: Any, nodes: Sequence[Any], *, inverse: bool = False, harden: bool = False, reference: Any = None
) -> Applied:
    """Apply a transform to nodes: all of them, or none is changed.

    Args:
        transform: φ, fixed to moving in the sense of resampling: the output of a registration, or any transform node.
        nodes: linear parents are kept (not hardened) or taken along (hardened); the transform itself may be among them.
        inverse: from the fixed to the moving space.
        harden: new voxels and points; otherwise the nodes are put under the transform (of a sequence its proxy is).
        reference: a volume on whose grid hardened volumes and segmentations shall lie.

    Raises:
        ValueError: one sentence: something that cannot be moved, or only in another way.
    """
    if transform is None:
        raise ValueError("Select a transform to apply.")
    wrong = [sentence for sentence in map(can_apply, nodes or [None]) if sentence]
    if wrong:
        raise ValueError(wrong[0])
    if reference is not None and not harden:
        raise ValueError("A reference grid is for hardened results: harden, or leave the reference out.")
    undo = Undo(transform.GetScene())
    notes: list[str] = []
    try:
        for node in nodes:
            if harden:
                notes += harden_node(node, transform, undo, inverse=inverse, reference=reference)
            else:
                _put_under(node, transform, undo, inverse)
    except BaseException:
        undo.restore()
        raise
    return Applied(tuple(nodes), tuple(notes), undo)


def refresh_inverse(transform: Any, undo: Undo) -> None:
    """After a transform has changed: the inverse node that was made of it follows."""
    inverse = _inverse_node(transform)
    if inverse is not None:
        undo.keep(inverse)
        inverse.SetAndObserveTransformToParent(from_world(transform))


def _put_under(node: Any, transform: Any, undo: Undo, inverse: bool) -> None:
    target = _inverse(transform, undo) if inverse else transform
    for shown in _proxies(node) if node.IsA("vtkMRMLSequenceNode") else [node]:
        if is_under(shown, target):
            continue
        undo.keep(shown)
        parent = shown.GetParentTransformNode()
        shown.SetAndObserveTransformNodeID((target if parent is None else _carrier(shown, target, undo)).GetID())


def _carrier(node: Any, target: Any, undo: Undo) -> Any:
    """A linear transform under `target` that does what the parents of the node do: they move first, then the target.

    The parents themselves stay where they are, with everything else that is under them.
    """
    parent = node.GetParentTransformNode()
    matrix = parent_to_world(node)
    for other in nodes_of_class(node.GetScene(), "vtkMRMLLinearTransformNode"):
        if other.GetNodeReference(CARRIED_PARENT) is parent and other.GetParentTransformNode() is target:
            undo.keep(other)
            set_parent_matrix(other, matrix)
            return other
    made = undo.make("vtkMRMLLinearTransformNode", f"{parent.GetName()} under {target.GetName()}")
    made.SetNodeReferenceID(CARRIED_PARENT, parent.GetID())
    set_parent_matrix(made, matrix)
    made.SetAndObserveTransformNodeID(target.GetID())
    return made


def _inverse(transform: Any, undo: Undo) -> Any:
    """The node that holds φ⁻¹: made once, and kept up to date."""
    node = _inverse_node(transform)
    if node is None:
        node = undo.make("vtkMRMLTransformNode", f"Inverse of {transform.GetName()}")
        node.SetNodeReferenceID(INVERSE_OF, transform.GetID())
    else:
        undo.keep(node)
    node.SetAndObserveTransformToParent(from_world(transform))
    return node


def _inverse_node(transform: Any) -> Any:
    nodes = nodes_of_class(transform.GetScene(), "vtkMRMLTransformNode")
    return next((node for node in nodes if node.GetNodeReference(INVERSE_OF) is transform), None)


def _proxies(sequence: Any) -> list[Any]:
    proxies = [browser.GetProxyNode(sequence) for browser in browsers_of(sequence)]
    proxies = [proxy for proxy in proxies if proxy is not None]
    if not proxies:
        raise ValueError(f"{sequence.GetName()} is shown by no sequence browser: open it in one, or harden.")
    return proxies
