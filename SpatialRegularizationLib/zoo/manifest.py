"""Read the list of models that can be downloaded: manifest.json of the package, or another one of the same form.

    {"format": 1, "models": [{"name", "url", "sha256", "size_bytes", "license", "citation", "purpose", "kind", "prior"}, …]}

A model whose content cannot be verified has no place in it: every entry has its sha256 and its size.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..declaration import built, check_fields, choice, integer
from .folder import check_name, unknown_model

MANIFEST = Path(__file__).resolve().parent / "manifest.json"
FORMAT = 1


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
    size_bytes: int = integer(MISSING, 1, 10**12, "bytes", "of the file")
    license: str
    citation: str
    purpose: str = ""
    kind: str = choice("model", ("model", "checkpoint"), "what the file is")
    prior: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        check_fields(self, f"{self.name}: ")
        check_name(self.name)
        parts = urlsplit(self.url)
        if parts.scheme not in ("https", "http") or not parts.netloc:
            raise ValueError(f"the url of {self.name} must be https or http, got {self.url!r}")
        if not re.fullmatch(r"[0-9a-f]{64}", self.sha256):
            raise ValueError(f"the sha256 of {self.name} must be 64 hexadecimal digits, got {self.sha256!r}")
        for what in ("license", "citation"):
            if not getattr(self, what):
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
        entries = [built(ManifestEntry, values, "a model") for values in content["models"]]
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
