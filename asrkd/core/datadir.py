"""Data dirs, Kaldi's way: a folder of text files keyed by utterance id.

``wav.scp`` (utt_id path), ``text`` (utt_id WORDS; absent where there are no transcripts), ``utt2spk``, ``spk2utt``
and ``utt2dur`` (seconds). Where there are augmented copies, ``utt2warp`` (Kaldi's: by how much the front end warps the
frequency axis) and ``utt2ali`` (the utterance whose alignment holds for it). Files are sorted by utterance id; every
file has the same ids.
"""

import io
import math
import shlex
import subprocess
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from asrkd.core.archive import is_pipe, read_scp, split_line
from asrkd.core.audio import SAMPLE_RATE, Hertz, Seconds, read_audio
from asrkd.core.errors import DataError
from asrkd.core.files import absent, atomic_write, read_lines

_MAX_DIGITS = 9


@dataclass(frozen=True)
class DataDir:
    """Utterances with their audio, speaker, length and, where known, words. Mappings are keyed by utt_id.

    ``warps`` is empty where nothing is warped, ``aligned_as`` where each utterance has its own alignment.
    """

    wav: Mapping[str, str]
    utt2spk: Mapping[str, str]
    durations: Mapping[str, Seconds]
    text: Mapping[str, str] | None = None
    warps: Mapping[str, float] = field(default_factory=dict)
    aligned_as: Mapping[str, str] = field(default_factory=dict)

    @property
    def utt_ids(self) -> list[str]:
        return list(self.wav)

    @property
    def seconds(self) -> Seconds:
        return float(sum(self.durations.values()))

    def subset(self, utt_ids: Iterable[str]) -> "DataDir":
        """The same for some of the utterances, in sorted order."""
        chosen = sorted(utt_ids)
        return DataDir(
            wav={utt: self.wav[utt] for utt in chosen},
            utt2spk={utt: self.utt2spk[utt] for utt in chosen},
            durations={utt: self.durations[utt] for utt in chosen} if self.durations else {},
            text=None if self.text is None else {utt: self.text[utt] for utt in chosen},
            warps={utt: self.warps[utt] for utt in chosen} if self.warps else {},
            aligned_as={utt: self.aligned_as[utt] for utt in chosen} if self.aligned_as else {},
        )

    def audio(self, utt_id: str, sample_rate: Hertz = SAMPLE_RATE) -> NDArray[np.float32]:
        """Samples of an utterance, shape (num_samples,); runs a command where wav.scp (checked on reading) has one."""
        entry = self.wav[utt_id]
        if not is_pipe(entry):
            return read_audio(Path(entry), sample_rate)
        output = subprocess.run(["sh", "-c", entry.rstrip("| ")], capture_output=True, check=False)
        if output.returncode:
            raise DataError(f"wav.scp: {utt_id}: command {shlex.quote(entry)} failed (exit {output.returncode})")
        try:
            samples, rate = soundfile.read(io.BytesIO(output.stdout), dtype="float32")
        except (soundfile.LibsndfileError, RuntimeError) as error:
            raise DataError(f"wav.scp: {utt_id}: command {shlex.quote(entry)} gives no audio ({error})") from None
        if rate != sample_rate or samples.ndim != 1:
            raise DataError(f"wav.scp: {utt_id}: command gives {rate} Hz, {sample_rate} Hz mono expected")
        return samples


def spk2utt(utt2spk: Mapping[str, str]) -> dict[str, list[str]]:
    """Speakers with their utterances, both sorted."""
    speakers = defaultdict(list)
    for utt_id, speaker in sorted(utt2spk.items()):
        speakers[speaker].append(utt_id)
    return dict(sorted(speakers.items()))


