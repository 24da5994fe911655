"""Kaldi's binary building blocks: tokens, integers, floats, vectors, matrices, as its own tools write them.

A token is text that ends with a space; a number is a byte with its size (negative for unsigned) and the number in
little-endian order; an integer vector is the size of an element, a count and the elements; a float vector is the
token ``FV``, a count and the values; a float matrix is ``FM``, rows, columns and the values row by row.
"""

import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asrkd.core.errors import DataError

BINARY_HEADER = b"\0B"
_MAX_TOKEN = 64

FloatArray = NDArray[np.float32]


def write_token(token: str) -> bytes:
    return token.encode("ascii") + b" "


def write_int(value: int) -> bytes:
    return b"\x04" + struct.pack("<i", value)


def write_uint(value: int) -> bytes:
    return b"\xfc" + struct.pack("<I", value)


def write_float(value: float) -> bytes:
    return b"\x04" + struct.pack("<f", value)


def write_int_vector(values: Sequence[int]) -> bytes:
    return b"\x04" + struct.pack("<i", len(values)) + np.asarray(values, "<i4").tobytes()


def write_float_vector(values: FloatArray) -> bytes:
    return write_token("FV") + write_int(len(values)) + np.asarray(values, "<f4").tobytes()


def write_float_matrix(values: FloatArray) -> bytes:
    rows, columns = values.shape
    return write_token("FM") + write_int(rows) + write_int(columns) + np.ascontiguousarray(values, "<f4").tobytes()


class BinaryReader:
    """Reads the bytes of one binary file from the front. Every method raises DataError where the bytes don't fit."""

    def __init__(self, data: bytes, name: str):
        if not data.startswith(BINARY_HEADER):
            cause = "it is empty" if not data else "is it another program's, or compressed?"
            raise DataError(f"{name}: not a binary Kaldi file: {cause}")
        self.data = data
        self.name = name
        self.offset = len(BINARY_HEADER)

    @classmethod
    def open(cls, path: Path) -> "BinaryReader":
        """Read the whole file ``path``; DataError when it is missing or not Kaldi's binary format."""
        return cls(cls.contents(path), str(path))

    @staticmethod
    def contents(path: Path) -> bytes:
        """The bytes of ``path``; DataError when it is missing or a folder."""
        try:
            return path.read_bytes()
        except FileNotFoundError:
            raise DataError(f"{path} is missing: is {path.parent} the folder of a model?") from None
        except IsADirectoryError:
            raise DataError(f"{path} is a folder, where a file is expected") from None

    def error(self, problem: str) -> DataError:
        return DataError(f"{self.name}: {problem} at byte {self.offset} of {len(self.data)}: cut short or damaged?")

    @property
    def at_end(self) -> bool:
        return self.offset >= len(self.data)

    def peek_token(self) -> str:
        """The next token, which stays unread."""
        end = self.data.find(b" ", self.offset, self.offset + _MAX_TOKEN)
        if end < 0:
            raise self.error("a token is missing")
        token = self.data[self.offset : end]
        if not token.isascii() or not token.decode("ascii").isprintable():
            raise self.error("no token")
        return token.decode("ascii")

    def token(self) -> str:
        token = self.peek_token()
        self.offset += len(token) + 1
        return token

    def expect(self, *tokens: str) -> str:
        """Read the next token, which must be one of ``tokens``."""
        found = self.peek_token()
        if found not in tokens:
            if self.offset == len(BINARY_HEADER):
                raise DataError(f"{self.name}: begins with {found[:40]!r}, not {' or '.join(tokens)}: another file?")
            raise self.error(f"{found!r} where {' or '.join(tokens)} is expected")
        return self.token()

    def integer(self) -> int:
        return int(self._number(4, "<i"))

    def unsigned(self) -> int:
        return int(self._number(0xFC, "<I"))

    def real(self) -> float:
        return float(self._number(4, "<f"))

    def int_vector(self) -> list[int]:
        self._size_byte(4)
        count = struct.unpack("<i", self._bytes(4))[0]
        return self._array(count, "<i4").tolist()

    def float_vector(self) -> FloatArray:
        self.expect("FV")
        return self._array(self.integer(), "<f4").astype(np.float32)

    def float_matrix(self) -> FloatArray:
        self.expect("FM")
        rows, columns = self.integer(), self.integer()
        if rows < 0 or columns < 0:
            raise self.error(f"a matrix of {rows} x {columns}")
        return self._array(rows * columns, "<f4").reshape(rows, columns).astype(np.float32)

    def count(self, what: str, smallest: int = 1) -> int:
        """An integer that says how many things of at least ``smallest`` bytes follow."""
        number = self.integer()
        if number < 0 or number * smallest > len(self.data) - self.offset:
            raise self.error(f"{number} {what} can't follow")
        return number

    def _array(self, count: int, dtype: str) -> NDArray[Any]:
        if count < 0:
            raise self.error(f"a vector of {count}")
        return np.frombuffer(self._bytes(4 * count), dtype)

    def _number(self, size: int, form: str) -> int | float:
        self._size_byte(size)
        value: int | float = struct.unpack(form, self._bytes(4))[0]
        return value

    def _size_byte(self, size: int) -> None:
        if self._bytes(1)[0] != size:
            self.offset -= 1
            raise self.error("no four-byte number")

    def _bytes(self, count: int) -> bytes:
        if self.offset + count > len(self.data):
            raise self.error("the file ends too early")
        self.offset += count
        return self.data[self.offset - count : self.offset]


@contextmanager
def kaldi_errors(what: str) -> Iterator[None]:
    """Turn an exception of Kaldi's wheels in the block into a DataError about ``what``."""
    try:
        yield
    except (RuntimeError, TypeError, IndexError) as error:
        detail = str(error).strip().splitlines()
        raise DataError(f"{what}: refused by Kaldi ({detail[-1].removeprefix('[E] ') if detail else error})") from None
