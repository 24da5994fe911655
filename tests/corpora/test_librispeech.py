"""LibriSpeech's layout to a data dir: what is read, and that each kind of damage is named."""

import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asrkd.cli import main
from asrkd.core.datadir import read_data_dir
from asrkd.core.errors import DataError
from asrkd.corpora.librispeech import PrepareConfig, prepare, prepare_stage

RATE = 16_000


def _flac(path: Path, seconds: float = 0.2, rate: int = RATE, channels: int = 1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.random.default_rng(0).normal(size=(round(seconds * rate), channels)) * 0.1
    soundfile.write(path, samples, rate, subtype="PCM_16")


@pytest.fixture
def part(tmp_path: Path) -> Path:
    """Speakers 12 (two chapters) and 3 (one), two utterances a chapter."""
    part = tmp_path / "corpus" / "dev"
    for chapter in ("12/7", "12/8", "3/9"):
        prefix = chapter.replace("/", "-")
        for number in range(2):
            _flac(part / chapter / f"{prefix}-000{number}.flac", 0.2 + 0.1 * number)
        lines = [f"{prefix}-0000 HELLO THERE", f"{prefix}-0001 I DON'T KNOW"]
        (part / chapter / f"{prefix}.trans.txt").write_text("\n".join(lines) + "\n")
    (part.parent / "SPEAKERS.TXT").write_text("; not a part\n")
    return part


def test_a_part_becomes_a_data_dir(part: Path, tmp_path: Path) -> None:
    summary = prepare_stage([part], tmp_path / "data", PrepareConfig())
    assert summary == {"utterances": 6, "speakers": 2, "hours": round(1.5 / 3600, 4), "words": 15}
    data = read_data_dir(tmp_path / "data")
    assert data.utt_ids == ["12-7-0000", "12-7-0001", "12-8-0000", "12-8-0001", "3-9-0000", "3-9-0001"]
    assert data.text is not None
    assert data.text["12-8-0001"] == "I DON'T KNOW"
    assert data.utt2spk["12-8-0001"] == "12"
    assert data.durations["3-9-0001"] == pytest.approx(0.3)
    assert Path(data.wav["3-9-0001"]).is_absolute()
    assert data.audio("3-9-0001").shape == (4800,)


def test_chapters_may_be_speakers(part: Path, tmp_path: Path) -> None:
    data = prepare([part], tmp_path / "data", speaker_by="chapter")
    assert sorted(set(data.utt2spk.values())) == ["12-7", "12-8", "3-9"]


def test_parts_are_joined_and_transcripts_may_be_absent(part: Path, tmp_path: Path) -> None:
    _flac(tmp_path / "more" / "5" / "1" / "5-1-0000.flac")
    data = prepare([part, tmp_path / "more"], tmp_path / "data", transcripts=False)
    assert len(data.wav) == 7
    assert data.text is None
    assert not (tmp_path / "data" / "text").exists()
    with pytest.raises(DataError, match=r"5-1\.trans\.txt is missing: has this part no transcripts\?"):
        prepare([part, tmp_path / "more"], tmp_path / "data")


def test_words_stay_as_they_are(part: Path, tmp_path: Path) -> None:
    transcript = part / "3" / "9" / "3-9.trans.txt"
    transcript.write_text("3-9-0000  Hello   naïve world\n3-9-0001\tOK\n", encoding="utf-8")
    data = prepare([part], tmp_path / "data")
    assert data.text is not None
    assert (data.text["3-9-0000"], data.text["3-9-0001"]) == ("Hello naïve world", "OK")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("3-9-0000 A\n3-9-0001 B\n3-9-0002 C\n", r"3-9\.trans\.txt:3: 3-9-0002 has a transcript but no audio"),
        ("3-9-0000 A\n", r"3-9-0001\.flac: has no transcript in 3-9\.trans\.txt \(1 such\)"),
        ("3-9-0000 A\n3-9-0001\n", r"3-9\.trans\.txt:2: 3-9-0001 has an empty transcript"),
        ("3-9-0000 A\n3-9-0000 B\n", r"3-9\.trans\.txt:2: 3-9-0000 is there twice"),
        ("3-9-0000 A\n\n", r"3-9\.trans\.txt:2: expected `3-9-NNNN WORDS`, found ''"),
        ("HELLO THERE\n", r"3-9\.trans\.txt:1: expected `3-9-NNNN WORDS`, found 'HELLO THERE'"),
        ("3-9-0000 A\n3-9-0001 \x00B\n", r"3-9\.trans\.txt:2: 3-9-0001 holds the control character '\\x00'"),
        ("3-9-0000 A 42\n3-9-0001 B\n", r"3-9\.trans\.txt:1: 3-9-0000: '42' is no word: write numbers out"),
    ],
)
def test_bad_transcripts_are_named(part: Path, tmp_path: Path, lines: str, message: str) -> None:
    (part / "3" / "9" / "3-9.trans.txt").write_text(lines)
    with pytest.raises(DataError, match=message):
        prepare([part], tmp_path / "data")


