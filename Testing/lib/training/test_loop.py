"""The loop learns, resumes to the last bit, stops well, and keeps the last good state."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from blobs import settings_dict
from held import held
from resumed import InterruptAt, same, states, without_time

from SpatialRegularizationLib.io.claims import TakenError
from SpatialRegularizationLib.models.catalogue import build_model
from SpatialRegularizationLib.objective import NonFiniteEnergyError
from SpatialRegularizationLib.registration.progress import Cancelled, Progress
from SpatialRegularizationLib.training.checkpoints import LAST
from SpatialRegularizationLib.training.data import load_data
from SpatialRegularizationLib.training.distributed import Workers
from SpatialRegularizationLib.training.loop import Run, train
from SpatialRegularizationLib.training.settings import TrainingSettings


def settings(folder: Path, **changes: Any) -> TrainingSettings:
    return TrainingSettings.from_dict(settings_dict(folder, **changes))


def test_it_learns_to_align_blobs(tmp_path: Path) -> None:
    outcome = train(settings(tmp_path, epochs=6, steps_per_epoch=8))
    first, last = outcome.history[0], outcome.history[-1]
    assert last["train_total"] < first["train_total"] - 0.05
    assert outcome.best_score > first["dice"] + 0.02
    assert outcome.best_score == max(row["score"] for row in outcome.history)
    assert last["folding_percent"] == 0


STOCHASTIC = {
    "deform_voxels": 0.5,
    "deform_scale": 8,
    "intensity_jitter": 0.1,
    "flips": ["left-right"],
    "ema_decay": 0.5,
    "accumulate": 2,
    "dice_weight": 0.5,
    "symmetric": True,
    "steps_per_epoch": 3,
    "schedule": "cosine",
}


@pytest.mark.parametrize("steps", [2, 3, 4])
def test_a_training_resumed_after_a_termination_signal_equals_one_that_was_not_interrupted(tmp_path: Path, steps: int) -> None:
    whole = train(settings(tmp_path, out=str(tmp_path / "whole"), name="resumed", **STOCHASTIC))
    split = settings(tmp_path, out=str(tmp_path / "split"), name="resumed", **STOCHASTIC)
    with pytest.raises(KeyboardInterrupt):
        train(split, monitor=InterruptAt(steps))
    torch.manual_seed(123)  # whatever else the program did in between
    resumed = train(split)
    assert same(states(tmp_path / "whole"), states(tmp_path / "split"))
    assert without_time(whole.history) == without_time(resumed.history)
    assert (tmp_path / "whole" / "best.safetensors").read_bytes() == (tmp_path / "split" / "best.safetensors").read_bytes()


def test_the_signal_handler_of_the_program_comes_back(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    train(settings(tmp_path, epochs=1, steps_per_epoch=1, validation=None))
    assert signal.getsignal(signal.SIGTERM) is before


def test_more_epochs_go_on_and_a_finished_training_does_nothing(tmp_path: Path) -> None:
    train(settings(tmp_path, epochs=1))
    told: list[Progress] = []
    again = train(settings(tmp_path, epochs=1), monitor=told.append)
    assert again.epochs == 1
    assert not [progress for progress in told if progress.message.startswith("step")]
    longer = train(settings(tmp_path, epochs=2))
    assert [row["epoch"] for row in longer.history] == [1, 2]


def test_without_resume_it_starts_anew(tmp_path: Path) -> None:
    first = train(settings(tmp_path))
    second = train(settings(tmp_path), resume=False)
    assert without_time(first.history) == without_time(second.history)


def test_the_state_of_another_model_is_refused(tmp_path: Path) -> None:
    train(settings(tmp_path, epochs=1, steps_per_epoch=1, validation=None))
    other = dict(settings_dict(tmp_path)["model"], lncc_window=7)
    with pytest.raises(ValueError, match="another model; give another out folder"):
        train(settings(tmp_path, model=other))


def test_a_damaged_state_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / LAST).write_bytes(b"no checkpoint")
    with pytest.raises(ValueError, match=r"last\.pt is not a state of a training"):
        train(settings(tmp_path))


def prepared_run(chosen: TrainingSettings) -> Run:
    team = Workers(0, 1, torch.device("cpu"))
    return Run(build_model(chosen.model), load_data(chosen), chosen, team)


def test_an_energy_that_is_not_finite_stops_names_itself_and_keeps_the_last_good_state(tmp_path: Path) -> None:
    run = prepared_run(settings(tmp_path, steps_per_epoch=2))

    def spoil(progress: Progress) -> None:
        if progress.stage == "epoch 2 of 2" and progress.message.startswith("step 1 "):
            with torch.no_grad():
                next(run.stepper.model.parameters()).fill_(torch.nan)

    with pytest.raises(NonFiniteEnergyError, match=r"^Epoch 2, step 2, person\d to person\d: The \w+ term .*last\.pt\.$"):
        run.go(monitor=spoil)
    kept = states(tmp_path / "run")["model"]
    assert all(bool(torch.isfinite(value).all()) for value in kept.values())
    assert torch.load(tmp_path / "run" / LAST, weights_only=True)["position"]["epoch"] == 1


def test_it_stops_when_the_score_no_longer_improves(tmp_path: Path) -> None:
    stuck = settings(tmp_path, epochs=50, steps_per_epoch=1, learning_rate=1e-8, patience=2)
    outcome = train(stuck)
    assert outcome.epochs < 50
    best = max(outcome.history, key=lambda row: row["score"])["epoch"]
    assert outcome.epochs == best + 2
    assert train(stuck).epochs == outcome.epochs


def test_what_a_report_raises_arrives_and_the_state_is_on_disk(tmp_path: Path) -> None:
    class Pruned(Exception):
        pass

    seen: list[int] = []

    def report(epoch: int, figures: dict[str, float]) -> None:
        seen.append(epoch)
        assert figures["dice"] == figures["score"]
        if epoch == 2:
            raise Pruned

    with pytest.raises(Pruned):
        train(settings(tmp_path, epochs=5), report=report)
    assert seen == [1, 2]
    assert torch.load(tmp_path / "run" / LAST, weights_only=True)["position"]["epoch"] == 2


def test_a_monitor_that_cancels_leaves_a_state_to_go_on_from(tmp_path: Path) -> None:
    def cancel(progress: Progress) -> None:
        if progress.message.startswith("step 2 "):
            raise Cancelled

    with pytest.raises(Cancelled):
        train(settings(tmp_path), monitor=cancel)
    assert torch.load(tmp_path / "run" / LAST, weights_only=True)["position"]["step"] == 2


def test_progress_rises_to_one_and_counts_the_time_of_earlier_runs(tmp_path: Path) -> None:
    told: list[Progress] = []
    train(settings(tmp_path, epochs=1), monitor=told.append)
    spent = torch.load(tmp_path / "run" / LAST, weights_only=True)["position"]["seconds"]
    train(settings(tmp_path, epochs=2), monitor=told.append)
    fractions = [progress.fraction for progress in told]
    assert fractions[-1] == 1
    assert told[-1].seconds > spent > 0
    assert told[-1].stage == "epoch 2 of 2"


def test_two_accumulated_passes_give_the_gradient_of_one_of_both_pairs(tmp_path: Path) -> None:
    common = {"epochs": 1, "steps_per_epoch": 2, "validation": None}
    train(settings(tmp_path, out=str(tmp_path / "wide"), batch=2, **common))
    train(settings(tmp_path, out=str(tmp_path / "long"), accumulate=2, **common))
    wide, long = (states(tmp_path / name)["model"] for name in ("wide", "long"))
    for name in wide:
        assert torch.allclose(wide[name], long[name], atol=2e-5), name


def test_the_moving_average_is_what_is_kept(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    outcome = train(settings(tmp_path, epochs=1, ema_decay=0.9, validation=None))
    kept, parts = load_file(outcome.checkpoint), states(tmp_path / "run")
    name = next(iter(kept))
    assert torch.equal(kept[name], parts["average"][name])
    assert not torch.equal(kept[name], parts["model"][name])


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_trains_as_well(tmp_path: Path, precision: str) -> None:
    outcome = train(settings(tmp_path, epochs=2, precision=precision, validation=None))
    assert outcome.history[-1]["train_total"] < 1.5
    assert all(value.dtype != torch.bfloat16 for value in states(tmp_path / "run")["model"].values())


def test_checkpointing_gives_the_same_parameters(tmp_path: Path) -> None:
    model = {
        "system": "tm-spr",
        "size": "tiny",
        "backbone": {"channels": 8, "time_steps": 2, "depths": [1, 1, 1], "heads": [1, 1, 1], "drop_path": 0.2},
    }
    common = {"model": model, "epochs": 1, "steps_per_epoch": 2, "validation": None}
    for name, on in (("plain", False), ("again", True)):
        train(settings(tmp_path, out=str(tmp_path / name), checkpointing=on, **common))
    plain, again = (states(tmp_path / name)["model"] for name in ("plain", "again"))
    for name in plain:
        assert torch.allclose(plain[name], again[name], atol=1e-5), name


def test_conditions_are_drawn_anew_for_every_step_over_the_whole_range(tmp_path: Path) -> None:
    model = {"system": "hyper-tm-spr", "backbone": settings_dict(tmp_path)["model"]["backbone"]}
    run = prepared_run(settings(tmp_path, model=model, epochs=1, steps_per_epoch=1, validation=None))
    drawn = torch.cat([run.stepper.condition(0, number) for number in range(40)])
    assert drawn.shape == (40, len(run.stepper.model.hyperparameters))
    assert bool(((drawn >= 0) & (drawn <= 1)).all())
    assert bool((drawn.max(0).values - drawn.min(0).values > 0.6).all())
    assert run.go(monitor=lambda progress: None).epochs == 1


def test_tensorboard_gets_curves_and_pictures(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(settings(tmp_path, epochs=2, steps_per_epoch=1, tensorboard=True))
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("validation/dice")] == [1, 2]
    assert "training/train_total" in events.Tags()["scalars"]
    assert events.Tags()["images"]


def test_history_is_a_table(tmp_path: Path) -> None:
    train(settings(tmp_path))
    lines = (tmp_path / "run" / "history.csv").read_text().splitlines()
    assert lines[0].startswith("epoch,learning_rate,train_total")
    assert len(lines) == 3


def test_a_second_training_into_a_folder_is_refused_before_it_reads(tmp_path: Path) -> None:
    chosen = settings(tmp_path, epochs=1, steps_per_epoch=1, validation=None)
    with held(Path(chosen.out)), pytest.raises(TakenError, match="is being written by another"):
        train(chosen)
    assert not (Path(chosen.out) / LAST).exists()
    train(chosen)
    assert (Path(chosen.out) / LAST).is_file()
