"""Keep what a study has measured so far, one JSON line for each method and pair, so that it can go on where it stopped."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..io.atomic import write_text
from ..io.lists import ListedPair
from .measured_pair import SUBJECT, Measured
from .settings import StudySettings

LINES, PICTURES = "lines.jsonl", "pictures"


class Lines:
    """The lines of a study's folder.

    Args:
        folder: of the study; made if needed.
        fresh: forget what is there.
    """

    def __init__(self, folder: Path, *, fresh: bool = False) -> None:
        self._path = folder / LINES
        self._pictures = folder / PICTURES
        self._pictures.mkdir(parents=True, exist_ok=True)
        self.damaged = 0
        self._known: dict[tuple[str, str], dict[str, Any]] = {}
        if self._path.is_file() and not fresh:
            self._read()
        else:
            write_text(self._path, "")

    def measured(self, pair: str, method: str, key: str) -> Measured | None:
        """What is known under this key; None where nothing is, or where it failed."""
        line = self._known.get((pair, method))
        if line is None or line["key"] != key or "error" in line:
            return None
        verdict = line.get("verdict") or {}  # earlier versions wrote none
        level, reasons = verdict.get("level", ""), tuple(verdict.get("reasons", ()))
        return Measured(pair, method, line["figures"], verdict=level, reasons=reasons)

    def add(self, measured: Measured, key: str) -> None:
        """One more line, on the disk when this returns; pictures go into files of their own."""
        if measured.pictures:
            write_text(self._picture(measured.pair, measured.method), measured.pictures)
        content = {"error": measured.error} if measured.error else {"figures": dict(measured.figures)}
        if measured.verdict:
            content["verdict"] = {"level": measured.verdict, "reasons": list(measured.reasons)}
        line = {"pair": measured.pair, "method": measured.method, "key": key} | content
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        self._known[measured.pair, measured.method] = line

    def has_pictures(self, pair: str, method: str) -> bool:
        """Whether there are pictures of a method on a pair."""
        return self._picture(pair, method).is_file()

    def pictures(self, pair: str, method: str) -> tuple[str, str]:
        """HTML of the pair's own pictures and of the method's; empty where there are none."""
        path = self._picture(pair, method)
        if not path.is_file():
            return "", ""
        subject, _, own = path.read_text(encoding="utf-8").partition(SUBJECT)
        return subject, own

    def _picture(self, pair: str, method: str) -> Path:
        name = hashlib.sha256(f"{pair}\n{method}".encode()).hexdigest()[:16]
        return self._pictures / f"{name}.html"

    def _read(self) -> None:
        """Lines that are not whole (the machine went down while one was written) are dropped and counted."""
        whole = []
        for text in self._path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                line = json.loads(text)
                self._known[line["pair"], line["method"]] = {"key": line["key"]} | line
                whole.append(text)
            except (ValueError, KeyError, TypeError):
                self.damaged += 1
        if self.damaged:
            write_text(self._path, "".join(text + "\n" for text in whole))


def key_of(pair: ListedPair, method: Mapping[str, Any], settings: StudySettings) -> str:
    """What a figure depends on: files, method, scoring and machine; another one asks for a new measurement.

    Args:
        pair: whose files are looked at.
        method: `Method.identity()`.
        settings: of the study.
    """
    scoring = {
        "affine": settings.affine,
        "labels": dict(settings.labels),
        "other_labels": settings.other_labels,
        "label_warping": settings.label_warping,
        "regions": [[r.name, list(r.labels), r.part, r.width_mm] for r in settings.regions],
        "device": settings.device,
        "threads": settings.threads,
    }
    if "fixed_points" in pair.inputs:
        scoring["landmarks"] = "by label"
    return digest({"pair": pair.identity(), "method": method, "scoring": scoring})


def digest(values: Mapping[str, Any]) -> str:
    """A short name of plain values, equal for equal ones."""
    text = json.dumps(values, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]
