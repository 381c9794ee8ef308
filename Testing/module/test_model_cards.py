"""Model cards as the panel reads them: ranges, tuned values, headers, and pairs that do not fit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import qt_needed

pytest.importorskip("slicer", reason="needs the slicer-core package")
pytest.importorskip("PySide6.QtWidgets", reason=qt_needed.REASON, exc_type=ImportError)
pytestmark = pytest.mark.slicer

REPOSITORY = Path(__file__).resolve().parents[2]
SHIPPED = REPOSITORY / "SpatialRegularizationLib" / "zoo" / "bundled"


def test_a_model_of_which_only_one_slider_was_tuned_is_not_called_tuned() -> None:
    from SpatialRegularizationGui.inputs.model_cards import MIDDLE, TUNED, Card, Range, ranges_of

    half = {"system": "hyper-tm-spr", "alpha_prime_range": [0, 0.2], "default_alpha_prime": 0.1, "lambda_max_range": [0.05, 5]}
    assert Card("half", "installed", ranges=ranges_of(half)).start == MIDDLE
    assert Card("whole", "installed", ranges=ranges_of({**half, "default_lambda_max": 2.0})).start == TUNED
    assert Card("eta", "installed", ranges=(Range("eta", 0.0, 2.0, 0.45),)).start not in (MIDDLE, TUNED)


def test_ranges_read_from_a_card_are_those_of_the_built_model() -> None:
    from SpatialRegularizationGui.inputs.model_cards import ranges_of

    from SpatialRegularizationLib.models.catalogue import SYSTEMS, build_model, describe

    for system in SYSTEMS:
        model = build_model({"system": system, "size": "tiny", "image_shape": [32, 32, 32]})
        expected = [(h.name, h.low, h.high, h.default) for h in model.hyperparameters]
        found = [(r.name, r.low, r.high, r.default) for r in ranges_of(describe(model))]
        assert found == expected, system


def test_a_card_is_read_from_the_header_where_the_file_beside_is_absent(tmp_path: Path) -> None:
    from SpatialRegularizationGui.inputs.model_cards import INSTALLED, read_card

    from SpatialRegularizationLib.models.catalogue import build_model
    from SpatialRegularizationLib.zoo.card import ModelCard, save_model

    model = build_model({"system": "hyper-tm-spr", "size": "tiny", "image_shape": [32, 32, 32]})
    path = tmp_path / "a.safetensors"
    save_model(model, ModelCard("a", (32, 32, 32), (2.0, 2.0, 2.0), purpose="<b>tests</b>"), path)
    beside = read_card("a", path)
    path.with_suffix(".json").unlink()
    assert read_card("a", path) == beside
    assert (beside.state, [r.name for r in beside.ranges]) == (INSTALLED, ["alpha_prime", "lambda_max"])
    assert "&lt;b&gt;tests" in beside.html()
    path.write_bytes(b"damaged")
    assert "a.safetensors holds no readable card" in read_card("a", path).problem
    path.with_suffix(".json").write_text(json.dumps({"name": "a"}), encoding="utf-8")
    assert "import it again" in read_card("a", path).problem


@pytest.mark.parametrize(
    ("shape", "spacing", "values", "said"),
    [
        ((64, 64, 64), (2.0, 2.0, 2.0), (-1000.0, 400.0), ""),
        ((20, 64, 64), (2.0, 2.0, 2.0), (-1000.0, 400.0), "covers 40 × 128 × 128 mm"),
        ((90, 90, 200), (2.0, 2.0, 2.0), (-1000.0, 400.0), "covers 180 × 180 × 400 mm"),
        ((32, 32, 32), (4.0, 4.0, 4.0), (-1000.0, 400.0), "voxels of 4 mm"),
        ((64, 64, 64), (2.0, 2.0, 2.0), (0.0, 400.0), "Hounsfield"),
    ],
)
def test_a_pair_that_does_not_fit_the_card_is_warned_about(shape, spacing, values, said: str) -> None:
    from SpatialRegularizationGui.inputs.model_cards import INSTALLED, Card, misfit

    card = Card("ct-model", INSTALLED, shape=(64, 64, 64), spacing_mm=(2.0, 2.0, 2.0), intensity="ct")
    found = misfit(card, {"fixed volume": (shape, spacing, values)})
    assert said in found
    assert bool(found) == bool(said)
