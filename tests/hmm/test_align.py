"""Forced alignment: the best path against exhaustive search, failures, what is refused."""

import itertools
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asrkd.core.archive import ArchiveWriter, join_indices
from asrkd.core.errors import DataError, MismatchError
from asrkd.features.store import FeatureDir
from asrkd.hmm.align import AlignConfig, TrainingGraphs, align_stage, aligner, gmm_aligner, viterbi
from asrkd.hmm.alignment import Alignment
from asrkd.hmm.gmm_features import GmmFeatures
from asrkd.hmm.tied_states import TiedStates
from asrkd.hmm.transitions import split_phones
from asrkd.lang.prepare import Lang


def graphs_of(model: TiedStates, lang: Path, **texts: str) -> TrainingGraphs:
    opened = Lang.open(lang)
    return TrainingGraphs(model, opened, {utt: opened.word_ids(utt, text.split()) for utt, text in texts.items()})


def copied(folder: Path, target: Path) -> Path:
    shutil.copytree(folder, target)
    return target


def rewrite_features(folder: Path, change: dict[str, np.ndarray]) -> None:
    store = FeatureDir.open(folder)
    with ArchiveWriter(folder / "feats.2.ark") as writer:
        for utt in store.utt_ids:
            writer.write(utt, change.get(utt, store.load(utt)))
    join_indices(folder / "feats.scp", [folder / "feats.2.ark"])
    lengths = {utt: len(change.get(utt, store.load(utt))) for utt in store.utt_ids}
    (folder / "utt2num_frames").write_text("".join(f"{utt} {count}\n" for utt, count in lengths.items()))


def test_the_path_is_the_best_of_all(toy: Any, mono: TiedStates) -> None:
    """One word of two phones (three states each) over eight frames: every way to spread them is tried."""
    lang = toy.lang
    rng = np.random.default_rng(0)
    config = AlignConfig(beam=1000.0, retry_beam=0.0, acoustic_scale=1.0, transition_scale=0.0, self_loop_scale=0.0)
    tables = mono.tables
    states = [(mono.phones[phone], state) for phone in ("S", "B") for state in range(3)]
    pdfs = [int(tables.pdf[(tables.phone == phone) & (tables.hmm_state == state)][0]) for phone, state in states]
    for _ in range(5):
        scores = rng.normal(0, 3, (8, mono.num_pdfs)).astype(np.float32)
        scores[:, tables.pdf[tables.phone == mono.phones["SIL"]]] = -1000.0
        path = viterbi(config, mono, "utt", graphs_of(mono, lang, utt="SAAB").compile("utt"), scores)
        ways = [np.repeat(pdfs, np.diff([0, *cuts, 8])) for cuts in itertools.combinations(range(1, 8), len(pdfs) - 1)]
        best = max(ways, key=lambda way: scores[np.arange(8), way].sum())
        np.testing.assert_array_equal(tables.pdf[path], best)


def test_aligned_phones_are_the_true_ones(toy: Any, triphone: TiedStates, triphone_dir: Path) -> None:
    alignment = Alignment.open(triphone_dir / "ali")
    names = {number: phone for phone, number in triphone.phones.items()}
    right = total = 0
    for utt, truth in toy.phones.items():
        ids = alignment.transition_ids(utt)
        assert split_phones(ids, triphone.tables)[-1] == len(truth)
        right += sum(names[phone] == true for phone, true in zip(triphone.tables.phone[ids], truth, strict=True))
        total += len(truth)
    assert right / total > 0.9


def test_a_stage_does_not_depend_on_the_number_of_jobs(toy: Any, mono_dir: Path, tmp_path: Path) -> None:
    contents = []
    for jobs in (1, 2):
        work = tmp_path / str(jobs)
        work.mkdir()
        align_stage(AlignConfig(), toy.features, toy.data, toy.lang, mono_dir, work, jobs)
        contents.append({path.name: path.read_bytes() for path in work.iterdir()})
    assert contents[0] == contents[1]
    assert Alignment.open(tmp_path / "1").tied_states == TiedStates.load(mono_dir).hash


