"""Models that can be downloaded: manifest.json of the package, or another list of the same form.

    {"format": 1, "models": [{"name", "url", "sha256", "size_bytes", "license", "citation", "purpose", "kind", "prior"}, …]}

A model whose content cannot be verified has no place in it: every entry has its sha256 and its size.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .folder import check_name, unknown_model

MANIFEST = Path(__file__).resolve().parent / "manifest.json"
FORMAT = 1
KINDS = ("model", "checkpoint")


@dataclass(frozen=True)
class ManifestEntry:
    """One model that can be downloaded.

    Args:
        name: that it gets in the zoo.
        url: https or http.
        sha256: of the file, hexadecimal.
        size_bytes: of the file.
        license, citation: on which terms, and whose work.
        purpose: what it registers, for people.
        kind: "model" (.safetensors with its card in the header) or "checkpoint" (imported after the download).
        prior: of a checkpoint, as for `ImportChoices`.
    """

    name: str
    url: str
    sha256: str
    size_bytes: int
    license: str
    citation: str
    purpose: str = ""
    kind: str = "model"
    prior: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        check_name(self.name)
        parts = urlsplit(str(self.url))
        if parts.scheme not in ("https", "http") or not parts.netloc:
            raise ValueError(f"the url of {self.name} must be https or http, got {self.url!r}")
        if not re.fullmatch(r"[0-9a-f]{64}", str(self.sha256)):
            raise ValueError(f"the sha256 of {self.name} must be 64 hexadecimal digits, got {self.sha256!r}")
        if not isinstance(self.size_bytes, int) or isinstance(self.size_bytes, bool) or self.size_bytes <= 0:
            raise ValueError(f"size_bytes of {self.name} must be a positive whole number, got {self.size_bytes!r}")
        if self.kind not in KINDS:
            raise ValueError(f"the kind of {self.name} must be {' or '.join(KINDS)}, got {self.kind!r}")
        for what in ("license", "citation"):
            if not isinstance(getattr(self, what), str) or not getattr(self, what):
                raise ValueError(f"the {what} of {self.name} must be said, got {getattr(self, what)!r}")


def read_manifest(path: str | Path | None = None) -> dict[str, ManifestEntry]:
    """Name → entry.

    Args:
        path: another list than the package's.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not of this form; the message names the entry.
    """
    path = Path(path or MANIFEST)
    if not path.is_file():
        raise FileNotFoundError(f"The manifest {path} does not exist: check the path.")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, Mapping) or content.get("format") != FORMAT or not isinstance(content.get("models"), list):
            raise ValueError(f'expected {{"format": {FORMAT}, "models": […]}}')
        entries = [_entry(values) for values in content["models"]]
        names = [entry.name for entry in entries]
        if len(set(names)) < len(names):
            raise ValueError("two models have the same name")
    except ValueError as error:
        raise ValueError(f"{path} is not a list of models: {error}.") from error
    return {entry.name: entry for entry in entries}


def entry_of(name: str, manifest: Mapping[str, ManifestEntry]) -> ManifestEntry:
    """The entry of a name.

    Raises:
        FileNotFoundError: there is none; the nearest is suggested.
    """
    if name in manifest:
        return manifest[name]
    if not manifest:
        raise FileNotFoundError(
            f"There is no model {name!r} to download, the list is empty: download its file yourself, then "
            "'spatialreg models import FILE', or give a list with --manifest."
        )
    raise FileNotFoundError(unknown_model(name, manifest))


def _entry(values: Any) -> ManifestEntry:
    if not isinstance(values, Mapping):
        raise ValueError(f"an entry must be an object, got {values!r}")
    known = [f.name for f in fields(ManifestEntry)]
    for name in values:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=1)
            raise ValueError(f"unknown entry {name!r}" + (f", did you mean {near[0]!r}?" if near else ""))
    missing = [name for name in known[:6] if name not in values]
    if missing:
        raise ValueError(f"{values.get('name', 'a model')} has no {missing[0]}")
    return ManifestEntry(**values)
