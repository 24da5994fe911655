"""Dumping: what the teachers say reaches the archive, once, and a kill loses one shard at most."""

import json
import os
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from asrkd.core.errors import ConfigError, DataError, MismatchError
from asrkd.core.stage import scratch
from asrkd.features.store import FeatureDir
from asrkd.features.window import Window, splice
from asrkd.models import build_model
from asrkd.models.saved import ModelInfo, load_model, save_model
from asrkd.targets import dump
from asrkd.targets.archive import SoftTargetArchive
from asrkd.targets.averaging import Ensemble
from asrkd.targets.dump import PosteriorsConfig, dump_posteriors
from asrkd.targets.entry import checksum_of
from asrkd.targets.weights import write_weights
from tests.outputs import contents

NUM_PDFS = 6
DENSE = {"type": "dense", "precision": "float32"}


@pytest.fixture
def setup(tmp_path: Path, make_features: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Two feature folders of three utterances each, two teachers, shards of two utterances."""
    monkeypatch.setattr(dump, "SHARD_FRAMES", 20)
    rng = np.random.default_rng(0)
    matrices = {f"utt-{n}": rng.normal(size=(10 + n, 3)) for n in range(6)}
    features = []
    for number in range(2):
        chosen = {f"utt-{n}": matrices[f"utt-{n}"] for n in range(3 * number, 3 * number + 3)}
        features.append(make_features(tmp_path / f"features{number}", chosen))
    teachers = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        priors = tuple(np.log(np.arange(1, NUM_PDFS + 1) / 21).tolist())
        info = ModelInfo({"hidden_layers": 1, "hidden_units": 8}, 2, 1, 3, NUM_PDFS, "tiny", "t" * 64, priors)
        teachers.append(tmp_path / f"teacher{seed}")
        teachers[-1].mkdir()
        save_model(teachers[-1], build_model(info.model, info.input_dim, NUM_PDFS, "model"), info)
    work = tmp_path / "work"
    work.mkdir()
    return SimpleNamespace(features=features, teachers=teachers, work=work, path=tmp_path)


def run(setup: SimpleNamespace, work: Path | None = None, **config: Any) -> dict[str, Any]:
    config = {"precision": "fp32", **config}
    return dump_posteriors(PosteriorsConfig(device="cpu", **config), setup.features, setup.teachers, work or setup.work)


def test_archive_holds_the_ensembles_posteriors(setup: SimpleNamespace) -> None:
    summary = run(setup, temperature=3.0, codec=DENSE)
    archive = SoftTargetArchive.open(setup.work)
    ensemble = Ensemble([load_model(path) for path in setup.teachers])
    assert archive.num_frames == {f"utt-{n}": 10 + n for n in range(6)}
    for folder in map(FeatureDir.open, setup.features):
        for utt_id in folder.utt_ids:
            expected = ensemble.log_posteriors(folder.load(utt_id), 3.0).exp()
            np.testing.assert_allclose(archive.posteriors(utt_id), expected, atol=1e-6)
    assert archive.header.temperature == 3.0
    assert archive.header.tied_states == "t" * 64
    assert len(archive.header.teachers) == 2
    assert summary["frames"] == 75
    assert summary["bytes_per_frame"] == 4 * NUM_PDFS
    assert summary["kl_nats"] == pytest.approx(0, abs=1e-6)
    assert sorted(contents(setup.work)) == ["header.json", "index", *(f"targets.{n}.npy" for n in (1, 2, 3))]


def test_divergence_that_truncation_costs_against_a_hand_computation(setup: SimpleNamespace) -> None:
    summary = run(setup, codec={"type": "topk", "k": 2})
    archive = SoftTargetArchive.open(setup.work)
    ensemble = Ensemble([load_model(path) for path in setup.teachers])
    total, frames = 0.0, 0
    first_of_shard = ["utt-0", "utt-2", "utt-4"]
    for folder in map(FeatureDir.open, setup.features):
        for utt_id in set(folder.utt_ids) & set(first_of_shard):
            p = ensemble.log_posteriors(folder.load(utt_id), 2.0).exp().double().numpy()
            total += float((p * np.log(p / archive.posteriors(utt_id))).sum())
            frames += len(p)
    assert summary["kl_nats"] == pytest.approx(total / frames, rel=1e-4)
    assert summary["kl_nats"] > 1e-3


def test_a_killed_dump_goes_on_and_gives_the_same_bytes(
    setup: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = run(setup)
    whole, killed = contents(setup.work), setup.path / "killed"
    killed.mkdir()
    real, calls = dump._Dumper.dump, []

    def die_at_2(self: Any, number: int, sources: Any) -> None:
        calls.append(number)
        if len(calls) == 2:
            (killed / "targets.2.npy.tmp").write_bytes(b"half")
            (scratch(killed) / "measured.2.json").write_text('{"frames"')
            raise KeyboardInterrupt
        real(self, number, sources)

    monkeypatch.setattr(dump._Dumper, "dump", die_at_2)
    with pytest.raises(KeyboardInterrupt):
        run(setup, killed)
    assert not (killed / "header.json").exists()
    resumed = run(setup, killed)
    assert calls == [1, 2, 2, 3]
    assert contents(killed) == whole
    for name in ("frames", "kl_nats"):
        assert resumed[name] == summary[name]


VARYING: list[dict[str, Any]] = [{"type": "nucleus", "p": 0.9, "cap": 4}, {"type": "sampled", "draws": 9}]


@pytest.mark.parametrize("codec", VARYING, ids=["nucleus", "sampled"])
def test_records_of_varying_length_killed_anywhere_or_in_parallel_are_the_same_bytes(
    setup: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, codec: dict[str, Any]
) -> None:
    summary = run(setup, codec=codec)
    whole, parallel = contents(setup.work), setup.path / "parallel"
    files = [name for number in (1, 2, 3) for name in (f"targets.{number}.items.npy", f"targets.{number}.npy")]
    assert sorted(whole) == ["header.json", "index", *files]
    parallel.mkdir()
    config = PosteriorsConfig(device="cpu", precision="fp32", codec=codec)
    dump_posteriors(config, setup.features, setup.teachers, parallel, jobs=2)
    assert contents(parallel) == whole
    real: Callable[..., None] = os.replace
    written: list[Path] = []
    for survives in range(2 + 4 * 3):  # files that get their names before the kill, of four a shard and two more
        killed = setup.path / f"killed{survives}"
        killed.mkdir()
        written.clear()

        def die(source: Path, target: Path, survives: int = survives) -> None:
            if len(written) == survives:
                raise KeyboardInterrupt
            written.append(target)
            real(source, target)

        with monkeypatch.context() as patch:
            patch.setattr("asrkd.core.files.os.replace", die)
            with pytest.raises(KeyboardInterrupt):
                run(setup, killed, codec=codec)
        assert not (killed / "header.json").exists()
        assert run(setup, killed, codec=codec)["kl_nats"] == summary["kl_nats"]
        assert contents(killed) == whole
    entries = SoftTargetArchive.open(setup.work)
    assert summary["random"] is (codec["type"] == "sampled")
    stored = sum(map(entries.num_bytes, entries.utt_ids))
    assert summary["bytes_per_frame"] == pytest.approx(stored / 75, abs=0.05)


def test_jobs_are_processes_of_their_own(setup: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    real = dump._Dumper.dump

    def noted(self: Any, number: int, sources: Any) -> None:
        (setup.path / f"pid.{number}").write_text(str(os.getpid()))
        real(self, number, sources)

    monkeypatch.setattr(dump._Dumper, "dump", noted)
    config = PosteriorsConfig(device="cpu", precision="fp32", codec=DENSE)
    dump_posteriors(config, setup.features, setup.teachers, setup.work, jobs=2)
    assert str(os.getpid()) not in {path.read_text() for path in setup.path.glob("pid.*")}


@pytest.mark.parametrize("codec", VARYING, ids=["nucleus", "sampled"])
def test_threads_encode_the_same_bytes_while_the_nets_go_on(
    setup: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, codec: dict[str, Any]
) -> None:
    """As on a GPU; the first utterance's take longest."""
    run(setup, codec=codec)
    whole, threads, real = contents(setup.work), set(), dump._Dumper._encode

    def slow(self: Any, posteriors: torch.Tensor, utt_id: str) -> Any:
        threads.add(threading.get_ident())
        time.sleep(0.02 if utt_id in ("utt-0", "utt-2") else 0)
        return real(self, posteriors, utt_id)

    monkeypatch.setattr(dump._Dumper, "_encode", slow)
    monkeypatch.setattr(dump, "_workers", lambda device, jobs: (1, 3))
    threaded = setup.path / "threaded"
    threaded.mkdir()
    run(setup, threaded, codec=codec)
    assert contents(threaded) == whole
    assert len(threads) > 1
    assert threading.get_ident() not in threads


def test_every_utterance_has_its_checksum(setup: SimpleNamespace) -> None:
    run(setup)
    archive = SoftTargetArchive.open(setup.work)
    for utt_id, entry in archive.entries.items():
        assert entry.checksum == checksum_of(archive.records(utt_id))


def test_a_dump_killed_before_its_stage_is_described_encodes_nothing_again(
    setup: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary, whole = run(setup), contents(setup.work)
    monkeypatch.delattr(dump._Dumper, "dump")
    assert run(setup) == summary
    assert contents(setup.work) == whole


def test_a_disk_that_is_too_small_is_refused_before_any_work(
    setup: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = int(75 * 4 * NUM_PDFS * 1.05)  # files have headers, too
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=needed - 1))
    with pytest.raises(DataError, match=r"soft targets of 75 frames need .* are free: take a sparser codec"):
        run(setup, codec=DENSE)
    assert contents(setup.work) == {}
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=needed))
    run(setup, codec=DENSE)


