"""Training one net: teacher, student or hard-label baseline, which differ in targets and loss alone."""

import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch.utils.data import DataLoader

from asrkd.core.config import STRICT
from asrkd.core.device import choose_device, has_fast_bfloat16
from asrkd.core.errors import ConfigError
from asrkd.core.files import write_json
from asrkd.core.random import rng_for
from asrkd.core.stage import scratch
from asrkd.features.store import FeatureDir
from asrkd.features.window import Window
from asrkd.hmm.alignment import Alignment, log_priors
from asrkd.hmm.classes import ClassName, pdf_mask
from asrkd.losses import Loss, build_loss
from asrkd.models import build_model
from asrkd.models.layers import hidden_units, take_every_second
from asrkd.models.saved import ModelInfo, check_belongs, save_model
from asrkd.targets.archive import SoftTargetArchive
from asrkd.targets.averaging import Combination
from asrkd.targets.weights import open_ensemble
from asrkd.training.blocks import open_frames
from asrkd.training.brain import AcousticBrain, Linear, NewBob, Schedule, epochs_left
from asrkd.training.checkpoint import Progress, load_progress, save_progress
from asrkd.training.frames import FrameBatches, Source
from asrkd.training.jitter import jitter_of
from asrkd.training.online import OnlineTeacher

DEV_BATCH = 4096

CHECKPOINT = "checkpoint.pt"
"""In the stage's `scratch`."""


@dataclass(frozen=True, config=STRICT)
class TrainConfig:
    """How to train one net. ``model`` and ``loss`` are sections of their own, by ``type``."""

    model: dict[str, Any] = Field(default_factory=dict)
    loss: dict[str, Any] = Field(default_factory=dict)
    window: Window = Field(default_factory=Window)
    seed: int = 1
    fraction: float = Field(default=1.0, gt=0, le=1)  # share of the labelled utterances, the same for every seed
    omit: tuple[ClassName, ...] = ()  # pdfs, or phones, whose frames are left out
    only: tuple[ClassName, ...] = ()  # or the only ones whose frames are not
    priors: Literal["all", "kept"] = "all"  # for decoding: of all labelled frames, or of what omit and only keep
    epochs: int = Field(default=15, ge=1)
    early_stopping: bool = True  # keep the epoch that is best on dev; false: train all epochs, and keep the last
    patience: int = Field(default=4, ge=1)  # epochs without a better dev frame accuracy before training stops
    batch_size: int = Field(default=512, ge=1)  # frames
    optimizer: Literal["adam", "sgd"] = "adam"
    schedule: Literal["linear", "newbob"] = "linear"
    learning_rate: float = Field(default=1e-3, gt=0)
    final_learning_rate: float = Field(default=1e-5, ge=0)  # of the linear schedule
    weight_decay: float = Field(default=0.0, ge=0)
    max_gradient: float = Field(default=5.0, gt=0)  # norm of a batch's gradient, which is scaled down to it
    max_norm: float = Field(default=0.0, ge=0)  # of the weights into a hidden unit; 0: any
    initialise: Literal["random", "every_second"] = "random"  # or with every second hidden layer of the teacher
    input_noise: float = Field(default=0.0, ge=0)  # standard deviation, of features of unit variance
    jitter: int = Field(default=0, ge=0)  # of images: pixels that they are shifted by at most, in each direction
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    device: str = "auto"
    memory_gb: float = Field(default=4.0, gt=0)  # for frames and targets, dev's apart; more are read in blocks
    threads: int = Field(default=0, ge=0)  # on the CPU; 0: as many as torch finds cores


@dataclass(frozen=True)
class TrainInputs:
    """Folders to train from: labelled features with their alignment, dev likewise, unlabelled ones, soft targets.

    In place of these, ``teachers`` that are asked for them, combined as `open_ensemble` does.
    """

    features: Path
    alignment: Path
    dev_features: Path
    dev_alignment: Path
    unlabelled: Sequence[Path] = ()
    soft_targets: Path | None = None
    teachers: Sequence[Path] = ()
    combination: Combination | None = None
    weights: Path | None = None
    tied_states: Path | None = None  # to know the phones that the configuration names


