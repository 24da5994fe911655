"""Training: learns what can be learnt, goes on after a kill, gives the same bytes, refuses what does not fit."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from asrkd.core.errors import ConfigError, DataError, MismatchError
from asrkd.core.stage import scratch
from asrkd.features.store import FeatureDir
from asrkd.features.window import Window
from asrkd.hmm.alignment import Alignment
from asrkd.losses import build_loss
from asrkd.models.saved import load_model
from asrkd.targets import build_codec
from asrkd.targets.archive import SoftTargetArchive, write_header, write_shard
from asrkd.targets.averaging import Ensemble
from asrkd.targets.header import Header
from asrkd.training import train as training
from asrkd.training.checkpoint import Progress, save_progress
from asrkd.training.frames import FrameStore, Source, utterances_of
from asrkd.training.train import TrainConfig, TrainInputs, train
from tests.outputs import contents
from tests.training.killed import killed_after_epoch_2

TREE = "t" * 64
ConfigMaker = Callable[..., TrainConfig]


def trained(config: TrainConfig, inputs: TrainInputs, work: Path) -> dict[str, Any]:
    work.mkdir(exist_ok=True)
    return train(config, inputs, work)


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


def test_it_learns(problem: TrainInputs, config_of: ConfigMaker, tmp_path: Path) -> None:
    summary = trained(config_of(epochs=8), problem, tmp_path)
    assert summary["dev_frame_accuracy"] > 0.97
    assert summary["frames"] == summary["labelled_frames"] == sum(range(20, 40))
    assert sorted(contents(tmp_path)) == ["log.json", "model.json", "model.safetensors"]
    curve = json.loads((tmp_path / "log.json").read_text())["curve"]
    assert [row["epoch"] for row in curve] == list(range(1, 9))
    assert curve[-1]["dev_cross_entropy"] < curve[0]["dev_cross_entropy"]
    assert max(row["dev_frame_accuracy"] for row in curve) == summary["dev_frame_accuracy"]
    assert curve[summary["best_epoch"] - 1]["dev_frame_accuracy"] == summary["dev_frame_accuracy"]


def test_the_saved_model_is_the_best_and_carries_what_it_belongs_to(
    problem: TrainInputs, config_of: ConfigMaker, tmp_path: Path
) -> None:
    summary = trained(config_of(), problem, tmp_path)
    model, dev = load_model(tmp_path), FeatureDir.open(problem.dev_features)
    assert (model.info.left, model.info.right, model.info.tied_states) == (1, 1, TREE)
    assert np.exp(model.log_priors).sum() == pytest.approx(1)
    ensemble = Ensemble([model])
    from asrkd.hmm.alignment import Alignment

    labels = Alignment.open(problem.dev_alignment)
    correct = sum(
        int((ensemble.log_posteriors(dev.load(utt)).argmax(-1).numpy() == labels.pdf_ids(utt)).sum())
        for utt in dev.utt_ids
    )
    total = sum(dev.num_frames.values())
    assert correct / total == pytest.approx(summary["dev_frame_accuracy"])
    posteriors = torch.cat([ensemble.log_posteriors(dev.load(utt)) for utt in dev.utt_ids])
    pdf_ids = torch.cat([torch.from_numpy(labels.pdf_ids(utt)).long() for utt in dev.utt_ids])
    row = json.loads((tmp_path / "log.json").read_text())["curve"][summary["best_epoch"] - 1]
    assert float(torch.nn.functional.nll_loss(posteriors, pdf_ids)) == pytest.approx(row["dev_cross_entropy"], rel=1e-4)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_same_seed_same_bytes_other_seed_other_bytes(
    problem: TrainInputs, config_of: ConfigMaker, tmp_path: Path, optimizer: str
) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        torch.manual_seed(hash(name) % 1000)  # what was drawn before must not matter
        trained(config_of(seed=seed, epochs=2, optimizer=optimizer), problem, tmp_path / name)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert weights(tmp_path / "a") != weights(tmp_path / "c")


# At the small rate the dev error stands still, so that NewBob halves it at every epoch.
@pytest.mark.parametrize(("schedule", "rate"), [("linear", 0.01), ("newbob", 1e-6)])
def test_killed_after_epoch_2_it_goes_on_to_the_same_bytes(
    problem: TrainInputs, config_of: ConfigMaker, tmp_path: Path, schedule: str, rate: float
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    changes = {"schedule": schedule, "learning_rate": rate, "final_learning_rate": 0.0}
    trained(config_of(**changes), problem, whole)
    killed.mkdir()
    killed_after_epoch_2(train, config_of(**changes), problem, killed)
    assert not (killed / "model.safetensors").exists()
    summary = trained(config_of(**changes), problem, killed)
    assert summary["epochs"] == 4
    assert contents(killed) == contents(whole)


@pytest.mark.parametrize("alpha", [{"start": 1.0, "end": 0.0}, {"type": "step", "start": 1.0, "end": 0.0, "at": 0.6}])
def test_a_schedule_of_alpha_goes_on_after_a_cut_to_the_same_bytes(
    problem: TrainInputs, config_of: ConfigMaker, tmp_path: Path, alpha: dict[str, Any]
) -> None:
    archive = soft_targets(tmp_path / "soft", [FeatureDir.open(problem.features)])
    inputs, config = replace(problem, soft_targets=archive), config_of(loss={**DISTILL, "alpha": alpha})
    trained(config, inputs, tmp_path / "whole")
    trained(config_of(loss=DISTILL), inputs, tmp_path / "constant")
    (tmp_path / "cut").mkdir()
    killed_after_epoch_2(train, config, inputs, tmp_path / "cut")
    trained(config, inputs, tmp_path / "cut")
    assert weights(tmp_path / "cut") == weights(tmp_path / "whole")
    curves = [(tmp_path / name / "log.json").read_bytes() for name in ("cut", "whole", "constant")]
    assert curves[0] == curves[1] != curves[2]


@pytest.mark.parametrize("kept", [0.0, 0.1, 0.5, 0.99])
def test_damaged_checkpoint(problem: TrainInputs, config_of: ConfigMaker, tmp_path: Path, kept: float) -> None:
    path = scratch(tmp_path) / training.CHECKPOINT
    save_progress(path, Progress(epoch=1, weights={"0.weight": torch.zeros(3, 4)}))
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(DataError, match=r"checkpoint\.pt: checkpoint is not readable .*remove it"):
        trained(config_of(), problem, tmp_path)
    path.write_text("not a checkpoint at all")
    with pytest.raises(DataError, match="checkpoint is not readable"):
        trained(config_of(), problem, tmp_path)


def test_early_stopping(problem: TrainInputs, config_of: ConfigMaker, tmp_path: Path) -> None:
    summary = trained(config_of(epochs=50, patience=2, learning_rate=1e-9, final_learning_rate=0.0), problem, tmp_path)
    assert summary["epochs"] == summary["best_epoch"] + 2 < 50


def test_divergence_is_one_line(problem: TrainInputs, config_of: ConfigMaker, tmp_path: Path) -> None:
    config = config_of(optimizer="sgd", learning_rate=1e38, final_learning_rate=1e38, batch_size=32)
    with pytest.raises(ConfigError, match=r"training diverged.* take a smaller learning_rate"):
        trained(config, problem, tmp_path)


def soft_targets(
    folder: Path, features: list[FeatureDir], temperature: float = 2.0, codec: dict[str, Any] | None = None
) -> Path:
    """An archive of softmax(W x / T), which a net without hidden layers can match."""
    folder.mkdir()
    matrix = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    section = codec or {"type": "dense", "precision": "float32"}
    utterances = {utt: store.load(utt) for store in features for utt in store.utt_ids}
    records = [
        build_codec(section, 3, "codec").encode(torch.softmax(torch.from_numpy(frames) @ matrix / temperature, -1))
        for frames in utterances.values()
    ]
    lengths = {utt: len(frames) for utt, frames in utterances.items()}
    index = write_shard(folder, 1, np.concatenate(records), lengths)
    header = Header(temperature, section, "arithmetic", ("known",), 3, "tiny", TREE, (1 / 3,) * 3)
    write_header(folder, header, index)
    return folder


DISTILL = {"type": "distillation", "temperature": 2.0, "alpha": 1.0}


@pytest.mark.parametrize(
    ("loss", "codec"),
    [
        ("distillation", None),
        ("distillation", {"type": "topk", "k": 2}),
        ("distillation", {"type": "nucleus", "p": 1.0, "cap": 2}),
        ("distillation", {"type": "kaldi_two_byte"}),
        ("reverse_kl", {"type": "topk", "k": 2}),
        ("symmetric_kl", {"type": "nucleus", "p": 1.0, "cap": 2}),
        ("logit_matching", {"type": "topk", "k": 3}),
    ],
)
def test_student_matches_a_known_teacher(
    problem: TrainInputs, config_of: ConfigMaker, tmp_path: Path, loss: str, codec: dict[str, Any] | None
) -> None:
    features = FeatureDir.open(problem.features)
    archive = soft_targets(tmp_path / "soft", [features], codec=codec)
    config = config_of(
        loss={**DISTILL, "type": loss},
        model={"hidden_layers": 0},
        window={"left": 0, "right": 0},
        epochs=60,
        patience=60,
        input_noise=0.0,
        learning_rate=0.05,
    )
    trained(config, replace(problem, soft_targets=archive), tmp_path / "student")
    curve = json.loads((tmp_path / "student" / "log.json").read_text())["curve"]
    losses = [row["train_loss"] for row in curve]
    assert losses[0] > 0.05
    assert losses[-1] < 1e-5


def test_a_student_of_random_draws_comes_near_the_teacher(problem: TrainInputs, tmp_path: Path) -> None:
    """Each frame's targets are off, their mean is not: what is learnt is far nearer to the teacher than they are."""
    features = FeatureDir.open(problem.features)
    draws = SoftTargetArchive.open(soft_targets(tmp_path / "draws", [features], codec={"type": "sampled", "draws": 4}))
    exact = SoftTargetArchive.open(soft_targets(tmp_path / "exact", [features]))
    store = FrameStore(Source(features, Alignment.open(problem.alignment), soft=draws), Window(0, 0))
    batch, student = store.batch(torch.arange(len(store))), torch.nn.Linear(4, 3)
    optimizer, loss = torch.optim.Adam(student.parameters(), 0.1), build_loss(DISTILL, "loss")
    for _ in range(200):
        optimizer.zero_grad()
        torch.autograd.backward(loss(student(batch.windows), batch))
        optimizer.step()
    learnt = torch.softmax(student(batch.windows) / 2.0, -1).detach()
    teacher, drawn = (
        torch.from_numpy(np.concatenate([archive.posteriors(utt) for utt in features.utt_ids]))
        for archive in (exact, draws)
    )
    assert (learnt - teacher).square().mean() < (drawn - teacher).square().mean() / 20