def test_a_disk_that_may_be_too_small_is_told_of(
    setup: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where frames list what they need, they hardly ever take what they might: no reason to refuse the work."""
    least, most = (int(75 * (1 + 2 + 4 * listed) * 1.05) for listed in (1, 4))
    for free, told in ((most, False), (most - 1, True), (least, True)):
        work = setup.path / str(free)
        work.mkdir()
        monkeypatch.setattr(shutil, "disk_usage", lambda path, free=free: SimpleNamespace(free=free))
        run(setup, work, codec=VARYING[0])
        assert ("may not be enough" in capsys.readouterr().err) == told
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=least - 1))
    with pytest.raises(DataError, match=r"soft targets of 75 frames need at least .* are free"):
        run(setup, codec=VARYING[0])


def test_what_stands_needs_no_more_disk(setup: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    run(setup, codec=DENSE)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=200))
    for name in ("header.json", "index"):
        (setup.work / name).unlink()
    assert run(setup, codec=DENSE)["frames"] == 75


def test_features_of_another_front_end_and_utterances_in_two_folders(
    setup: SimpleNamespace, make_features: Callable[..., Path]
) -> None:
    matrix = {"utt-9": np.random.default_rng(0).normal(size=(9, 3))}
    other = make_features(setup.path / "other", matrix, "mfcc")
    with pytest.raises(MismatchError, match="trained on features tiny, these are mfcc"):
        dump_posteriors(PosteriorsConfig(device="cpu"), [other], setup.teachers, setup.work)
    with pytest.raises(MismatchError, match=r"utt-0 is in .*features0 and in .*features0"):
        dump_posteriors(PosteriorsConfig(device="cpu"), setup.features[:1] * 2, setup.teachers, setup.work)


def test_one_teacher_is_an_ensemble(setup: SimpleNamespace) -> None:
    config = PosteriorsConfig(device="cpu", precision="fp32", codec=DENSE)
    dump_posteriors(config, setup.features, setup.teachers[:1], setup.work)
    features = FeatureDir.open(setup.features[0])
    alone = Ensemble([load_model(setup.teachers[0])]).log_posteriors(features.load("utt-1"), 2.0).exp()
    np.testing.assert_allclose(SoftTargetArchive.open(setup.work).posteriors("utt-1"), alone, atol=1e-6)


def test_weights_reach_the_archive_and_its_header(setup: SimpleNamespace) -> None:
    run(setup)
    assert "weights" not in json.loads((setup.work / "header.json").read_text())  # as in archives of older versions
    assert SoftTargetArchive.open(setup.work).header.weights is None
    for name in ("weights", "weighed"):
        (setup.path / name).mkdir()
    write_weights(setup.path / "weights", "arithmetic", setup.teachers[::-1], [0.9, 0.1])
    config = PosteriorsConfig(device="cpu", precision="fp32", codec=DENSE)
    work = setup.path / "weighed"
    dump_posteriors(config, setup.features, setup.teachers, work, weights=setup.path / "weights")
    archive = SoftTargetArchive.open(work)
    assert archive.header.weights == (0.1, 0.9)
    features = FeatureDir.open(setup.features[0])
    ensemble = Ensemble([load_model(path) for path in setup.teachers], weights=(0.1, 0.9))
    expected = ensemble.log_posteriors(features.load("utt-1"), 2.0).exp()
    np.testing.assert_allclose(archive.posteriors("utt-1"), expected, atol=1e-6)
    geometric = PosteriorsConfig(device="cpu", combination="geometric")
    with pytest.raises(MismatchError, match="learnt for the arithmetic combination, but geometric is asked for"):
        dump_posteriors(geometric, setup.features, setup.teachers, work, weights=setup.path / "weights")


@pytest.mark.parametrize("weights", [[0.5], [0.5, 0.6], ["x", 1], "half", 3])
def test_weights_of_a_header_that_was_edited(setup: SimpleNamespace, weights: object) -> None:
    run(setup)
    path = setup.work / "header.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "weights": weights}))
    with pytest.raises(DataError, match=r"header\.json"):
        SoftTargetArchive.open(setup.work)


def with_dropout(setup: SimpleNamespace) -> None:
    """Other teachers in their place, with dropout."""
    for seed, path in enumerate(setup.teachers):
        torch.manual_seed(seed)
        info = load_model(path).info
        info = replace(info, model={**info.model, "dropout": 0.5})
        save_model(path, build_model(info.model, info.input_dim, NUM_PDFS, "model"), info)


def test_stochastic_passes_are_averaged_and_drawn_by_utterance_alone(setup: SimpleNamespace) -> None:
    with_dropout(setup)
    work = {name: setup.path / name for name in ("plain", "four", "again", "many")}
    for path in work.values():
        path.mkdir()
    run(setup, work["plain"], codec=DENSE)
    run(setup, work["four"], codec=DENSE, passes=4)
    config = PosteriorsConfig(device="cpu", precision="fp32", codec=DENSE, passes=4)
    dump_posteriors(config, setup.features[::-1], setup.teachers, work["again"], jobs=2)
    run(setup, work["many"], codec=DENSE, passes=1000)
    opened = {name: SoftTargetArchive.open(path) for name, path in work.items()}
    for utt_id in (f"utt-{n}" for n in range(6)):
        plain, four, again, many = (each.posteriors(utt_id) for each in opened.values())
        np.testing.assert_array_equal(four, again)
        assert np.abs(four - plain).max() > 0.01
        # The mean over what the nets can become, which their inference stands for, here drawn by hand.
        nets = [load_model(path) for path in setup.teachers]
        source = next(each for each in map(FeatureDir.open, setup.features) if utt_id in each.utt_ids)
        windows = splice(torch.from_numpy(source.load(utt_id)), Window(2, 1))
        torch.manual_seed(99)
        with torch.no_grad():
            drawn = [[(net.module.train()(windows) / 2).softmax(-1) for _ in range(1000)] for net in nets]
        by_net = torch.stack([torch.stack(each) for each in drawn])  # (nets, passes, frames, pdfs)
        # Of the difference between two means over all of them, whose parts are each net's: a 5-sigma test.
        error = (2 * by_net.var(1).mean(0) / 2000).sqrt()
        mean = by_net.mean((0, 1)).numpy()
        assert (np.abs(many - mean) < 5 * error.numpy() + 1e-6).all()
        np.testing.assert_allclose(many, mean, atol=0.03)


def test_passes_without_dropout_or_by_another_mean_are_refused(setup: SimpleNamespace) -> None:
    with pytest.raises(ConfigError, match="teacher1 was trained without dropout, so that all its passes are one"):
        run(setup, passes=4)
    with_dropout(setup)
    with pytest.raises(ConfigError, match="averaged arithmetically: take combination arithmetic, not geometric"):
        run(setup, passes=4, combination="geometric")


def test_weights_hold_for_each_pass(setup: SimpleNamespace) -> None:
    with_dropout(setup)
    models = [load_model(path) for path in setup.teachers]
    ensemble = Ensemble(models, weights=[0.9, 0.1], passes=3)
    features = FeatureDir.open(setup.features[0]).load("utt-1")
    logits = ensemble.logits(features, "utt-1")
    assert len(logits) == 6
    expected = sum(share / 3 * z.softmax(-1) for share, z in zip([0.9] * 3 + [0.1] * 3, logits, strict=True))
    torch.testing.assert_close(ensemble.combined(logits).exp(), expected, rtol=1e-4, atol=1e-6)