def test_any_likelihoods_will_do(toy: Any, mono: TiedStates) -> None:
    """Those of a net, say: here the Gaussians' shifted by a constant for each frame, which changes nothing."""
    store = FeatureDir.open(toy.features)
    utt = store.utt_ids[0]
    text = (toy.data / "text").read_text().splitlines()[0].partition(" ")[2]
    graphs, features = graphs_of(mono, toy.lang, **{utt: text}), GmmFeatures(store)
    own = gmm_aligner(AlignConfig(), graphs, store)(utt)

    def shifted(utt_id: str) -> np.ndarray:
        scores = mono.log_likelihoods(features.load(utt_id))
        return scores + np.linspace(-5, 5, len(scores), dtype=np.float32)[:, None]

    np.testing.assert_array_equal(aligner(AlignConfig(), graphs, shifted)(utt), own)


def test_an_utterance_too_short_for_its_words_fails(toy: Any, mono: TiedStates) -> None:
    graphs = graphs_of(mono, toy.lang, utt="BASS BASS SOB")
    for num_frames in (0, 1, 20):
        scores = np.zeros((num_frames, mono.num_pdfs), np.float32)
        assert len(viterbi(AlignConfig(), mono, "utt", graphs.compile("utt"), scores)) == 0


def test_likelihoods_that_cannot_be_are_refused(toy: Any, mono: TiedStates) -> None:
    graph = graphs_of(mono, toy.lang, utt="BASS").compile("utt")
    scores = np.zeros((30, mono.num_pdfs), np.float32)
    scores[7, 3] = np.nan
    with pytest.raises(DataError, match="utt: log-likelihood at frame 7 is NaN or infinite"):
        viterbi(AlignConfig(), mono, "utt", graph, scores)
    with pytest.raises(MismatchError, match=r"utt: log-likelihoods of shape \(30, 5\) for \d+ pdfs"):
        viterbi(AlignConfig(), mono, "utt", graph, scores[:, :5])


def test_failures_beyond_the_limit_are_named(toy: Any, mono_dir: Path, tmp_path: Path) -> None:
    features = copied(toy.features, tmp_path / "features")
    short = FeatureDir.open(features).utt_ids[1]
    rewrite_features(features, {short: np.zeros((4, 3), np.float32)})
    inputs = features, toy.data, toy.lang, mono_dir
    (tmp_path / "work").mkdir()
    summary = align_stage(AlignConfig(), *inputs, tmp_path / "work", 1)
    assert summary["failed"] == [short]
    (tmp_path / "strict").mkdir()
    with pytest.raises(DataError, match=rf"1 of 24 utterances could not be aligned \({short}\)"):
        align_stage(AlignConfig(max_failed=0.01), *inputs, tmp_path / "strict", 1)


def test_inputs_that_do_not_belong_together_are_named(toy: Any, mono_dir: Path, tmp_path: Path) -> None:
    data = copied(toy.data, tmp_path / "data")
    for name in ("wav.scp", "text", "utt2spk", "utt2dur"):
        lines = (data / name).read_text().splitlines()
        (data / name).write_text("\n".join(lines[1:]) + "\n")
    utt = lines[0].split()[0]
    with pytest.raises(MismatchError, match=f"{utt} is in only one of .*data and .*features"):
        align_stage(AlignConfig(), toy.features, data, toy.lang, mono_dir, tmp_path, 1)
    data = copied(toy.data, tmp_path / "untranscribed")
    (data / "text").unlink()
    with pytest.raises(DataError, match=r"text is missing: an alignment needs transcripts"):
        align_stage(AlignConfig(), toy.features, data, toy.lang, mono_dir, tmp_path, 1)


def test_words_outside_the_lexicon_are_named(toy: Any, mono_dir: Path, tmp_path: Path) -> None:
    data = copied(toy.data, tmp_path / "data")
    (data / "text").write_text((data / "text").read_text().replace("SOB", "ZEBRA"))
    with pytest.raises(DataError, match=r"utterance spk\d-\d+: word 'ZEBRA' .* is not in .*lexicon.txt"):
        align_stage(AlignConfig(), toy.features, data, toy.lang, mono_dir, tmp_path, 1)


def test_a_lang_dir_with_other_phones_is_refused(toy: Any, mono_dir: Path, tmp_path: Path) -> None:
    lang = copied(toy.lang, tmp_path / "lang")
    (lang / "phones.txt").write_text((lang / "phones.txt").read_text().replace("AA ", "AH "))
    with pytest.raises(MismatchError, match=r"number phone A[AH] differently"):
        align_stage(AlignConfig(), toy.features, toy.data, lang, mono_dir, tmp_path, 1)
