"""The frame store: every frame once an epoch, in its own window, over the whole corpus."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from asrkd.core.errors import DataError, MismatchError
from asrkd.features.store import FeatureDir
from asrkd.features.window import Window, splice
from asrkd.hmm.alignment import Alignment
from asrkd.losses import NO_LABEL
from asrkd.targets import build_codec
from asrkd.targets.archive import SoftTargetArchive, write_header, write_shard
from asrkd.targets.header import Header
from asrkd.training.frames import FrameBatches, FrameStore, Source
from asrkd.training.train import TrainInputs
from tests.targets.indexes import layout

WINDOW = Window(2, 1)


@pytest.fixture(scope="session")
def source(problem: TrainInputs) -> Source:
    return Source(FeatureDir.open(problem.features), Alignment.open(problem.alignment))


@pytest.fixture(scope="session")
def store(source: Source) -> FrameStore:
    return FrameStore(source, WINDOW)


def archive_of(folder: Path, features: FeatureDir, lengths: dict[str, int]) -> SoftTargetArchive:
    folder.mkdir()
    codec = {"type": "topk", "k": 2}
    total = sum(lengths.values())
    posteriors = torch.softmax(torch.randn(total, 3, generator=torch.Generator().manual_seed(0)), -1)
    write_shard(folder, 1, build_codec(codec, 3, "codec").encode(posteriors))
    header = Header(2.0, codec, "arithmetic", ("x",), 3, features.identity, "t" * 64, (1 / 3,) * 3)
    write_header(folder, header, layout(lengths, [list(lengths)]))
    return SoftTargetArchive.open(folder)


def test_windows_and_labels_are_those_of_the_utterances(source: Source, store: FrameStore) -> None:
    windows = torch.cat(
        [splice(torch.from_numpy(source.features.load(utt)), WINDOW) for utt in source.features.utt_ids]
    )
    labels = np.concatenate([source.alignment.pdf_ids(utt) for utt in source.features.utt_ids])
    batch = store.batch(torch.arange(len(store)))
    torch.testing.assert_close(batch.windows, windows, rtol=0, atol=0)
    np.testing.assert_array_equal(batch.labels, labels)
    assert batch.soft is None
    assert store.num_labelled == len(store) == len(labels)
    order = torch.tensor([5, 0, 77])
    torch.testing.assert_close(store.batch(order).windows, windows[order], rtol=0, atol=0)


@given(batch_size=st.integers(1, 700), seed=st.integers(0, 100), epoch=st.integers(1, 5))
def test_every_frame_once_an_epoch(store: FrameStore, batch_size: int, seed: int, epoch: int) -> None:
    batches = FrameBatches(store, batch_size, seed)
    batches.epoch = epoch
    drawn = [batch.windows[:, 0] for batch in batches]
    assert len(drawn) == len(batches)
    assert all(len(part) == batch_size for part in drawn[:-1])
    everything = store.batch(torch.arange(len(store))).windows[:, 0]
    torch.testing.assert_close(torch.cat(drawn).sort().values, everything.sort().values, rtol=0, atol=0)


def test_a_batch_mixes_utterances_and_epochs_differ(source: Source, store: FrameStore) -> None:
    def first_batch(seed: int, epoch: int) -> torch.Tensor:
        batches = FrameBatches(store, 64, seed)
        batches.epoch = epoch
        return next(iter(batches)).windows

    first_values = {float(value): utt for utt in source.features.utt_ids for value in source.features.load(utt)[:, 0]}
    utterances = {first_values[float(row[2 * 4])] for row in first_batch(1, 1)}
    assert len(utterances) > 12
    torch.testing.assert_close(first_batch(1, 1), first_batch(1, 1), rtol=0, atol=0)
    assert not torch.equal(first_batch(1, 1), first_batch(1, 2))
    assert not torch.equal(first_batch(1, 1), first_batch(2, 1))


def test_noise_leaves_the_store_as_it_was(store: FrameStore) -> None:
    before = store.batch(torch.arange(len(store))).windows
    noisy = torch.cat([batch.windows for batch in FrameBatches(store, 64, noise=0.5)])
    assert float((noisy - before).std()) == pytest.approx(0.5, rel=0.05)
    torch.testing.assert_close(store.batch(torch.arange(len(store))).windows, before, rtol=0, atol=0)
    clean = torch.cat([batch.windows for batch in FrameBatches(store, 64)])
    torch.testing.assert_close(clean, before, rtol=0, atol=0)


def test_failed_and_unlabelled_utterances_have_soft_targets_only(
    source: Source, tmp_path: Path, problem: TrainInputs
) -> None:
    more = FeatureDir.open(problem.dev_features)
    lengths = {**source.features.num_frames, **more.num_frames}
    soft = archive_of(tmp_path / "soft", source.features, lengths)
    partly = replace(source, alignment=replace(source.alignment, failed=("train-03",)), unlabelled=[more], soft=soft)
    whole = FrameStore(partly, WINDOW)
    assert len(whole) == sum(lengths.values())
    assert whole.num_labelled == sum(source.features.num_frames.values()) - 23
    batch = whole.batch(torch.arange(len(whole)))
    start = 20 + 21 + 22
    assert (batch.labels[start : start + 23] == NO_LABEL).all()
    assert batch.soft is not None
    wanted = soft.codec.soft_targets(
        {n: torch.from_numpy(soft.records("train-03")[n].copy()) for n in ("ids", "probs", "tail")}
    )
    assert batch.soft.ids is not None
    assert wanted.ids is not None
    torch.testing.assert_close(batch.soft.probs[start : start + 23], wanted.probs)
    torch.testing.assert_close(batch.soft.ids[start : start + 23], wanted.ids)
    hard = FrameStore(replace(partly, soft=None), WINDOW)
    assert len(hard) == hard.num_labelled == whole.num_labelled


@pytest.mark.parametrize(
    "codec",
    [{"type": "topk", "k": 5}, {"type": "nucleus", "p": 0.5, "cap": 6}, {"type": "sampled", "draws": 7}],
    ids=["topk", "nucleus", "sampled"],
)
def test_no_dense_teacher_is_formed(source: Source, tmp_path: Path, codec: dict[str, Any]) -> None:
    """Of 500 pdfs the store and its batches hold those that were stored; no tensor has one column a pdf."""
    num_pdfs, lengths = 500, source.features.num_frames
    built, total = build_codec(codec, num_pdfs, "codec"), sum(lengths.values())
    posteriors = torch.softmax(3 * torch.randn(total, num_pdfs, generator=torch.Generator().manual_seed(0)), -1)
    records = built.encode(posteriors)
    index = write_shard(tmp_path, 1, records, lengths)
    prior = (1 / num_pdfs,) * num_pdfs
    header = Header(2.0, codec, "arithmetic", ("x",), num_pdfs, source.features.identity, "t" * 64, prior)
    write_header(tmp_path, header, index)
    store = FrameStore(replace(source, soft=SoftTargetArchive.open(tmp_path)), WINDOW)
    with LargestTensor() as seen:  # type: ignore[no-untyped-call]
        soft = store.batch(torch.arange(0, total, 2)).soft
    assert soft is not None
    assert soft.ids is not None
    stored = 5 if codec["type"] == "topk" else int(records["count"].max())
    assert stored <= {"topk": 5, "nucleus": 6, "sampled": 11}[codec["type"]]
    halves = 2 * stored if codec["type"] == "sampled" else 0  # of bytes; each draw has one at least
    widest = min(halves, 7) if codec["type"] == "sampled" else stored
    assert soft.probs.shape == soft.ids.shape == ((total + 1) // 2, widest)
    assert seen.numel <= (total + 1) // 2 * max(widest, halves, store.windows.shape[-1])


class LargestTensor(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes the largest number of values in any tensor that is made."""

    numel = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        if isinstance(made, torch.Tensor):
            self.numel = max(self.numel, made.numel())
        return made


