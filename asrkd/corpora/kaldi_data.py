"""Data dirs from Kaldi, and such that its scripts take: what ``utils/validate_data_dir.sh`` asks for, and audio.

Our data dirs have Kaldi's files in Kaldi's order. What may be missing for its tools: paths that hold wherever a
script runs, commands that decode FLAC, and speaker ids that sort as their utterances do.
"""

import os
import re
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from asrkd.core.archive import is_pipe, read_scp
from asrkd.core.datadir import (
    DataDir,
    read_data_dir,
    read_durations,
    read_num_frames,
    read_speakers,
    read_transcripts,
    spk2utt,
    unprintable,
)
from asrkd.core.errors import DataError, MismatchError
from asrkd.core.files import absent, atomic_write

_RESERVED = re.compile(r"(?<!\w)(<s>|</s>|#0)(?!\w)", re.ASCII)
"""Symbols of language models, which Kaldi refuses in transcripts, also beside punctuation (``grep -w``)."""
_WARPS = (0.5, 1.5)
"""Between which Kaldi lets utt2warp be."""


def import_data(data_dir: Path, work: Path) -> dict[str, Any]:
    """Take over what says who spoke which words, for how long and, if files do, in which audio, into ``work``.

    Audio is left out where utterances are parts of recordings (``segments``). Paths become absolute, and commands are
    written as they are, not run. Raises DataError and MismatchError where the files disagree on utterances.
    """
    utt2spk = read_speakers(data_dir)
    order = sorted(utt2spk)
    if not order:
        raise DataError(f"{data_dir}: holds no utterances")
    tables = {"utt2spk": utt2spk, "utt2dur": {u: f"{s:.4f}" for u, s in read_durations(data_dir).items()}}
    if (data_dir / "text").is_file():
        tables["text"] = read_transcripts(data_dir)
    if (data_dir / "wav.scp").is_file() and not (data_dir / "segments").is_file():
        audio = read_scp(data_dir / "wav.scp", allow_pipes=True)
        tables["wav.scp"] = {utt: entry if is_pipe(entry) else _absolute(entry) for utt, entry in audio.items()}
    for name, table in tables.items():
        if name == "utt2dur" and table.keys() != utt2spk.keys():
            continue  # not all lengths are known
        if difference := sorted(table.keys() ^ utt2spk.keys()):
            raise MismatchError(
                f"{data_dir}: {difference[0]} is in only one of {name} and utt2spk ({len(difference)} such): "
                "utils/fix_data_dir.sh mends that"
            )
        _write(work / name, ((utt, table[utt]) for utt in order))
    _write(work / "spk2utt", ((spk, " ".join(utts)) for spk, utts in spk2utt(utt2spk).items()))
    return {"utterances": len(order), "speakers": len(set(utt2spk.values()))}


def export_data(data_dir: Path, work: Path, features: Path | None = None) -> dict[str, Any]:
    """Write a Kaldi data dir of ``data_dir`` into ``work``, with feats.scp and cmvn.scp where ``features`` are given.

    Commands in wav.scp are written as they are, not run. Raises DataError for what Kaldi refuses: speakers that
    don't sort as their utterances do, reserved symbols and control characters in transcripts, large warps.
    """
    data = read_data_dir(data_dir, allow_pipes=True)
    order = sorted(data.wav)
    _check_speakers(data_dir, data, order)
    _check_values(data_dir, data)
    _write(work / "wav.scp", ((utt, audio_entry(data.wav[utt])) for utt in order))
    _write(work / "utt2spk", ((utt, data.utt2spk[utt]) for utt in order))
    _write(work / "spk2utt", ((spk, " ".join(utts)) for spk, utts in spk2utt(data.utt2spk).items()))
    if data.durations:
        _write(work / "utt2dur", ((utt, f"{data.durations[utt]:.4f}") for utt in order))
    if data.warps:
        _write(work / "utt2warp", ((utt, f"{data.warps[utt]:.4f}") for utt in order))
    if data.text is not None:
        _write(work / "text", ((utt, " ".join(data.text[utt].split())) for utt in order))
    if features is not None:
        _write_features(data_dir, features, data, work)
    return {"utterances": len(order), "speakers": len(set(data.utt2spk.values()))}


def audio_entry(entry: str) -> str:
    """A line of wav.scp that Kaldi opens: an absolute path to a WAV file, or a command that writes one."""
    if is_pipe(entry):
        return entry
    path = _absolute(entry)
    suffix = Path(path).suffix.lower()
    if suffix == ".wav":
        return path
    return f"flac -c -d -s {shlex.quote(path)} |" if suffix == ".flac" else f"sox {shlex.quote(path)} -t wav - |"


def _check_speakers(where: Path, data: DataDir, order: list[str]) -> None:
    by_speaker = sorted(order, key=lambda utt: (data.utt2spk[utt], utt))
    for utt, other in zip(order, by_speaker, strict=True):
        if utt != other:
            raise DataError(
                f"{where}: sorted by speaker {other} comes where {utt} does by utterance id, which Kaldi refuses: "
                "begin each utterance id with its speaker's and a hyphen"
            )


def _check_values(where: Path, data: DataDir) -> None:
    for utt, words in (data.text or {}).items():
        if found := _RESERVED.search(words):
            raise DataError(f"{where}: text: {utt} holds {found[0]}, which Kaldi keeps for language models")
        if odd := unprintable(words):
            raise DataError(f"{where}: text: {utt} holds the control character {odd[0]!r}, which Kaldi refuses")
    for utt, warp in data.warps.items():
        if not _WARPS[0] < warp < _WARPS[1]:
            raise DataError(f"{where}: utt2warp: {utt}: {warp:g} is not within {_WARPS}, where Kaldi wants it")
    for utt, entry in data.wav.items():
        if entry.startswith("~") and is_pipe(entry):
            raise DataError(f"{where}: wav.scp: {utt} begins with ~, which Kaldi refuses: write the path out")


def _write_features(data_dir: Path, features: Path, data: DataDir, work: Path) -> None:
    """Indices with absolute paths of a feature folder's archives."""
    if not features.is_dir():
        raise DataError(f"features {features} {absent(features)}")
    lengths, folder = read_num_frames(features), _absolute(features)
    indices = {name: read_scp(features / name) for name in ("feats.scp", "cmvn.scp")}
    utts, speakers = set(data.wav), set(data.utt2spk.values())
    for name, ids, found in (
        ("feats.scp", utts, indices["feats.scp"].keys()),
        ("utt2num_frames", utts, lengths.keys()),
        ("cmvn.scp", speakers, indices["cmvn.scp"].keys()),
    ):
        if difference := sorted(ids ^ found):
            raise MismatchError(
                f"{difference[0]} is in only one of {data_dir} and {features / name} ({len(difference)} such): "
                "were the features made from this data dir?"
            )
    for name, entries in indices.items():
        _write(work / name, ((key, os.path.join(folder, entries[key])) for key in sorted(entries)))  # noqa: PTH118
    _write(work / "utt2num_frames", ((utt, str(lengths[utt])) for utt in sorted(lengths)))


def _absolute(path: str | Path) -> str:
    return os.path.abspath(path)  # noqa: PTH100 (links stay links)


def _write(path: Path, rows: Iterable[tuple[str, str]]) -> None:
    with atomic_write(path) as file:
        file.writelines(f"{key} {value}\n" for key, value in rows)
