"""Parts in LibriSpeech's layout to a data dir (Panayotov et al., ICASSP 2015; openslr.org/12).

A part is a folder PART/SPEAKER/CHAPTER that holds SPEAKER-CHAPTER-NNNN.flac (16 kHz, mono) and
SPEAKER-CHAPTER.trans.txt with a line ``UTTERANCE-ID WORDS`` for each. Words are taken as they stand, neither their case
nor their spelling is changed; what has no letter in it (a number in figures, a lone dash) is no word and refused.
"""

import os
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import soundfile
from pydantic.dataclasses import dataclass

from asrkd.core.audio import Seconds, audio_seconds
from asrkd.core.config import STRICT
from asrkd.core.datadir import DataDir, check_utt_id, unprintable, write_data_dir
from asrkd.core.errors import DataError
from asrkd.core.files import read_lines

SpeakerBy = Literal["speaker", "chapter"]


@dataclass(frozen=True, config=STRICT)
class PrepareConfig:
    """What counts as a speaker, over whom mean and variance are normalised."""

    speaker_by: SpeakerBy = "speaker"
    """``chapter``: each chapter is a speaker of its own (SPEAKER-CHAPTER), as in Kaldi's recipe, since a reader's
    microphone may change between chapters."""


def prepare_stage(parts: Sequence[Path], work: Path, config: PrepareConfig, transcripts: bool = True) -> dict[str, Any]:
    """`prepare` into ``work``. Returns utterances, speakers, hours and words."""
    data = prepare(parts, work, transcripts, config.speaker_by)
    return {
        "utterances": len(data.wav),
        "speakers": len(set(data.utt2spk.values())),
        "hours": round(data.seconds / 3600, 4),
        "words": sum(len(words.split()) for words in (data.text or {}).values()),
    }


def prepare(
    parts: Sequence[Path], data_dir: Path, transcripts: bool = True, speaker_by: SpeakerBy = "speaker"
) -> DataDir:
    """Write ``data_dir`` from one or more parts, and return it. Without ``transcripts`` there is no ``text``.

    wav.scp holds absolute paths. Raises DataError, naming the file, for another layout, audio without transcript and
    transcript without audio, malformed or empty transcripts, ids that come twice (also in two parts), and audio that
    is missing, cut short, not mono or of another rate.
    """
    wav: dict[str, str] = {}
    text: dict[str, str] = {}
    utt2spk: dict[str, str] = {}
    durations: dict[str, Seconds] = {}
    for part in parts:
        for chapter in _chapters(part):
            audio = _audio(chapter)
            if transcripts:
                text.update(_transcripts(chapter, audio))
            speaker = chapter.parent.name if speaker_by == "speaker" else f"{chapter.parent.name}-{chapter.name}"
            for utt_id, path in audio.items():
                if utt_id in wav:
                    raise DataError(f"{path}: utterance {utt_id} is also {wav[utt_id]}: is a part given twice?")
                wav[utt_id] = os.path.abspath(path)  # noqa: PTH100 (links stay links)
                utt2spk[utt_id] = speaker
                durations[utt_id] = _whole_seconds(path)
    data = DataDir(wav, utt2spk, durations, text if transcripts else None)
    write_data_dir(data_dir, data)
    return data


def _folders(path: Path) -> list[Path]:
    return sorted(child for child in path.iterdir() if child.is_dir() and not child.name.startswith("."))


def _chapters(part: Path) -> Iterator[Path]:
    """The folders PART/SPEAKER/CHAPTER, sorted; DataError with a guess for another layout."""
    if not part.is_dir():
        raise no_part(part)
    chapters = [chapter for speaker in _folders(part) for chapter in _folders(speaker)]
    if not any(_flacs(chapter) or list(chapter.glob("*.trans.txt")) for chapter in chapters):
        raise DataError(f"{part}: not in LibriSpeech's layout, PART/SPEAKER/CHAPTER/*.flac{_guess(part)}")
    yield from chapters


