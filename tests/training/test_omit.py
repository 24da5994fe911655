"""Frames of some classes left out: none of them is trained on, in one store or in blocks; all else is as it was."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from asrkd.core.errors import ConfigError, DataError
from asrkd.features.store import FeatureDir
from asrkd.features.window import Window
from asrkd.hmm.alignment import Alignment
from asrkd.models.saved import load_model
from asrkd.training.blocks import open_frames
from asrkd.training.frames import FrameBatches, FrameStore, Source
from asrkd.training.train import TrainConfig, TrainInputs, train

WINDOW = Window(left=1, right=1)


@pytest.fixture
def source(problem: TrainInputs) -> Source:
    return Source(FeatureDir.open(problem.features), Alignment.open(problem.alignment))


@pytest.mark.parametrize("memory_gb", [1.0, 1e-5], ids=["one store", "blocks"])
def test_frames_of_other_classes_are_all_there_with_their_windows(source: Source, memory_gb: float) -> None:
    kept = np.array([True, False, True])
    frames = open_frames(replace(source, kept=kept), WINDOW, "cpu", memory_gb, seed=1)
    assert (frames.num_blocks > 1) is (memory_gb < 1)
    whole = FrameStore(source, WINDOW)
    batch = whole.batch(torch.arange(len(whole)))
    wanted = batch.windows[torch.from_numpy(kept)[batch.labels]]
    batches = FrameBatches(frames, 32, seed=1)
    found = list(batches)
    assert len(found) == len(batches)
    assert len(frames) == frames.num_labelled == len(wanted)
    assert all(kept[part.labels].all() for part in found)
    windows = torch.cat([part.windows for part in found])
    assert sorted(map(tuple, windows.tolist())) == sorted(map(tuple, wanted.tolist()))


def test_only_is_the_rest(problem: TrainInputs, config_of: Callable[..., TrainConfig], tmp_path: Path) -> None:
    nets = []
    for name, classes in (("omit", [0]), ("only", [1, 2])):
        (tmp_path / name).mkdir()
        summary = train(config_of(**{name: classes}), problem, tmp_path / name)
        nets.append((tmp_path / name / "model.safetensors").read_bytes())
    assert nets[0] == nets[1]
    counts = Alignment.open(problem.alignment).pdf_counts
    assert summary["frames"] == summary["labelled_frames"] == counts[1:].sum()


def test_priors_are_of_all_frames_or_of_those_kept(
    problem: TrainInputs, config_of: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    counts, priors = Alignment.open(problem.alignment).pdf_counts, {}
    for name in ("all", "kept"):
        (tmp_path / name).mkdir()
        train(config_of(omit=[0], priors=name, epochs=1), problem, tmp_path / name)
        priors[name] = np.exp(load_model(tmp_path / name).log_priors)
    np.testing.assert_allclose(priors["all"], counts / counts.sum(), rtol=1e-6)
    left = np.array([1, *counts[1:]])  # what was never seen counts as seen once
    np.testing.assert_allclose(priors["kept"], left / left.sum(), rtol=1e-6)


def test_mistakes(problem: TrainInputs, config_of: Callable[..., TrainConfig], source: Source, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="by omit or by only, not by both"):
        train(config_of(omit=[0], only=[1]), problem, tmp_path)
    with pytest.raises(ConfigError, match="omit: phone AA"):
        train(config_of(omit=["AA"]), problem, tmp_path)
    with pytest.raises(DataError, match="no frame is left to train on"):
        train(config_of(omit=[0, 1, 2]), problem, tmp_path)
