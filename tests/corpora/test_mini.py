"""The mini corpus: its layout, its disjoint parts, and the same bytes from any number of jobs and after any kill."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from asrkd.core.config import parse
from asrkd.core.errors import ConfigError, DataError
from asrkd.corpora import mini
from asrkd.corpora.grammar import load_grammar
from asrkd.corpora.librispeech import prepare
from asrkd.corpora.mini import Conditions, CorpusConfig, Minutes, Speakers, make_corpus
from asrkd.corpora.voices import TRAIN_VOICES, Manner

SOURCE = Path(__file__).parents[2] / "data" / "mini"
TINY = CorpusConfig(
    minutes=Minutes(train=1.5, dev=0.3, test=0.4, transfer=1.5),
    speakers=Speakers(natural=1, transfer_factor=1),
    lm_sentences=50,
)


@pytest.fixture(autouse=True)
def _needs_engines() -> None:
    for package in ("espeakng_loader", "py_nanotts", "hibari"):
        pytest.importorskip(package)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    pytest.importorskip("hibari")
    work = tmp_path_factory.mktemp("corpus")
    return work, make_corpus(TINY, SOURCE, work, 2)


def _digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _transcripts(part: Path) -> list[str]:
    lines = [line for path in sorted(part.rglob("*.trans.txt")) for line in path.read_text().splitlines()]
    return [line.partition(" ")[2] for line in lines]


def test_parts_are_as_long_as_asked_for_and_read_as_librispeech(
    made: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    work, summary = made
    for part, minutes in (("train", 1.5), ("dev", 0.3), ("test", 0.4), ("transfer", 1.5)):
        data = prepare([work / part], tmp_path / part, transcripts=part != "transfer")
        assert data.seconds / 60 == pytest.approx(minutes, rel=0.15)
        assert summary[part]["minutes"] == pytest.approx(data.seconds / 60, abs=0.01)
        assert summary[part]["utterances"] == len(data.wav)
        assert summary[part]["speakers"] == len(set(data.utt2spk.values()))
    assert not list((work / "transfer").rglob("*.txt"))


def test_no_sentence_and_no_speaker_is_in_two_parts(made: tuple[Path, dict[str, Any]]) -> None:
    work, _ = made
    texts = {part: _transcripts(work / part) for part in ("train", "dev", "test")}
    language = (work / "lm_text.txt").read_text().splitlines()
    assert language[: len(texts["train"])] != []
    assert set(texts["train"]) <= set(language)
    assert len(language) == len(texts["train"]) + TINY.lm_sentences
    assert not set(language) & set(texts["dev"] + texts["test"])
    assert not set(texts["dev"]) & set(texts["test"])
    rows = [line.split(" | ") for line in (work / "SPEAKERS.TXT").read_text().splitlines()[1:]]
    assert len({row[0] for row in rows}) == len(rows) == sum(len(list((work / p).iterdir())) for p in mini.VOICES)
    voices = {part: {row[2] for row in rows if row[1] == part} for part in mini.VOICES}
    assert voices["train"] == voices["transfer"]
    assert not voices["dev"] & voices["test"]
    assert not voices["train"] & (voices["dev"] | voices["test"])


def test_audio_is_16_bit_mono_and_never_clips(made: tuple[Path, dict[str, Any]]) -> None:
    for path in made[0].rglob("*.flac"):
        info = soundfile.info(path)
        assert (info.samplerate, info.channels, info.subtype) == (16000, 1, "PCM_16")
        samples, _ = soundfile.read(path, dtype="float32")
        assert 0.01 < np.abs(samples).max() <= 0.951
        assert -33 < 20 * np.log10(np.sqrt(np.mean(samples**2))) < -19


def test_jobs_and_kills_do_not_change_a_byte(
    made: tuple[Path, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, summary = made
    count = 0
    utterance = mini._utterance

    def dying(*arguments: Any) -> Any:
        nonlocal count
        count += 1
        if count in (2, 25):
            raise KeyboardInterrupt
        return utterance(*arguments)

    monkeypatch.setattr(mini, "_utterance", dying)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            make_corpus(TINY, SOURCE, tmp_path, 1)
    assert list(tmp_path.rglob("*.tmp"))
    assert make_corpus(TINY, SOURCE, tmp_path, 1) == summary
    assert _digests(tmp_path) == _digests(work)
    made_before = count
    make_corpus(TINY, SOURCE, tmp_path, 1)
    assert count == made_before, "whole chapters are not made again"


def test_dev_and_test_stay_when_training_grows() -> None:
    grammar = load_grammar(SOURCE / "grammar.yaml")
    phones = mini._phone_counts(grammar, SOURCE / "lexicon.txt")
    more = replace(TINY, minutes=replace(TINY.minutes, train=3.0))
    before, after = (mini._draw_prompts(config, grammar, phones) for config in (TINY, more))
    assert (before["dev"], before["test"]) == (after["dev"], after["test"])
    assert len(after["train"]) > len(before["train"])


def test_a_part_may_have_conditions_of_its_own() -> None:
    loud = Conditions(snr_db=(60.0, 60.0), reverb_probability=0.0, level_db=(-20.0, -20.0))
    quiet = replace(loud, snr_db=(0.0, 0.0), noises=("white",))
    config = replace(TINY, conditions=loud, conditions_of={"test": quiet})
    babble = np.ones(1000, np.float32)
    floors = {}
    parts: tuple[mini.Part, ...] = ("train", "test")
    for part in parts:
        speaker = mini.Speaker("1", TRAIN_VOICES[2], Manner())
        chapter = mini.Chapter(part, speaker, "1", {})
        samples = mini._utterance(config, chapter, "1-1-0000", "THE KING IS HERE", babble)
        floors[part] = float(np.std(samples[:1600]) / np.std(samples))
    assert floors["train"] < 0.01
    assert 0.4 < floors["test"] < 1.0


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"minutes": {"trian": 1}}, "unknown key 'minutes.trian'; did you mean 'train'"),
        ({"conditions": {"noises": ["blue"]}}, "conditions.noises.0: input should be 'white', 'pink' or 'babble'"),
        ({"conditions_of": {"trial": {}}}, "conditions_of"),
        ({"minutes": {"train": 0.0}}, "minutes.train: .*greater than 0"),
        ({"conditions": {"snr_db": [20.0, 10.0]}}, "conditions.snr_db.*from the lower to the higher"),
        ({"conditions": {"noises": []}}, "conditions.noises"),
        ({"conditions": {"reverb_probability": 1.5}}, "reverb_probability"),
        ({"speakers": {"natural_warp": [0.1, 1.0]}}, "natural_warp"),
    ],
)
def test_a_config_that_makes_no_sense_is_refused(section: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse(CorpusConfig, section, "recipe.yaml: corpus")


def test_a_word_without_pronunciation_is_named(tmp_path: Path) -> None:
    (tmp_path / "grammar.yaml").write_text("sentence: [one two three]\n")
    (tmp_path / "lexicon.txt").write_text("ONE  W AH1 N\nTWO  T UW1\n")
    with pytest.raises(DataError, match=r"lexicon\.txt: THREE of .*grammar\.yaml has no pronunciation \(1 such\)"):
        make_corpus(TINY, tmp_path, tmp_path / "work")
