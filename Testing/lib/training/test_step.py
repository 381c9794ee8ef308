"""Learning rates by their formulas, and random numbers by their place."""

from __future__ import annotations

import pytest
import torch

from SpatialRegularizationLib.training.draws import stream, stream_seed
from SpatialRegularizationLib.training.settings import TrainingSettings
from SpatialRegularizationLib.training.step import MovingAverage, learning_rate, optimizer_for


def settings(**changes: object) -> TrainingSettings:
    return TrainingSettings.from_dict({"model": {"system": "tm-spr"}, "train": "a.csv", "out": "run", "epochs": 300} | changes)


def test_the_released_schedule_is_rounded_to_eight_places() -> None:
    chosen = settings(learning_rate=1e-4)
    assert learning_rate(chosen, 0) == 1e-4
    assert learning_rate(chosen, 150) == round(1e-4 * 0.5**0.9, 8) == 5.359e-05
    assert 0 < learning_rate(chosen, 299) < 1e-6


def test_half_a_cosine_falls_to_almost_nothing_and_a_constant_stays() -> None:
    chosen = settings(learning_rate=1e-3, schedule="cosine")
    assert [learning_rate(chosen, epoch) for epoch in (0, 150)] == pytest.approx([1e-3, 5e-4])
    assert learning_rate(chosen, 299) < 1e-7
    assert learning_rate(settings(schedule="constant"), 299) == learning_rate(settings(), 0)


def test_the_optimizer_is_the_one_asked_for() -> None:
    parameter = torch.nn.Parameter(torch.ones(3))
    chosen = optimizer_for(settings(optimizer="adamw", amsgrad=True, weight_decay=0.1, learning_rate=2e-4), [parameter])
    assert isinstance(chosen, torch.optim.AdamW)
    group = chosen.param_groups[0]
    assert (group["lr"], group["amsgrad"], group["weight_decay"]) == (2e-4, True, 0.1)
    assert type(optimizer_for(settings(), [parameter])) is torch.optim.Adam


def test_a_place_has_its_own_random_numbers_that_depend_on_nothing_else() -> None:
    draws = {(seed, step): torch.rand(3, generator=stream(seed, "x", step)) for seed in (0, 1) for step in range(3)}
    torch.manual_seed(99)
    assert torch.equal(draws[0, 1], torch.rand(3, generator=stream(0, "x", 1)))
    assert len({tuple(draw.tolist()) for draw in draws.values()}) == 6
    assert stream_seed(0, 1, 23) != stream_seed(0, 12, 3)


def test_a_moving_average_follows_parameters_slowly_and_buffers_at_once() -> None:
    model = torch.nn.BatchNorm1d(1)
    average = MovingAverage(model, decay=0.9)
    with torch.no_grad():
        model.weight.fill_(2.0)
        model.running_mean.fill_(5.0)
    for step in range(1, 4):
        average.follow(model)
        assert float(average.model.weight) == pytest.approx(2 - 0.9**step)
    assert float(average.model.running_mean) == 5
    assert not average.model.weight.requires_grad
