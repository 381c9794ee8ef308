"""The names of qt, ctk, qMRML and the application that the module uses, for Testing/README.md.

    python Testing/module/qt_names.py        writes the list into Testing/README.md

Found in the source: `qt.X` and its kind, signals that are connected, properties in the .ui file, and members of widgets whose
class is known (from the .ui file, or from `name = qt.X(...)` in the same file).
"""

from __future__ import annotations

import ast
import re
import xml.etree.ElementTree as ElementTree
from collections import defaultdict
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
MODULE = REPOSITORY / "SpatialRegularization"
FORM = MODULE / "Resources" / "UI" / "SpatialRegularization.ui"
README = REPOSITORY / "Testing" / "README.md"
BEGIN, END = "<!-- names: begin -->", "<!-- names: end -->"
ROOTS = ("qt", "ctk")
OF_SLICER = ("app", "modules", "util", "packaging")
"""Parts of `slicer` that only the application has, or that lead to it."""
KNOWN = {
    "_combo": ("QComboBox",), "slider": ("ctkSliderWidget",), "control": ("ctkRangeWidget",), "_process": ("QProcess",),
    "editor": ("QWidget",), "label": ("QLabel",), "form_layout": ("QFormLayout",),
}  # fmt: skip
"""Variables that hold a widget given to a function, or taken from another object → its classes."""

ATTRIBUTES = ("table", "threshold")
"""Widgets made in one file and used in others."""


def collect() -> dict[str, set[str]]:
    """Class or module → members."""
    found: dict[str, set[str]] = defaultdict(set)
    classes = _form(found)
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in sorted(MODULE.rglob("*.py"))]
    elsewhere = {name: kind for tree in trees for name, kind in _made(tree).items() if name in ATTRIBUTES}
    for tree in trees:
        made = KNOWN | elsewhere | classes | _made(tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute):
                _attribute(node, made, found)
            elif isinstance(node, ast.Call):
                found["signals"] |= _signal(node)
    return found


def text() -> str:
    """The list as it stands in Testing/README.md."""
    found = collect()
    lines = [f"- `{name}`: {', '.join(f'`{member}`' for member in sorted(found[name]))}" for name in sorted(found) if found[name]]
    return "\n".join([BEGIN, "", *lines, "", END])


def _form(found: dict[str, set[str]]) -> dict[str, tuple[str, ...]]:
    """Properties of the .ui file; name of a widget → class."""
    classes = {}
    for widget in ElementTree.parse(FORM).getroot().iter("widget"):
        kind = widget.get("class")
        classes[widget.get("name")] = (kind,)
        found[kind] |= {p.get("name") for p in widget.findall("property") if p.get("stdset") != "0"}
    return classes


def _made(tree: ast.Module) -> dict[str, tuple[str, ...]]:
    """Name that is given `qt.X(...)` (or ctk, or a widget of slicer, or what is made of one) → X; several where it is several."""
    made: dict[str, tuple[str, ...]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            calls = [call for call in (node.value, *node.value.args) if isinstance(call, ast.Call)]  # _named(qt.X(...), ...) too
            for parts in (_parts(call.func) for call in calls):
                if len(parts) == 2 and (parts[0] in ROOTS or parts[1].startswith("qMRML")):
                    for name in ((_parts(target) or ("",))[-1] for target in node.targets):
                        made[name] = (*made.get(name, ()), parts[1])
    return made


def _attribute(node: ast.Attribute, made: dict[str, tuple[str, ...]], found: dict[str, set[str]]) -> None:
    parts = _parts(node)
    if len(parts) >= 2 and parts[0] in ROOTS:
        found[parts[0]].add(".".join(parts[1:]))
    elif len(parts) >= 3 and parts[0] == "slicer" and parts[1] in OF_SLICER:
        found[f"slicer.{parts[1]}"].add(parts[2])
    elif len(parts) == 2 and parts[0] == "slicer" and parts[1].startswith("qMRML"):
        found["slicer"].add(parts[1])
    elif len(parts) >= 2 and parts[-2] in made and not parts[-1].startswith("_"):
        for kind in made[parts[-2]]:
            found[kind].add(parts[-1])


def _signal(node: ast.Call) -> set[str]:
    """The signal of `widget.connect("signal(types)", slot)`; empty for other calls."""
    connects = isinstance(node.func, ast.Attribute) and node.func.attr == "connect" and bool(node.args)
    first = node.args[0] if connects else None
    return {first.value} if isinstance(first, ast.Constant) and isinstance(first.value, str) else set()


def _parts(node: ast.AST) -> tuple[str, ...]:
    """The dotted name of an expression; () where it has none."""
    if isinstance(node, ast.Name):
        return (node.id,)
    if isinstance(node, ast.Attribute):
        before = _parts(node.value)
        return (*before, node.attr) if before else ()
    return ()


def main() -> None:
    """Write the list."""
    content = README.read_text(encoding="utf-8")
    fresh = re.sub(f"{BEGIN}.*{END}", lambda _: text(), content, flags=re.DOTALL)
    README.write_text(fresh, encoding="utf-8")


if __name__ == "__main__":
    main()
