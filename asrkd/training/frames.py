"""The frame store: frames of a training set in memory, drawn in any order (all of them, or a block of `blocks`).

Features are kept once, each utterance padded by its own first and last frames, so that the window of any frame is a
run of memory: a batch of windows is one gather from a strided view, and no window is stored.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import IterableDataset

from asrkd.core.errors import DataError, MismatchError
from asrkd.core.random import random_share, rng_for
from asrkd.features.store import FeatureDir
from asrkd.features.window import Window, covering, pad, windows_of
from asrkd.hmm.alignment import Alignment
from asrkd.losses import NO_LABEL, Batch
from asrkd.targets import Codec
from asrkd.targets.archive import SoftTargetArchive
from asrkd.targets.packed import Packed, Table
from asrkd.training.jitter import Jitter
from asrkd.training.online import OnlineTeacher


@dataclass(frozen=True)
class Source:
    """What to train on: ``alignment`` labels ``features``; ``unlabelled`` folders have soft targets only.

    These come from the archive ``soft`` or from a ``teacher`` that is asked for them, and not from both. ``fraction``:
    the share to train on of the utterances of ``features`` that have labels. ``kept`` (num_pdfs,): the pdfs whose
    frames are trained on, and no frame without a label is; None: all frames.
    """

    features: FeatureDir
    alignment: Alignment
    unlabelled: Sequence[FeatureDir] = ()
    soft: SoftTargetArchive | None = None
    teacher: OnlineTeacher | None = None
    fraction: float = 1.0
    kept: NDArray[np.bool_] | None = None

    @property
    def has_soft_targets(self) -> bool:
        return self.soft is not None or self.teacher is not None

    def padding(self, window: Window) -> Window:
        """What utterances are padded for, so that a net of this ``window`` and the teacher's nets find theirs."""
        return covering([window, *(self.teacher.windows if self.teacher else ())])


@dataclass(frozen=True)
class Utterance:
    """An utterance to train on; it is ``labelled`` where the alignment has it.

    ``left_out``: how many of its frames are not trained on.
    """

    features: FeatureDir
    utt_id: str
    labelled: bool
    left_out: int = 0

    @property
    def num_frames(self) -> int:
        return self.features.num_frames[self.utt_id]

    @property
    def num_kept(self) -> int:
        return self.num_frames - self.left_out


class FrameStore:
    """Frames of utterances with their windows, labels and soft targets, on one device.

    ``windows`` is a view (positions, input_dim), ``teacher_windows`` one for each window of the teacher's;
    ``positions`` (num_frames,) says which of their rows is a frame's; ``labels`` (num_frames,) are pdf-ids or
    `NO_LABEL`; ``records`` holds what the codec stored, without padding; ``kept`` are the frames that are trained on,
    where not all are.
    """

    num_blocks = 1

    def __init__(self, source: Source, window: Window, device: str = "cpu", utterances: Sequence[Utterance] = ()):
        utterances = utterances or utterances_of(source)
        counts = [utterance.num_frames for utterance in utterances]
        padding = source.padding(window)
        padded = torch.empty(sum(counts) + len(counts) * (padding.size - 1), source.features.dim)
        positions, labels = torch.empty(sum(counts), dtype=torch.long), torch.full((sum(counts),), NO_LABEL)
        records: list[Packed] = []
        start = first = 0
        for utterance, count in zip(utterances, counts, strict=True):
            frames = pad(torch.from_numpy(utterance.features.load(utterance.utt_id)), padding)
            padded[start : start + len(frames)] = frames
            positions[first : first + count] = torch.arange(start, start + count)
            if utterance.labelled:
                labels[first : first + count] = torch.from_numpy(source.alignment.pdf_ids(utterance.utt_id))
            if source.soft is not None:
                records.append(source.soft.packed(utterance.utt_id))
            start, first = start + len(frames), first + count
        padded = padded.to(device)
        self.windows = windows_of(padded, window, padding)
        self.teacher = source.teacher
        kinds = self.teacher.windows if self.teacher else ()
        self.teacher_windows = {kind: windows_of(padded, kind, padding) for kind in kinds}
        self.positions, self.labels = positions.to(device), labels.to(device)
        self.kept: torch.Tensor | None = None
        if source.kept is not None:
            self.kept = _is_kept(labels, source.kept).nonzero()[:, 0].to(device)
        self.codec: Codec | None = None
        self.records = Table(records, device) if records else None
        if source.soft is not None:
            self.codec = source.soft.codec

    def __len__(self) -> int:
        return len(self.positions if self.kept is None else self.kept)

    @property
    def num_labelled(self) -> int:
        return len(self) if self.kept is not None else int((self.labels != NO_LABEL).sum())

    def num_batches(self, batch_size: int, epoch: int) -> int:
        return math.ceil(len(self) / batch_size)

    def blocks(self, epoch: int) -> Iterator["FrameStore"]:
        """All frames at once, whatever the epoch."""
        yield self

    def batch(self, frames: torch.Tensor) -> Batch:
        """The batch of these frames (indices, shape (batch_size,))."""
        if self.kept is not None:
            frames = self.kept[frames]
        # An embedding look-up is the fastest gather of rows from a strided view.
        positions, embedding = self.positions[frames], torch.nn.functional.embedding
        windows, soft = embedding(positions, self.windows), None
        if self.codec is not None and self.records is not None:
            soft = self.codec.soft_targets(self.records.gather(frames))
        elif self.teacher is not None:
            seen = {kind: embedding(positions, view) for kind, view in self.teacher_windows.items()}
            soft = self.teacher.soft_targets(seen)
        return Batch(windows, self.labels[frames], soft)


