"""Training a specialist: Hinton, Vinyals and Dean (2015), sections 5.3 and 6.1.

It starts from the generalist's weights and sees frames of its own pdfs and as many of all others, drawn at random,
whose label is the dustbin. So its own frames, a share s of all, are overdrawn against the others, and to the dustbin's
logit is added, after training,

    log((1 - s) / s)

the proportion by which they are. Soft targets, for a loss that takes them, are the generalist's posteriors, those of
all others summed; since the net's own are those of the overdrawn frames, the same number is taken off the soft target's
logit of the dustbin.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from asrkd.core.device import choose_device
from asrkd.core.errors import ConfigError, DataError
from asrkd.features.store import FeatureDir
from asrkd.features.window import Window
from asrkd.hmm.alignment import Alignment
from asrkd.losses import NO_LABEL, Batch, SoftTargets, build_loss
from asrkd.models.saved import NetInfo, SavedModel, check_belongs, load_model, log_softmax
from asrkd.models.specialised import Specialised
from asrkd.models.specialist import SpecialistInfo, save_specialist, start_from
from asrkd.targets.averaging import window_of
from asrkd.targets.clusters import Clusters
from asrkd.training.blocks import StreamedFrames, open_frames
from asrkd.training.frames import FrameBatches, Frames, FrameStore, Source
from asrkd.training.train import DEV_BATCH, TrainConfig, finish, fit


@dataclass(frozen=True)
class SpecialistInputs:
    """Folders to train from; ``number``, from 1, is that of the specialist's cluster."""

    features: Path
    alignment: Path
    dev_features: Path
    dev_alignment: Path
    generalist: Path
    clusters: Path
    number: int


def train_specialist(config: TrainConfig, inputs: SpecialistInputs, work: Path) -> dict[str, Any]:
    """Train a specialist and write its folder into ``work``; goes on at the last finished epoch found there.

    Raises ConfigError for what is the generalist's to say, DataError where no frame is the specialist's, MismatchError
    when artefacts do not belong together.
    """
    if config.model or config.window != Window() or config.initialise != "random":
        raise ConfigError("a specialist has its generalist's model and window, and starts from it: leave these out")
    device, loss = choose_device(config.device), build_loss(config.loss, "loss")
    if loss.takes_hidden:
        raise ConfigError("loss: a specialist learns from its generalist's posteriors, not from its hidden states")
    if config.threads:
        torch.set_num_threads(config.threads)
    generalist = load_model(inputs.generalist, device)
    if isinstance(generalist.module, Specialised):
        raise ConfigError(f"{inputs.generalist} has specialists already: give the generalist that they came from")
    source, dev, pdfs = _open(config, inputs, generalist)
    config = replace(config, model=dict(generalist.info.model), window=window_of(generalist))
    correction = log_odds(source.alignment, pdfs)
    log_odds(dev.alignment, pdfs)  # or there is nothing to measure
    lump = Lump(generalist, pdfs, correction, loss.temperature)
    frames = open_frames(source, config.window, device, config.memory_gb, config.seed)
    dev_frames = open_frames(dev, config.window, device, config.memory_gb)
    batches = HalfSpecial(lump, source.alignment, frames, config)
    on_dev = replace(config, batch_size=DEV_BATCH, input_noise=0.0)
    dev_batches = HalfSpecial(replace(lump, temperature=None), dev.alignment, dev_frames, on_dev)
    module = start_from(generalist, pdfs)
    fitted = fit(config, module, loss, batches, dev_batches, device, work)
    info = {field.name: getattr(generalist.info, field.name) for field in fields(NetInfo)}
    save_specialist(work, module, SpecialistInfo(**info, pdfs=tuple(pdfs), correction=correction))
    return {**finish(work, fitted, module, batches, device), "pdfs": len(pdfs), "correction": correction}


def _open(
    config: TrainConfig, inputs: SpecialistInputs, generalist: SavedModel
) -> tuple[Source, Source, Sequence[int]]:
    """Training set, dev set and the cluster's pdfs, which all belong together."""
    alignment = Alignment.open(inputs.alignment)
    source = Source(FeatureDir.open(inputs.features), alignment, fraction=config.fraction)
    dev = Source(FeatureDir.open(inputs.dev_features), Alignment.open(inputs.dev_alignment))
    clusters = Clusters.open(inputs.clusters)
    source.features.check_same_front_end(dev.features)
    for path, tied_states in ((inputs.dev_alignment, dev.alignment.tied_states), (clusters.path, clusters.tied_states)):
        source.alignment.check_tied_states(tied_states, str(path))
    check_belongs(generalist, source.features.identity, source.alignment.tied_states)
    return source, dev, clusters.pdfs(inputs.number)


