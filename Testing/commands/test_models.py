"""spatialreg models: what it says for people and programs, and how it fails."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from shippable import complete_card, tiny_model

from SpatialRegularizationLib.__main__ import main
from SpatialRegularizationLib.models.catalogue import build_model
from SpatialRegularizationLib.training.shipping import ship_model
from SpatialRegularizationLib.zoo.card import ModelCard, save_model, sha256_of
from SpatialRegularizationLib.zoo.folder import ENVIRONMENT, zoo_folder


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty zoo, and a model from a training."""
    monkeypatch.setenv(ENVIRONMENT, str(tmp_path / "zoo"))
    monkeypatch.setattr("SpatialRegularizationLib.zoo.folder.BUNDLED", tmp_path / "none")
    model = build_model({"system": "hypermorph", "size": "tiny"})
    card = ModelCard("best", (32, 48, 32), (1, 1, 1.5), "LPS", purpose="hippocampus", figures={"dice": 0.81})
    save_model(model, card, tmp_path / "best.safetensors")
    return tmp_path / "best.safetensors"


def models(*arguments: object) -> int:
    """One command in this process."""
    return main(["models", *(str(a) for a in arguments)])


def result(capsys: pytest.CaptureFixture[str]) -> dict:
    """The one result among the JSON lines."""
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return next(event for event in events if event["event"] == "result")


def test_a_model_is_imported_listed_shown_and_removed(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert models("list") == 0
    assert "There are no models in" in capsys.readouterr().out
    assert models("import", own, "--name", "hippo", "--license", "MIT") == 0
    assert "--model hippo" in capsys.readouterr().out
    assert models("list") == 0
    line = "hippo  yours  hypermorph  32 x 48 x 32 voxels of 1 x 1 x 1.5 mm, axes LPS  hippocampus"
    assert line in capsys.readouterr().out
    assert models("info", "hippo") == 0
    text = capsys.readouterr().out
    for part in ("hypermorph", "dice 0.81", "MIT", sha256_of(zoo_folder() / "hippo.safetensors"), "lambda 0 to 1"):
        assert part in text
    assert models("remove", "hippo") == 0
    assert not list(zoo_folder().iterdir())


def test_programs_get_the_whole_card(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert models("import", own, "--json") == 0
    imported = result(capsys)
    assert models("info", "best", "--json") == 0
    shown = result(capsys)
    assert {name: shown[name] for name in imported} == imported
    assert shown["parameters"] == sum(p.numel() for p in build_model({"system": "hypermorph", "size": "tiny"}).parameters())
    assert [h["name"] for h in shown["hyperparameters"]] == ["lambda"]
    assert models("list", "--json") == 0
    listed = result(capsys)
    assert [m["name"] for m in listed["models"]] == ["best"]
    assert listed["fetchable"] == []


def test_a_damaged_model_is_listed_as_such(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models("import", own)
    (zoo_folder() / "best.json").write_text("{")
    capsys.readouterr()
    assert models("list") == 0
    assert "best  yours  damaged" in capsys.readouterr().out
    assert models("info", "best") == 1


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model that comes with the package."""
    monkeypatch.setattr("SpatialRegularizationLib.zoo.folder.BUNDLED", tmp_path / "bundled")
    return ship_model(tiny_model(), complete_card("tiny", purpose="try <this>"), folder=tmp_path / "bundled").path


def test_a_shipped_model_is_listed_as_such_shown_in_words_and_stays(
    own: Path, shipped: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert models("list") == 0
    assert "tiny  shipped  voxelmorph" in capsys.readouterr().out
    assert models("info", "tiny") == 0
    text = capsys.readouterr().out
    for part in (
        "tiny (shipped)",
        "noise (none needed): everything",
        "2 epochs, 20 steps, 4 s on 2 CPU cores, train_total 0.9 to 0.7, dice 0.5 to 0.5",
        "spatialreg train tiny.yaml",
        "two pairs: 2 pairs, means\nmethod  Dice\ntiny    0.500",
        "It has learnt nothing.",
        "tests only",
        "Not a medical device",
    ):
        assert part in text
    assert models("remove", "tiny") == 1
    assert "The model tiny comes with the package and stays; only models in" in capsys.readouterr().err
    assert shipped.is_file()


def test_a_model_of_the_user_goes_before_a_shipped_one_of_the_same_name(
    own: Path, shipped: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert models("import", own, "--name", "tiny") == 0
    models("list")
    assert "tiny  yours  hypermorph" in capsys.readouterr().out
    assert models("remove", "tiny") == 0
    models("list")
    assert "tiny  shipped  voxelmorph" in capsys.readouterr().out


def test_the_card_is_written_as_a_page_with_curves_that_needs_nothing_outside(
    shipped: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert models("info", "tiny", "--html", tmp_path / "card.html", "--json") == 0
    told = result(capsys)
    assert (told["bundled"], told["html"]) == (True, str(tmp_path / "card.html"))
    page = (tmp_path / "card.html").read_text(encoding="utf-8")
    assert not re.search(r"(src|href)=", page)
    for part in ("try &lt;this&gt;", "Training energy", "two pairs: 2 pairs", "Not a medical device", "train tiny.yaml"):
        assert part in page
    assert "Validation Dice</text>" not in page, "one value is no curve"
    line = re.search(r'<path d="(M[^"]*)" class="so-far"', page).group(1)
    assert line.count("L") == 1
    assert models("info", "tiny", "--html", tmp_path / "nowhere" / "card.html") == 1
    assert "card.html could not be written" in capsys.readouterr().err


def test_the_prior_of_a_checkpoint_is_taken_from_the_options(
    shared_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = shared_data.parent / "parity" / "mir.pth.tar"
    if not path.is_file():
        pytest.skip(f"no parity checkpoint at {path}")
    assert models("import", path, "--lambda-mean", 0.991, "--sigma-prime", 0.027, "--spacing", "2.8,2.8,3.8", "--json") == 0
    card = result(capsys)
    prior = card["description"]["prior"]
    assert (prior["kind"], prior["lambda_mean"], prior["sigma_prime"]) == ("gaussian", 0.991, 0.027)
    assert card["spacing_mm"] == [2.8, 2.8, 3.8]


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("lst",), 2, "There is no action 'lst': did you mean 'list'?"),
        (("list", "--html", "x.html"), 2, "--html has an effect with 'spatialreg models info' only"),
        (("info",), 2, "'spatialreg models info' needs a NAME"),
        (("list", "best"), 2, "'spatialreg models list' takes no name"),
        (("info", "bset"), 1, "There is no model 'bset'; none is in"),
        (("remove", "best"), 1, "There is no model 'best'"),
        (("fetch", "best"), 1, "There is no model 'best' to download, the list is empty"),
        (("import", "none.pth.tar"), 1, "none.pth.tar does not exist"),
        (("import", "x", "--spacng", "1,1,1"), 2, "did you mean --spacing?"),
        (("import", "x", "--spacing", "1,1"), 2, "three lengths in mm"),
        (("import", "x", "--prior", "beta"), 2, "needs --lambda-max and --alpha-prime, got neither"),
        (("import", "x", "--lambda-max", "1", "--sigma-prime", "1"), 2, "give exactly these two"),
        (("list", "--manifest", "none.json"), 1, "The manifest none.json does not exist"),
    ],
)
def test_a_wrong_line_is_answered_in_a_sentence(
    arguments: tuple[str, ...], code: int, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert models(*arguments) == code
    captured = capsys.readouterr()
    assert sentence in captured.err
    assert captured.out == ""
    assert "Traceback" not in captured.err
