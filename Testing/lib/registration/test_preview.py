"""A preview of a pair without a model: fast, on the way to the finished registration, and a function of its values alone."""

from __future__ import annotations

from dataclasses import replace

import bending
import numpy as np
import physical
import pytest
import torch
from bending import FAST

from SpatialRegularizationLib.fields.derivatives import jacobian_determinant
from SpatialRegularizationLib.geometry import DisplacementField, SpatialTransform, Volume
from SpatialRegularizationLib.geometry.companions import Companions
from SpatialRegularizationLib.registration.presets import PRESETS, preset_settings
from SpatialRegularizationLib.registration.preview import VOXELS, PairPreview, Start
from SpatialRegularizationLib.registration.progress import Cancelled
from SpatialRegularizationLib.registration.register import register
from SpatialRegularizationLib.transforms.resample import resample

GRID = physical.grid("LIA", shape=(38, 37, 38), spacing=(2.4, 2.6, 2.5))
SHORT = replace(FAST, levels=((4, 4, 5),))
FIXED, MOVING = bending.image(GRID, bending.Bend()), bending.image(GRID)


@pytest.fixture(scope="module")
def preview() -> PairPreview:
    return PairPreview(FIXED, MOVING, FAST)


def test_a_preview_is_near_the_finished_registration(preview: PairPreview) -> None:
    answer = preview.predict()
    whole = register(FIXED, MOVING, FAST)
    assert np.prod(preview.grid.shape) <= VOXELS < np.prod(GRID.shape)
    assert np.allclose(preview.grid.extent, GRID.extent)
    coarse = DisplacementField(answer.displacement, preview.grid)
    fine = resample(Volume(whole.displacement.vectors, GRID), None, preview.grid).data
    far = (coarse.vectors - fine).norm(dim=0)
    assert float(fine.norm(dim=0).max()) > 4
    assert float(far.mean()) < 0.15 * float(fine.norm(dim=0).max())
    assert float(far.mean()) < 0.5 * float(fine.norm(dim=0).mean())


def test_an_answer_is_a_function_of_its_values_alone(preview: PairPreview) -> None:
    first = preview.predict({"lambda_max": 2.0})
    other = preview.predict({"lambda_max": 0.05})
    again = preview.predict({"lambda_max": 2.0})
    assert torch.equal(first.displacement, again.displacement)
    assert not torch.equal(first.displacement, other.displacement)


def test_a_larger_weight_gives_a_smoother_answer_and_alpha_prime_draws_lambda_to_its_largest(preview: PairPreview) -> None:
    figures = [preview.predict({"lambda_max": value}).figures for value in (0.05, 0.5, 5.0)]
    assert figures[0]["sd_log_j"] > figures[1]["sd_log_j"] > figures[2]["sd_log_j"]
    means = [float(preview.predict({"alpha_prime": value}).lambda_map.mean()) for value in (0.001, 0.01, 0.1)]
    assert means[0] < means[1] < means[2] < FAST.lambda_max + 1e-6


def test_the_arrays_of_an_answer_belong_together(preview: PairPreview) -> None:
    answer = preview.predict()
    field = DisplacementField(answer.displacement, preview.grid)
    carried = resample(MOVING, SpatialTransform(preview.affine, field), preview.grid).data
    inner = (slice(None), *[slice(3, -3)] * 3)
    assert float((answer.warped - carried)[inner].abs().median()) < 1e-2
    assert torch.allclose(answer.jacobian, jacobian_determinant(field.to_voxels()[None])[0], atol=1e-4)
    assert answer.figures["displacement_max_mm"] == pytest.approx(float(field.magnitude().max()), abs=1e-3)


def test_it_starts_where_the_initial_transform_leads() -> None:
    shift = np.eye(4)
    shift[:3, 3] = (9.0, -6.0, 4.0)
    moved = Volume(MOVING.data, replace(GRID, origin=tuple(np.array(GRID.origin) + shift[:3, 3])))
    led = PairPreview(FIXED, moved, SHORT, start=Start(initial=SpatialTransform(shift)))
    assert np.array_equal(led.affine, shift)
    plain = PairPreview(FIXED, MOVING, SHORT)
    assert torch.allclose(led.predict().displacement, plain.predict().displacement, atol=1e-2)


def test_a_mask_takes_part() -> None:
    half = torch.zeros_like(FIXED.data)
    half[:, :19] = 1
    masked = PairPreview(FIXED, MOVING, SHORT, start=Start(Companions(fixed_mask=Volume(half, GRID)))).predict()
    assert not torch.allclose(masked.displacement, PairPreview(FIXED, MOVING, SHORT).predict().displacement, atol=0.1)


def test_save_is_the_registration_at_these_values() -> None:
    saved = PairPreview(FIXED, MOVING, SHORT).save({"lambda_max": 1.0})
    whole = register(FIXED, MOVING, replace(SHORT, lambda_max=1.0))
    assert saved.settings.lambda_max == 1.0
    assert torch.equal(saved.displacement.vectors, whole.displacement.vectors)


def test_under_the_preset_auto_the_settings_that_the_pair_decides_count_and_values_that_are_asked_for() -> None:
    noisy = FIXED.with_data(900 - FIXED.data)
    quick = preset_settings("auto").changed(levels=SHORT.levels, threads=1)
    preview = PairPreview(noisy, MOVING, quick)
    chosen = preview.settings
    assert (chosen.automatic, chosen.similarity, chosen.levels) == ("off", "mind", SHORT.levels)
    assert preview.condition({}) == {"lambda_max": chosen.lambda_max, "alpha_prime": chosen.alpha_prime}
    named = PairPreview(noisy, MOVING, chosen)
    assert torch.equal(preview.predict().displacement, named.predict().displacement)
    saved = preview.save({"lambda_max": quick.lambda_max})
    assert saved.settings == replace(chosen, affine="none", lambda_max=quick.lambda_max)
    assert saved.preset in PRESETS
    assert sum("was chosen automatically" in note for note in saved.notes) == 1


@pytest.mark.parametrize(
    ("values", "words"),
    [({"lambda_mean": 1.0}, "the beta prior takes lambda_max, alpha_prime"), ({"lambda_max": -1.0}, "lambda_max must be")],
)
def test_what_it_does_not_take_gets_a_sentence(preview: PairPreview, values: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        preview.predict(values)


def test_it_stops_between_two_steps(preview: PairPreview) -> None:
    calls = []

    def check() -> None:
        calls.append(1)
        if len(calls) == 3:
            raise Cancelled

    with pytest.raises(Cancelled):
        preview.predict(check=check)
    assert len(calls) == 3


@pytest.mark.parametrize(
    ("prior", "names"), [("gaussian", ["lambda_mean", "sigma_prime"]), ("uniform", ["lambda_max"])]
)
def test_every_prior_has_its_own_sliders(prior: str, names: list[str]) -> None:
    preview = PairPreview(FIXED, MOVING, replace(SHORT, prior=prior))
    assert [h.name for h in preview.hyperparameters] == names
    assert preview.condition({}) == {name: getattr(preview.settings, name) for name in names}
    assert preview.predict({names[0]: 0.7}).figures["lambda_max"] >= 0
