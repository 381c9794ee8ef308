"""The sample data: what is handed to the application's SampleData module, against its documented arguments."""

from __future__ import annotations

import re
import sys
import types
from typing import Any

import pytest
import qt_needed

pytest.importorskip("slicer", reason="needs the slicer-core package")
pytest.importorskip("PySide6.QtWidgets", reason=qt_needed.REASON, exc_type=ImportError)

import slicer_module

pytestmark = pytest.mark.slicer


class SampleSources:
    """Double of `SampleDataLogic.registerCustomSampleDataSource`: its argument names, and its rule of equal lengths."""

    def __init__(self) -> None:
        self.found: list[dict[str, Any]] = []

    def register(
        self, category="Custom", sampleName=None, uris=None, fileNames=None, nodeNames=None, customDownloader=None,
        thumbnailFileName=None, loadFileTypes=None, loadFiles=None, loadFileProperties=None, checksums=None, loadFileType=None,
    ) -> None:  # fmt: skip
        lengths = {len(values) for values in (uris, fileNames, nodeNames, checksums, loadFileTypes)}
        assert len(lengths) == 1, f"{sampleName}: lists of different lengths"
        self.found.append(
            {"category": category, "name": sampleName, "uris": uris, "sums": checksums, "nodes": nodeNames,
             "types": loadFileTypes, "thumbnail": thumbnailFileName, "files": fileNames}
        )  # fmt: skip


@pytest.fixture
def sources(scene: Any, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the module offers once the application says that it is up."""
    slicer_module.install(scene.slicer)
    double, slots = SampleSources(), {}
    monkeypatch.setattr(scene.slicer.app, "connect", lambda signal, slot: slots.update({signal: slot}))
    logic = types.SimpleNamespace(registerCustomSampleDataSource=double.register)
    monkeypatch.setitem(sys.modules, "SampleData", types.SimpleNamespace(SampleDataLogic=logic))
    from SpatialRegularization import SpatialRegularization

    SpatialRegularization(types.SimpleNamespace())
    assert double.found == []
    slots["startupCompleted()"]()
    return double.found


def test_each_file_is_checked_by_the_sum_that_its_address_ends_with(sources: list[dict[str, Any]]) -> None:
    assert len(sources) == 3
    for source in sources:
        for uri, checksum in zip(source["uris"], source["sums"], strict=True):
            algorithm, _, digest = checksum.partition(":")
            assert algorithm == "SHA256"
            assert re.fullmatch(r"[0-9a-f]{64}", digest)
            assert uri.startswith("https://github.com/Slicer/")
            assert uri.endswith(f"/SHA256/{digest}")


def test_the_tutorials_pair_and_series_are_there(sources: list[dict[str, Any]]) -> None:
    nodes = {name for source in sources for name in source["nodes"]}
    assert {"MRBrainTumor1", "MRBrainTumor2", "CTCardioSeq"} <= nodes
    assert {source["category"] for source in sources} == {"Spatial Regularization"}
    (series,) = [source for source in sources if source["nodes"] == ["CTCardioSeq"]]
    assert series["types"] == ["SequenceFile"]


def test_the_thumbnail_exists(sources: list[dict[str, Any]]) -> None:
    from pathlib import Path

    assert all(Path(source["thumbnail"]).is_file() for source in sources)


def test_no_two_files_or_data_sets_have_one_name(sources: list[dict[str, Any]]) -> None:
    for key in ("files", "nodes"):
        names = [name for source in sources for name in source[key]]
        assert len(set(names)) == len(names)