def no_part(part: Path) -> DataError:
    """The error for a part that is not there, which names those that are."""
    if part.is_file():
        cause = ": unpack it first" if tarfile.is_tarfile(part) else ": expected a part in LibriSpeech's layout"
        return DataError(f"{part} is not a folder{cause}")
    above = part.parent
    if not above.is_dir():
        return DataError(f"{part} does not exist, nor does {above}")
    parts = [folder.name for folder in _folders(above) if next(folder.glob("*/*/*.flac"), None)]
    return DataError(f"{part} does not exist; the parts in {above} are: {', '.join(parts) or 'none'}")


def _guess(part: Path) -> str:
    if next(part.glob("*/*/*/*.flac"), None):
        parts = [folder.name for folder in _folders(part) if next(folder.glob("*/*/*.flac"), None)]
        return f"; did you give the folder above the parts? There are {', '.join(parts[:5])}"
    if next(part.glob("*/*.flac"), None):
        return "; did you give a speaker's folder, in place of the part's?"
    if next(part.glob("*.flac"), None):
        return "; did you give a chapter's folder, in place of the part's?"
    if next(part.glob("**/*.wav"), None):
        return "; it holds WAV files: convert them to FLAC, 16 kHz mono"
    return "; it holds no FLAC files: was it unpacked?"


def _flacs(chapter: Path) -> list[Path]:
    return sorted(chapter.glob("*.flac"))


def _prefix(chapter: Path) -> str:
    return f"{chapter.parent.name}-{chapter.name}-"


def _audio(chapter: Path) -> dict[str, Path]:
    """Audio files of a chapter by utterance id."""
    audio = {path.stem: path for path in _flacs(chapter)}
    for utt_id, path in audio.items():
        if not utt_id.startswith(_prefix(chapter)):
            raise DataError(f"{path}: its name should begin with {_prefix(chapter)}, its speaker and chapter")
        check_utt_id(utt_id, str(path))
    return audio


def _transcripts(chapter: Path, audio: dict[str, Path]) -> dict[str, str]:
    """Words of each utterance of ``audio``; every one must have them, and there must be no others."""
    path = chapter / f"{_prefix(chapter)[:-1]}.trans.txt"
    if not path.is_file():
        raise DataError(f"{path} is missing: has this part no transcripts? Then say so (--no-transcripts)")
    text: dict[str, str] = {}
    for number, line in enumerate(read_lines(path), 1):
        utt_id, *words = line.split() or [""]
        if not utt_id.startswith(_prefix(chapter)):
            raise DataError(f"{path}:{number}: expected `{_prefix(chapter)}NNNN WORDS`, found {line[:60]!r}")
        if utt_id in text:
            raise DataError(f"{path}:{number}: {utt_id} is there twice")
        if not words:
            raise DataError(f"{path}:{number}: {utt_id} has an empty transcript")
        if odd := unprintable(line):
            raise DataError(f"{path}:{number}: {utt_id} holds the control character {odd[0]!r}: is the file damaged?")
        if odd := [word for word in words if not any(c.isalpha() for c in word)]:
            raise DataError(f"{path}:{number}: {utt_id}: {odd[0]!r} is no word: write numbers out, drop punctuation")
        if utt_id not in audio:
            raise DataError(
                f"{path}:{number}: {utt_id} has a transcript but no audio: {chapter / utt_id}.flac is missing"
            )
        text[utt_id] = " ".join(words)
    if missing := sorted(audio.keys() - text.keys()):
        raise DataError(f"{audio[missing[0]]}: has no transcript in {path.name} ({len(missing)} such)")
    return text


def _whole_seconds(path: Path) -> Seconds:
    """Length, after reading the last sample: a file that was cut short still has the header of the whole one."""
    seconds = audio_seconds(path)
    try:
        with soundfile.SoundFile(path) as file:
            file.seek(file.frames - 1)
            whole = len(file.read(1)) == 1
    except (soundfile.LibsndfileError, RuntimeError):
        whole = False
    if not whole:
        raise DataError(f"{path}: ends before the {seconds:.2f} s that its header says: was the file cut short?")
    return seconds
