"""Every model that comes with the package: small, with a whole card, the file that the card names, no folds; Hyper ones obey."""

from __future__ import annotations

from pathlib import Path

import pytest
from lambda_response import NAMES, lambda_response

from SpatialRegularizationLib.training.shipping import LARGEST_BYTES_TOGETHER, faults_of, trial_tensors
from SpatialRegularizationLib.zoo.card import load_model, read_card
from SpatialRegularizationLib.zoo.folder import BUNDLED, CARD, PARAMETERS

SHIPPED = sorted(BUNDLED.glob(f"*{PARAMETERS}"))


def _conditioned(path: Path) -> bool:
    """Whether a model takes α′ and λmax."""
    return read_card(path).system == "hyper-tm-spr"


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_model_has_no_fault(path: Path) -> None:
    assert faults_of(path) == []


@pytest.mark.parametrize("path", [p for p in SHIPPED if _conditioned(p)], ids=lambda path: path.stem)
def test_alpha_prime_raises_lambda_and_lambda_max_alone_lowers_it_relatively(path: Path) -> None:
    model, card = load_model(path)
    assert set(NAMES) <= {h.name for h in model.hyperparameters}
    response = lambda_response(model, [trial_tensors(card)])
    assert response.alpha_raises_lambda, response.words()
    assert response.lambda_max_lowers_relative, response.words()


def test_the_folder_of_shipped_models_holds_models_with_their_cards_only_and_stays_small() -> None:
    assert any(map(_conditioned, SHIPPED)), "no Hyper model is shipped: the test of its λ would find nothing to test"
    files = sorted(path for path in BUNDLED.iterdir() if path.is_file()) if BUNDLED.is_dir() else []
    assert {path.name for path in files} == {path.with_suffix(end).name for path in SHIPPED for end in (PARAMETERS, CARD)}
    assert sum(path.stat().st_size for path in files) <= LARGEST_BYTES_TOGETHER
