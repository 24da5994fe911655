"""Blocks: every frame once an epoch within the budget, drawn anew each epoch, and the same again after a kill."""

import json
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from asrkd.core.errors import ConfigError
from asrkd.features.store import FeatureDir
from asrkd.features.window import Window
from asrkd.hmm.alignment import Alignment
from asrkd.training.blocks import StreamedFrames, num_bytes, open_frames
from asrkd.training.frames import FrameBatches, FrameStore, Source, utterances_of
from asrkd.training.train import TrainConfig, TrainInputs, train

WINDOW = Window(2, 1)


@pytest.fixture(scope="session")
def source(problem: TrainInputs) -> Source:
    return Source(FeatureDir.open(problem.features), Alignment.open(problem.alignment))


def streamed(source: Source, budget: int, seed: int | None = 1) -> StreamedFrames:
    frames = open_frames(source, WINDOW, "cpu", budget / 1e9, seed)
    assert isinstance(frames, StreamedFrames)
    return frames


def whole(source: Source) -> int:
    return sum(num_bytes(utterance, source, WINDOW) for utterance in utterances_of(source))


def test_bytes_are_those_that_the_store_takes(source: Source) -> None:
    store = FrameStore(source, WINDOW)
    held = store.windows.untyped_storage().nbytes() + store.positions.nbytes + store.labels.nbytes
    assert whole(source) == held


def test_what_fits_is_one_store(source: Source) -> None:
    assert isinstance(open_frames(source, WINDOW, "cpu", whole(source) / 1e9), FrameStore)
    assert isinstance(open_frames(source, WINDOW, "cpu", (whole(source) - 1) / 1e9), StreamedFrames)


@given(share=st.floats(0.2, 0.95), seed=st.integers(0, 99), epoch=st.integers(1, 4), batch_size=st.integers(1, 300))
def test_every_frame_once_an_epoch_and_no_block_beyond_half_the_budget(
    source: Source, share: float, seed: int, epoch: int, batch_size: int
) -> None:
    budget = int(share * whole(source))
    frames = streamed(source, budget, seed)
    for block in frames.plan(epoch):
        assert sum(num_bytes(utterance, source, WINDOW) for utterance in block) <= budget // 2
    batches = FrameBatches(frames, batch_size, seed)
    batches.epoch = epoch
    drawn = list(batches)
    assert len(drawn) == len(batches)
    assert max(len(batch.labels) for batch in drawn) <= batch_size
    store = FrameStore(source, WINDOW)
    everything = store.batch(torch.arange(len(store)))
    rows = [torch.cat([b.windows, b.labels[:, None].float()], 1) for b in (everything, *drawn)]
    assert Counter(map(tuple, rows[0].tolist())) == Counter(map(tuple, torch.cat(rows[1:]).tolist()))


@pytest.mark.parametrize("in_blocks", [False, True])
def test_progress_grows_evenly_from_0_and_depends_on_the_epoch_alone(source: Source, in_blocks: bool) -> None:
    """So that a resumed run goes on where it was."""
    frames = streamed(source, whole(source) // 2) if in_blocks else FrameStore(source, WINDOW)
    batches = FrameBatches(frames, 64, seed=1, epochs=3)
    seen: list[list[float]] = []
    for epoch in (1, 2, 3, 2):
        batches.epoch = epoch
        seen.append([batch.progress for batch in batches])
        assert len(seen[-1]) == len(batches)
        assert seen[-1][0] == (epoch - 1) / 3
        assert np.diff(seen[-1]) == pytest.approx(1 / 3 / len(batches))
        assert seen[-1][-1] < epoch / 3
    assert seen[3] == seen[1]


def test_only_two_blocks_are_held_at_once(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    alive: list[int] = [0, 0]  # now, most

    class Counted(FrameStore):
        def __init__(self, *arguments: object) -> None:
            alive[0] += 1
            alive[1] = max(alive)
            super().__init__(*arguments)  # type: ignore[arg-type]

        def __del__(self) -> None:
            alive[0] -= 1

    monkeypatch.setattr("asrkd.training.blocks.FrameStore", Counted)
    frames = streamed(source, whole(source) // 2)
    assert len(frames.plan(1)) > 3
    assert sum(len(batch.labels) for batch in FrameBatches(frames, 64, 1)) == len(frames)
    assert alive[1] == 2


def test_epochs_mix_utterances_differently_and_seeds_do(source: Source) -> None:
    frames = streamed(source, whole(source) // 2)
    plans = [[u.utt_id for u in frames.plan(epoch)[0]] for epoch in (1, 1, 2)]
    plans.append([u.utt_id for u in streamed(source, whole(source) // 2, seed=2).plan(1)[0]])
    assert plans[0] == plans[1]
    assert all(a != b for a, b in pairwise(plans[1:]))


def test_without_a_seed_the_order_is_kept(source: Source) -> None:
    store, frames = FrameStore(source, WINDOW), streamed(source, whole(source) // 2, seed=None)
    windows = torch.cat([batch.windows for batch in FrameBatches(frames, 50)])
    torch.testing.assert_close(windows, store.batch(torch.arange(len(store))).windows, rtol=0, atol=0)


def test_an_utterance_beyond_a_block_is_named(source: Source) -> None:
    longest = max(utterances_of(source), key=lambda utterance: utterance.num_frames)
    with pytest.raises(ConfigError, match=f"holds no two blocks of one utterance: {longest.utt_id} alone needs"):
        open_frames(source, WINDOW, "cpu", 1.5 * num_bytes(longest, source, WINDOW) / 1e9)


def test_training_in_blocks_learns_as_well_and_is_repeatable(problem: TrainInputs, tmp_path: Path) -> None:
    config = TrainConfig(window=WINDOW, epochs=3, batch_size=64, threads=1, model={"hidden_units": 16})
    source = Source(FeatureDir.open(problem.features), Alignment.open(problem.alignment))
    small = replace(config, memory_gb=whole(source) / 2e9)
    summaries = {}
    for name, each in (("whole", config), ("blocks", small), ("again", small)):
        (tmp_path / name).mkdir()
        summaries[name] = train(each, problem, tmp_path / name)
    assert summaries["whole"]["blocks"] == 1
    assert summaries["blocks"]["blocks"] > 3
    accuracies = {n: json.loads((tmp_path / n / "log.json").read_text())["curve"][-1] for n in summaries}
    assert accuracies["blocks"]["dev_frame_accuracy"] > accuracies["whole"]["dev_frame_accuracy"] - 0.05
    weights = [next((tmp_path / name).glob("*.safetensors")).read_bytes() for name in ("blocks", "again")]
    assert weights[0] == weights[1]