def test_transcripts_that_are_no_text_are_named(part: Path, tmp_path: Path) -> None:
    (part / "3" / "9" / "3-9.trans.txt").write_bytes(b"3-9-0000 \xff\xfe\n")
    with pytest.raises(DataError, match=r"3-9\.trans\.txt is not UTF-8 text"):
        prepare([part], tmp_path / "data")


def test_bad_audio_is_named(part: Path, tmp_path: Path) -> None:
    path = part / "3" / "9" / "3-9-0001.flac"
    _flac(path, rate=8000)
    with pytest.raises(DataError, match=r"3-9-0001\.flac: sampled at 8000 Hz"):
        prepare([part], tmp_path / "data")
    _flac(path, channels=2)
    with pytest.raises(DataError, match=r"3-9-0001\.flac: has 2 channels"):
        prepare([part], tmp_path / "data")
    path.write_bytes(b"")
    with pytest.raises(DataError, match=r"3-9-0001\.flac: audio file is empty"):
        prepare([part], tmp_path / "data")


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9, 0.99])
def test_audio_cut_short_is_named(part: Path, tmp_path: Path, share: float) -> None:
    path = part / "3" / "9" / "3-9-0001.flac"
    _flac(path, seconds=2.0)
    whole = path.read_bytes()
    path.write_bytes(whole[: round(len(whole) * share)])
    with pytest.raises(DataError, match=r"3-9-0001\.flac: ends before the 2\.00 s that its header says"):
        prepare([part], tmp_path / "data")


def test_ids_that_come_twice_are_named(part: Path, tmp_path: Path) -> None:
    shutil.copytree(part, tmp_path / "again")
    with pytest.raises(DataError, match=r"utterance 12-7-0000 is also .*: is a part given twice\?"):
        prepare([part, tmp_path / "again"], tmp_path / "data")


def test_files_in_another_chapter_are_named(part: Path, tmp_path: Path) -> None:
    (part / "3" / "9" / "3-9-0000.flac").rename(part / "12" / "8" / "3-9-0000.flac")
    with pytest.raises(DataError, match=r"3-9-0000\.flac: its name should begin with 12-8-"):
        prepare([part], tmp_path / "data")


@pytest.mark.parametrize(
    ("folder", "guess"),
    [
        ("..", r"did you give the folder above the parts\? There are dev, test$"),
        ("12", "did you give a speaker's folder"),
        ("12/7", "did you give a chapter's folder"),
        ("../empty", r"it holds no FLAC files: was it unpacked\?"),
        ("../SPEAKERS.TXT", r"SPEAKERS\.TXT is not a folder: expected a part"),
        ("../dev.tar.gz", r"dev\.tar\.gz is not a folder: unpack it first"),
        ("../dve", r"corpus/dve does not exist; the parts in .*corpus are: dev, test$"),
        ("../empty/none", r"empty/none does not exist; the parts in .*empty are: none$"),
        ("../nowhere/dev", r"nowhere/dev does not exist, nor does .*nowhere$"),
    ],
)
def test_another_layout_gets_a_guess(part: Path, tmp_path: Path, folder: str, guess: str) -> None:
    (part.parent / "empty").mkdir()
    _flac(part.parent / "test" / "5" / "1" / "5-1-0000.flac")
    with tarfile.open(part.parent / "dev.tar.gz", "w:gz"):
        pass
    with pytest.raises(DataError, match=guess):
        prepare([(part / folder).resolve()], tmp_path / "data")


def test_recordings_in_the_layout_are_read(shared_dir: Path, tmp_path: Path) -> None:
    part = shared_dir / "speech" / "dev-other"
    if not part.is_dir():
        pytest.skip(f"needs {part}")
    summary = prepare_stage([part], tmp_path / "data", PrepareConfig())
    assert (summary["utterances"], summary["speakers"], summary["words"]) == (50, 5, 1045)


def test_a_missing_part_is_told_by_the_verb(part: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prepare", str(part), str(part.parent / "test-clean"), str(tmp_path / "data")]) == 1
    assert capsys.readouterr().err == (
        f"asrkd prepare: error: {part.parent}/test-clean does not exist; the parts in {part.parent} are: dev\n"
    )
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("name", ["3-9-00 01", "3-9-\x07"])
def test_file_names_that_are_no_utterance_ids(part: Path, tmp_path: Path, name: str) -> None:
    path = part / "3" / "9" / f"{name}.flac"
    (part / "3" / "9" / "3-9-0001.flac").rename(path)
    with pytest.raises(DataError, match="can't be an utterance id") as error:
        prepare([part], tmp_path / "data", transcripts=False)
    assert str(error.value).startswith(str(path))


def test_transcripts_from_other_editors_are_read(part: Path, tmp_path: Path) -> None:
    """A byte order mark, line ends of another system, blanks at the end, no end of the last line."""
    (part / "3" / "9" / "3-9.trans.txt").write_bytes(b"\xef\xbb\xbf3-9-0000 A  \r\n3-9-0001 B\t")
    data = prepare([part], tmp_path / "data")
    assert data.text is not None
    assert (data.text["3-9-0000"], data.text["3-9-0001"]) == ("A", "B")