def train(config: TrainConfig, inputs: TrainInputs, work: Path) -> dict[str, Any]:
    """Train a net and write its model folder into ``work``; goes on at the last finished epoch found there.

    Raises ConfigError when loss and targets do not fit, MismatchError when artefacts do not belong together.
    """
    device = choose_device(config.device)
    if config.threads:
        torch.set_num_threads(config.threads)
    loss = build_loss(config.loss, "loss")
    _check_given(config, loss, inputs)
    source = _selected(_open(config, inputs, loss, device), config, inputs.tied_states)
    _check_belong(loss, source)
    dev = Source(FeatureDir.open(inputs.dev_features), Alignment.open(inputs.dev_alignment))
    source.features.check_same_front_end(dev.features)
    source.alignment.check_tied_states(dev.alignment.tied_states, str(inputs.dev_alignment))
    frames = open_frames(source, config.window, device, config.memory_gb, config.seed)
    dev_frames = open_frames(dev, config.window, device, config.memory_gb)
    info = _model_info(config, source)
    torch.manual_seed(int(rng_for(config.seed, "initialisation").integers(2**62)))
    module = build_model(config.model, info.input_dim, info.num_pdfs, "model")
    _follow(module, config, loss, source.teacher)
    jitter = jitter_of(config.jitter, source.features, config.window.size)
    batches = FrameBatches(frames, config.batch_size, config.seed, config.input_noise, config.epochs, jitter)
    fitted = fit(config, module, loss, batches, FrameBatches(dev_frames, DEV_BATCH), device, work)
    save_model(work, module, info)
    return finish(work, fitted, module, batches, device)


class Fitted(NamedTuple):
    """How far a training went, and which epoch's weights are kept; in this process: frames and seconds."""

    progress: Progress
    kept_epoch: int
    frames: int
    seconds: float


def fit(  # noqa: PLR0917
    config: TrainConfig,
    module: torch.nn.Module,
    loss: Loss,
    batches: FrameBatches,
    dev_batches: FrameBatches,
    device: str,
    work: Path,
) -> Fitted:
    """Train ``module``, and leave it with the weights that were best on dev, or without early stopping the last.

    Goes on at the last finished epoch that is found in ``work``.
    """
    progress = load_progress(scratch(work) / CHECKPOINT) or Progress()
    brain = AcousticBrain(
        module, loss, _schedule(config), progress, config.seed, _optimizer(config), _run_opts(config, device)
    )
    brain.train_batches = batches
    brain.max_norm = config.max_norm
    brain.after_epoch = partial(_after_epoch, work)
    start = time.perf_counter()
    brain.fit(
        epochs_left(progress, config.epochs, config.patience if config.early_stopping else config.epochs),
        DataLoader(batches, batch_size=None),
        DataLoader(dev_batches, batch_size=None),
    )
    module.load_state_dict(progress.best_weights if config.early_stopping else progress.weights)
    kept = progress.best_epoch if config.early_stopping else progress.epoch
    return Fitted(progress, kept, brain.frames, time.perf_counter() - start)


def finish(work: Path, fitted: Fitted, module: torch.nn.Module, batches: FrameBatches, device: str) -> dict[str, Any]:
    """Once the net is saved: write its log, and give the summary."""
    progress = fitted.progress
    write_json(work / "log.json", {"curve": progress.curve, "best_epoch": progress.best_epoch})
    return {
        **_summary(module, batches, fitted),
        "frames_per_second": round(fitted.frames / fitted.seconds) if fitted.frames else None,
        "device": device,
    }


def _summary(module: torch.nn.Module, batches: FrameBatches, fitted: Fitted) -> dict[str, Any]:
    progress = fitted.progress
    return {
        "parameters": sum(parameter.numel() for parameter in module.parameters()),
        "frames": batches.num_frames,
        "labelled_frames": batches.frames.num_labelled,
        "blocks": batches.frames.num_blocks,
        "epochs": progress.epoch,
        "best_epoch": progress.best_epoch,
        "kept_epoch": fitted.kept_epoch,
        "dev_frame_accuracy": progress.curve[fitted.kept_epoch - 1]["dev_frame_accuracy"],
    }


def _check_given(config: TrainConfig, loss: Loss, inputs: TrainInputs) -> None:
    """ConfigError unless what soft targets come from is given once, and only to a loss that takes them."""
    check_followed(config, loss, len(inputs.teachers), "train")
    if inputs.soft_targets is not None and inputs.teachers:
        raise ConfigError("soft targets come from --soft-targets or from --teacher, not from both")
    if (inputs.combination or inputs.weights) and not inputs.teachers:
        raise ConfigError("--combination and --weights are of teachers that are asked as training goes: give --teacher")
    if inputs.soft_targets is None and not inputs.teachers:
        if loss.temperature is not None:
            raise ConfigError("the loss needs soft targets: give --soft-targets DIR, or --teacher MODEL")
        if inputs.unlabelled:
            raise ConfigError(f"{inputs.unlabelled[0]} has no labels: it needs --soft-targets and a loss for them")
    elif loss.temperature is None:
        raise ConfigError("the loss is for hard labels, but soft targets were given: is the section the right one?")


def check_followed(config: TrainConfig, loss: Loss, num_teachers: int, where: str) -> None:
    """ConfigError unless a student that takes more than posteriors of a teacher has one that is asked as it trains."""
    if num_teachers == 1:
        return
    given = "give one --teacher MODEL (in a study online: true, num_teachers: 1)"
    if loss.takes_hidden:
        raise ConfigError(f"{where}: loss: hidden states are one net's, and in no archive: {given}")
    if config.initialise != "random":
        raise ConfigError(f"{where}: initialise: {config.initialise} takes layers of one teacher: {given}")


