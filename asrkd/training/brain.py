"""The training loop: SpeechBrain's Brain over batches of frames."""

import math
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from asrkd.core.errors import ConfigError
from asrkd.core.random import rng_for
from asrkd.features.torchaudio_cpu import import_torchaudio
from asrkd.losses import NO_LABEL, Batch, Loss
from asrkd.models.layers import limit_norms, logits_and_hidden
from asrkd.training.checkpoint import Progress

import_torchaudio()  # before speechbrain, which imports it

import speechbrain as sb  # noqa: E402
from speechbrain.nnet import schedulers  # noqa: E402

_DIVERGED = "training diverged, its loss is not a finite number: take a smaller learning_rate"


class Schedule(Protocol):
    """A learning rate an epoch: given the epoch that has ended (from 1) and its dev error, the next rate."""

    state: dict[str, Any]

    def next_rate(self, epoch: int, dev_error: float) -> float: ...


class Linear:
    """From the first rate to the last in equal steps over all epochs (SpeechBrain's LinearScheduler)."""

    def __init__(self, first: float, last: float, epochs: int):
        self.state: dict[str, Any] = {}
        self._scheduler = schedulers.LinearScheduler(first, last, max(epochs, 1))
        self._epochs = epochs

    def next_rate(self, epoch: int, dev_error: float) -> float:
        return float(self._scheduler.value_at_epoch[min(epoch, self._epochs - 1)])


class NewBob:
    """Halved whenever the dev error no longer falls by 0.25 % relative (SpeechBrain's NewBobScheduler)."""

    def __init__(self, first: float):
        self._scheduler = schedulers.NewBobScheduler(first)

    @property
    def state(self) -> dict[str, Any]:
        return {"rate": self._scheduler.hyperparam_value, "errors": list(self._scheduler.metric_values)}

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        self._scheduler.hyperparam_value = state["rate"]
        self._scheduler.metric_values = state["errors"]

    def next_rate(self, epoch: int, dev_error: float) -> float:
        return float(self._scheduler(dev_error)[1])


class AcousticBrain(sb.Brain):  # type: ignore[misc]
    """Trains ``model`` on batches of frames; measures dev frame accuracy and cross-entropy after each epoch."""

    def __init__(  # noqa: PLR0917
        self,
        model: nn.Module,
        loss: Loss,
        schedule: Schedule,
        progress: Progress,
        seed: int,
        make_optimizer: Callable[[Any], torch.optim.Optimizer],
        run_opts: dict[str, Any],
    ):
        super().__init__({"model": model}, make_optimizer, {}, run_opts)
        self.loss = loss
        self.schedule = schedule
        self.progress = progress
        self.seed = seed
        self.train_loss = self.dev_loss = 0.0  # sums over the frames of an epoch
        self.trained = self.correct = self.labelled = 0
        self.frames = 0  # trained on, in all epochs
        self.after_epoch: Callable[[Progress], None] = lambda progress: None
        self.train_batches: Any = None
        self.max_norm = 0.0

    def compute_forward(self, batch: Batch, stage: sb.Stage) -> torch.Tensor:
        if stage == sb.Stage.TRAIN and self.loss.takes_hidden:
            logits, batch.hidden = logits_and_hidden(self.modules.model, batch.windows)
            return logits
        return self.modules.model(batch.windows)

    def compute_objectives(self, predictions: torch.Tensor, batch: Batch, stage: sb.Stage) -> torch.Tensor:
        if stage == sb.Stage.TRAIN:
            loss = self.loss(predictions, batch)
            self.train_loss += float(loss.detach()) * len(batch.labels)
            self.trained += len(batch.labels)
            return loss
        known = batch.labels != NO_LABEL
        self.correct += int((predictions.argmax(-1) == batch.labels)[known].sum())
        self.labelled += int(known.sum())
        loss = cross_entropy(predictions.float(), batch.labels, ignore_index=NO_LABEL, reduction="sum")
        self.dev_loss += float(loss)
        return loss

    def on_fit_batch_end(self, batch: Batch, outputs: Any, loss: torch.Tensor, should_step: bool) -> None:
        if self.max_norm and should_step:
            limit_norms(self.modules.model, self.max_norm)

    def check_loss_isfinite(self, loss: torch.Tensor) -> None:
        if not torch.isfinite(loss):
            raise ConfigError(_DIVERGED)

    def on_fit_start(self) -> None:
        super().on_fit_start()
        if self.progress.epoch:
            self.modules.model.load_state_dict(self.progress.weights)
            self.optimizer.load_state_dict(self.progress.optimizer)
            self.scaler.load_state_dict(self.progress.scaler)
            self.schedule.state = self.progress.schedule

    def on_stage_start(self, stage: sb.Stage, epoch: int | None = None) -> None:
        if stage == sb.Stage.TRAIN:
            # Dropout and noise of an epoch depend on seed and epoch alone, so that a resumed run draws the same.
            torch.manual_seed(int(rng_for(self.seed, "epoch", epoch or 0).integers(2**62)))
            self.train_batches.epoch = epoch
            self.trained, self.train_loss = 0, 0.0
        else:
            self.correct, self.labelled, self.dev_loss = 0, 0, 0.0

    def on_stage_end(self, stage: sb.Stage, stage_loss: float, epoch: int | None = None) -> None:
        if stage == sb.Stage.TRAIN:
            self.frames += self.trained
            return
        accuracy, cross_entropy_per_frame = self.correct / self.labelled, self.dev_loss / self.labelled
        if not math.isfinite(cross_entropy_per_frame):
            raise ConfigError(_DIVERGED)
        progress = self.progress
        progress.epoch = epoch or 0
        progress.curve.append(
            {
                "epoch": progress.epoch,
                "learning_rate": self.optimizer.param_groups[0]["lr"],
                "train_loss": self.train_loss / self.trained,
                "dev_cross_entropy": cross_entropy_per_frame,
                "dev_frame_accuracy": accuracy,
            }
        )
        for group in self.optimizer.param_groups:
            group["lr"] = self.schedule.next_rate(progress.epoch, 1 - accuracy)
        weights = {name: tensor.detach().clone() for name, tensor in self.modules.model.state_dict().items()}
        progress.weights = weights
        progress.optimizer = self.optimizer.state_dict()
        progress.scaler = self.scaler.state_dict()
        progress.schedule = self.schedule.state
        if accuracy > progress.best_accuracy:
            progress.best_accuracy, progress.best_epoch, progress.best_weights = accuracy, progress.epoch, weights
        self.after_epoch(progress)


def epochs_left(progress: Progress, epochs: int, patience: int) -> Iterator[int]:
    """Epoch numbers from where ``progress`` stands; ends after ``patience`` epochs without a better dev accuracy."""
    while progress.epoch < epochs and progress.epoch - progress.best_epoch < patience:
        yield progress.epoch + 1