def log_odds(alignment: Alignment, pdfs: Sequence[int]) -> float:
    """log((1 - s) / s) for a share s of the frames that is of ``pdfs``; DataError where it is none or all."""
    counts = alignment.pdf_counts
    special = float(counts[list(pdfs)].sum())
    others = float(counts.sum()) - special
    if not special or not others:
        which = "none" if not special else "all"
        raise DataError(f"{which} of the frames of {alignment.path} are of the cluster's {len(pdfs)} pdfs")
    return math.log(others / special)


@dataclass(frozen=True)
class Lump:
    """Labels and soft targets of all pdfs as a specialist's: its own ``pdfs`` in their order, then the dustbin.

    ``temperature``: of the soft targets; None for none.
    """

    generalist: SavedModel
    pdfs: Sequence[int]
    correction: float
    temperature: float | None

    def labels(self, labels: torch.Tensor) -> torch.Tensor:
        """(frames,) pdf-ids to places in ``pdfs``, or len(pdfs); `NO_LABEL` stays."""
        places = torch.full((self.generalist.info.num_pdfs,), len(self.pdfs), device=labels.device)
        places[list(self.pdfs)] = torch.arange(len(self.pdfs), device=labels.device)
        return torch.where(labels == NO_LABEL, labels, places[labels.clamp_min(0)])

    @torch.no_grad()
    def soft_targets(self, windows: torch.Tensor) -> SoftTargets | None:
        """Dense (frames, len(pdfs) + 1), of windows (frames, input_dim) that the generalist sees."""
        if self.temperature is None:
            return None
        log_p, own = log_softmax(self.generalist.module(windows)), torch.tensor(self.pdfs, device=windows.device)
        others = log_p.index_fill(1, own, -torch.inf).logsumexp(1, keepdim=True) - self.correction
        lumped = log_softmax(torch.cat([log_p[:, own], others], 1), self.temperature).exp()
        return SoftTargets(lumped, torch.zeros_like(lumped[:, 0]))


class HalfSpecial(FrameBatches):
    """Batches of which half the frames, but for chance, are special: each of these once, and as many others.

    The others are drawn with replacement; anew each epoch, where the epoch is set.
    """

    def __init__(self, lump: Lump, alignment: Alignment, frames: Frames, config: TrainConfig):
        super().__init__(frames, config.batch_size, config.seed, config.input_noise, config.epochs)
        self._lump, self._alignment = lump, alignment

    def __len__(self) -> int:
        return sum(math.ceil(count / self.batch_size) for count in self._counts())

    @property
    def num_frames(self) -> int:
        return sum(self._counts())

    def _counts(self) -> list[int]:
        """How many frames each block of the epoch gives."""
        if isinstance(self.frames, FrameStore):
            special, others = self._places(self.frames)
            return [2 * len(special) if len(others) else 0]
        assert isinstance(self.frames, StreamedFrames)
        blocks = self.frames.plan(self.epoch)
        counts = [self._count([each.utt_id for each in block if each.labelled]) for block in blocks]
        if not any(counts):
            raise ConfigError("memory_gb: no block holds frames of the cluster's pdfs and of others: give more")
        return counts

    def _count(self, utt_ids: Sequence[str]) -> int:
        is_special = [np.isin(self._alignment.pdf_ids(utt_id), self._lump.pdfs) for utt_id in utt_ids]
        special = sum(int(each.sum()) for each in is_special)
        return 2 * special if special < sum(map(len, is_special)) else 0

    def _places(self, store: FrameStore) -> tuple[torch.Tensor, torch.Tensor]:
        """Indices of the frames that are special, and of all others that are labelled."""
        places, dustbin = self._lump.labels(store.labels).cpu(), len(self._lump.pdfs)
        special, others = (places != NO_LABEL) & (places < dustbin), places == dustbin
        return special.nonzero()[:, 0], others.nonzero()[:, 0]

    def order(self, store: FrameStore, generator: torch.Generator | None) -> torch.Tensor:
        """Special frames and others; none of a block that has but one kind."""
        special, others = self._places(store)
        if not len(others):
            return special[:0]
        both = torch.cat([special, others[torch.randint(len(others), (len(special),), generator=generator)]])
        return both[torch.randperm(len(both), generator=generator)]

    def batch(self, store: FrameStore, frames: torch.Tensor) -> Batch:
        batch = store.batch(frames)
        return Batch(batch.windows, self._lump.labels(batch.labels), self._lump.soft_targets(batch.windows))
