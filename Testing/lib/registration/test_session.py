"""A pair and a model at hand: the same answers as a whole registration, with the work that no condition touches done once."""

from __future__ import annotations

from dataclasses import replace

import bending
import numpy as np
import physical
import pytest
import torch
from bending import FAST
from known_model import Known, KnownSettings, card_of

from SpatialRegularizationLib.geometry import SpatialTransform
from SpatialRegularizationLib.models.base import EncodingModel
from SpatialRegularizationLib.models.catalogue import build_model
from SpatialRegularizationLib.registration.presets import preset_settings
from SpatialRegularizationLib.registration.progress import Cancelled
from SpatialRegularizationLib.registration.register import register
from SpatialRegularizationLib.registration.session import PairSession

SEEN = physical.grid("LIA", shape=(32, 32, 32), spacing=(3.0, 3.0, 3.0))
FIXED = bending.image(physical.grid("RAS", shape=(34, 32, 30), spacing=(2.8, 3.1, 3.0)))
MOVING = bending.image(physical.other_grid("LPS"))
KNOWN = (Known(), card_of(SEEN))
SETTINGS = replace(FAST, levels=((2, 2, 1),))
DESCRIPTION = {
    "system": "hyper-tm-spr",
    "size": "tiny",
    "image_shape": [32, 32, 32],
}


@pytest.fixture(scope="module")
def hyper() -> EncodingModel:
    """A network whose answer depends on its condition, random parameters."""
    torch.manual_seed(1)
    model = build_model(DESCRIPTION).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return model


def test_under_the_preset_auto_what_the_pair_decides_stands_in_the_session_and_in_what_it_saves() -> None:
    negative = FIXED.with_data(900 - FIXED.data)
    session = PairSession(negative, MOVING, KNOWN, preset_settings("auto").changed(affine="none", device="cpu", threads=1))
    assert (session.settings.automatic, session.settings.similarity) == ("off", "mind")
    assert (session.settings.affine, session.settings.threads) == ("none", 1)
    saved = session.save({"alpha_prime": 0.7})
    assert saved.settings == session.settings
    assert sum(f"The preset {saved.preset} was chosen automatically" in note for note in saved.notes) == 1


@pytest.mark.parametrize("pose", [np.eye(4), physical.affine()])
def test_an_answer_equals_the_whole_registration(pose: np.ndarray) -> None:
    start = SpatialTransform(pose)
    session = PairSession(FIXED, MOVING, KNOWN, SETTINGS, initial=start)
    answer = session.predict({"alpha_prime": 0.7})
    whole = register(FIXED, MOVING, SETTINGS, model=KNOWN, condition={"alpha_prime": 0.7}, initial=start)
    assert session.grid == whole.displacement.grid
    assert np.array_equal(session.affine, whole.affine)
    assert float(whole.displacement.magnitude().max()) > 3
    assert torch.allclose(answer.displacement, whole.displacement.vectors, atol=1e-4)
    assert torch.allclose(answer.lambda_map, whole.lambda_map.data, atol=1e-5)
    assert torch.allclose(answer.jacobian, whole.jacobian.data, atol=1e-4)
    difference = (answer.warped - whole.warped.data).abs()
    assert difference.median() < 1e-2
    assert (difference > 1).float().mean() < 1e-3  # of 100 to 900: where half a voxel beyond the border is decided by rounding
    assert answer.figures["folding_percent"] == whole.figures.folding_percent == 0
    assert answer.figures["sd_log_j"] == pytest.approx(whole.figures.sd_log_j, abs=1e-4)
    assert answer.figures["displacement_max_mm"] == pytest.approx(float(whole.displacement.magnitude().max()), abs=1e-3)