def write_data_dir(folder: Path, data: DataDir) -> None:
    """Validate ``data`` and write its files into ``folder``."""
    validate(data, str(folder))
    folder.mkdir(parents=True, exist_ok=True)
    order = sorted(data.wav)
    _write(folder / "wav.scp", ((utt, data.wav[utt]) for utt in order))
    _write(folder / "utt2spk", ((utt, data.utt2spk[utt]) for utt in order))
    _write(folder / "spk2utt", ((spk, " ".join(utts)) for spk, utts in spk2utt(data.utt2spk).items()))
    if data.durations:
        _write(folder / "utt2dur", ((utt, f"{data.durations[utt]:.4f}") for utt in order))
    if data.text is not None:
        _write(folder / "text", ((utt, data.text[utt]) for utt in order))
    if data.warps:
        _write(folder / "utt2warp", ((utt, f"{data.warps[utt]:.4f}") for utt in order))
    if data.aligned_as:
        _write(folder / "utt2ali", ((utt, data.aligned_as[utt]) for utt in order))


def read_data_dir(folder: Path, allow_pipes: bool = False) -> DataDir:
    """Read and validate a data dir. Raises DataError with the file and the utterance that is at fault.

    ``utt2dur`` may be absent (a data dir made elsewhere): the lengths are then unknown, and ``durations`` empty.
    ``allow_pipes`` lets wav.scp hold commands (``cmd |``); reading the audio runs them.
    """
    if not folder.is_dir():
        raise DataError(f"data dir {folder} {absent(folder)}")
    if (folder / "segments").is_file():
        raise DataError(
            f"{folder / 'segments'}: utterances that are parts of recordings have no audio of their own here: cut "
            "them out (utils/data/extract_wav_segments_data_dir.sh), or use the features that Kaldi made of them"
        )
    data = DataDir(
        wav=read_scp(folder / "wav.scp", allow_pipes),
        utt2spk=read_speakers(folder),
        durations=read_durations(folder),
        text=_table(folder / "text", may_be_empty=True) if (folder / "text").is_file() else None,
        warps=_numbers(folder / "utt2warp", "to warp by"),
        aligned_as=_table(folder / "utt2ali") if (folder / "utt2ali").is_file() else {},
    )
    validate(data, str(folder))
    return data


def read_durations(folder: Path) -> dict[str, Seconds]:
    """Lengths of utterances by ``utt2dur``, else by ``segments``; empty where a data dir has neither.

    A segment that ends with its recording (-1) is left out. Raises DataError for what is no length above zero.
    """
    whole = (folder / "utt2dur").is_file()
    path = folder / ("utt2dur" if whole else "segments")
    durations = {}
    for utt, value in (_table(path) if path.is_file() else {}).items():
        fields = [value] if whole else value.split()[1:3]
        try:
            start, end = map(float, ["0", *fields] if whole else fields)
        except ValueError:
            raise DataError(f"{path}: {utt}: {' '.join(fields)!r} is no number of seconds") from None
        if not whole and end == -1:
            continue
        if not (start >= 0 and 0 < end - start < math.inf):
            raise DataError(f"{path}: {utt}: {' '.join(fields)!r} can't be: more than 0 seconds, and finite, expected")
        durations[utt] = end - start
    return durations


def read_speakers(folder: Path) -> dict[str, str]:
    """``utt2spk`` of a data dir or a feature folder. Raises DataError for a speaker id with spaces."""
    path = folder / "utt2spk"
    speakers = _table(path)
    for utt, speaker in speakers.items():
        if len(speaker.split()) > 1:
            raise DataError(f"{path}: {utt}: {speaker[:60]!r} can't be a speaker id, with spaces: is it spk2utt?")
    return speakers


def read_num_frames(folder: Path) -> dict[str, int]:
    """``utt2num_frames`` of a folder. Raises DataError for what is no number of frames."""
    path = folder / "utt2num_frames"
    counts = _table(path)
    for utt, count in counts.items():
        if not count.isdecimal() or len(count) > _MAX_DIGITS:
            raise DataError(f"{path}: {utt}: {count[:40]!r} is no number of frames: was it edited?")
    return {utt: int(count) for utt, count in counts.items()}