def test_unlabelled_frames_train_the_student_too(problem: TrainInputs, config_of: ConfigMaker, tmp_path: Path) -> None:
    features, more = FeatureDir.open(problem.features), FeatureDir.open(problem.dev_features)
    archive = soft_targets(tmp_path / "soft", [features, more])
    inputs = replace(problem, soft_targets=archive, unlabelled=[problem.dev_features])
    summary = trained(config_of(loss=DISTILL, epochs=1), inputs, tmp_path / "student")
    assert summary["labelled_frames"] == sum(range(20, 40))
    assert summary["frames"] == sum(range(20, 40)) + sum(range(20, 26))


def test_loss_and_targets_must_fit(problem: TrainInputs, config_of: ConfigMaker, tmp_path: Path) -> None:
    archive = soft_targets(tmp_path / "soft", [FeatureDir.open(problem.features)])
    with_soft = replace(problem, soft_targets=archive)
    with pytest.raises(ConfigError, match="the loss is for hard labels, but soft targets were given"):
        trained(config_of(), with_soft, tmp_path / "x")
    with pytest.raises(ConfigError, match="the loss needs soft targets: give --soft-targets"):
        trained(config_of(loss=DISTILL), problem, tmp_path / "x")
    with pytest.raises(ConfigError, match="dev-features has no labels: it needs --soft-targets"):
        trained(config_of(), replace(problem, unlabelled=[problem.dev_features]), tmp_path / "x")
    with pytest.raises(MismatchError, match="at temperature 2, the loss has 5"):
        trained(config_of(loss={**DISTILL, "temperature": 5.0}), with_soft, tmp_path / "x")
    draws = soft_targets(tmp_path / "draws", [FeatureDir.open(problem.features)], codec={"type": "sampled"})
    with pytest.raises(ConfigError, match=r"draws holds random draws.*: take type: distillation, or .* another codec"):
        trained(config_of(loss={**DISTILL, "type": "reverse_kl"}), replace(problem, soft_targets=draws), tmp_path / "x")
    ours = SoftTargetArchive.open(archive)
    write_header(archive, replace(ours.header, tied_states="x" * 64), ours.entries)
    with pytest.raises(MismatchError, match="was the tree built again"):
        trained(config_of(loss=DISTILL), with_soft, tmp_path / "x")
    assert SoftTargetArchive.open(archive).header.temperature == 2