def test_a_pass_in_bf16_gives_the_same_answer_within_its_rounding_live_and_whole(hyper: EncodingModel) -> None:
    model, half = (hyper, card_of(SEEN)), replace(SETTINGS, network_precision="bf16")
    exact = PairSession(FIXED, MOVING, model, SETTINGS, initial=SpatialTransform()).predict().displacement
    live = PairSession(FIXED, MOVING, model, half, initial=SpatialTransform()).predict().displacement
    whole = register(FIXED, MOVING, half, model=model, initial=SpatialTransform()).displacement.vectors
    assert live.dtype == whole.dtype == torch.float32
    scale = exact.abs().max()
    for rounded in (live, whole):
        assert 1e-6 * scale < (rounded - exact).abs().max() < 0.1 * scale


def test_what_no_condition_touches_is_computed_once(hyper: EncodingModel) -> None:
    calls = []
    handle = hyper.inner.network.encoder.register_forward_hook(lambda *_: calls.append(1))
    try:
        session = PairSession(FIXED, MOVING, (hyper, card_of(SEEN)), SETTINGS)
        answers = [session.predict({"alpha_prime": value, "lambda_max": 2.0}) for value in (0.01, 0.19, 0.01)]
    finally:
        handle.remove()
    assert len(calls) == 1
    assert not torch.equal(answers[0].displacement, answers[1].displacement)
    assert not torch.equal(answers[0].lambda_map, answers[1].lambda_map)
    assert torch.equal(answers[0].displacement, answers[2].displacement)


def test_a_kept_first_half_gives_the_answer_of_a_whole_pass(hyper: EncodingModel) -> None:
    values = {"alpha_prime": 0.15, "lambda_max": 4.0}
    session = PairSession(FIXED, MOVING, (hyper, card_of(SEEN)), SETTINGS)
    answer = session.predict(values)
    whole = register(FIXED, MOVING, SETTINGS, model=(hyper, card_of(SEEN)), condition=values)
    assert float(answer.lambda_map.std()) > 0
    assert torch.allclose(answer.lambda_map, whole.lambda_map.data, atol=1e-5)


def test_saving_starts_where_the_session_is() -> None:
    session = PairSession(FIXED, MOVING, KNOWN, replace(SETTINGS, affine="center"))
    found = session.save({"alpha_prime": 0.3})
    assert np.array_equal(found.affine, session.affine)
    assert found.model["condition"] == {"alpha_prime": 0.3}
    assert found.figures.inverse_residual_p99_mm < 0.2
    assert torch.allclose(found.displacement.vectors, session.predict({"alpha_prime": 0.3}).displacement, atol=1e-4)


def test_an_unwanted_answer_stops_between_the_layers(hyper: EncodingModel) -> None:
    session = PairSession(FIXED, MOVING, (hyper, card_of(SEEN)), SETTINGS)
    checks = []
    session.predict(check=lambda: checks.append(1))
    assert len(checks) > 10

    def stop() -> None:
        checks.append(1)
        raise Cancelled

    checks.clear()
    with pytest.raises(Cancelled):
        session.predict(check=stop)
    assert len(checks) == 1
    session.predict()
    assert not any(module._forward_pre_hooks for module in hyper.modules())


def test_folds_are_counted_and_left() -> None:
    model = Known(KnownSettings(height=(28.0, -18.0, 10.0), width=3.0, integrates=False))
    session = PairSession(FIXED, MOVING, (model, card_of(SEEN)), SETTINGS)
    figures = session.predict().figures
    assert figures["folding_percent"] > 0
    assert figures["jacobian_min"] < 0


@pytest.mark.parametrize(
    ("values", "message"),
    [({"alpha_prime": 2.1}, "alpha_prime must be from 0 to 2"), ({"alpha": 1.0}, "Unknown hyperparameter 'alpha'")],
)
def test_a_condition_that_the_model_does_not_take_is_refused(values: dict, message: str) -> None:
    session = PairSession(FIXED, MOVING, KNOWN, SETTINGS)
    with pytest.raises(ValueError, match=message):
        session.predict(values)