def unprintable(text: str) -> list[str]:
    """Control characters other than white space in ``text``, and what Unicode has not assigned."""
    return [c for c in text if not c.isspace() and unicodedata.category(c) in ("Cc", "Cn")]


def read_transcripts(folder: Path) -> dict[str, str]:
    """Words by utterance id of a data dir, whatever its audio is: commands, segments, or none at all.

    Raises DataError where there are none, for an empty one, and where utt2spk has other utterances.
    """
    if not folder.is_dir():
        raise DataError(f"data dir {folder} {absent(folder)}")
    if not (folder / "text").is_file():
        raise DataError(f"{folder} has no transcripts (no file `text`)")
    text = _table(folder / "text", may_be_empty=True)
    if empty := [utt for utt, words in text.items() if not words]:
        raise DataError(f"{folder}: text: {empty[0]} has an empty transcript")
    if difference := sorted(text.keys() ^ read_speakers(folder).keys()):
        raise DataError(f"{folder}: {difference[0]} is in only one of text and utt2spk ({len(difference)} such)")
    return text


def validate(data: DataDir, where: str) -> None:
    """Check that a data dir is consistent in itself; DataError names the utterance and guesses the cause."""
    if not data.wav:
        raise DataError(f"{where}: holds no utterances")
    audio = set(data.wav)
    _same_ids(where, audio, "utt2spk", set(data.utt2spk))
    for name, table in (("utt2dur", data.durations), ("utt2warp", data.warps), ("utt2ali", data.aligned_as)):
        if table:
            _same_ids(where, audio, name, set(table))
    for utt, warp in data.warps.items():
        if not 0.5 <= warp <= 2:
            raise DataError(f"{where}: utt2warp: {utt}: {warp:g} is outside 0.5 ... 2: 1 leaves it as it is")
    if data.text is not None:
        _same_ids(where, audio, "text", set(data.text))
        for utt, words in data.text.items():
            if not words.split():
                raise DataError(f"{where}: text: {utt} has an empty transcript")
    for utt in audio:
        check_utt_id(utt, where)


def check_utt_id(utt: str, where: str) -> None:
    """DataError unless ``utt`` can stand in Kaldi's tables and name a file."""
    if not utt.isprintable() or any(c.isspace() or c in "/\\" for c in utt) or utt in (".", ".."):
        raise DataError(f"{where}: {utt!r} can't be an utterance id (spaces, slashes or control characters)")


def _same_ids(where: str, audio: set[str], name: str, ids: set[str]) -> None:
    if missing := sorted(audio - ids):
        raise DataError(f"{where}: {missing[0]} has audio in wav.scp but no line in {name} ({len(missing)} such)")
    if extra := sorted(ids - audio):
        raise DataError(f"{where}: {extra[0]} has a line in {name} but no audio in wav.scp ({len(extra)} such)")


def _write(path: Path, rows: Iterable[tuple[str, str]]) -> None:
    with atomic_write(path) as file:
        file.writelines(f"{key} {value}\n" for key, value in rows)


def _numbers(path: Path, what: str) -> dict[str, float]:
    """The table ``path``, of numbers; empty where there is no such file."""
    numbers: dict[str, float] = {}
    for utt, value in (_table(path) if path.is_file() else {}).items():
        try:
            numbers[utt] = float(value)
        except ValueError:
            raise DataError(f"{path}: {utt}: {value!r} is no number {what}") from None
    return numbers


def _table(path: Path, may_be_empty: bool = False) -> dict[str, str]:
    table: dict[str, str] = {}
    for number, line in enumerate(read_lines(path), 1):
        key, value = split_line(line)
        if not key or not (value or may_be_empty):
            raise DataError(f"{path}:{number}: expected `id value`, found {line!r}")
        if key in table:
            raise DataError(f"{path}:{number}: {key} is there twice")
        table[key] = value
    return table
