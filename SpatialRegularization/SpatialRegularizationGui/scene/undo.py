"""Undo changes of nodes: note what they hold before, so that a failure or the Undo button leaves no trace."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .nodes import hierarchy_of

REPLACED = ("vtkMRMLVolumeNode", "vtkMRMLTransformNode")
"""Classes whose content this package replaces and never overwrites: sharing it is enough."""

OWNED = ("display", "storage")
"""Roles of nodes that belong to the one that refers to them."""


@dataclass(frozen=True)
class _Kept:
    node: Any
    content: Any
    name: str
    attributes: dict[str, str]
    references: dict[str, tuple[str, ...]]
    parent_item: int


class Undo:
    """Nodes as they are at the moment of `keep`, and the nodes that are made after that.

    Args:
        scene: whose nodes these are.
    """

    def __init__(self, scene: Any) -> None:
        self._scene = scene
        self._hierarchy = hierarchy_of(scene)
        self._kept: dict[int, _Kept] = {}
        self._items: dict[int, dict[str, str]] = {}
        self._made: list[Any] = []
        self._made_items: list[int] = []

    @property
    def empty(self) -> bool:
        """True where there is nothing to put back."""
        return not (self._kept or self._made or self._made_items or self._items)

    def keep(self, node: Any) -> None:
        """Note what a node and its display nodes hold; the first call counts."""
        if id(node) in self._kept or any(node is made for made in self._made):
            return
        content = type(node)()
        content.CopyContent(node, not any(node.IsA(kind) for kind in REPLACED))
        item = self._hierarchy.GetItemByDataNode(node)
        parent = self._hierarchy.GetItemParent(item) if item else 0
        attributes = {name: node.GetAttribute(name) for name in node.GetAttributeNames()}
        self._kept[id(node)] = _Kept(node, content, node.GetName(), attributes, _references(node), parent)
        if node.IsA("vtkMRMLDisplayableNode"):
            for n in range(node.GetNumberOfDisplayNodes()):
                self.keep(node.GetNthDisplayNode(n))

    def make(self, node_class: str, name: str) -> Any:
        """A new node of the scene, with a name that no other node has; `restore` removes it."""
        taken = self._scene.GetFirstNodeByName(name) is not None
        node = self._scene.AddNewNodeByClass(node_class, self._scene.GenerateUniqueName(name) if taken else name)
        self._made.append(node)
        return node

    def keep_item(self, item: int) -> None:
        """Note the attributes of an item of the subject hierarchy."""
        if item not in self._items and item not in self._made_items:
            names = list(self._hierarchy.GetItemAttributeNames(item))
            self._items[item] = {name: self._hierarchy.GetItemAttribute(item, name) for name in names}

    def make_folder(self, name: str) -> int:
        """A new folder of the subject hierarchy; `restore` removes it."""
        item = self._hierarchy.CreateFolderItem(self._hierarchy.GetSceneItemID(), name)
        self._made_items.append(item)
        return item

    def restore(self) -> None:
        """Put back what was noted and remove what was made; nodes that are gone by now are left alone."""
        for node in reversed(self._made):
            self._remove(node)
        for kept in self._kept.values():
            if kept.node.GetScene() is not None:
                self._put_back(kept)
        for item, attributes in self._items.items():
            for name in self._hierarchy.GetItemAttributeNames(item):
                if name not in attributes:
                    self._hierarchy.RemoveItemAttribute(item, name)
            for name, value in attributes.items():
                self._hierarchy.SetItemAttribute(item, name, value)
        for item in self._made_items:
            self._hierarchy.RemoveItem(item, False, False)
        for noted in (self._made, self._made_items, self._kept, self._items):
            noted.clear()

    def _remove(self, node: Any) -> None:
        if node.GetScene() is not self._scene:
            return
        item = self._hierarchy.GetItemByDataNode(node)
        if item:
            self._hierarchy.RemoveItem(item, False, False)
        owned = [self._scene.GetNodeByID(other) for role in OWNED for other in _references(node).get(role, ())]
        for other in [node, *(other for other in owned if other is not None)]:
            self._scene.RemoveNode(other)

    def _put_back(self, kept: _Kept) -> None:
        node = kept.node
        modifying = node.StartModify()
        node.CopyContent(kept.content, not any(node.IsA(kind) for kind in REPLACED))
        node.SetName(kept.name)
        for name in node.GetAttributeNames():
            if name not in kept.attributes:
                node.RemoveAttribute(name)
        for name, value in kept.attributes.items():
            node.SetAttribute(name, value)
        now = _references(node)
        for role in {*now, *kept.references}:
            if now.get(role) != kept.references.get(role):
                self._refer(node, role, kept.references.get(role, ()))
        node.EndModify(modifying)
        item = self._hierarchy.GetItemByDataNode(node)
        if item and kept.parent_item:
            self._hierarchy.SetItemParent(item, kept.parent_item)
        elif item:
            self._hierarchy.RemoveItem(item, False, False)

    def _refer(self, node: Any, role: str, references: tuple[str, ...]) -> None:
        """Give a role its references; display nodes that were made for it since go away."""
        gone = set(_references(node).get(role, ())) - set(references)
        node.RemoveNodeReferenceIDs(role)
        for number, reference in enumerate(references):
            node.SetAndObserveNthNodeReferenceID(role, number, reference)
        for reference in gone if role in OWNED else ():
            if self._scene.GetNodeByID(reference) is not None:
                self._scene.RemoveNode(self._scene.GetNodeByID(reference))


def _references(node: Any) -> dict[str, tuple[str, ...]]:
    """Role → IDs of the nodes referred to, of the roles in use."""
    found = {}
    for n in range(node.GetNumberOfNodeReferenceRoles()):
        role = node.GetNthNodeReferenceRole(n)
        if node.GetNumberOfNodeReferences(role):
            found[role] = tuple(node.GetNthNodeReferenceID(role, k) for k in range(node.GetNumberOfNodeReferences(role)))
    return found
