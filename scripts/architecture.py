"""Draw ARCHITECTURE.md from the imports: which rooms there are, what each does, and what stands on what.

    python scripts/architecture.py            write ARCHITECTURE.md
    python scripts/architecture.py --check    exit with 1 where it is not what the tree says

What a room does is the first line of its `__init__.py` (of the file itself for files at the top). Rows follow from the imports: a
room stands one row above the highest room that it imports, so that arrows can only point down.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIBRARY, GUI = ROOT / "SpatialRegularizationLib", ROOT / "SpatialRegularization" / "SpatialRegularizationGui"
PAGE = ROOT / "ARCHITECTURE.md"
HEAD = """# Architecture

*Drawn from the imports by `scripts/architecture.py`; a test compares it with the tree. Rules and recipes: CONTRIBUTING.md.*

Two volumes become a transform, a spatial weight map λ, a Jacobian map and figures. Every system is one choice in each factor of

    p(u, λ | f, m)  ∝  p(f | m∘φ)  ·  p(u | λ)  ·  p(λ)
                       similarity     regularizer   prior

and the folders are this equation. The way of a pair: `registration/register.py` calls `prepare` (usable images, affine start,
grids), a solver (`optimize` for the pair itself, `network` for a trained model) and `conclude` (folds removed, inverse, maps,
figures); `report/results.py` writes the folder. What users can choose declares itself (`declaration.py`): command line,
configuration files, panel, tuning and reports derive from the fields. Voxels become millimeters in `geometry/displacement.py`
only, LPS becomes RAS in the panel's `scene/` and in file readers only.
"""


def main() -> int:
    """Write the page, or compare it; returns the exit code."""
    page = "\n".join([HEAD, *_section("Library", LIBRARY), *_section("Panel", GUI)]).rstrip() + "\n"
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(page, encoding="utf-8")
        sys.stdout.write(f"{PAGE.name} written.\n")
        return 0
    known = PAGE.read_text(encoding="utf-8") if PAGE.is_file() else ""
    if known != page:
        sys.stdout.write(f"{PAGE.name} is not what the tree says: run python scripts/architecture.py.\n")
    return int(known != page)


def _section(title: str, package: Path) -> Iterator[str]:
    """The rooms of a package from the top row to the bottom row."""
    imports = rooms(package)
    rows = _rows(imports)
    yield f"## {title}: `{package.relative_to(ROOT)}/`\n"
    yield "| row | room | what it does | stands on |\n| --- | --- | --- | --- |"
    for number in range(max(rows.values()), -1, -1):
        for room in sorted(room for room, row in rows.items() if row == number):
            below = ", ".join(sorted(imports[room])) or "nothing of ours"
            yield f"| {number} | `{room}` | {_purpose(package, room)} | {below} |"
    yield ""


def rooms(package: Path) -> dict[str, set[str]]:
    """Each folder and top file of a package, and which others it imports."""
    found: dict[str, set[str]] = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        if parts[0] != "__init__":
            found.setdefault(parts[0], set()).update(_targets(path, package))
    return {room: {t for t in targets if t in found and t != room} for room, targets in found.items()}


def _targets(path: Path, package: Path) -> Iterator[str]:
    here = path.relative_to(package).parent.parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = here[: len(here) - node.level + 1]
            module = (*base, *(node.module.split(".") if node.module else ()))
            yield from (module[:1] if module else (alias.name for alias in node.names))


def _rows(imports: dict[str, set[str]]) -> dict[str, int]:
    """Room → row; raises where rooms stand on each other in a circle."""
    rows: dict[str, int] = {}
    while len(rows) < len(imports):
        ready = [room for room, below in imports.items() if room not in rows and below <= rows.keys()]
        if not ready:
            raise SystemExit(f"These rooms stand on each other: {sorted(imports.keys() - rows.keys())}.")
        rows |= {room: 1 + max((rows[b] for b in imports[room]), default=-1) for room in ready}
    return rows


def _purpose(package: Path, room: str) -> str:
    place = package / room / "__init__.py" if (package / room).is_dir() else package / f"{room}.py"
    text = ast.get_docstring(ast.parse(place.read_text(encoding="utf-8"))) or ""
    return text.splitlines()[0].rstrip(".").replace("|", "\\|") if text else ""


if __name__ == "__main__":
    sys.exit(main())
