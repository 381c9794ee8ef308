"""Train a network: the loop over epochs and steps.

    for each epoch:    for each step:  pairs → prediction → energy → gradients → Adam    (TM-SPR journal paper, Eq. 19, Sec. 4)
                       validation, best checkpoint, state on disk

Every random number follows from the seed and the place where it is used (`draws`), so a training that is interrupted
and resumed takes the same steps as one that is not: on the CPU, to the last bit.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable
from pathlib import Path

import torch

from ..io.claims import claimed
from ..models.base import RegistrationModel
from ..models.catalogue import build_model
from ..objective import NonFiniteEnergyError
from ..registration.choices import threads
from ..registration.progress import Cancelled, Monitor, Progress
from .checkpoints import LAST, Position, load_last, save_last, start_from, write_history
from .data import Data, load_together
from .distributed import Workers, workers
from .draws import stream_seed
from .interruption import Interruption, termination_signals
from .outcome import BEST, TrainingOutcome, write_best
from .pictures import Board
from .settings import TrainingSettings
from .sources import source_of
from .step import Stepper, learning_rate
from .validation import mean_figures, score_of, validate

Report = Callable[[int, dict[str, float]], None]
"""Called after each epoch with its number (from 1) and its figures; what it raises ends the training."""


def train(
    settings: TrainingSettings, *, monitor: Monitor | None = None, report: Report | None = None, resume: bool = True
) -> TrainingOutcome:
    """Trains a model on lists of images, headless; alone or as one of the processes of `torchrun`.

    Args:
        settings: what to train, on what, how.
        monitor: told about the progress; raises `Cancelled` to stop (the state is saved).
        report: told the figures of each epoch, e.g. to prune a trial.
        resume: go on from `out`/last.pt where there is one; False starts anew.

    Returns:
        TrainingOutcome; its checkpoint is what `register(..., model=…)` takes.

    Raises:
        ValueError, FileNotFoundError: settings, lists or images that cannot be used (all bad images are named at once), or a
            model to start from that is not there or has other layers.
        NonFiniteEnergyError: a term is not finite, which and where; the last good state is on disk.
        TakenError: another training is writing into `out`.
        Interrupted: SIGTERM, Ctrl+C or a closed terminal, after the state was saved.
    """
    listener = monitor or _nobody
    with contextlib.ExitStack() as stack:
        stack.enter_context(threads(settings.threads))
        team = stack.enter_context(workers(settings.device))
        interruption = stack.enter_context(termination_signals())
        if team.leads:
            stack.enter_context(claimed(settings.out))
        data = load_together(settings, team, tell=lambda stage: listener(Progress(stage, 0.0, 0.0)))
        torch.manual_seed(stream_seed(settings.seed, "parameters"))
        model = build_model({"image_shape": list(data.preparation.training_grid.shape), **settings.model}).to(team.device)
        if settings.start is not None and not (resume and (Path(settings.out) / LAST).is_file()):
            start_from(model, settings.start)
        model.use_checkpointing(settings.checkpointing)
        return Run(model, data, settings, team).go(monitor=listener, report=report, resume=resume, interruption=interruption)


class Run:
    """One training: a model, its data, and where it stands.

    Args:
        model: on the device of the team, freshly initialised.
        data: prepared images.
        settings: as given to `train`.
        team: the processes.
    """

    def __init__(self, model: RegistrationModel, data: Data, settings: TrainingSettings, team: Workers) -> None:
        self.data, self.settings, self.team = data, settings, team
        self.folder = Path(settings.out)
        self.folder.mkdir(parents=True, exist_ok=True)
        source = source_of(settings, data)
        self.validation = source.validation()
        self.stepper = Stepper(model, data, source, settings, team)
        self.steps = settings.steps_per_epoch or math.ceil(source.size / (settings.batch * settings.accumulate * team.size))
        self.position = Position()
        self.started = self.saved = time.monotonic()

    def go(
        self,
        *,
        monitor: Monitor,
        report: Report | None = None,
        resume: bool = True,
        interruption: Interruption | None = None,
    ) -> TrainingOutcome:
        """All epochs that are left; arguments as `train`."""
        self.monitor, self.interruption = monitor, interruption or Interruption()
        if resume:
            self.position = load_last(self.folder, self.stepper.parts(), self.settings) or self.position
        self.started = time.monotonic() - self.position.seconds
        board = self._board()
        try:
            while self.position.epoch < self.settings.epochs and not self._patience_is_over():
                self._train_epoch()
                row = self._finish_epoch(board)
                self._report(report, row)
        finally:
            if board is not None:
                board.close()
        position = self.position
        return TrainingOutcome(position.best_score, self.folder / BEST, position.epoch, tuple(position.history))

    def _train_epoch(self) -> None:
        """The steps of the epoch that are left."""
        position = self.position
        self.stepper.set_learning_rate(learning_rate(self.settings, position.epoch))
        self.stepper.model.train()
        while position.step < self.steps:
            try:
                terms = self.stepper.step(position.epoch, position.step)
            except NonFiniteEnergyError as error:
                raise NonFiniteEnergyError(f"{self._place()}, {error} {self._what_is_kept()}") from error
            for name, value in terms.items():
                position.sums[name] = position.sums.get(name, 0.0) + value
            position.step += 1
            self._after_step(terms["total"])

    def _after_step(self, energy: float) -> None:
        """Grants the wish to stop, saves now and then, tells how far it is."""
        stop = self.team.any(self.interruption.wished)
        if stop or time.monotonic() - self.saved > 60 * self.settings.save_minutes > 0:
            self._save()
        if stop:
            raise self.interruption.granted()
        try:
            self._tell(f"step {self.position.step} of {self.steps}, energy {energy:.4f}")
        except Cancelled:
            self._save()
            raise

    def _finish_epoch(self, board: Board | None) -> dict[str, float]:
        """Validation, best checkpoint, history, state; returns the figures of the epoch."""
        position = self.position
        self._save()
        row = {"epoch": position.epoch + 1, "learning_rate": learning_rate(self.settings, position.epoch)}
        row |= self._train_means()
        if self.validation and self._validates():
            row |= self._validated(board)
        best = self._is_best(row.get("score"))
        if best:
            position.best_score, position.best_epoch = row.get("score"), position.epoch + 1
        row["seconds"] = time.monotonic() - self.started
        position.history.append(row)
        position.epoch, position.step, position.sums = position.epoch + 1, 0, {}
        if self.team.leads:
            if best:
                write_best(self.folder, self.stepper.best_model, self.data.preparation, self.settings, row)
            write_history(self.folder, position.history)
        self._save()
        if board is not None:
            curves = {name: value for name, value in row.items() if name.startswith(("train_", "learning_rate"))}
            board.scalars("training", curves, position.epoch)
        return row

    def _is_best(self, score: float | None) -> bool:
        """Without validation the latest is the best."""
        if score is None:
            return not self.validation
        return self.position.best_score is None or score > self.position.best_score

    def _train_means(self) -> dict[str, float]:
        shares = self.team.gather(self.position.sums)
        count = len(shares) * self.steps
        return {f"train_{name}": sum(share[name] for share in shares) / count for name in self.position.sums}

    def _validates(self) -> bool:
        done = self.position.epoch + 1
        return done % self.settings.validate_every == 0 or done == self.settings.epochs

    def _validated(self, board: Board | None) -> dict[str, float]:
        """Mean figures over all validation pairs, each process having done its share, and the score."""
        mine = self.validation[self.team.rank :: self.team.size]
        model = self.stepper.best_model
        found, shown = validate(model, mine, self.settings, self.team.device, check=self._stop_if_wished)
        figures = mean_figures([pair for share in self.team.gather(found) for pair in share])
        if board is not None:
            board.scalars("validation", figures, self.position.epoch + 1)
            if shown is not None:
                board.pair(shown, self.position.epoch + 1)
        return figures | {"score": score_of(figures, self.settings.score)}

    def _stop_if_wished(self) -> None:
        """Within a validation the state is on disk already."""
        if self.interruption.wished:
            raise self.interruption.granted()

    def _patience_is_over(self) -> bool:
        position, patience = self.position, self.settings.patience
        return patience is not None and position.best_epoch is not None and position.epoch - position.best_epoch >= patience

    def _report(self, report: Report | None, row: dict[str, float]) -> None:
        """Tells the figures of an epoch; where the report of the leading process raises, all processes stop."""
        best = self.position.best_score
        self._tell("" if best is None else f"best score {best:.4f} in epoch {self.position.best_epoch}")
        problem: Exception | None = None
        if report is not None and self.team.leads:
            try:
                report(self.position.epoch, row)
            except Exception as error:
                problem = error
        stop = self.team.any(problem is not None)
        if problem is not None:
            raise problem
        if stop:
            raise Cancelled("The leading process stopped the training.")

    def _save(self) -> None:
        self.position.seconds = time.monotonic() - self.started
        if self.team.leads:
            save_last(self.folder, self.stepper.parts(), self.position, self.settings)
        self.saved = time.monotonic()

    def _board(self) -> Board | None:
        if not (self.settings.tensorboard and self.team.leads):
            return None
        return Board(self.folder / "tensorboard", self.position.epoch + 1)

    def _place(self) -> str:
        return f"Epoch {self.position.epoch + 1}, step {self.position.step + 1}"

    def _what_is_kept(self) -> str:
        last = self.folder / LAST
        kept = f"the last good state is {last}" if last.is_file() else "no state was saved before"
        return f"Training stopped before that step was taken; {kept}."

    def _tell(self, message: str) -> None:
        if self.team.leads:
            position, epochs = self.position, self.settings.epochs
            fraction = min(1.0, (position.epoch + position.step / self.steps) / epochs)
            stage = f"epoch {min(position.epoch + 1, epochs)} of {epochs}"
            self.monitor(Progress(stage, fraction, time.monotonic() - self.started, None, message))


def _nobody(progress: Progress) -> None:
    """The monitor of those who do not listen."""
