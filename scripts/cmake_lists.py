"""Write the file lists of the extension's CMakeLists.txt: every script and resource of the module and of the library.

    python scripts/cmake_lists.py            # writes the lists
    python scripts/cmake_lists.py --check    # says what differs; exit code 1 if anything does

A file that is missing from the lists works from source and fails when the extension is installed from a package; one that is
listed and absent stops the configuration.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
RESOURCE_SUFFIXES = {".css", ".html", ".json", ".md", ".png", ".safetensors", ".svg", ".txt", ".ui", ".yaml"}
NOT_INSTALLED = {"CMakeLists.txt"}
LIST = re.compile(r"set\((?P<name>\w+_PYTHON_(?P<kind>SCRIPTS|RESOURCES))\n(?P<files>[^)]*)\)")


@dataclass(frozen=True)
class Files:
    """What a folder of the extension holds, as paths relative to it, sorted."""

    scripts: tuple[str, ...]
    resources: tuple[str, ...]


def files_of(folder: Path) -> Files:
    """The files of a folder that belong into the package.

    Raises:
        ValueError: a file of unknown kind, which nobody decided about.
    """
    scripts, resources, unknown = [], [], []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if not path.is_file() or "__pycache__" in path.parts or name in NOT_INSTALLED or path.name.startswith("."):
            continue
        kind = scripts if path.suffix == ".py" else resources if path.suffix in RESOURCE_SUFFIXES else unknown
        kind.append(name)
    if unknown:
        raise ValueError(
            f"{folder.name} holds files of a kind that is neither script nor resource ({', '.join(unknown)}): move them, or add "
            "the ending to RESOURCE_SUFFIXES."
        )
    return Files(tuple(scripts), tuple(resources))


def listed_in(text: str) -> Files:
    """The files that the text of a CMakeLists.txt names."""
    found = {match["kind"]: tuple(match["files"].split()) for match in LIST.finditer(text)}
    return Files(found.get("SCRIPTS", ()), found.get("RESOURCES", ()))


def with_lists(text: str, files: Files) -> str:
    """The text with its two lists replaced."""
    lists = {"SCRIPTS": files.scripts, "RESOURCES": files.resources}

    def replaced(match: re.Match[str]) -> str:
        lines = "".join(f"  {name}\n" for name in lists[match["kind"]])
        return f"set({match['name']}\n{lines}  )"

    return LIST.sub(replaced, text)


def main(arguments: Sequence[str] | None = None, repository: Path = REPOSITORY) -> int:
    """Write or check both lists; returns the exit code."""
    parser = argparse.ArgumentParser(description="Writes the file lists of the extension's CMakeLists.txt.")
    parser.add_argument("--check", action="store_true", help="only say what differs")
    check = parser.parse_args(arguments).check
    differing = 0
    for name in ("SpatialRegularization", "SpatialRegularizationLib"):
        path = repository / name / "CMakeLists.txt"
        text = path.read_text(encoding="utf-8")
        wanted = with_lists(text, files_of(path.parent))
        if wanted == text:
            continue
        differing += 1
        if check:
            print(f"{name}/CMakeLists.txt does not list what the folder holds: run python scripts/cmake_lists.py")
        else:
            path.write_text(wanted, encoding="utf-8", newline="\n")
            print(f"{name}/CMakeLists.txt written.")
    return 1 if check and differing else 0


if __name__ == "__main__":
    sys.exit(main())
