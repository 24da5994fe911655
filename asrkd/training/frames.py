"""The frame store: all frames of a training set in memory, drawn in any order.

Features are kept once, each utterance padded by its own first and last frames, so that the window of any frame is a
run of memory: a batch of windows is one gather from a strided view, and no window is stored.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import IterableDataset

from asrkd.core.errors import DataError, MismatchError
from asrkd.core.random import rng_for
from asrkd.features.store import FeatureDir
from asrkd.features.window import Window, pad, windows_of
from asrkd.hmm.alignment import Alignment
from asrkd.losses import NO_LABEL, Batch
from asrkd.targets import Codec, fields
from asrkd.targets.archive import SoftTargetArchive


@dataclass(frozen=True)
class Source:
    """What to train on: ``alignment`` labels ``features``; ``unlabelled`` folders have soft targets only."""

    features: FeatureDir
    alignment: Alignment
    unlabelled: Sequence[FeatureDir] = ()
    soft: SoftTargetArchive | None = None


class FrameStore:
    """Frames with their windows, labels and soft targets, on one device.

    ``windows`` is a view (positions, input_dim); ``positions`` (num_frames,) says which of its rows is a frame's;
    ``labels`` (num_frames,) are pdf-ids or `NO_LABEL`; ``records`` are the codec's fields, frames first.
    """

    def __init__(self, source: Source, window: Window, device: str = "cpu", hard_only: bool = False):
        utterances = _utterances(source, hard_only)
        padded, positions, labels, records = [], [], [], []
        start = 0
        for features, utt_id, label in utterances:
            frames = torch.from_numpy(features.load(utt_id))
            padded.append(pad(frames, window))
            positions.append(torch.arange(start, start + len(frames)))
            start += len(padded[-1])
            labels.append(torch.full((len(frames),), NO_LABEL) if label is None else torch.from_numpy(label).long())
            if source.soft is not None:
                records.append(_soft_records(source.soft, utt_id, len(frames)))
        if not positions:
            raise DataError(f"{source.features.path}: no frames to train on: did every utterance fail to align?")
        self.windows = windows_of(torch.cat(padded).to(device), window)
        self.positions = torch.cat(positions).to(device)
        self.labels = torch.cat(labels).to(device)
        self.codec: Codec | None = None
        self.records: dict[str, torch.Tensor] = {}
        if source.soft is not None:
            self.codec = source.soft.codec
            self.records = {name: tensor.to(device) for name, tensor in fields(np.concatenate(records)).items()}

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def num_labelled(self) -> int:
        return int((self.labels != NO_LABEL).sum())

    def batch(self, frames: torch.Tensor) -> Batch:
        """The batch of these frames (indices, shape (batch_size,))."""
        # An embedding look-up is the fastest gather of rows from a strided view.
        windows = torch.nn.functional.embedding(self.positions[frames], self.windows)
        soft = None
        if self.codec is not None:
            soft = self.codec.soft_targets({name: tensor[frames] for name, tensor in self.records.items()})
        return Batch(windows, self.labels[frames], soft)


def _utterances(source: Source, hard_only: bool) -> Iterator[tuple[FeatureDir, str, np.ndarray | None]]:
    """(features, utt_id, pdf-ids or None) of all utterances; those that failed to align have no labels."""
    failed = set(source.alignment.failed)
    for utt_id in source.features.utt_ids:
        if utt_id not in failed:
            yield source.features, utt_id, _labels(source.features, source.alignment, utt_id)
        elif not hard_only:
            yield source.features, utt_id, None
    if not hard_only:
        for features in source.unlabelled:
            source.features.check_same_front_end(features)
            yield from ((features, utt_id, None) for utt_id in features.utt_ids)


def _labels(features: FeatureDir, alignment: Alignment, utt_id: str) -> np.ndarray:
    if utt_id not in alignment.num_frames:
        raise MismatchError(
            f"{features.path}: {utt_id} has features but no alignment in {alignment.path}: "
            "were both made from one data dir?"
        )
    labels = alignment.pdf_ids(utt_id)
    _check_frames(features.path, utt_id, features.num_frames[utt_id], len(labels), f"alignment {alignment.path}")
    return labels


def _soft_records(soft: SoftTargetArchive, utt_id: str, num_frames: int) -> np.ndarray:
    records = soft.records(utt_id)
    _check_frames(soft.path, utt_id, len(records), num_frames, "features")
    return records


def _check_frames(path: Path, utt_id: str, count: int, other: int, name: str) -> None:
    if count != other:
        raise MismatchError(
            f"{path}: {utt_id} has {count} frames, {other} in the {name}: "
            "do snip_edges, frame shift or the audio differ?"
        )


class FrameBatches(IterableDataset[Batch]):
    """Batches over all frames of a store, in an order drawn anew each epoch, or in order where ``seed`` is None.

    The order depends on the seed and the epoch alone, so that a resumed run draws what the first would have drawn.
    """

    def __init__(self, store: FrameStore, batch_size: int, seed: int | None = None, noise: float = 0.0):
        self.store = store
        self.batch_size = batch_size
        self.seed = seed
        self.noise = noise
        self.epoch = 0

    def __len__(self) -> int:
        return math.ceil(len(self.store) / self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        device = self.store.positions.device
        if self.seed is None:
            order = torch.arange(len(self.store), device=device)
        else:
            draw = rng_for(self.seed, "frames", self.epoch)
            generator = torch.Generator().manual_seed(int(draw.integers(2**62)))
            order = torch.randperm(len(self.store), generator=generator).to(device)
        for frames in torch.split(order, self.batch_size):
            batch = self.store.batch(frames)
            if self.noise:
                batch.windows += self.noise * torch.randn_like(batch.windows)
            yield batch
