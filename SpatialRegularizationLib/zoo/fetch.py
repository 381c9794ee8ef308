"""Download models: into NAME.part, verified, then renamed; an interrupted download goes on where it stopped."""

from __future__ import annotations

import contextlib
import http
import http.client
import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from ..io.claims import claimed
from .card import ModelCard, load_model, sha256_of, write_card
from .folder import CARD, PARAMETERS, installed, zoo_folder
from .importing import ImportChoices, import_file
from .manifest import ManifestEntry, entry_of

TIMEOUT_S = 30
ATTEMPTS = 3
"""Connections that may break before the user is asked."""
_BLOCK = 1 << 18


def fetch_model(
    name: str,
    manifest: Mapping[str, ManifestEntry],
    *,
    replace_existing: bool = False,
    tell: Callable[[int], None] = lambda received: None,
) -> ModelCard:
    """Download a model of the manifest into the user's zoo folder.

    Args:
        name: in the manifest.
        manifest: from `read_manifest`.
        replace_existing: a model of the same name gives way.
        tell: called with the bytes received so far; what it raises stops the download, which goes on there the next time.

    Raises:
        FileNotFoundError: no such model.
        FileExistsError: it is there already, or another process is writing it.
        OSError: no connection, or no space.
        ValueError: the content is not what the manifest says, or no model.
    """
    entry = entry_of(name, manifest)
    zoo_folder().mkdir(parents=True, exist_ok=True)
    with claimed(zoo_folder() / f"{name}{PARAMETERS}"):
        return _fetched(entry, replace_existing=replace_existing, tell=tell)


def _fetched(entry: ManifestEntry, *, replace_existing: bool, tell: Callable[[int], None]) -> ModelCard:
    name, folder = entry.name, zoo_folder()
    if name in installed() and not replace_existing:
        raise FileExistsError(f"The model {name} is here already: give --force to download it again.")
    if entry.kind == "checkpoint":
        file = download(entry, folder / f".{name}.pth.tar", tell)
        try:
            return import_file(file, ImportChoices(name, prior=entry.prior, license=entry.license, replace=True))
        finally:
            file.unlink(missing_ok=True)
    return _install(entry, download(entry, folder / f".{name}.download{PARAMETERS}", tell))


def download(entry: ManifestEntry, target: Path, tell: Callable[[int], None] = lambda received: None) -> Path:
    """The file of an entry, complete and verified, as `target`.

    Raises:
        OSError: no connection, or no space; what has come so far is kept for the next time.
        ValueError: the content has another size or hash; nothing of it is kept.
    """
    part = target.with_name(f"{entry.name}.part")
    left = entry.size_bytes - _size(part)
    free = shutil.disk_usage(target.parent).free
    if free < left:
        raise OSError(f"{entry.name} needs {left / 1e6:.0f} MB more, {free / 1e6:.0f} MB are free: free some space.")
    for attempt in range(ATTEMPTS):
        try:
            _receive(entry, part, tell)
        except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
            code = error.code if isinstance(error, urllib.error.HTTPError) else None
            if code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:  # another file is there now: from the start
                part.unlink()
            elif (code is not None and code < 500) or attempt == ATTEMPTS - 1:
                raise _unreachable(entry, str(getattr(error, "reason", "") or error or type(error).__name__)) from error
        if _size(part) >= entry.size_bytes:
            break
    else:
        raise _unreachable(entry, f"it ended after {_size(part)} of {entry.size_bytes} bytes")
    _verify(entry, part)
    os.replace(part, target)
    return target


def _receive(entry: ManifestEntry, part: Path, tell: Callable[[int], None]) -> None:
    """Append to `part` what is missing, as far as the connection lasts."""
    have = _size(part)
    if have > entry.size_bytes:
        part.unlink()
        have = 0
    if have == entry.size_bytes:
        return
    headers = {"User-Agent": "spatialreg"} | ({"Range": f"bytes={have}-"} if have else {})
    request = urllib.request.Request(entry.url, headers=headers)
    with contextlib.ExitStack() as stack:
        response = stack.enter_context(urllib.request.urlopen(request, timeout=TIMEOUT_S))
        goes_on = response.status == 206 and (response.headers.get("Content-Range") or "").startswith(f"bytes {have}-")
        received = have if goes_on else 0
        coming = response.headers.get("Content-Length")
        if coming is not None and received + int(coming) != entry.size_bytes:
            raise _refused(entry, part, f"size {entry.size_bytes}, got {received + int(coming)}")
        file = stack.enter_context(part.open("ab" if goes_on else "wb"))
        tell(received)
        while received <= entry.size_bytes and (block := response.read(_BLOCK)):
            file.write(block)
            received += len(block)
            tell(received)


def _verify(entry: ManifestEntry, part: Path) -> None:
    if _size(part) != entry.size_bytes:
        raise _refused(entry, part, f"size {entry.size_bytes}, got more")
    found = sha256_of(part)
    if found != entry.sha256:
        raise _refused(entry, part, f"sha256 {entry.sha256}, got {found}")


def _refused(entry: ManifestEntry, part: Path, expected: str) -> ValueError:
    part.unlink(missing_ok=True)
    return ValueError(
        f"{entry.url} does not have the content of {entry.name} (expected {expected}), and nothing of it was kept: try again "
        "later, or ask those who publish it."
    )


def _install(entry: ManifestEntry, file: Path) -> ModelCard:
    """A verified .safetensors file becomes a model of the zoo."""
    try:
        _, card = load_model(file)
        card = replace(
            card,
            name=entry.name,
            source=card.source or entry.url,
            license=card.license or entry.license,
            citation=card.citation or entry.citation,
            purpose=card.purpose or entry.purpose,
        )
        path = file.with_name(f"{entry.name}{PARAMETERS}")
        path.with_suffix(CARD).unlink(missing_ok=True)  # an old card never stands beside new parameters
        os.replace(file, path)
    finally:
        file.unlink(missing_ok=True)
    write_card(card, path)
    return card


def _unreachable(entry: ManifestEntry, reason: str) -> OSError:
    return OSError(
        f"{entry.url} could not be downloaded ({reason.rstrip('.')}): check the connection and start it again; it goes on where "
        "it stopped."
    )


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