def _check_belong(loss: Loss, source: Source) -> None:
    """MismatchError unless soft targets are of the loss's temperature and of these tied states.

    They may be of other features, of which the teachers alone know, but not where the teachers are asked as it trains.
    """
    if source.soft is not None:
        source.soft.check(loss.temperature, source.alignment.tied_states)
        if source.soft.codec.random and not loss.takes_draws:
            raise ConfigError(
                f"{source.soft.path} holds random draws, which are right on the average only for a loss that is linear "
                "in the posteriors: take type: distillation, or dump the soft targets with another codec, such as topk"
            )
    if source.teacher is not None:
        check_belongs(source.teacher.ensemble.models[0], source.features.identity, source.alignment.tied_states)


def _follow(student: torch.nn.Module, config: TrainConfig, loss: Loss, teacher: OnlineTeacher | None) -> None:
    """Start the student from its teacher where it is to; ConfigError where hidden states can't be compared."""
    if teacher is None:
        return
    net = teacher.ensemble.models[0]
    if config.initialise == "every_second":
        take_every_second(student, net.module)
    widths = [hidden_units(each) for each in (student, net.module)] if loss.takes_hidden else [0, 0]
    if widths[0] != widths[1]:
        raise ConfigError(
            f"the last hidden state has {widths[0]} units in the student and {widths[1]} in the teacher {net.path}: "
            f"to compare them, take hidden_units: {widths[1]}, or a weight of 0"
        )


def _open(config: TrainConfig, inputs: TrainInputs, loss: Loss, device: str) -> Source:
    teacher = None
    if inputs.teachers and loss.temperature is not None:
        bfloat16 = _precision(config, device) == "bf16"
        ensemble = open_ensemble(inputs.teachers, device, inputs.combination, inputs.weights, bfloat16)
        teacher = OnlineTeacher(ensemble, loss.temperature, loss.takes_hidden)
    return Source(
        FeatureDir.open(inputs.features),
        Alignment.open(inputs.alignment),
        [FeatureDir.open(path) for path in inputs.unlabelled],
        None if inputs.soft_targets is None else SoftTargetArchive.open(inputs.soft_targets),
        teacher,
        config.fraction,
    )


def _selected(source: Source, config: TrainConfig, model: Path | None) -> Source:
    """``source`` without the frames that are to be left out, which their labels tell."""
    if not config.omit and not config.only:
        return source
    if source.unlabelled:
        raise ConfigError(f"{source.unlabelled[0].path} has no labels, by which omit and only choose frames")
    if config.omit and config.only:
        raise ConfigError("omit: frames are left out by omit or by only, not by both")
    alignment, name = source.alignment, "omit" if config.omit else "only"
    named = pdf_mask(config.omit or config.only, alignment.num_pdfs, alignment.tied_states, model, name)
    return replace(source, kept=~named if config.omit else named)


def _model_info(config: TrainConfig, source: Source) -> ModelInfo:
    counts = source.alignment.pdf_counts
    if config.priors == "kept" and source.kept is not None:
        counts = counts * source.kept
    return ModelInfo(
        model=config.model,
        left=config.window.left,
        right=config.window.right,
        feature_dim=source.features.dim,
        num_pdfs=source.alignment.num_pdfs,
        features=source.features.identity,
        tied_states=source.alignment.tied_states,
        log_priors=tuple(log_priors(counts).tolist()),
    )


def _after_epoch(work: Path, progress: Progress) -> None:
    save_progress(scratch(work) / CHECKPOINT, progress)
    row = progress.curve[-1]
    print(
        f"epoch {progress.epoch}: loss {row['train_loss']:.4f}, dev cross-entropy {row['dev_cross_entropy']:.4f}, "
        f"dev frame accuracy {100 * row['dev_frame_accuracy']:.2f} %, rate {row['learning_rate']:.2e}",
        flush=True,
    )


def _schedule(config: TrainConfig) -> Schedule:
    if config.schedule == "newbob":
        return NewBob(config.learning_rate)
    return Linear(config.learning_rate, config.final_learning_rate, config.epochs)


def _optimizer(config: TrainConfig) -> Any:
    if config.optimizer == "sgd":
        return partial(torch.optim.SGD, lr=config.learning_rate, momentum=0.9, weight_decay=config.weight_decay)
    return partial(torch.optim.AdamW, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True)


def _run_opts(config: TrainConfig, device: str) -> dict[str, Any]:
    return {
        "device": device,
        "precision": _precision(config, device),
        "max_grad_norm": config.max_gradient,
        "noprogressbar": not sys.stderr.isatty(),
    }


def _precision(config: TrainConfig, device: str) -> str:
    if config.precision == "auto":
        return "bf16" if has_fast_bfloat16(device) else "fp32"
    return config.precision
