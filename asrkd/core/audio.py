"""Reading and writing audio: 16 kHz mono by contract, and whole. Samples are float32 in [-1, 1]."""

import struct
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import soundfile

from asrkd.core.errors import DataError
from asrkd.core.files import atomic_write

if TYPE_CHECKING:
    from numpy.typing import NDArray

Hertz: TypeAlias = int
Seconds: TypeAlias = float

SAMPLE_RATE: Hertz = 16_000

_NO_LENGTH = 2**36 - 1
"""Samples that a FLAC file can announce, at most; libsndfile says more of one that announces none."""

_STREAMED = 0x7FFF0000
"""WAV data sizes from here on are what programs write that did not know the length: no size at all."""


def audio_seconds(path: Path, sample_rate: Hertz = SAMPLE_RATE) -> Seconds:
    """Length of the audio file ``path`` by its header, after checking rate and channels.

    Raises DataError for a file that is missing, no audio, empty, of another rate or not mono, and for a WAV file
    that is cut short.
    """
    try:
        info = soundfile.info(_name(path))
    except UNREADABLE as error:
        raise _unreadable(path, error) from None
    _check(path, info.samplerate, info.channels, info.frames, sample_rate)
    return float(info.frames / sample_rate)


def announced_seconds(path: Path) -> Seconds | None:
    """Length by the header of an audio file, of whichever rate and channels; None where it can't be told."""
    try:
        info = soundfile.info(_name(path))
    except UNREADABLE:
        return None
    return info.frames / info.samplerate if 0 < info.frames < _NO_LENGTH else None


def read_audio(path: Path, sample_rate: Hertz = SAMPLE_RATE) -> "NDArray[np.float32]":
    """Samples of ``path``, shape (num_samples,).

    Raises DataError for what `audio_seconds` refuses, and for a file that ends before its header says.
    """
    try:
        with soundfile.SoundFile(_name(path)) as file:
            _check(path, file.samplerate, file.channels, file.frames, sample_rate)
            expected = file.frames
            samples = file.read(dtype="float32")
    except MemoryError:
        cause = f"does not fit into memory, {expected / sample_rate:.0f} s by its header: is the header damaged?"
        raise DataError(f"{path}: {cause}") from None
    except UNREADABLE as error:
        raise _unreadable(path, error) from None
    if len(samples) != expected:
        raise DataError(f"{path}: {len(samples)} of {expected} samples are there: was the file cut short?")
    if not np.isfinite(samples).all():
        raise DataError(f"{path}: holds samples that are not finite numbers")
    return samples


def write_audio(path: Path, samples: "NDArray[np.float32]", sample_rate: Hertz = SAMPLE_RATE) -> None:
    """Write ``samples`` as 16-bit FLAC, whole or not at all; what passes full scale is clipped."""
    with atomic_write(path, "wb") as file:
        soundfile.write(file, np.clip(samples, -1, 1), sample_rate, format="FLAC", subtype="PCM_16")


UNREADABLE = (soundfile.LibsndfileError, RuntimeError, TypeError)
"""What soundfile raises on what is no audio; TypeError on headerless .raw."""


def _name(path: Path) -> str:
    return str(path.absolute())  # libsndfile takes a bare "-" for standard input


def _check(path: Path, rate: int, channels: int, frames: int, expected_rate: int) -> None:
    if rate != expected_rate:
        raise DataError(f"{path}: sampled at {rate} Hz, {expected_rate} Hz expected: resample it first")
    if channels != 1:
        raise DataError(f"{path}: has {channels} channels, one expected: mix or select one first")
    if frames <= 0:
        raise DataError(f"{path}: holds no samples")
    if frames >= _NO_LENGTH:
        raise DataError(f"{path}: does not say how long it is: was it written to a pipe? Encode it again, to a file")
    if missing := _missing_bytes(path):
        raise DataError(f"{path}: ends {missing} bytes before its header says: was the file cut short?")


def _missing_bytes(path: Path) -> int:
    """How many bytes of samples a WAV file lacks, which libsndfile passes over in silence; 0 for other formats."""
    with open(path, "rb") as file:
        head = file.read(12)
        if head[:4] != b"RIFF" or head[8:] != b"WAVE":
            return 0
        while len(chunk := file.read(8)) == 8:
            name, size = struct.unpack("<4sI", chunk)
            if name == b"data":
                return 0 if size >= _STREAMED else max(0, size - (path.stat().st_size - file.tell()))
            file.seek(size + size % 2, 1)
    return 0


def _unreadable(path: Path, error: Exception) -> DataError:
    if not path.exists():
        return DataError(f"{path}: audio file is missing")
    if path.is_file() and path.stat().st_size == 0:
        return DataError(f"{path}: audio file is empty (0 bytes)")
    cause = str(error).replace(str(path), "").strip(" :.'\"").removeprefix("Error opening").strip(" :.'\"")
    return DataError(f"{path}: not readable as audio ({cause}): is it cut short or another format?")
