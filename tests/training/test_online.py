"""Teachers that are asked as training goes give what their dense archive gives: the same batches, the same losses."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from asrkd.core.errors import ConfigError
from asrkd.features.store import FeatureDir
from asrkd.features.window import Window
from asrkd.hmm.alignment import Alignment
from asrkd.losses import Batch
from asrkd.models import build_model
from asrkd.models.saved import ModelInfo, save_model
from asrkd.targets.archive import SoftTargetArchive
from asrkd.targets.averaging import Combination
from asrkd.targets.dump import PosteriorsConfig, dump_posteriors
from asrkd.targets.weights import open_ensemble, write_weights
from asrkd.training.blocks import num_bytes, open_frames
from asrkd.training.frames import FrameBatches, FrameStore, Source, utterances_of
from asrkd.training.online import OnlineTeacher
from asrkd.training.train import TrainConfig, TrainInputs, train
from tests.outputs import contents
from tests.training.conftest import DIM, NUM_PDFS, TREE
from tests.training.killed import killed_after_epoch_2

ConfigMaker = Callable[..., TrainConfig]

DENSE = {"type": "dense", "precision": "float32"}
LOSS = {"type": "distillation", "temperature": 3.0, "alpha": 0.7}
STUDENT = Window(1, 1)
"""Neither as far to the left as the first teacher's, nor as far to the right as the second's."""


@pytest.fixture(scope="module")
def teachers(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two teachers that see other contexts than the student and each other, with dropout that must stay off."""
    paths = []
    for seed, (left, right) in enumerate(((3, 0), (0, 2))):
        sizes = {"hidden_layers": 1, "hidden_units": 12, "dropout": 0.5}
        info = ModelInfo(sizes, left, right, DIM, NUM_PDFS, "tiny", TREE, (-1.0,) * NUM_PDFS)
        torch.manual_seed(seed)
        paths.append(tmp_path_factory.mktemp(f"teacher{seed}"))
        save_model(paths[-1], build_model(info.model, info.input_dim, NUM_PDFS, "model"), info)
    return paths


@pytest.fixture(scope="module")
def weights(teachers: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    write_weights(folder, "geometric", teachers, [0.8, 0.2])
    return folder


def dump(inputs: TrainInputs, teachers: list[Path], work: Path, weights: Path | None = None) -> Path:
    """A dense float32 archive of the labelled and the unlabelled features, at the loss's temperature."""
    combination: Combination = "arithmetic" if weights is None else "geometric"
    config = PosteriorsConfig(3.0, combination, DENSE, "fp32", "cpu")
    work.mkdir()
    dump_posteriors(config, [inputs.features, *inputs.unlabelled], teachers, work, weights=weights)
    return work


def sources(inputs: TrainInputs, teachers: list[Path], archive: Path) -> tuple[Source, Source]:
    common = FeatureDir.open(inputs.features), Alignment.open(inputs.alignment)
    unlabelled = [FeatureDir.open(path) for path in inputs.unlabelled]
    online = OnlineTeacher(open_ensemble(teachers, "cpu"), 3.0)
    return (
        Source(*common, unlabelled, soft=SoftTargetArchive.open(archive)),
        Source(*common, unlabelled, teacher=online),
    )


@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_batches_are_those_of_a_dense_archive(
    problem: TrainInputs, teachers: list[Path], tmp_path: Path, noise: float
) -> None:
    """The teachers see clean windows: with noise on the student's input the soft targets are the same."""
    inputs = replace(problem, unlabelled=[problem.dev_features])
    drawn = []
    for source in sources(inputs, teachers, dump(inputs, teachers, tmp_path / "soft")):
        batches = FrameBatches(FrameStore(source, STUDENT), 100, seed=1, noise=noise)
        torch.manual_seed(0)
        drawn.append(list(batches))
    for stored, online in zip(*drawn, strict=True):
        torch.testing.assert_close(online.windows, stored.windows, rtol=0, atol=0)
        torch.testing.assert_close(online.labels, stored.labels, rtol=0, atol=0)
        assert online.soft is not None
        assert stored.soft is not None
        torch.testing.assert_close(online.soft.probs, stored.soft.probs)
        assert online.soft.ids is None
        assert not online.soft.probs.requires_grad


def losses(work: Path) -> list[float]:
    return [row["train_loss"] for row in json.loads((work / "log.json").read_text())["curve"]]


@pytest.mark.parametrize("weighed", [False, True])
def test_training_has_the_same_losses(  # noqa: PLR0917 (fixtures)
    problem: TrainInputs, teachers: list[Path], weights: Path, config_of: ConfigMaker, tmp_path: Path, weighed: bool
) -> None:
    inputs, used = replace(problem, unlabelled=[problem.dev_features]), weights if weighed else None
    archive = dump(inputs, teachers, tmp_path / "soft", used)
    how = {"stored": {"soft_targets": archive}, "online": {"teachers": teachers, "weights": used}}
    summaries = {}
    for name, given in how.items():
        (tmp_path / name).mkdir()
        summaries[name] = train(config_of(loss=LOSS), replace(inputs, **given), tmp_path / name)  # type: ignore[arg-type]
    np.testing.assert_allclose(losses(tmp_path / "online"), losses(tmp_path / "stored"), rtol=1e-5)
    assert summaries["online"]["frames"] == sum(range(20, 40)) + sum(range(20, 26))
    for name in ("frames", "labelled_frames", "best_epoch"):
        assert summaries["online"][name] == summaries["stored"][name]


def test_in_blocks_each_frame_has_the_same_soft_targets(problem: TrainInputs, teachers: list[Path]) -> None:
    online = OnlineTeacher(open_ensemble(teachers, "cpu"), 3.0)
    source = Source(FeatureDir.open(problem.features), Alignment.open(problem.alignment), teacher=online)
    store = FrameStore(source, STUDENT)
    whole = sum(num_bytes(utterance, source, STUDENT) for utterance in utterances_of(source))
    assert store.windows.untyped_storage().nbytes() + store.positions.nbytes + store.labels.nbytes == whole
    frames = open_frames(source, STUDENT, "cpu", whole / 2e9)
    assert frames.num_blocks > 1
    seen = [torch.cat([soft_of(batch) for batch in FrameBatches(each, 64)]) for each in (store, frames)]
    torch.testing.assert_close(seen[1], seen[0])


def soft_of(batch: Batch) -> torch.Tensor:
    assert batch.soft is not None
    return batch.soft.probs


def test_killed_after_epoch_2_it_goes_on_to_the_same_bytes(
    problem: TrainInputs, teachers: list[Path], config_of: ConfigMaker, tmp_path: Path
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    config, inputs = config_of(loss=LOSS, epochs=3), replace(problem, teachers=teachers)
    for folder in (whole, killed):
        folder.mkdir()
    train(config, inputs, whole)
    killed_after_epoch_2(train, config, inputs, killed)
    assert not (killed / "model.safetensors").exists()
    assert train(config, inputs, killed)["epochs"] == 3
    assert contents(killed) == contents(whole)


def test_a_teacher_for_a_loss_of_hard_labels(
    problem: TrainInputs, teachers: list[Path], config_of: ConfigMaker, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="the loss is for hard labels, but soft targets were given"):
        train(config_of(), replace(problem, teachers=teachers), tmp_path)
