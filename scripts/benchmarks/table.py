"""Writes the tables of this folder's README from results/*.json, between its two markers.

python scripts/benchmarks/table.py
"""

from __future__ import annotations

import json
from pathlib import Path

HERE = Path(__file__).resolve().parent
BEGIN, END = "<!-- tables: made by table.py -->", "<!-- end of tables -->"
OPERATOR_COLUMNS = ("shape", "operator", "form", "seconds_median", "times_faster", "peak_extra_mb", "output_mb")
SPEED_COLUMNS = ("run", "preset", "shape", "device", "wall_seconds", "peak_memory_mb", "folding_percent", "ndv_percent")
FOLDING_COLUMNS = ("shape", "method", "boundary", "seconds_median", "times_ours", "peak_extra_mb")


COLUMNS = {"operators": OPERATOR_COLUMNS, "speed": SPEED_COLUMNS, "folding": FOLDING_COLUMNS}
"""First word of a file's name → its columns; other files show every number and word of their rows."""


def plain_columns(rows: list[dict[str, object]]) -> tuple[str, ...]:
    """The keys whose values fit into a cell, in the order in which they first appear."""
    shown = (key for row in rows for key, value in row.items() if not isinstance(value, (list, dict)) and key != "command")
    return tuple(dict.fromkeys(shown))


def cell(value: object) -> str:
    """A number with four digits, a shape as 1x2x3, nothing for None."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return "x".join(map(str, value))
    return "" if value is None else str(value)


def markdown(rows: list[dict[str, object]], columns: tuple[str, ...]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    return "\n".join(lines + ["| " + " | ".join(cell(row.get(c)) for c in columns) + " |" for row in rows])


def circumstances(environment: dict[str, object]) -> str:
    """One line: what the figures were measured on."""
    return (
        f"{environment['cpu']}, {environment['cores']} cores, {environment['threads']} threads, device "
        f"{environment['device']}, torch {environment['versions']['torch']}, commit {environment['commit'][:8]}, "
        f"load {environment['load_average']:.1f} at the end."
    )


def accuracy_table(content: dict[str, object]) -> str:
    """The summary of a set; columns in the order in which they first appear."""
    rows = [{"method": name, **row} for name, row in content["summary"].items()]
    return markdown(rows, tuple(dict.fromkeys(key for row in rows for key in row)))


def section(path: Path) -> str:
    """Heading, circumstances and table of one results file."""
    content = json.loads(path.read_text())
    if "summary" in content:
        table = accuracy_table(content)
    else:
        rows = content["compared"] if "compared" in content else content["rows"]
        table = markdown(rows, COLUMNS.get(path.stem.split("_")[0]) or plain_columns(rows))
    return f"### {path.stem}\n\n{circumstances(content['environment'])}\n\n{table}\n"


def main() -> None:
    """Replace what lies between the markers."""
    readme = HERE / "README.md"
    before, _, rest = readme.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    tables = "\n".join(section(path) for path in sorted((HERE / "results").glob("*.json")))
    readme.write_text(f"{before}{BEGIN}\n\n{tables}\n{END}{after}")


if __name__ == "__main__":
    main()
