"""Downloads from a server on this machine: whole, broken, continued, cancelled, exchanged."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from SpatialRegularizationLib.models.catalogue import build_model
from SpatialRegularizationLib.zoo.card import ModelCard, load_model, save_model, sha256_of
from SpatialRegularizationLib.zoo.fetch import ATTEMPTS, fetch_model
from SpatialRegularizationLib.zoo.folder import ENVIRONMENT, zoo_folder
from SpatialRegularizationLib.zoo.manifest import MANIFEST, ManifestEntry, read_manifest


class Server(ThreadingHTTPServer):
    """One file under every path.

    Attributes:
        content: of the file.
        lasts: bytes after which each connection breaks, or None.
        ranges: whether parts can be asked for.
        asked: the Range header of each request.
    """

    daemon_threads = True

    def __init__(self, content: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.content, self.lasts, self.ranges = content, None, True
        self.asked: list[str | None] = []


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.server.asked.append(asked)
        content = self.server.content
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and self.server.ranges else 0
        if start and start >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        rest = content[start:]
        self.wfile.write(rest if self.server.lasts is None else rest[: self.server.lasts])

    def log_message(self, *_: object) -> None:
        """Silent."""


@pytest.fixture(autouse=True)
def zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A zoo folder that does not exist yet, and no proxy between us and this machine."""
    monkeypatch.setenv(ENVIRONMENT, str(tmp_path / "zoo"))
    monkeypatch.setenv("no_proxy", "*")
    return zoo_folder()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A model as it would be published: one file."""
    (tmp_path / "published").mkdir()
    model = build_model({"system": "voxelmorph", "size": "tiny"})
    path = tmp_path / "published" / "file.safetensors"
    save_model(model, ModelCard("file", (32, 32, 32), (1, 1, 1), "LPS", purpose="tests"), path)
    return path


@pytest.fixture
def server(file: Path) -> Iterator[Server]:
    """Serves the file."""
    with Server(file.read_bytes()) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def entry(server: Server, file: Path) -> ManifestEntry:
    """The published model."""
    url = f"http://127.0.0.1:{server.server_port}/file"
    return ManifestEntry("small", url, sha256_of(file), file.stat().st_size, "MIT", "the tests")


def _manifest(entry: ManifestEntry) -> dict[str, ManifestEntry]:
    return {entry.name: entry}


def test_a_fetched_model_is_verified_and_ready(entry: ManifestEntry, zoo: Path) -> None:
    told: list[int] = []
    card = fetch_model("small", _manifest(entry), tell=told.append)
    assert load_model("small")[1] == card
    assert (card.name, card.license, card.citation, card.source) == ("small", "MIT", "the tests", entry.url)
    assert card.sha256 == entry.sha256
    assert sorted(path.name for path in zoo.iterdir()) == ["small.json", "small.safetensors"]
    assert told == sorted(told)
    assert told[-1] == entry.size_bytes


def test_what_is_here_is_fetched_again_only_when_told_so(entry: ManifestEntry, server: Server) -> None:
    fetch_model("small", _manifest(entry))
    with pytest.raises(FileExistsError, match="small is here already"):
        fetch_model("small", _manifest(entry))
    fetch_model("small", _manifest(entry), replace_existing=True)
    assert len(server.asked) == 2


def test_a_broken_connection_goes_on_where_it_stopped(entry: ManifestEntry, server: Server) -> None:
    server.lasts = -(-entry.size_bytes // ATTEMPTS)
    card = fetch_model("small", _manifest(entry))
    assert card.sha256 == entry.sha256
    assert server.asked == [None] + [f"bytes={n * server.lasts}-" for n in range(1, ATTEMPTS)]


def test_a_connection_that_keeps_breaking_is_said_and_the_next_run_goes_on(
    entry: ManifestEntry, server: Server, zoo: Path
) -> None:
    server.lasts = entry.size_bytes // 10
    with pytest.raises(OSError, match=r"it ended after \d+ of \d+ bytes.*goes on where it stopped"):
        fetch_model("small", _manifest(entry))
    assert (zoo / "small.part").stat().st_size == ATTEMPTS * server.lasts
    server.lasts = None
    fetch_model("small", _manifest(entry))
    assert server.asked[-1] == f"bytes={ATTEMPTS * (entry.size_bytes // 10)}-"
    assert not (zoo / "small.part").exists()


def test_a_server_without_parts_sends_it_all_again(entry: ManifestEntry, server: Server, zoo: Path) -> None:
    zoo.mkdir()
    (zoo / "small.part").write_bytes(b"\0" * 100)
    server.ranges = False
    assert fetch_model("small", _manifest(entry)).sha256 == entry.sha256


def test_a_cancelled_download_stops_at_once_and_goes_on_the_next_time(
    entry: ManifestEntry, server: Server, zoo: Path
) -> None:
    server.lasts = entry.size_bytes // 2

    def cancel(received: int) -> None:
        if received:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch_model("small", _manifest(entry), tell=cancel)
    kept = (zoo / "small.part").stat().st_size
    assert 0 < kept < entry.size_bytes
    assert len(server.asked) == 1
    server.lasts = None
    fetch_model("small", _manifest(entry))
    assert server.asked[-1] == f"bytes={kept}-"


@pytest.mark.parametrize("wrong", ["hash", "shorter", "longer"])
def test_content_that_is_not_what_the_manifest_says_is_refused_and_not_kept(
    entry: ManifestEntry, server: Server, zoo: Path, wrong: str
) -> None:
    change = {
        "hash": {"sha256": "0" * 64},
        "shorter": {"size_bytes": entry.size_bytes - 10},
        "longer": {"size_bytes": entry.size_bytes + 10},
    }[wrong]
    what = "sha256" if wrong == "hash" else "size"
    with pytest.raises(ValueError, match=f"does not have the content of small .expected {what}"):
        fetch_model("small", _manifest(replace(entry, **change)))
    assert not list(zoo.iterdir())
    assert len(server.asked) == 1


def test_a_beginning_that_is_longer_than_the_file_now_is_starts_anew(entry: ManifestEntry, server: Server, zoo: Path) -> None:
    zoo.mkdir()
    (zoo / "small.part").write_bytes(b"\0" * entry.size_bytes)
    longer = replace(entry, size_bytes=entry.size_bytes + 10)
    with pytest.raises(ValueError, match="expected size"):
        fetch_model("small", _manifest(longer))
    assert server.asked == [f"bytes={entry.size_bytes}-", None]


def test_a_damaged_beginning_from_an_earlier_run_is_thrown_away(entry: ManifestEntry, zoo: Path) -> None:
    zoo.mkdir()
    (zoo / "small.part").write_bytes(b"\0" * 100)
    with pytest.raises(ValueError, match="expected sha256"):
        fetch_model("small", _manifest(entry))
    assert fetch_model("small", _manifest(entry)).sha256 == entry.sha256


def test_a_file_that_is_no_model_is_not_installed(server: Server, entry: ManifestEntry, zoo: Path, tmp_path: Path) -> None:
    server.content = b"x" * 1000
    (tmp_path / "x").write_bytes(server.content)
    with pytest.raises(ValueError, match="holds no card of a model"):
        fetch_model("small", _manifest(replace(entry, sha256=sha256_of(tmp_path / "x"), size_bytes=1000)))
    assert not list(zoo.iterdir())


def test_a_checkpoint_is_imported_after_the_download(
    server: Server, entry: ManifestEntry, zoo: Path, shared_data: Path
) -> None:
    path = shared_data.parent / "parity" / "mir.pth.tar"
    if not path.is_file():
        pytest.skip(f"no parity checkpoint at {path}")
    server.content = path.read_bytes()
    prior = {"kind": "beta", "lambda_max": 2.0, "alpha_prime": 0.1}
    changes = {"sha256": sha256_of(path), "size_bytes": path.stat().st_size, "kind": "checkpoint", "prior": prior}
    card = fetch_model("small", _manifest(replace(entry, **changes)))
    assert (card.dialect, card.license) == ("C", "MIT")
    assert card.regularization == {"lambda_max": 2.0, "alpha_prime": 0.1}
    assert sorted(path.name for path in zoo.iterdir()) == ["small.json", "small.safetensors"]


def test_no_server_and_no_such_model_are_said(entry: ManifestEntry) -> None:
    with pytest.raises(FileNotFoundError, match="did you mean 'small'"):
        fetch_model("smal", _manifest(entry))
    with pytest.raises(OSError, match=r"could not be downloaded .*check the connection"):
        fetch_model("small", _manifest(replace(entry, url="http://127.0.0.1:1/file")))


def test_the_manifest_of_the_package_is_in_order() -> None:
    assert all(name == entry.name for name, entry in read_manifest(MANIFEST).items())


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"sha256": None}, "small: sha256 must be a text, got None"),
        ({"sha256": "0"}, "64 hexadecimal digits"),
        ({"url": "file:///etc/passwd"}, "must be https or http"),
        ({"size_bytes": 0}, "small: size_bytes must be a whole number from 1"),
        ({"license": ""}, "license of small must be said"),
        ({"kind": "script"}, "small: kind must be one of model, checkpoint, got 'script'"),
        ({"licence": "MIT"}, "did you mean license"),
        ({"name": "a/b"}, "name is made of letters"),
    ],
)
def test_a_manifest_with_a_wrong_entry_is_refused(
    entry: ManifestEntry, tmp_path: Path, change: dict[str, object], sentence: str
) -> None:
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps({"format": 1, "models": [vars(entry)]}))
    assert read_manifest(path) == _manifest(entry)
    path.write_text(json.dumps({"format": 1, "models": [vars(entry) | change]}))
    with pytest.raises(ValueError, match=sentence):
        read_manifest(path)


def test_a_manifest_that_is_none_is_refused(tmp_path: Path) -> None:
    for text in ("[]", "{", '{"format": 2, "models": []}', '{"format": 1}'):
        (tmp_path / "manifest.json").write_text(text)
        with pytest.raises(ValueError, match="is not a list of models"):
            read_manifest(tmp_path / "manifest.json")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        read_manifest(tmp_path / "none.json")
