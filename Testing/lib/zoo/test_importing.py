"""Checkpoints and models of others become models of the zoo, with what is known of them on the card."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from SpatialRegularizationLib.io.claims import TakenError, claimed
from SpatialRegularizationLib.models.catalogue import build_model
from SpatialRegularizationLib.zoo.card import ModelCard, load_model, save_model, sha256_of
from SpatialRegularizationLib.zoo.dialects import Dialect, ImportedModel
from SpatialRegularizationLib.zoo.folder import ENVIRONMENT, installed, zoo_folder
from SpatialRegularizationLib.zoo.importing import ImportChoices, card_of, default_name, import_file, remove_model

REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A zoo folder that does not exist yet."""
    monkeypatch.setenv(ENVIRONMENT, str(tmp_path / "data" / "zoo"))
    monkeypatch.setattr("SpatialRegularizationLib.zoo.folder.BUNDLED", tmp_path / "none")
    return zoo_folder()


@pytest.fixture
def parity(shared_data: Path) -> Path:
    """Folder of the released networks' checkpoints and answers."""
    folder = shared_data.parent / "parity"
    if not folder.is_dir():
        pytest.skip(f"no parity checkpoints at {folder}")
    return folder


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A model of this package, elsewhere than in the zoo."""
    (tmp_path / "run").mkdir()
    model = build_model({"system": "voxelmorph", "size": "tiny"})
    save_model(model, ModelCard("best", (32, 32, 32), (1, 1, 1), "LPS"), tmp_path / "run" / "best.safetensors")
    return tmp_path / "run" / "best.safetensors"


@pytest.mark.parametrize(
    ("name", "dialect", "system"),
    [("journal", "B", "tm-spr"), ("conference", "A", "conditional-tm-spr"), ("mir", "C", "tm-spr")],
)
def test_an_imported_checkpoint_answers_from_the_zoo_as_the_released_network_did(
    parity: Path, name: str, dialect: str, system: str
) -> None:
    stored = import_file(parity / f"{name}.pth.tar")
    model, card = load_model(name)
    assert card == stored
    assert (card.dialect, card.system, card.shape, card.orientation) == (dialect, system, (64, 128, 64), "LIA")
    assert sha256_of(parity / f"{name}.pth.tar") in card.source
    assert card.license
    assert card.citation
    with np.load(parity / f"{name}_io.npz") as arrays:
        moving, fixed = (torch.from_numpy(arrays[key])[None, None] for key in ("moving", "fixed"))
        expected = torch.from_numpy(arrays["u" if "u" in arrays else "u_0"])
        condition = torch.from_numpy(arrays["condition_0"]).view(1, 1) if "condition_0" in arrays else None
    with torch.no_grad():
        prediction = model(moving, fixed, condition)
        found = model._exponential(prediction.parameters.velocity)[0]
    assert float((found - expected).abs().max()) < 1e-4


def test_what_the_user_knows_of_a_checkpoint_comes_before_what_is_assumed(parity: Path) -> None:
    choices = ImportChoices(
        "mine", prior={"kind": "gaussian", "lambda_mean": 0.991, "sigma_prime": 0.027},
        spacing_mm=(2.8, 2.8, 3.8), orientation="LPS", intensity="ct-soft", license="CC BY 4.0",
    )  # fmt: skip
    import_file(parity / "mir.pth.tar", choices)
    _, card = load_model("mine")
    assert card.regularization == {"lambda_mean": 0.991, "sigma_prime": 0.027}
    assert (card.spacing_mm, card.orientation, card.intensity) == ((2.8, 2.8, 3.8), "LPS", "ct-soft")
    assert card.license == "CC BY 4.0"
    assert not any("axes" in sentence for sentence in card.limits)


@pytest.mark.parametrize(
    ("dialect", "shape", "spacing", "orientation", "intensity"),
    [
        (Dialect.MIR, (192, 192, 256), (2.8, 2.8, 3.8), "", "ct-soft"),
        (Dialect.MIR, (160, 192, 224), (1, 1, 1), "LIA", "percentile"),
        (Dialect.CONFERENCE, (160, 192, 224), (1, 1, 1), "LIA", "percentile"),
        (Dialect.JOURNAL_HYPER, (160, 192, 224), (1, 1, 1), "LIA", "percentile"),
    ],
)
def test_the_training_images_are_told_from_dialect_and_size(
    own: Path, dialect: Dialect, shape: tuple, spacing: tuple, orientation: str, intensity: str
) -> None:
    card = card_of(ImportedModel(load_model(own)[0], dialect, shape, ()), "x", own)
    assert (card.shape, card.spacing_mm, card.orientation, card.intensity) == (shape, spacing, orientation, intensity)
    assert not any("are assumed" in sentence for sentence in card.limits)


def test_a_size_that_the_file_does_not_say_is_inferred_from_the_windows_and_said(own: Path) -> None:
    backbone = {"kind": "transmorph-tvf", "window": [5, 6, 7]}
    model = build_model({"system": "transmorph-tvf", "size": "tiny", "backbone": backbone})
    card = card_of(ImportedModel(model, Dialect.PLAIN_TVF, None, ()), "x", own)
    assert card.shape == (160, 192, 224)
    assert any("inferred from the attention windows" in sentence for sentence in card.limits)


def test_a_prior_for_a_network_whose_prior_is_a_condition_is_refused(parity: Path) -> None:
    prior = {"kind": "beta", "lambda_max": 1.0, "alpha_prime": 0.1}
    with pytest.raises(ValueError, match="dialect A has no prior with fixed values"):
        import_file(parity / "conference.pth.tar", ImportChoices(prior=prior))


def test_a_model_from_a_training_moves_into_the_zoo_under_a_new_name(own: Path) -> None:
    card = import_file(own, ImportChoices("hippocampus", license="MIT"))
    model, loaded = load_model("hippocampus")
    assert loaded == card
    assert (card.name, card.orientation, card.license) == ("hippocampus", "LPS", "MIT")
    original = load_model(own)[0].state_dict()
    assert all(torch.equal(value, original[key]) for key, value in model.state_dict().items())


def test_a_model_of_the_same_name_is_replaced_only_when_told_so(own: Path) -> None:
    import_file(own)
    with pytest.raises(FileExistsError, match="There is a model best already"):
        import_file(own)
    assert import_file(own, ImportChoices(license="MIT", replace=True)).license == "MIT"


def test_a_checkpoint_of_another_network_is_refused_and_leaves_nothing(tmp_path: Path, zoo: Path) -> None:
    torch.save({"state_dict": {"conv.weight": torch.ones(2)}}, tmp_path / "other.pth.tar")
    with pytest.raises(ValueError, match="none of the networks that can be imported"):
        import_file(tmp_path / "other.pth.tar")
    assert not zoo.exists()


def test_removing_takes_both_files_and_names_the_nearest_where_there_is_none(own: Path, zoo: Path) -> None:
    import_file(own)
    with pytest.raises(FileNotFoundError, match="did you mean 'best'"):
        remove_model("bset")
    remove_model("best")
    assert not list(zoo.iterdir())
    assert installed() == {}


def test_a_model_of_the_package_cannot_be_removed(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("SpatialRegularizationLib.zoo.folder.BUNDLED", own.parent)
    assert load_model("best")[1].name == "best"
    with pytest.raises(ValueError, match="comes with the package and stays"):
        remove_model("best")
    assert own.is_file()


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("TM_SPR beta (1).pth.tar", "TM_SPR-beta-1"),
        ("dsc0.7.pth", "dsc0.7"),
        ("x.safetensors", "x"),
        ("--.pth.tar", "model"),
    ],
)
def test_a_models_name_comes_from_its_file(file: str, name: str) -> None:
    assert default_name(Path(file)) == name


def test_a_second_import_of_a_name_is_refused_and_the_first_is_whole(own: Path, tmp_path: Path, zoo: Path) -> None:
    other = tmp_path / "run" / "other.safetensors"
    save_model(build_model({"system": "hypermorph", "size": "tiny"}), ModelCard("other", (32, 32, 32), (1, 1, 1), "LPS"), other)
    code = (
        "import sys; from SpatialRegularizationLib.zoo.importing import ImportChoices, import_file; print('here', flush=True)\n"
        "sys.stdin.readline(); import_file(sys.argv[1], ImportChoices('mine', replace=sys.argv[2] == 'force'))"
    )
    for way in ("once", "force"):
        processes = [
            subprocess.Popen([sys.executable, "-c", code, str(path), way], cwd=REPOSITORY, text=True,
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            for path in (own, other)
        ]  # fmt: skip
        for process in processes:
            process.stdout.readline()
        for process in processes:
            process.stdin.write("\n")
            process.stdin.flush()
        told = [process.communicate(timeout=120)[1] for process in processes]
        codes = [process.returncode for process in processes]
        assert 0 in codes
        assert way == "force" or codes.count(0) == 1
        assert all("FileExistsError: There is a model mine" in text or "TakenError" in text for text in told if text)
        model, card = load_model("mine")
        assert card.system == model.system
        assert sorted(path.name for path in zoo.iterdir()) == ["mine.json", "mine.safetensors"]
        if way == "once":
            assert card.system == ("voxelmorph", "hypermorph")[codes.index(0)]


@pytest.mark.skipif(sys.platform == "win32", reason="fork")
def test_a_model_that_is_replaced_loads_wherever_the_process_is_killed(own: Path, tmp_path: Path, zoo: Path) -> None:
    other = tmp_path / "run" / "other.safetensors"
    save_model(build_model({"system": "hypermorph", "size": "tiny"}), ModelCard("other", (32, 32, 32), (1, 1, 1), "LPS"), other)
    code = (
        "import os, signal, sys\n"
        "from SpatialRegularizationLib.zoo.importing import ImportChoices, import_file\n"
        "count = -1\n"
        "def hook(event, about):\n"
        "    global count\n"
        "    if event in ('os.rename', 'os.remove', 'os.truncate') and 'zoo' in str(about):\n"
        "        count += 1\n"
        "        if count == int(sys.argv[2]): os.kill(os.getpid(), signal.SIGKILL)\n"
        "sys.addaudithook(hook)\n"
        "import_file(sys.argv[1], ImportChoices('mine', replace=True))"
    )
    systems = []
    for point in range(20):
        import_file(own, ImportChoices("mine", replace=True))
        done = subprocess.run([sys.executable, "-c", code, str(other), str(point)], cwd=REPOSITORY, check=False)
        systems.append(load_model("mine")[1].system)
        if done.returncode == 0:
            break
    assert done.returncode == 0
    assert len(systems) > 4, "killed before each renaming and removing"
    assert systems == sorted(systems, reverse=True), "the earlier model, then the new one"
    assert set(systems) == {"voxelmorph", "hypermorph"}


def test_a_model_that_another_process_writes_is_not_removed(own: Path, zoo: Path) -> None:
    import_file(own, ImportChoices("mine"))
    refused = []

    def remove() -> None:
        try:
            remove_model("mine")
        except TakenError as error:
            refused.append(str(error))

    with claimed(zoo / "mine.safetensors"):
        thread = threading.Thread(target=remove)
        thread.start()
        thread.join()
    assert "mine.safetensors is being written by another thread" in refused[0]
    assert "mine" in installed()
