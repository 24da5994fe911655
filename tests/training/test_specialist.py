"""Training a specialist: half and half, the dustbin's correction, soft targets, a kill; and all verbs in a row."""

import json
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from asrkd.cli import main
from asrkd.core.errors import ConfigError, DataError
from asrkd.core.files import read_json, write_json
from asrkd.features.store import FeatureDir
from asrkd.features.window import Window
from asrkd.hmm.alignment import Alignment
from asrkd.losses import NO_LABEL
from asrkd.models.saved import load_model, log_softmax
from asrkd.models.specialist import load_specialist
from asrkd.training.blocks import StreamedFrames
from asrkd.training.frames import FrameStore, Source, utterances_of
from asrkd.training.specialist import HalfSpecial, Lump, SpecialistInputs, log_odds, train_specialist
from asrkd.training.train import TrainConfig, TrainInputs, train
from tests.outputs import contents
from tests.training.conftest import NUM_PDFS, TREE, write_alignment
from tests.training.killed import killed_after_epoch_2

ConfigMaker = Callable[..., TrainConfig]
SOFT = {"type": "distillation", "temperature": 2.0, "alpha": 0.5}


@pytest.fixture(scope="module")
def generalist(problem: TrainInputs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("generalist")
    model = {"hidden_layers": 1, "hidden_units": 16}
    how: dict[str, Any] = {"batch_size": 64, "learning_rate": 0.01, "device": "cpu", "precision": "fp32"}
    train(TrainConfig(model=model, window=Window(1, 1), epochs=2, **how), problem, folder)
    return folder


@pytest.fixture(scope="module")
def clusters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clusters")
    write_json(folder / "clusters.json", {"clusters": [[0, 1], [2]], "num_pdfs": NUM_PDFS, "tied_states": TREE})
    return folder


@pytest.fixture
def inputs(problem: TrainInputs, generalist: Path, clusters: Path) -> SpecialistInputs:
    p = problem
    return SpecialistInputs(p.features, p.alignment, p.dev_features, p.dev_alignment, generalist, clusters, 2)


@pytest.fixture
def special(settings: dict[str, Any]) -> Callable[..., TrainConfig]:
    """A specialist's section: a trained net's, without what is its generalist's."""
    rest = {key: value for key, value in settings.items() if key not in ("model", "window")}
    return lambda **changes: TrainConfig(**{**rest, **changes})


def test_it_learns_and_corrects_its_dustbin(inputs: SpecialistInputs, special: ConfigMaker, tmp_path: Path) -> None:
    summary = train_specialist(special(epochs=6, loss=SOFT), inputs, tmp_path)
    assert summary["dev_frame_accuracy"] > 0.9
    assert sorted(contents(tmp_path)) == ["log.json", "specialist.json", "specialist.safetensors"]
    one = load_specialist(tmp_path)
    assert one.info.pdfs == (2,)
    counts = Alignment.open(inputs.alignment).pdf_counts
    assert one.info.correction == pytest.approx(math.log((counts[0] + counts[1]) / counts[2]))
    assert one.module(torch.zeros(1, 12)).shape == (1, 2)


def test_on_a_share_of_the_utterances(inputs: SpecialistInputs, special: ConfigMaker, tmp_path: Path) -> None:
    summary = train_specialist(special(epochs=1, fraction=0.5), inputs, tmp_path)
    counts = Alignment.open(inputs.alignment).pdf_counts
    assert summary["labelled_frames"] < 0.7 * counts.sum()
    assert summary["frames"] < 0.7 * 2 * counts[2]  # what an epoch goes through: the special ones, and as many


def store_of(inputs: SpecialistInputs) -> FrameStore:
    return FrameStore(Source(FeatureDir.open(inputs.features), Alignment.open(inputs.alignment)), Window(1, 1))


def test_half_the_frames_are_special(inputs: SpecialistInputs, generalist: Path, special: ConfigMaker) -> None:
    alignment, store = Alignment.open(inputs.alignment), store_of(inputs)
    lump = Lump(load_model(generalist), [2], 0.0, None)
    batches = HalfSpecial(lump, alignment, store, special(input_noise=0.0))
    drawn = {}
    for epoch in (1, 2):
        batches.epoch = epoch
        found = list(batches)
        assert len(found) == len(batches)
        labels = torch.cat([batch.labels for batch in found])
        assert Counter(labels.tolist()) == {0: alignment.pdf_counts[2], 1: alignment.pdf_counts[2]}
        drawn[epoch] = torch.cat([batch.windows for batch in found])
        # Every special frame comes once; those of the dustbin are of both other pdfs.
        special_frames = torch.unique(drawn[epoch][labels == 0], dim=0)
        assert len(special_frames) == alignment.pdf_counts[2]
    assert not torch.equal(drawn[1], drawn[2])


def test_blocks_are_halved_too(inputs: SpecialistInputs, generalist: Path, special: ConfigMaker) -> None:
    source = Source(FeatureDir.open(inputs.features), Alignment.open(inputs.alignment))
    streamed = StreamedFrames(source, Window(1, 1), "cpu", 8000, 1, utterances_of(source))
    lump = Lump(load_model(generalist), [0, 1], 0.0, None)
    batches = HalfSpecial(lump, source.alignment, streamed, special(batch_size=16))
    batches.epoch = 1
    found = list(batches)
    assert streamed.num_blocks > 1
    assert len(found) == len(batches)
    counts = Counter(torch.cat([batch.labels for batch in found]).tolist())
    assert counts[2] == counts[0] + counts[1] == source.alignment.pdf_counts[:2].sum()


def test_blocks_of_one_kind_give_nothing(inputs: SpecialistInputs, special: ConfigMaker, tmp_path: Path) -> None:
    """Class 2 is in two utterances of 20, and so in two blocks at most."""
    alignment, drawn = Alignment.open(inputs.alignment), np.random.default_rng(1)
    labels = {utt_id: drawn.integers(2, size=count) for utt_id, count in alignment.num_frames.items()}
    for utt_id in ("train-03", "train-07"):
        labels[utt_id][:5] = 2
    rare = replace(inputs, alignment=write_alignment(tmp_path / "rare", labels))
    summary = train_specialist(special(epochs=2, memory_gb=8e-6), rare, tmp_path)
    assert summary["blocks"] == 5
    assert summary["frames"] == 20
    curve = read_json(tmp_path / "log.json")["curve"]
    assert all(math.isfinite(row["train_loss"]) for row in curve)
    labels["train-03"][:], labels["train-07"][:] = 2, 2
    (tmp_path / "none").mkdir()
    alone = replace(inputs, alignment=write_alignment(tmp_path / "alone", labels))
    with pytest.raises(ConfigError, match="no block holds frames of the cluster's pdfs and of others"):
        train_specialist(special(epochs=2, memory_gb=2.57e-6), alone, tmp_path / "none")


def test_soft_targets_are_the_generalists_of_overdrawn_frames(generalist: Path) -> None:
    """With the correction added to their dustbin they are the generalist's posteriors, those of all others summed."""
    model, windows = load_model(generalist), torch.randn(20, 12)
    expected = log_softmax(model.module(windows))
    lump = Lump(model, [2, 0], 1.3, 1.0)
    soft = lump.soft_targets(windows)
    assert soft is not None
    logits = soft.probs.log()
    logits[:, -1] += 1.3
    torch.testing.assert_close(logits.softmax(1)[:, :2], expected[:, [2, 0]].exp())
    warm = replace(lump, temperature=3.0).soft_targets(windows)
    assert warm is not None
    torch.testing.assert_close(warm.probs, (soft.probs.log() / 3).softmax(1))
    assert lump.labels(torch.tensor([0, 1, 2, NO_LABEL])).tolist() == [1, 2, 0, NO_LABEL]


def test_a_killed_training_goes_on_to_the_same_bytes(inputs: SpecialistInputs, tmp_path: Path) -> None:
    config = TrainConfig(epochs=4, batch_size=64, input_noise=0.1, precision="fp32", device="cpu")
    inputs = replace(inputs, number=1)
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    train_specialist(config, inputs, tmp_path / "whole")
    killed_after_epoch_2(train_specialist, config, inputs, tmp_path / "killed")
    assert (tmp_path / "killed/scratch/checkpoint.pt").exists()
    train_specialist(config, inputs, tmp_path / "killed")
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


def test_refused(inputs: SpecialistInputs, special: ConfigMaker, problem: TrainInputs, tmp_path: Path) -> None:
    for changes in ({"model": {"hidden_units": 3}}, {"window": Window(2, 2)}, {"initialise": "every_second"}):
        with pytest.raises(ConfigError, match="its generalist's model and window"):
            train_specialist(special(**changes), inputs, tmp_path)
    with pytest.raises(ConfigError, match="not from its hidden states"):
        train_specialist(special(loss={"type": "triple"}), inputs, tmp_path)
    alignment = Alignment.open(problem.alignment)
    with pytest.raises(DataError, match="all of the frames"):
        log_odds(alignment, [0, 1, 2])
    none = replace(alignment, path=tmp_path)
    (tmp_path / "pdf_counts").write_text("[ 5 5 0 ]\n")
    with pytest.raises(DataError, match="none of the frames"):
        log_odds(none, [2])


def test_all_verbs_in_a_row(problem: TrainInputs, generalist: Path, clusters: Path, tmp_path: Path) -> None:
    """Specialists of two clusters, joined one after the other; every verb takes what comes of it for a model."""
    sets = [f"--{name.replace('_', '-')}={getattr(problem, name)}" for name in
            ("features", "alignment", "dev_features", "dev_alignment")]  # fmt: skip
    config = tmp_path / "config.yaml"
    config.write_text(
        "specialist: {epochs: 3, batch_size: 64, learning_rate: 0.01, threads: 1}\ncluster: {clusters: 1}\n"
    )
    common, out = ["--config", str(config)], str(tmp_path)

    def asrkd(*arguments: object) -> None:
        assert main([*map(str, arguments)]) == 0

    asrkd("cluster", *common, "--features", problem.features, generalist, f"{out}/found")
    for number in (1, 2):
        special = ["train-specialist", *common, "--cluster", number, *sets, generalist, clusters, f"{out}/s{number}"]
        asrkd(*special)
    asrkd("add-specialists", generalist, f"{out}/s1", f"{out}/one")
    asrkd("add-specialists", f"{out}/one", f"{out}/s2", f"{out}/both")
    asrkd("frames", problem.dev_features, problem.dev_alignment, f"{out}/both", f"{out}/frames")
    asrkd("frames", problem.dev_features, problem.dev_alignment, generalist, f"{out}/before")
    asrkd("posteriors", "--features", problem.features, f"{out}/both", f"{out}/soft")
    models = [f"{out}/both", f"{out}/both"]
    asrkd("score-specialists", problem.dev_features, problem.dev_alignment, *models, f"{out}/scores")
    scores = read_json(tmp_path / "scores/specialists.json")
    rows = {row["covering"]: row for row in scores["rows"]}
    assert set(rows) == {"1", "1 or more", "all"}
    assert scores["called"] == 1
    for name, system in (("frames", "specialised"), ("before", "generalist")):
        accuracy = read_json(tmp_path / name / "frames.json")["frame_accuracy"]
        assert rows["all"]["top"][system]["estimate"] == pytest.approx(accuracy)
    assert rows["1"]["conditional"]["gain"]["estimate"] == pytest.approx(rows["all"]["top"]["gain"]["estimate"])
    page = (tmp_path / "scores/specialists.html").read_text()
    assert "Beside the paper" in page
    assert (
        main(["train-specialist", *common, "--cluster", "3", *sets, str(generalist), str(clusters), f"{out}/s3"]) == 1
    )
    one = main(["train-specialist", *common, "--cluster", "1", *sets, f"{out}/both", str(clusters), f"{out}/s3"])
    assert one == 1
    assert main(["score-specialists", str(problem.dev_features), str(problem.dev_alignment), str(generalist), out]) == 1
    assert json.loads((tmp_path / "both/stage.json").read_text())["summary"]["specialists"] == 2
    assert np.isfinite(scores["parameters"]["specialised"])