class Frames(Protocol):
    """Frames to train on: a `FrameStore`, or blocks of them where memory does not hold all."""

    num_blocks: int

    def __len__(self) -> int: ...

    @property
    def num_labelled(self) -> int: ...

    def num_batches(self, batch_size: int, epoch: int) -> int: ...

    def blocks(self, epoch: int) -> Iterator[FrameStore]: ...


def utterances_of(source: Source) -> list[Utterance]:
    """All utterances to train on. Those that failed to align, and unlabelled folders, come in with soft targets only.

    Raises MismatchError where features, alignment and soft targets differ in ids or frame counts, DataError where
    there is nothing to train on.
    """
    failed = set(source.alignment.failed)
    utt_ids = source.features.utt_ids
    if source.fraction < 1:
        share = random_share((utt_id for utt_id in utt_ids if utt_id not in failed), source.fraction)
        utt_ids = [utt_id for utt_id in utt_ids if utt_id in share]
    labelled = [Utterance(source.features, utt_id, utt_id not in failed) for utt_id in utt_ids]
    found = [utterance for utterance in labelled if utterance.labelled or source.has_soft_targets]
    for features in source.unlabelled if source.has_soft_targets else ():
        source.features.check_same_front_end(features)
        found += [Utterance(features, utt_id, labelled=False) for utt_id in features.utt_ids]
    for utterance in found:
        _check(source, utterance)
    if not found:
        raise DataError(f"{source.features.path}: no frames to train on: did every utterance fail to align?")
    return found if source.kept is None else _without(source, source.kept, found)


def _without(source: Source, kept: NDArray[np.bool_], utterances: Sequence[Utterance]) -> list[Utterance]:
    """Those of ``utterances`` that have a frame of a pdf that is ``kept``."""
    found = []
    for utterance in utterances:
        if utterance.labelled:
            labels = torch.from_numpy(source.alignment.pdf_ids(utterance.utt_id))
            left_out = len(labels) - int(_is_kept(labels, kept).sum())
            found += [replace(utterance, left_out=left_out)] * (left_out < len(labels))
    if not found:
        raise DataError(
            f"{source.alignment.path}: no frame is left to train on: does omit or only name the right classes?"
        )
    return found


def _is_kept(labels: torch.Tensor, kept: NDArray[np.bool_]) -> torch.Tensor:
    """Which frames, of ``labels`` (frames,), are of a pdf that is ``kept`` (num_pdfs,)."""
    return (labels != NO_LABEL) & torch.from_numpy(kept)[labels.long().clamp_min(0)]


def _check(source: Source, utterance: Utterance) -> None:
    path, utt_id, alignment = utterance.features.path, utterance.utt_id, source.alignment
    if utterance.labelled and utt_id not in alignment.num_frames:
        raise MismatchError(
            f"{path}: {utt_id} has features but no alignment in {alignment.path}: were both made from one data dir?"
        )
    counts = {f"alignment {alignment.path}": alignment.num_frames[utt_id]} if utterance.labelled else {}
    if source.soft is not None:
        counts[f"soft targets {source.soft.path}"] = source.soft.entry(utt_id).num_frames
    for name, count in counts.items():
        if count != utterance.num_frames:
            raise MismatchError(
                f"{path}: {utt_id} has {utterance.num_frames} frames, {count} in the {name}: "
                "do snip_edges, frame shift or the audio differ?"
            )


class FrameBatches(IterableDataset[Batch]):
    """Batches over all frames, in an order drawn anew each epoch, or in order where ``seed`` is None.

    The order depends on the seed and the epoch alone, so that a resumed run draws what the first would have drawn.
    ``epochs`` is how many of them make the whole of `Batch.progress`.
    """

    def __init__(  # noqa: PLR0917
        self,
        frames: Frames,
        batch_size: int,
        seed: int | None = None,
        noise: float = 0.0,
        epochs: int = 1,
        jitter: Jitter | None = None,
    ):
        self.frames = frames
        self.batch_size = batch_size
        self.seed = seed
        self.noise = noise
        self.jitter = jitter
        self.epochs = epochs
        self.epoch = 0

    def __len__(self) -> int:
        return self.frames.num_batches(self.batch_size, self.epoch)

    @property
    def num_frames(self) -> int:
        """How many frames an epoch goes through."""
        return len(self.frames)

    def __iter__(self) -> Iterator[Batch]:
        generator = None
        if self.seed is not None:
            draw = rng_for(self.seed, "frames", self.epoch)
            generator = torch.Generator().manual_seed(int(draw.integers(2**62)))
        before, batches = max(self.epoch - 1, 0), len(self)
        done = 0
        for store in self.frames.blocks(self.epoch):
            order = self.order(store, generator).to(store.positions.device)
            for frames in torch.split(order, self.batch_size) if len(order) else ():
                batch = self.batch(store, frames)
                batch.progress = (before + done / batches) / self.epochs
                done += 1
                if self.jitter:
                    batch.windows = self.jitter(batch.windows)
                if self.noise:
                    batch.windows += self.noise * torch.randn_like(batch.windows)
                yield batch

    def order(self, store: FrameStore, generator: torch.Generator | None) -> torch.Tensor:
        """Which frames of a store to go through, and in which order: all of them."""
        return torch.arange(len(store)) if generator is None else torch.randperm(len(store), generator=generator)

    def batch(self, store: FrameStore, frames: torch.Tensor) -> Batch:
        return store.batch(frames)