def test_other_number_of_frames_names_utterance_counts_and_cause(source: Source, tmp_path: Path) -> None:
    cause = "do snip_edges, frame shift or the audio differ?"
    path = source.alignment.path
    shutil.copytree(source.features.path, tmp_path / "features")
    shifted = replace(source.features, num_frames={**source.features.num_frames, "train-02": 99})
    with pytest.raises(MismatchError) as error:
        FrameStore(replace(source, features=shifted), WINDOW)
    expected = f"{source.features.path}: train-02 has 99 frames, 22 in the alignment {path}: {cause}"
    assert str(error.value) == expected
    lengths = {**source.features.num_frames, "train-02": 21}
    soft = archive_of(tmp_path / "soft", source.features, lengths)
    with pytest.raises(MismatchError) as error:
        FrameStore(replace(source, soft=soft), WINDOW)
    where = f"soft targets {tmp_path / 'soft'}"
    assert str(error.value) == f"{source.features.path}: train-02 has 22 frames, 21 in the {where}: {cause}"


def test_utterances_without_alignment_or_soft_targets(
    source: Source, problem: TrainInputs, tmp_path: Path, make_features: Callable[..., Path]
) -> None:
    dev = Alignment.open(problem.dev_alignment)
    with pytest.raises(MismatchError, match=r"train-00 has features but no alignment in .*dev-alignment"):
        FrameStore(replace(source, alignment=dev), WINDOW)
    soft = archive_of(tmp_path / "soft", source.features, {"train-00": 20})
    with pytest.raises(MismatchError, match="has no soft targets for train-01"):
        FrameStore(replace(source, soft=soft), WINDOW)
    other = FeatureDir.open(make_features(tmp_path / "other", {"x": np.ones((4, 4))}, "mfcc"))
    soft = archive_of(tmp_path / "all", source.features, dict(source.features.num_frames))
    with pytest.raises(MismatchError, match="different front ends"):
        FrameStore(replace(source, unlabelled=[other], soft=soft), WINDOW)


def test_nothing_to_train_on(source: Source) -> None:
    nothing = replace(source.alignment, failed=tuple(source.features.utt_ids))
    with pytest.raises(DataError, match="no frames to train on: did every utterance fail to align"):
        FrameStore(replace(source, alignment=nothing), WINDOW)
