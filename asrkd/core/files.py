"""Whole files or none: what is written appears under its name only when it is complete."""

import gzip
import hashlib
import json
import os
import tokenize
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from asrkd.core.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

UNFINISHED = ".tmp"
"""What the name of a file ends in until it is whole."""

_NO_ARRAY = (OSError, ValueError, EOFError, SyntaxError, OverflowError, MemoryError, tokenize.TokenError, Warning)
"""What may come of a damaged .npy header, which numpy takes for a Python literal."""


@contextmanager
def atomic_write(path: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Open ``path`` + ``.tmp`` for writing, and give it its name once the block ends without an error.

    ``mode`` is ``"w"`` (UTF-8 text) or ``"wb"``. The data reach the disk before the rename, so a file that
    exists is whole, after a kill and after a power cut.
    """
    partial = path.with_name(path.name + UNFINISHED)
    with open(partial, mode, encoding=None if "b" in mode else "utf-8") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as JSON with sorted keys, so that equal values give equal bytes."""
    with atomic_write(path) as file:
        json.dump(value, file, indent=1, sort_keys=True, allow_nan=False)
        file.write("\n")


def read_json(path: Path) -> Any:
    """Read a JSON file; a missing or broken one is a DataError that names it."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{path} is missing: is {path.parent} a finished stage's output?") from None
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DataError(f"{path} is not readable as JSON ({error}): was it edited or cut short?") from None


def read_fields(path: Path, **types: type | tuple[type, ...]) -> dict[str, Any]:
    """Read a JSON object that must have these fields, each of its type; an int is a count, and so not negative.

    Raises DataError, naming file and field, where one is missing or of another type.
    """
    value = read_json(path)
    if not isinstance(value, dict):
        raise DataError(f"{path}: holds no `key: value` pairs: is it the right file?")
    for name, kind in types.items():
        if name not in value:
            raise DataError(f"{path}: has no {name!r}: was it edited, or written by another version?")
        is_flag = isinstance(value[name], bool) and kind is not bool  # which Python takes for a number
        if is_flag or not isinstance(value[name], kind) or (kind is int and value[name] < 0):
            raise DataError(f"{path}: {name!r} can't be {value[name]!r}: was it edited, or written by another version?")
    return value


def load_array(path: Path, memory_mapped: bool = False) -> "NDArray[Any]":
    """The array of an .npy file; DataError for one that is missing, damaged or pickled."""
    import numpy as np

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            content: NDArray[Any] = np.load(path, mmap_mode="r" if memory_mapped else None, allow_pickle=False)
    except _NO_ARRAY as error:
        cause = " ".join(str(error).split())
        raise DataError(f"{path}: not readable as an array ({cause}): was it cut short?") from None
    return content


def absent(folder: Path) -> str:
    """What is wrong with the path ``folder``, where no folder is: half a sentence for an error."""
    return "is a file, where a folder is expected" if folder.exists() else "does not exist"


def read_lines(path: Path) -> list[str]:
    """Lines of a UTF-8 text file, without their ends or a byte order mark; DataError for a missing or other file."""
    try:
        # Not splitlines, which also cuts at form feeds and Unicode's separators.
        return path.read_text(encoding="utf-8-sig").removesuffix("\n").split("\n") if path.stat().st_size else []
    except FileNotFoundError:
        raise DataError(f"{path} is missing") from None
    except IsADirectoryError:
        raise DataError(f"{path} is a folder, where a text file is expected") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text (byte {error.start}): is it the right file?") from None


def iter_lines(path: Path) -> Iterator[str]:
    """Lines of a UTF-8 text file that may be gzipped and large, one by one; errors as in `read_lines`."""
    number = 0
    try:
        with open(path, "rb") as raw:
            is_gzip = raw.read(2) == b"\x1f\x8b"
        with gzip.open(path, "rb") if is_gzip else open(path, "rb") as file:
            for line in file:
                number += 1
                yield line.decode("utf-8-sig" if number == 1 else "utf-8").removesuffix("\n").removesuffix("\r")
    except FileNotFoundError:
        raise DataError(f"{path} is missing") from None
    except IsADirectoryError:
        raise DataError(f"{path} is a folder, where a text file is expected") from None
    except UnicodeDecodeError:
        raise DataError(f"{path} is not UTF-8 text (line {number}): is it the right file?") from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path} is not a whole gzip file (after line {number}: {error}): cut short?") from None


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else _digest(file)


def _digest(file: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while block := file.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()
