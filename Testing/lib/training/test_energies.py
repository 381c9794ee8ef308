"""The energy of a batch: the model's own, the Dice term, both directions, pair by pair."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from blobs import MODEL, settings_dict

from SpatialRegularizationLib.fields.sampling import warp
from SpatialRegularizationLib.models.base import predict
from SpatialRegularizationLib.models.catalogue import build_model
from SpatialRegularizationLib.objective import NonFiniteEnergyError
from SpatialRegularizationLib.similarity.overlap import one_hot, soft_dice_loss
from SpatialRegularizationLib.training.data import load_data
from SpatialRegularizationLib.training.energies import BatchEnergy, EnergyOf, exchanged
from SpatialRegularizationLib.training.pairs import Batch
from SpatialRegularizationLib.training.settings import TrainingSettings

LABELS = (1, 2)
Energies = Callable[..., BatchEnergy]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("people")


@pytest.fixture(scope="module")
def batch(folder: Path) -> Batch:
    """Two pairs; the field of view of the images is smaller than the lattice."""
    images = load_data(TrainingSettings.from_dict(settings_dict(folder, shape=[16, 16, 24]))).training
    return Batch.of([(images[0], images[1]), (images[2], images[3])], torch.device("cpu"))


@pytest.fixture(scope="module")
def model() -> Any:
    torch.manual_seed(0)
    model = build_model(MODEL).eval()
    with torch.no_grad():  # a field that is worth measuring
        for parameter in model.network.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape))
    return model


@pytest.fixture(scope="module")
def energies(folder: Path, model: Any) -> Energies:
    def of(batch: Batch, **changes: Any) -> BatchEnergy:
        chosen = TrainingSettings.from_dict(settings_dict(folder, **changes))
        with torch.no_grad():
            return EnergyOf(model, model, chosen)(batch, None, LABELS)

    return of


def part(batch: Batch, number: int) -> Batch:
    values = {name: value[number : number + 1] for name, value in vars(batch).items() if value is not None}
    return replace(batch, **values)


def test_a_batch_has_the_mean_energy_of_its_pairs(batch: Batch, energies: Energies) -> None:
    together = energies(batch, dice_weight=2.0)
    alone = [energies(part(batch, n), dice_weight=2.0) for n in range(2)]
    assert float(together.total) == pytest.approx(float(sum(one.total for one in alone)) / 2, abs=1e-5)
    assert float(together.dice) == pytest.approx(float(sum(one.dice for one in alone)) / 2, abs=1e-5)


def test_the_dice_term_is_added_with_its_weight(batch: Batch, model: Any, energies: Energies) -> None:
    one = part(batch, 0)
    with torch.no_grad():
        u = model.displacement(predict(model, one.moving, one.fixed, None), (16, 16, 24))
    expected = soft_dice_loss(warp(one_hot(one.moving_labels, LABELS), u), one_hot(one.fixed_labels, LABELS))
    found = energies(one, dice_weight=3.0)
    assert float(found.dice) == pytest.approx(float(expected), abs=1e-5)
    assert float(found.total) == pytest.approx(float(found.energy.total + 3 * expected), abs=1e-5)
    assert found.numbers()["total"] == float(found.total)
    assert energies(one).dice is None


def test_the_symmetric_energy_is_the_mean_over_the_map_and_its_inverse(batch: Batch, model: Any, energies: Energies) -> None:
    one = part(batch, 0)
    with torch.no_grad():
        prediction = predict(model, one.moving, one.fixed, None)
        u = model.inverse_displacement(prediction, (16, 16, 24))
        back = model.objective()(warp(one.fixed, u), one.moving, u, model.lambda_on(prediction, (16, 16, 24)), one.moving_inside)
    forth = energies(one).energy
    both = energies(one, symmetric=True).energy
    for name in ("total", "similarity", "regularization", "prior"):
        expected = 0.5 * float(getattr(forth, name) + getattr(back, name))
        assert float(getattr(both, name)) == pytest.approx(expected, abs=1e-5), name


def test_what_lies_outside_of_the_fixed_field_of_view_does_not_count(batch: Batch, model: Any, energies: Energies) -> None:
    one = part(batch, 0)
    assert bool((one.fixed_inside[..., 20:] == 0).all())
    with torch.no_grad():
        u = model.displacement(predict(model, one.moving, one.fixed, None), (16, 16, 24))
        warped = warp(one.moving, u)
        changed = one.fixed.clone()
        changed[..., 23:] = 1 - changed[..., 23:]  # farther from what counts than half a window of 5
        values = [model.objective().similarity(warped, fixed, one.fixed_inside) for fixed in (one.fixed, changed)]
    assert torch.equal(*values)
    assert float(energies(one).energy.similarity) == pytest.approx(float(values[0]), abs=1e-6)
    assert float(energies(replace(one, fixed_inside=None)).energy.similarity) != pytest.approx(float(values[0]), abs=1e-6)


def test_exchanging_twice_gives_the_batch_again(batch: Batch) -> None:
    assert exchanged(exchanged(batch)).moving is batch.moving
    assert exchanged(batch).moving_labels is batch.fixed_labels
    assert exchanged(batch).fixed_inside is batch.moving_inside


def test_a_dice_term_that_is_not_finite_is_named(batch: Batch, energies: Energies) -> None:
    found = energies(part(batch, 0), dice_weight=1.0)
    with pytest.raises(NonFiniteEnergyError, match="Dice term"):
        replace(found, dice=torch.tensor(torch.nan)).numbers()


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_predicts_nearly_the_same_in_float32(batch: Batch, model: Any, precision: str) -> None:
    with torch.no_grad():
        exact, near = (predict(model, batch.moving, batch.fixed, None, kind) for kind in ("float32", precision))
    assert near.parameters.velocity.dtype == near.lambda_map.dtype == torch.float32
    scale = float(exact.parameters.velocity.abs().max())
    assert scale > 0.01
    assert torch.allclose(exact.parameters.velocity, near.parameters.velocity, atol=0.1 * scale)
