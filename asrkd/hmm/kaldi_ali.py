"""Kaldi's alignment archives: ``ali.1.gz`` .. ``ali.N.gz``, transition-ids by utterance, in text or binary.

In text a line is ``utt_id 3 12 10 ...``; in binary an entry is the id, a space, ``\\0B``, and a count and the ids as
five bytes each (their size, 4, and the number, little-endian). ``num_jobs`` says how many archives there are.
"""

import gzip
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from asrkd.core.errors import DataError
from asrkd.core.files import absent, atomic_write, read_lines
from asrkd.hmm.kaldi_io import BINARY_HEADER
from asrkd.hmm.transitions import Int32Array

_NUMBER = np.dtype([("size", "u1"), ("value", "<i4")])
_MAX_ID = 1000
_MAX_FRAMES = 10_000_000
"""A day of speech: more in one utterance is damage, for which no memory is taken."""
_MAX_LINE = 11 * _MAX_FRAMES


def ali_files(folder: Path) -> list[Path]:
    """``ali.1.gz`` .. ``ali.N.gz`` of an alignment folder. DataError, naming it, where one is missing or too many."""
    if not folder.is_dir():
        raise DataError(f"alignment folder {folder} {absent(folder)}")
    found = {path.name: path for path in folder.glob("ali.*.gz")}
    if not found:
        raise DataError(f"{folder}: holds no ali.1.gz: is it a folder that Kaldi's steps/align_*.sh made?")
    num_jobs = _num_jobs(folder / "num_jobs") if (folder / "num_jobs").is_file() else _highest(folder, found)
    names = [f"ali.{number}.gz" for number in range(1, num_jobs + 1)]
    if missing := [name for name in names if name not in found]:
        raise DataError(
            f"{folder / missing[0]} is missing, there should be {num_jobs}: was the folder copied in part, or did a "
            "job of the alignment fail?"
        )
    if extra := sorted(found.keys() - set(names)):
        raise DataError(f"{folder / extra[0]}: num_jobs says {num_jobs}: left over from a run with more jobs?")
    return [found[name] for name in names]


def _num_jobs(path: Path) -> int:
    text = " ".join(read_lines(path)).strip()
    if not text.isdecimal() or not 0 < int(text) < 100_000:
        raise DataError(f"{path}: {text[:40]!r} is no number of jobs: is it Kaldi's num_jobs?")
    return int(text)


def _highest(folder: Path, names: Mapping[str, Path]) -> int:
    numbers = {name: name.removeprefix("ali.").removesuffix(".gz") for name in names}
    for name, number in numbers.items():
        if not number.isdecimal() or len(number) > 5:
            raise DataError(f"{folder / name}: no ali.N.gz: did Kaldi write it?")
    return max(map(int, numbers.values()))


def read_ali(path: Path) -> Iterator[tuple[str, Int32Array]]:
    """Utterance ids and transition-ids, int32 of shape (num_frames,), of one archive, in its order.

    Raises DataError, naming file and utterance, for what is no gzip file, no archive of integers, or cut short.
    """
    utt_id = ""
    try:
        with gzip.open(path) as file:
            if not path.stat().st_size:  # which gzip takes for a whole file of nothing
                raise EOFError("it is empty")
            while utt_id := _read_id(file, path, utt_id):
                yield utt_id, _read_ids(file)
    except FileNotFoundError:
        raise DataError(f"{path} is missing") from None
    except (EOFError, zlib.error) as error:
        where = f"in or after {utt_id}" if utt_id else "at its beginning"
        raise DataError(f"{path}: ends too early or is damaged {where} ({error}): was the copy cut off?") from None
    except gzip.BadGzipFile:
        raise DataError(f"{path}: not compressed with gzip: is it an alignment of Kaldi's scripts?") from None
    except (ValueError, OverflowError) as error:
        raise DataError(f"{path}: {utt_id}: no integer vector ({error}): is it an archive of alignments?") from None


def _read_id(file: gzip.GzipFile, path: Path, previous: str) -> str:
    """The next entry's id; empty at the end."""
    key = bytearray()
    while (byte := file.read(1)) not in (b" ", b"\t", b""):
        key += byte
        if len(key) > _MAX_ID:
            break
    if not key and not byte:
        return ""
    try:
        utt_id = key.decode("utf-8")
    except UnicodeDecodeError:
        utt_id = ""
    if not utt_id or not utt_id.isprintable() or len(key) > _MAX_ID:
        where = f"after {previous}" if previous else "at its beginning"
        raise DataError(f"{path}: no utterance id {where}: is it an archive of alignments?")
    if not byte:
        raise EOFError("an id without a value")
    return utt_id


def _read_ids(file: gzip.GzipFile) -> Int32Array:
    head = file.read(1)
    if head != BINARY_HEADER[:1]:
        line = b"" if head == b"\n" else head + file.readline(_MAX_LINE)
        if head != b"\n" and not line.endswith(b"\n"):
            raise EOFError("a line without an end")
        return _in_range(np.array([int(word) for word in line.split()], np.int64))
    if file.read(1) != BINARY_HEADER[1:]:
        raise ValueError("no binary header")
    count = int(_numbers(file, 1)[0])
    if not 0 <= count <= _MAX_FRAMES:
        raise ValueError(f"{count} frames")
    return _numbers(file, count)


def _numbers(file: gzip.GzipFile, count: int) -> Int32Array:
    data = file.read(count * _NUMBER.itemsize)
    if len(data) != count * _NUMBER.itemsize:
        raise EOFError("fewer numbers than announced")
    numbers = np.frombuffer(data, _NUMBER)
    if not (numbers["size"] == 4).all():
        raise ValueError("no four-byte numbers")
    return np.ascontiguousarray(numbers["value"], np.int32)


def _in_range(values: np.ndarray) -> Int32Array:
    if len(values) and not 0 <= values.min() <= values.max() <= np.iinfo(np.int32).max:
        raise ValueError("numbers that can't be transition-ids")
    return values.astype(np.int32)


def write_ali(path: Path, alignments: Iterator[tuple[str, Int32Array]], text: bool = False) -> None:
    """Write one archive; the same ids give the same bytes."""
    with (
        atomic_write(path, "wb") as raw,
        gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as file,  # no name and time in the header
    ):
        for utt_id, ids in alignments:
            file.write(utt_id.encode() + b" " + (_text(ids) if text else _binary(ids)))


def _text(ids: Int32Array) -> bytes:
    return b"".join(b"%d " % number for number in ids.tolist()) + b"\n"


def _binary(ids: Int32Array) -> bytes:
    numbers = np.empty(1 + len(ids), _NUMBER)
    numbers["size"], numbers["value"] = 4, [len(ids), *ids]
    return BINARY_HEADER + numbers.tobytes()


def split_evenly(utt_ids: Sequence[str], num_jobs: int) -> list[list[str]]:
    """``utt_ids`` in ``num_jobs`` runs, the first ones longer by one: what ``split_data.sh --per-utt`` does."""
    size, longer = divmod(len(utt_ids), num_jobs)
    bounds = [number * size + min(number, longer) for number in range(num_jobs + 1)]
    return [list(utt_ids[bounds[i] : bounds[i + 1]]) for i in range(num_jobs)]
