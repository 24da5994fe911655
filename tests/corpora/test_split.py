"""Splits: nothing lost, nothing twice, and no words on two sides."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrkd.core.datadir import DataDir, read_data_dir, write_data_dir
from asrkd.core.errors import ConfigError, DataError
from asrkd.corpora.split import SplitConfig, draw_speakers, split_by_speaker, split_by_text, split_stage


def _data(texts: list[str], num_speakers: int = 3) -> DataDir:
    """Utterances of speakers in turn."""
    text = {f"s{i % num_speakers}-{i:04d}": words for i, words in enumerate(texts)}
    return DataDir({u: f"/{u}.wav" for u in text}, {u: u[:2] for u in text}, dict.fromkeys(text, 1.0), text)


def _texts(data: DataDir) -> set[str]:
    assert data.text is not None
    return {words.upper() for words in data.text.values()}


@given(
    texts=st.lists(st.sampled_from([f"TEXT {c}" for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"]), min_size=60, max_size=200),
    seed=st.integers(0, 99),
)
def test_texts_stay_together_and_nothing_is_lost(texts: list[str], seed: int) -> None:
    data = _data(texts)
    if len(set(texts)) < 8:
        return
    splits = split_by_text(data, {"train": 0.5, "test": 0.5}, seed)
    assert not _texts(splits["train"]) & _texts(splits["test"])
    assert sorted(splits["train"].utt_ids + splits["test"].utt_ids) == sorted(data.utt_ids)
    largest = max(texts.count(words) for words in texts)
    assert abs(len(splits["train"].wav) - len(texts) / 2) <= largest / 2 + 1


def test_a_prompt_read_twice_stands_on_one_side_whatever_its_case() -> None:
    data = _data([f"Prompt {i // 2 * 'x'}" if i % 2 else f"PROMPT {i // 2 * 'X'}" for i in range(400)])
    splits = split_by_text(data, {"train": 0.9, "dev": 0.05, "test": 0.05}, 1)
    assert {name: len(split.wav) for name, split in splits.items()} == {"train": 360, "dev": 20, "test": 20}
    assert not _texts(splits["train"]) & (_texts(splits["dev"]) | _texts(splits["test"]))


def test_the_seed_decides_and_nothing_else() -> None:
    data = _data([f"TEXT {i * 'X'}" for i in range(100)])
    shuffled = data.subset(data.utt_ids[::-1])
    fractions = {"a": 0.8, "b": 0.2}
    first = split_by_text(data, fractions, 1)["b"].utt_ids
    assert sorted(split_by_text(shuffled, fractions, 1)["b"].utt_ids) == sorted(first)
    assert sorted(split_by_text(data, fractions, 2)["b"].utt_ids) != sorted(first)


@pytest.mark.parametrize("fractions", [{"a": 0.9}, {"a": 0.9, "b": 0.2}, {"a": 1.1, "b": -0.1}, {"a": 1.0, "b": 0.0}])
def test_fractions_must_add_up(fractions: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="fractions must be above 0 and add up to 1"):
        split_by_text(_data(["A", "B"]), fractions, 1)


def test_an_empty_split_is_refused() -> None:
    with pytest.raises(DataError, match=r"split: b would be empty: too few utterances \(4\)"):
        split_by_text(_data(["SAME"] * 4), {"a": 0.5, "b": 0.5}, 1)


def test_text_is_needed() -> None:
    data = _data(["A", "B"])
    unlabelled = DataDir(data.wav, data.utt2spk, data.durations)
    with pytest.raises(DataError, match="no transcripts to split by"):
        split_by_text(unlabelled, {"a": 0.5, "b": 0.5}, 1)
    assert len(split_by_speaker(unlabelled, {"a": ["s0"]}, "b")["b"].wav) == 1


def test_speakers_go_where_they_are_listed_and_shared_words_to_the_smaller_split() -> None:
    data = _data(["ONE", "TWO", "THREE", "FOUR", "one", "SIX", "SEVEN", "EIGHT", "NINE"])
    splits = split_by_speaker(data, {"test": ["s1"]}, rest="train")
    assert splits["test"].utt_ids == ["s1-0001", "s1-0004", "s1-0007"]
    assert splits["train"].utt_ids == ["s0-0003", "s0-0006", "s2-0002", "s2-0005", "s2-0008"]  # not s0-0000: ONE


@pytest.mark.parametrize(
    ("speakers", "message"),
    [
        ({"a": ["s0"], "b": ["s7"]}, "b: no speaker 's7' in the data dir, which has s0, s1, s2"),
        ({"a": ["s0", "s1"], "b": ["s1", "s2"]}, "speaker 's1' is listed in a and in b"),
        ({"a": ["s0"], "b": ["s1"]}, "s2 in no list: name a split for the others (rest)"),
    ],
)
def test_speaker_lists_are_checked(speakers: dict[str, list[str]], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        split_by_speaker(_data(["A", "B", "C"]), speakers)


@given(lengths=st.lists(st.floats(1, 60), min_size=2, max_size=40), seed=st.integers(0, 99))
def test_speakers_are_halved_by_the_length_of_their_speech(lengths: list[float], seed: int) -> None:
    ids = [f"s{number}-1" for number in range(len(lengths))]
    data = DataDir(dict.fromkeys(ids, ""), {u: u[:-2] for u in ids}, dict(zip(ids, lengths, strict=True)), None)
    halves = draw_speakers(data, {"dev": 0.5, "test": 0.5}, seed)
    assert sorted(halves["dev"] + halves["test"]) == sorted(set(data.utt2spk.values()))
    seconds = {name: sum(data.durations[f"{speaker}-1"] for speaker in halves[name]) for name in halves}
    assert abs(seconds["dev"] - seconds["test"]) <= max(lengths) + 1e-6
    assert halves == draw_speakers(data, {"dev": 0.5, "test": 0.5}, seed)


@given(
    lengths=st.lists(st.floats(1, 60), min_size=4, max_size=30),
    shares=st.lists(st.floats(1, 50), min_size=2, max_size=4),
)
def test_speakers_stay_whole_and_no_split_is_empty(lengths: list[float], shares: list[float]) -> None:
    ids = [f"s{number}-1" for number in range(len(lengths))]
    data = DataDir(dict.fromkeys(ids, ""), {u: u[:-2] for u in ids}, dict(zip(ids, lengths, strict=True)), None)
    drawn = draw_speakers(data, {f"part{number}": share / sum(shares) for number, share in enumerate(shares)}, 1)
    assert all(drawn.values())
    assert sorted(speaker for part in drawn.values() for speaker in part) == sorted(set(data.utt2spk.values()))


def test_the_seed_draws_speakers_and_their_order_does_not_matter() -> None:
    data, fractions = _data([f"TEXT {i * 'X'}" for i in range(40)], 10), {"a": 0.5, "b": 0.5}
    first = draw_speakers(data, fractions, 1)
    assert draw_speakers(data.subset(data.utt_ids[::-1]), fractions, 1) == first
    assert sorted(draw_speakers(data, fractions, 2)["a"]) != sorted(first["a"])
    unmeasured = DataDir(data.wav, data.utt2spk, {})  # utterances are counted where lengths are unknown
    assert sorted(map(len, draw_speakers(unmeasured, fractions, 1).values())) == [5, 5]


def test_speakers_too_few_for_the_splits_are_refused() -> None:
    with pytest.raises(DataError, match="1 speakers are too few for 2 splits"):
        draw_speakers(_data(["A"], 1), {"dev": 0.5, "test": 0.5}, 1)


def test_the_stage_writes_a_folder_a_split(tmp_path: Path) -> None:
    write_data_dir(tmp_path / "all", _data(["ONE", "TWO", "THREE", "ONE", "FIVE", "SIX"]))
    summary = split_stage(tmp_path / "all", tmp_path / "w", SplitConfig(fractions={"train": 0.5, "dev": 0.5}))
    assert summary == {"train": 3, "dev": 3, "dropped": 0}
    assert len(read_data_dir(tmp_path / "w" / "dev").wav) == 3
    summary = split_stage(tmp_path / "all", tmp_path / "w2", SplitConfig(speakers={"dev": ["s1"]}, rest="train"))
    assert summary == {"dev": 2, "train": 4, "dropped": 0}
    config = SplitConfig(speaker_fractions={"tune": 1 / 3, "test": 2 / 3})
    split_stage(tmp_path / "all", tmp_path / "w3", config)
    tune, test = (read_data_dir(tmp_path / "w3" / name) for name in ("tune", "test"))
    assert not set(tune.utt2spk.values()) & set(test.utt2spk.values())
    assert not _texts(tune) & _texts(test)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (SplitConfig(), "give one of fractions, speaker_fractions"),
        (
            SplitConfig(fractions={"a": 1.0}, speakers={"a": ["s0"]}),
            "give one of fractions, speaker_fractions",
        ),
        (SplitConfig(fractions={"../a": 0.5, "b": 0.5}), "'../a' can't name a folder"),
    ],
)
def test_the_stage_refuses(tmp_path: Path, config: SplitConfig, message: str) -> None:
    write_data_dir(tmp_path / "all", _data(["ONE", "TWO", "THREE", "FOUR"]))
    with pytest.raises(ConfigError, match=re.escape(message)):
        split_stage(tmp_path / "all", tmp_path / "work", config)
    assert not (tmp_path / "a").exists()
