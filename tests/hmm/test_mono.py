"""The flat start: equal alignments, phones without data, utterances that are too short."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asrkd.core.config import parse
from asrkd.core.errors import ConfigError, DataError
from asrkd.core.files import read_json
from asrkd.features.store import FeatureDir
from asrkd.hmm.align import TrainingGraphs
from asrkd.hmm.alignment import Alignment
from asrkd.hmm.em import TrainingSet
from asrkd.hmm.gmm_features import GmmFeatures
from asrkd.hmm.mono import MonoConfig, equal_aligner, flat_start, long_enough, mono_stage
from asrkd.hmm.sizes import MONO_GAUSSIANS
from asrkd.hmm.tied_states import TiedStates
from asrkd.hmm.topology import read_topology
from asrkd.hmm.transitions import split_phones
from asrkd.lang.prepare import Lang
from tests.outputs import contents


def training_set(toy: Any, text: str = "BASS SOB") -> TrainingSet:
    lang, store = Lang.open(toy.lang), FeatureDir.open(toy.features)
    return TrainingSet(store, lang, {store.utt_ids[0]: lang.word_ids("utt", text.split())}, 1)


def test_every_pdf_starts_as_the_data(toy: Any) -> None:
    training = training_set(toy)
    model, _ = flat_start(read_topology(toy.lang / "topo"), training, training.texts.values())
    feats = GmmFeatures(training.store).load(training.utt_ids[0])
    np.testing.assert_allclose(model.gmms.means, np.tile(feats.mean(axis=0), (model.num_pdfs, 1)), atol=1e-4)
    np.testing.assert_allclose(model.gmms.variances, np.tile(feats.var(axis=0), (model.num_pdfs, 1)), rtol=1e-3)


def test_phones_in_no_transcript_take_the_pdfs_of_silence(toy: Any) -> None:
    training = training_set(toy, "SAAB")
    model, substitutes = flat_start(read_topology(toy.lang / "topo"), training, training.texts.values())
    silence = model.phones["SIL"]
    assert substitutes == dict.fromkeys([model.phones["SPN"], model.phones["AA"]], silence)
    assert model.context_tree.pdf((model.phones["AA"],), 2) == model.context_tree.pdf((silence,), 2)
    assert model.num_pdfs == 3 * 3


def test_equal_alignments_spread_the_frames(toy: Any) -> None:
    training = training_set(toy)
    model, _ = flat_start(read_topology(toy.lang / "topo"), training, training.texts.values())
    utt = training.utt_ids[0]
    align = equal_aligner(TrainingGraphs(model, training.lang, training.texts), {utt: 90})
    ids = align(utt)
    np.testing.assert_array_equal(ids, align(utt))
    assert len(ids) == 90
    phones = model.tables.phone[ids[split_phones(ids, model.tables) - 1]]
    spoken = [model.phones[phone] for phone in ["B", "AA", "S", "S", "AA", "B"]]
    assert [phone for phone in phones.tolist() if phone != model.phones["SIL"]] == spoken
    assert len(equal_aligner(TrainingGraphs(model, training.lang, training.texts), {utt: 9})(utt)) == 0


def test_utterances_shorter_than_their_words_are_not_trained_on(toy: Any) -> None:
    lang = Lang.open(toy.lang)
    texts = {"utt1": lang.word_ids("utt1", ["BASS"]), "utt2": lang.word_ids("utt2", ["SAAB"])}
    topology = read_topology(toy.lang / "topo")
    assert long_enough(texts, lang, topology, {"utt1": 9, "utt2": 6}) == ["utt1", "utt2"]
    assert long_enough(texts, lang, topology, {"utt1": 8, "utt2": 6}) == ["utt2"]
    with pytest.raises(DataError, match=r"no utterance is long enough .*utt1, has 8 frames for 1 words"):
        long_enough(texts, lang, topology, {"utt1": 8, "utt2": 5})


def test_the_stage_trains_on_some_and_aligns_all(toy: Any, mono_dir: Path, tmp_path: Path) -> None:
    config = MonoConfig(num_passes=2, realign_passes=(2,), num_gauss=12, max_utterances=5)
    summary = mono_stage(config, toy.features, toy.data, toy.lang, tmp_path, 1)
    assert len(Alignment.open(tmp_path / "ali").utt_ids) == 24
    frames = sorted(FeatureDir.open(toy.features).num_frames.values())
    history = read_json(tmp_path / "tied_states.json")["history"]
    assert history[0]["num_frames"] == sum(frames[:5])
    assert summary["phones_without_data"] == ["SPN"]
    names = {"ali", "final.mdl", "phones.txt", "tied_states.json", "topo", "tree"}
    found, whole = ({Path(name).parts[0] for name in contents(folder)} for folder in (tmp_path, mono_dir))
    assert found == whole == names
    assert TiedStates.load(tmp_path).context_tree.context_width == 1


def test_a_stage_may_leave_its_alignment_to_the_next(toy: Any, tmp_path: Path) -> None:
    config = MonoConfig(num_passes=2, realign_passes=(2,), num_gauss=None, max_utterances=5, align_all=False)
    summary = mono_stage(config, toy.features, toy.data, toy.lang, tmp_path, 1)
    assert not (tmp_path / "ali").exists()
    frames = sum(sorted(FeatureDir.open(toy.features).num_frames.values())[:5])
    assert summary["num_gauss"] <= MONO_GAUSSIANS.size(None, frames)


def test_configuration_is_strict() -> None:
    assert parse(MonoConfig, {"align": {"beam": 8.0}, "num_gauss": 100}, "mono").align.beam == 8.0
    with pytest.raises(ConfigError, match=r"mono: align: retry_beam 5.0 must be wider than beam 10.0"):
        parse(MonoConfig, {"align": {"retry_beam": 5.0}}, "mono")
    with pytest.raises(ConfigError, match="did you mean 'num_gauss'"):
        parse(MonoConfig, {"num_gaus": 100}, "mono")