def test_dev_alignment_of_another_tree(problem: TrainInputs, config_of: ConfigMaker, tmp_path: Path) -> None:
    shutil.copytree(problem.dev_alignment, tmp_path / "ali")
    path = tmp_path / "ali" / "alignment.json"
    path.write_text(path.read_text().replace(TREE, "x" * 64))
    with pytest.raises(MismatchError, match="was the tree built again"):
        trained(config_of(), replace(problem, dev_alignment=tmp_path / "ali"), tmp_path / "x")


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"learning_rat": 0.1}, "unknown key 'learning_rat'; did you mean 'learning_rate'"),
        ({"schedule": "cosine"}, "schedule"),
        ({"window": {"lefd": 3}}, "unknown key 'window.lefd'; did you mean 'left'"),
        ({"batch_size": 0}, "batch_size"),
    ],
)
def test_impossible_settings(config_of: ConfigMaker, section: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config_of(**section)


def test_a_share_of_the_utterances_is_the_same_for_every_seed_and_has_an_archive_of_all(
    problem: TrainInputs, config_of: ConfigMaker, tmp_path: Path
) -> None:
    features, alignment = FeatureDir.open(problem.features), Alignment.open(problem.alignment)
    seen = {
        fraction: {each.utt_id for each in utterances_of(Source(features, alignment, fraction=fraction))}
        for fraction in (0.1, 0.5, 1.0)
    }
    assert [len(each) for each in seen.values()] == [2, 10, 20]
    assert seen[0.1] < seen[0.5] < seen[1.0]
    frames = sum(features.num_frames[utt_id] for utt_id in seen[0.1])
    for seed in (1, 2):
        summary = trained(config_of(fraction=0.1, seed=seed, epochs=1), problem, tmp_path / str(seed))
        assert summary["frames"] == summary["labelled_frames"] == frames
    priors = [load_model(tmp_path / "1").info.log_priors, tuple(map(float, alignment.log_priors))]
    assert priors[0] == pytest.approx(priors[1])


def test_without_early_stopping_the_last_epoch_is_kept_however_dev_goes(
    problem: TrainInputs, config_of: ConfigMaker, tmp_path: Path
) -> None:
    # At this rate the net is soon spoilt: patience ends one training, and the other goes on.
    changes = {"learning_rate": 3.0, "final_learning_rate": 3.0, "epochs": 8, "patience": 1}
    best = trained(config_of(**changes), problem, tmp_path / "best")
    last = trained(config_of(**changes, early_stopping=False), problem, tmp_path / "last")
    curve = json.loads((tmp_path / "last/log.json").read_text())["curve"]
    assert (best["epochs"], last["epochs"], last["kept_epoch"]) == (best["best_epoch"] + 1, 8, 8)
    assert best["kept_epoch"] == best["best_epoch"] < 7
    assert last["dev_frame_accuracy"] == curve[-1]["dev_frame_accuracy"]
    assert weights(tmp_path / "last") != weights(tmp_path / "best")
    labels, dev = Alignment.open(problem.dev_alignment), FeatureDir.open(problem.dev_features)
    ensemble = Ensemble([load_model(tmp_path / "last")])
    right = sum(
        int((ensemble.log_posteriors(dev.load(utt)).argmax(-1).numpy() == labels.pdf_ids(utt)).sum())
        for utt in dev.utt_ids
    )
    assert right / sum(dev.num_frames.values()) == pytest.approx(last["dev_frame_accuracy"])


def test_max_norm_holds_after_every_update(problem: TrainInputs, config_of: ConfigMaker, tmp_path: Path) -> None:
    for limit in (0.0, 0.7):
        trained(config_of(max_norm=limit, early_stopping=False), problem, tmp_path / f"{limit}")
        hidden = next(load_model(tmp_path / f"{limit}").module.parameters()).detach()
        assert (float(hidden.norm(dim=1).max()) <= 0.7 + 1e-5) == (limit > 0)


def test_no_update_takes_a_larger_gradient_than_max_gradient(
    problem: TrainInputs, config_of: ConfigMaker, tmp_path: Path
) -> None:
    """One step of plain gradient descent, of all frames: as far as the learning rate times the gradient's norm."""
    start, steps = None, {}
    for limit in (1e-12, 0.01, 1e6):
        how = {"optimizer": "sgd", "learning_rate": 1.0, "batch_size": 10_000, "epochs": 1, "max_gradient": limit}
        trained(config_of(**how), problem, tmp_path / f"{limit}")
        net = torch.nn.utils.parameters_to_vector(load_model(tmp_path / f"{limit}").module.parameters()).detach()
        start = net if start is None else start
        steps[limit] = float((net - start).norm())
    assert steps[0.01] == pytest.approx(0.01, rel=1e-3)
    assert steps[1e6] > 0.1


def test_the_training_loss_is_the_mean_over_frames(
    problem: TrainInputs, config_of: ConfigMaker, tmp_path: Path
) -> None:
    """Of a net that hardly moves it is the same, however frames fall into batches, the last of which has but one."""
    losses = []
    for size in (590, 589, 100):
        how = {"model": {"hidden_layers": 0}, "input_noise": 0.0, "learning_rate": 1e-12, "final_learning_rate": 0.0}
        trained(config_of(**how, batch_size=size, epochs=2), problem, tmp_path / str(size))
        curve = json.loads((tmp_path / str(size) / "log.json").read_text())["curve"]
        losses += [row["train_loss"] for row in curve]
    assert losses == pytest.approx([losses[0]] * 6, rel=1e-5)
