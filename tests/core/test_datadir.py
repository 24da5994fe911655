"""Data dirs: consistent in themselves, or refused by the utterance's name."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrkd.core.datadir import (
    DataDir,
    read_data_dir,
    read_durations,
    read_num_frames,
    read_transcripts,
    spk2utt,
    unprintable,
    validate,
    write_data_dir,
)
from asrkd.core.errors import DataError

DATA = DataDir(
    wav={"a-1": "a1.wav", "a-2": "a2.wav", "b-1": "b1.wav"},
    utt2spk={"a-1": "a", "a-2": "a", "b-1": "b"},
    durations={"a-1": 1.5, "a-2": 0.25, "b-1": 2.0},
    text={"a-1": "ONE TWO", "a-2": "THREE", "b-1": "FOUR"},
)

words = st.text(st.characters(exclude_categories=["Z", "C"]), min_size=1, max_size=6)
ids = st.text(st.characters(exclude_categories=["Z", "C"], exclude_characters="/\\"), min_size=1, max_size=6).filter(
    lambda utt: utt not in (".", "..")
)


@given(st.dictionaries(ids, st.lists(words, min_size=1, max_size=3).map(" ".join), min_size=1, max_size=4))
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, text: dict[str, str]) -> None:
    folder = tmp_path_factory.mktemp("data")
    data = DataDir(
        dict.fromkeys(text, "/a b/c.wav"),
        dict.fromkeys(text, "spk"),
        dict.fromkeys(text, 1.25),
        dict(sorted(text.items())),
    )
    write_data_dir(folder, data)
    assert read_data_dir(folder) == data
    assert list(read_data_dir(folder).wav) == sorted(text)


def test_files(tmp_path: Path) -> None:
    write_data_dir(tmp_path, replace(DATA, text=None))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["spk2utt", "utt2dur", "utt2spk", "wav.scp"]
    assert (tmp_path / "spk2utt").read_text() == "a a-1 a-2\nb b-1\n"
    assert (tmp_path / "utt2dur").read_text() == "a-1 1.5000\na-2 0.2500\nb-1 2.0000\n"
    assert read_data_dir(tmp_path).text is None
    assert read_data_dir(tmp_path).seconds == 3.75


def test_copies_have_warps_and_alignments(tmp_path: Path) -> None:
    data = replace(DATA, warps={"a-1": 0.9, "a-2": 1.0, "b-1": 1.1234}, aligned_as=dict.fromkeys(DATA.wav, "a-1"))
    write_data_dir(tmp_path, data)
    assert (tmp_path / "utt2warp").read_text() == "a-1 0.9000\na-2 1.0000\nb-1 1.1234\n"
    assert (tmp_path / "utt2ali").read_text() == "a-1 a-1\na-2 a-1\nb-1 a-1\n"
    assert read_data_dir(tmp_path) == data
    assert data.subset(["b-1"]).warps == {"b-1": 1.1234}
    assert data.subset(["b-1"]).aligned_as == {"b-1": "a-1"}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("2.5", r"a-1: 2\.5 is outside 0\.5 \.\.\. 2"),
        ("nan", "a-1: nan is outside"),
        ("-1", "a-1: -1 is outside"),
        ("a", "a-1: 'a' is no number"),
    ],
)
def test_impossible_warps(tmp_path: Path, value: str, message: str) -> None:
    write_data_dir(tmp_path, replace(DATA, warps=dict.fromkeys(DATA.wav, 1.0)))
    (tmp_path / "utt2warp").write_text(f"a-1 {value}\na-2 1\nb-1 1\n")
    with pytest.raises(DataError, match=f"utt2warp: {message}"):
        read_data_dir(tmp_path)
    (tmp_path / "utt2warp").write_text("a-1 1\n")
    with pytest.raises(DataError, match=r"a-2 has audio in wav\.scp but no line in utt2warp"):
        read_data_dir(tmp_path)


def test_written_elsewhere_with_tabs_and_without_lengths(tmp_path: Path) -> None:
    write_data_dir(tmp_path, DATA)
    (tmp_path / "utt2dur").unlink()
    for name in ("wav.scp", "text", "utt2spk"):
        content = (tmp_path / name).read_text()
        (tmp_path / name).write_text("".join(line.replace(" ", "\t", 1) + "\r\n" for line in content.splitlines()))
    assert read_data_dir(tmp_path) == replace(DATA, durations={})


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("text", "a-1 ONE\nb-1 FOUR\n", r"a-2 has audio in wav\.scp but no line in text \(1 such\)"),
        ("text", "a-1 A\na-2 B\nb-1 C\nc-1 D\n", r"c-1 has a line in text but no audio in wav\.scp"),
        ("text", "a-1 ONE\na-2\nb-1 C\n", "a-2 has an empty transcript"),
        ("text", "a-1 ONE\na-1 B\n", r"text:2: a-1 is there twice"),
        ("text", b"a-1 \xff\n", "not UTF-8"),
        ("utt2spk", "a-1 a\na-2\nb-1 b\n", r"utt2spk:2: expected `id value`"),
        ("utt2spk", "a-1 a\n", "a-2 has audio"),
        ("utt2spk", "a-1 a\na-2 a b\nb-1 b\n", "utt2spk: a-2: 'a b' can't be a speaker id, with spaces: is it spk2utt"),
        ("utt2dur", "a-1 1\na-2 long\nb-1 1\n", "a-2: 'long' is no number of seconds"),
        *(
            ("utt2dur", f"a-1 1\na-2 {value}\nb-1 1\n", f"utt2dur: a-2: '{value}' can't be: more than 0 seconds")
            for value in ("0", "-1", "nan", "inf", "1e400", "-inf")
        ),
        ("wav.scp", "a-1 x.wav\na-1 y.wav\n", r"wav\.scp:2: a-1 is there twice"),
        ("wav.scp", "a-1 touch sentinel |\n", "is a command"),
        ("wav.scp", "", "holds no utterances"),
    ],
)
def test_inconsistent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: str | bytes, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_data_dir(tmp_path, DATA)
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=message) as error:
        read_data_dir(tmp_path)
    assert str(tmp_path) in str(error.value)
    assert not (tmp_path / "sentinel").exists()


@pytest.mark.parametrize("utt_id", ["../x", "a/b", "a\\b", "..", "a\x07b", "a\u2028b"])
def test_ids_that_could_leave_the_folder(utt_id: str) -> None:
    with pytest.raises(DataError, match="can't be an utterance id"):
        validate(DataDir({utt_id: "x"}, {utt_id: "s"}, {utt_id: 1.0}), "here")


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        read_data_dir(tmp_path / "none")


def test_audio(tiny_data: Path) -> None:
    data = read_data_dir(tiny_data)
    for utt_id in data.utt_ids:
        assert len(data.audio(utt_id)) == round(16000 * data.durations[utt_id])


def test_commands_where_they_are_allowed(tiny_data: Path) -> None:
    wav = read_data_dir(tiny_data).wav
    lines = [f"{utt} cat {path} |" for utt, path in wav.items()]
    lines[1:3] = [f"{list(wav)[1]} false |", f"{list(wav)[2]} echo no audio |"]
    (tiny_data / "wav.scp").write_text("\n".join(lines) + "\n")
    with pytest.raises(DataError, match="refused"):
        read_data_dir(tiny_data)
    data = read_data_dir(tiny_data, allow_pipes=True)
    first, second, third, _ = data.utt_ids
    assert len(data.audio(first)) == 4800
    with pytest.raises(DataError, match=rf"{second}: command 'false \|' failed \(exit 1\)"):
        data.audio(second)
    with pytest.raises(DataError, match=f"{third}: command .* gives no audio"):
        data.audio(third)
    with pytest.raises(DataError, match=f"{first}: command gives 16000 Hz, 8000 Hz mono expected"):
        data.audio(first, 8000)


def test_subset_and_speakers() -> None:
    part = DATA.subset(["b-1", "a-1"])
    assert part.utt_ids == ["a-1", "b-1"]
    assert part.text == {"a-1": "ONE TWO", "b-1": "FOUR"}
    assert part.seconds == 3.5
    assert spk2utt({"b": "y", "a": "y", "c": "x"}) == {"x": ["c"], "y": ["a", "b"]}


def test_lengths_may_be_unknown(tmp_path: Path) -> None:
    write_data_dir(tmp_path, replace(DATA, durations={}))
    assert not (tmp_path / "utt2dur").exists()
    part = read_data_dir(tmp_path).subset(["a-1"])
    assert (part.durations, part.seconds) == ({}, 0)


def test_the_same_audio_gives_the_same_samples(tiny_data: Path) -> None:
    data = read_data_dir(tiny_data)
    np.testing.assert_array_equal(data.audio("spk0-0"), data.audio("spk0-0"))


def test_transcripts_need_no_audio(tiny_data: Path) -> None:
    words = dict.fromkeys(read_data_dir(tiny_data).wav, "A TONE")
    (tiny_data / "wav.scp").write_text("recording sox tape.wav -t wav - |\n")  # as with Kaldi's segments
    assert read_transcripts(tiny_data) == words
    (tiny_data / "wav.scp").unlink()
    assert read_transcripts(tiny_data) == words
    (tiny_data / "utt2spk").write_text("spk0-0 spk0\n")
    with pytest.raises(DataError, match=r"spk0-1 is in only one of text and utt2spk \(3 such\)"):
        read_transcripts(tiny_data)
    (tiny_data / "text").write_text("spk0-0\n")
    with pytest.raises(DataError, match="spk0-0 has an empty transcript"):
        read_transcripts(tiny_data)
    (tiny_data / "text").unlink()
    with pytest.raises(DataError, match="has no transcripts"):
        read_transcripts(tiny_data)
    with pytest.raises(DataError, match="does not exist"):
        read_transcripts(tiny_data / "nowhere")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a-1 rec 2.5 1", "'2.5 1' can't be: more than 0 seconds"),
        ("a-1 rec -1 1", "'-1 1' can't be"),
        ("a-1 rec 0 nan", "'0 nan' can't be"),
        ("a-1 rec 0 -2", "'0 -2' can't be"),
        ("a-1 rec 1.5", "'1.5' is no number of seconds"),
        ("a-1 rec", "'' is no number of seconds"),
    ],
)
def test_segments_that_can_not_be(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "segments").write_text(f"{line}\n")
    with pytest.raises(DataError, match=f"segments: a-1: {message}"):
        read_durations(tmp_path)


@pytest.mark.parametrize("count", ["many", "-3", "1.5", "9" * 5000])
def test_numbers_of_frames(tmp_path: Path, count: str) -> None:
    (tmp_path / "utt2num_frames").write_text(f"a-1 {count}\n")
    with pytest.raises(DataError, match=rf"utt2num_frames: a-1: '{count[:40]}' is no number of frames"):
        read_num_frames(tmp_path)


def test_a_file_in_place_of_a_data_dir(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("a-1 ONE\n")
    for read in (read_data_dir, read_transcripts):
        with pytest.raises(DataError, match="text is a file, where a folder is expected"):
            read(tmp_path / "text")


def test_characters_that_are_not_printed() -> None:
    assert unprintable("NAÏVE 12-À\u00a0\tB ZW\u200cNJ") == []
    assert unprintable("A\x00B\x07\u0378") == ["\x00", "\x07", "\u0378"]
