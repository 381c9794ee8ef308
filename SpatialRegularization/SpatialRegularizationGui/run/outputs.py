"""Put what a registration found into the nodes of the user: all of it, or nothing is changed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import slicer

from SpatialRegularizationLib.geometry.grid import Grid

from ..inputs.request import OUTPUT_NAMES, Outputs, RegistrationRequest
from ..scene.apply_to import INVERSE_OF, refresh_inverse
from ..scene.images import Image, total_displacement
from ..scene.nodes import hierarchy_of, interpolate_linearly, nodes_of_class, set_image, set_transform
from ..scene.undo import Undo

PREFIX = "SpatialRegularization."
"""Of every attribute that this extension writes into a scene."""
ROLE = PREFIX + "Role"
FOLDER = PREFIX + "Folder"
NAMES = {
    "transform": "Transform of {moving} to {fixed}",
    "warped": "Registered {moving} to {fixed}",
    "lambda_map": "Lambda of {moving} to {fixed}",
    "jacobian": "Jacobian of {moving} to {fixed}",
    "magnitude": "Displacement (mm) of {moving} to {fixed}",
}
"""Names of nodes that are made here: what it is comes first, since selectors cut off the end."""


@dataclass(frozen=True)
class Found:
    """A registration φ(x) = B (x + d(x)) as arrays.

    Args:
        affine: B, 4x4, mm LPS.
        displacement: d (3, i, j, k), mm LPS, without B; None where nothing deforms.
        grid: where d lies, the fixed grid where there is none.
        images: of "warped", "lambda_map", "jacobian", those that there are.
    """

    affine: np.ndarray
    displacement: np.ndarray | None
    grid: Grid
    images: Mapping[str, Image]

    def magnitude(self) -> Image:
        """|φ(x) - x| in mm, the affine map included."""
        total = total_displacement(self.affine, self.displacement, self.grid)
        return Image(np.sqrt(sum(np.square(part) for part in total)), self.grid)

    @classmethod
    def from_answer(cls, values: Mapping[str, Any]) -> Found:
        """Of an answer of the worker, whose arrays are mapped and read only while the nodes are filled.

        Args:
            values: "arrays" (name → path of a .npy file: "displacement" where something deforms, and "warped", "lambda",
                "jacobian" where they are wanted), "shape", "index_to_lps_mm" and "affine"; "warped_shape" and
                "warped_index_to_lps_mm" where the warped image has another lattice.
        """
        grid = Grid.from_affine(np.array(values["index_to_lps_mm"]), tuple(values["shape"]))
        grids = {"warped": grid}
        if "warped_shape" in values:
            grids["warped"] = Grid.from_affine(np.array(values["warped_index_to_lps_mm"]), tuple(values["warped_shape"]))
        found = {name: np.load(path, mmap_mode="r") for name, path in values["arrays"].items()}
        names = {"warped": "warped", "lambda_map": "lambda", "jacobian": "jacobian"}
        images = {name: Image(found[file][0], grids.get(name, grid)) for name, file in names.items() if file in found}
        return cls(np.array(values["affine"]), found.get("displacement"), grid, images)


@dataclass(frozen=True)
class Stored:
    """What `store` did.

    Args:
        outputs: with every node that now holds a result; None for one that this registration does not have.
        folder_item: of the subject hierarchy.
        undo: `undo.restore()` takes it back.
    """

    outputs: Outputs
    folder_item: int
    undo: Undo


def store(scene: Any, request: RegistrationRequest, found: Found, facts: Mapping[str, Any]) -> Stored:
    """Fill the wanted nodes, make those that are missing, and put them into one folder with the settings.

    A re-run updates the same nodes and the same folder.

    Args:
        scene: of the nodes.
        request: names the pair and the outputs.
        found: the registration.
        facts: settings, model, version, figures, …: name → text, or anything that JSON can hold. Each becomes an attribute
            of the transform and of the folder, such as "SpatialRegularization.Settings".

    Raises:
        ValueError: a node cannot hold its result; every node is as it was.
    """
    undo = Undo(scene)
    try:
        outputs, folder = _store(undo, request, found, facts)
    except BaseException:
        undo.restore()
        raise
    return Stored(outputs, folder, undo)


def left_alone(request: RegistrationRequest, stored: Stored) -> str:
    """Which of the chosen nodes were not filled since there was nothing for them, in a sentence; "" for none."""
    chosen = {name: node for name, node in request.outputs.nodes.items() if name in request.outputs.wanted}
    names = [node.GetName() for name, node in chosen.items() if getattr(stored.outputs, name) is None]
    if not names:
        return ""
    words = f"{' and '.join(names)} {'is' if len(names) == 1 else 'are'} as before"
    return f"A linear transform has no weight map and no Jacobian map: {words}."


def restore_interpolation(scene: Any) -> None:
    """After a scene was loaded: registration transforms interpolate linearly again, as when they were made."""
    for node in nodes_of_class(scene, "vtkMRMLTransformNode"):
        if node.GetAttribute(ROLE) == "transform" or node.GetNodeReference(INVERSE_OF) is not None:
            interpolate_linearly(node)


def folder_of(node: Any) -> int:
    """The folder of the subject hierarchy that a result node lies in, 0 where there is none."""
    hierarchy = hierarchy_of(node.GetScene())
    item = hierarchy.GetItemByDataNode(node)
    parent = hierarchy.GetItemParent(item) if item else 0
    return parent if parent and hierarchy.HasItemAttribute(parent, FOLDER) else 0


def _store(
    undo: Undo, request: RegistrationRequest, found: Found, facts: Mapping[str, Any]
) -> tuple[Outputs, int]:
    pair = {"fixed": request.fixed.GetName(), "moving": request.moving.GetName()}
    there = {"transform", "magnitude", *found.images}
    nodes, lacking = {}, dict.fromkeys(name for name in OUTPUT_NAMES if name not in there)
    for name in [name for name in OUTPUT_NAMES if name in request.outputs.wanted & there]:
        node = getattr(request.outputs, name)
        if node is None:
            kind = "vtkMRMLTransformNode" if name == "transform" else "vtkMRMLScalarVolumeNode"
            node = undo.make(kind, NAMES[name].format(**pair))
        else:
            undo.keep(node)
        nodes[name] = node
        _fill(name, node, request, found, undo)
        node.SetAttribute(ROLE, name)
    folder = _folder(undo, nodes, "Registration of {moving} to {fixed}".format(**pair))
    _note(request, nodes, folder, facts)
    return replace(request.outputs, **lacking, **nodes), folder


def _fill(name: str, node: Any, request: RegistrationRequest, found: Found, undo: Undo) -> None:
    if name != "transform":
        image = found.magnitude() if name == "magnitude" else found.images[name]
        if node.GetDisplayNode() is None:
            node.CreateDefaultDisplayNodes()  # before there are voxels, which Slicer would look through for a window
            _show(name, node.GetDisplayNode(), image, request.moving.GetDisplayNode())
        set_image(node, image)
        return
    set_transform(node, found.affine, found.displacement, found.grid, composite=request.outputs.composite)
    roles = slicer.vtkMRMLTransformNode
    node.SetNodeReferenceID(roles.GetFixedNodeReferenceRole(), request.fixed.GetID())
    node.SetNodeReferenceID(roles.GetMovingNodeReferenceRole(), request.moving.GetID())
    refresh_inverse(node, undo)


def _show(name: str, display: Any, image: Image, like: Any) -> None:
    """The window of a new node: that of the moving volume for the warped one, 0 to 2 for Jacobians, else 0 to the maximum."""
    if name == "warped" and like is None:
        return
    if name == "warped":
        window = like.GetWindowLevelMin(), like.GetWindowLevelMax()
    else:
        window = (0.0, 2.0) if name == "jacobian" else (0.0, float(image.values.max()) or 1.0)
    display.AutoWindowLevelOff()
    display.SetWindowLevelMinMax(*window)


def _folder(undo: Undo, nodes: Mapping[str, Any], name: str) -> int:
    """The folder of an earlier run of these nodes, or a new one; nodes that the user has put elsewhere stay there."""
    if not nodes:
        return 0
    hierarchy = hierarchy_of(next(iter(nodes.values())).GetScene())
    items = {key: hierarchy.GetItemByDataNode(node) for key, node in nodes.items()}
    free = [key for key, item in items.items() if not item or hierarchy.GetItemParent(item) == hierarchy.GetSceneItemID()]
    folder = next((item for item in map(folder_of, nodes.values()) if item), 0)
    if folder:
        undo.keep_item(folder)
    elif free:
        folder = undo.make_folder(name)
        hierarchy.SetItemAttribute(folder, FOLDER, "1")
    for key in free:
        if items[key]:
            hierarchy.SetItemParent(items[key], folder)
        else:
            hierarchy.CreateItem(folder, nodes[key])
    return folder


def _note(request: RegistrationRequest, nodes: Mapping[str, Any], folder: int, facts: Mapping[str, Any]) -> None:
    """Provenance, on the folder and on the transform; that of an earlier run goes away."""
    noted = {"Fixed": request.fixed.GetName(), "Moving": request.moving.GetName(), **facts}
    texts = {
        PREFIX + name[:1].upper() + name[1:]: value if isinstance(value, str) else json.dumps(value, sort_keys=True)
        for name, value in noted.items()
    }
    hierarchy, transform = hierarchy_of(request.fixed.GetScene()), nodes.get("transform")
    if folder:
        for name in _stale(hierarchy.GetItemAttributeNames(folder), texts):
            hierarchy.RemoveItemAttribute(folder, name)
        for name, text in texts.items():
            hierarchy.SetItemAttribute(folder, name, text)
    if transform is not None:
        for name in _stale(transform.GetAttributeNames(), texts):
            transform.RemoveAttribute(name)
        for name, text in texts.items():
            transform.SetAttribute(name, text)


def _stale(names: Iterable[str], texts: Mapping[str, str]) -> list[str]:
    return [name for name in names if name.startswith(PREFIX) and name not in {ROLE, FOLDER, *texts}]
