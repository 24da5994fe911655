"""Kaldi's text mode (``--binary=false``): the same building blocks as in `kaldi_io`, as words and ``[ numbers ]``.

Between tokens and numbers stands white space; a vector is ``[ 1 2 3 ]``, and a matrix has a line for each row. Kaldi
prints six digits, so that a model in text is not quite the one that it was printed from.
"""

from pathlib import Path

import numpy as np

from asrkd.hmm.kaldi_io import BINARY_HEADER, BinaryReader, FloatArray

_BEGINNINGS = (b"<", b"ContextDependency", b"[")


class TextReader(BinaryReader):
    """Reads a text file from the front. Every method raises DataError where the words don't fit."""

    def __init__(self, data: bytes, name: str):
        super().__init__(BINARY_HEADER + data, name)
        self._skip_space()

    def peek_token(self) -> str:
        token = self.data[self.offset : self._word_end()]
        if not token:
            raise self.error("a token is missing")
        if not token.isascii() or not token.decode("ascii").isprintable():
            raise self.error("no token")
        return token.decode("ascii")

    def token(self) -> str:
        token = self.peek_token()
        self._move_to(self.offset + len(token))
        return token

    def integer(self) -> int:
        start, number = self.offset, int(self._value(int))
        if not -(2**31) <= number < 2**31:
            self.offset = start
            raise self.error("no four-byte number")
        return number

    def unsigned(self) -> int:
        number = self.integer()
        if number < 0:
            raise self.error(f"{number} where a size is expected")
        return number

    def real(self) -> float:
        return float(self._value(float))

    def int_vector(self) -> list[int]:
        return [int(number) for number in self._numbers("integers", np.int32).tolist()]

    def float_vector(self) -> FloatArray:
        return self._numbers("numbers", np.float32)

    def float_matrix(self) -> FloatArray:
        start = self.offset
        rows = [row.split() for row in self._brackets().split(b"\n")]
        values = [row for row in rows if row]
        try:
            return np.array(values, np.float32).reshape(len(values), -1 if values else 0)
        except ValueError:
            self.offset = start
            raise self.error("no matrix of numbers") from None

    def count(self, what: str, smallest: int = 1) -> int:
        return super().count(what, 1)

    def until(self, token: str) -> str:
        """The text from here to the end of ``token``."""
        end = self.data.find(token.encode("ascii"), self.offset)
        if end < 0:
            raise self.error(f"{token} is missing")
        text = self.data[self.offset : end + len(token)].decode("utf-8", "replace")
        self._move_to(end + len(token))
        return text

    def _value(self, kind: type[int] | type[float]) -> int | float:
        token = self.peek_token()
        try:
            value = kind(token)
        except ValueError:
            raise self.error(f"{token[:40]!r} where a number is expected") from None
        self._move_to(self.offset + len(token))
        return value

    def _numbers(self, what: str, kind: type[np.int32] | type[np.float32]) -> np.ndarray:
        start = self.offset
        try:
            return np.array(self._brackets().split(), kind)
        except (ValueError, OverflowError):
            self.offset = start
            raise self.error(f"no vector of {what}") from None

    def _brackets(self) -> bytes:
        """What stands between the next two brackets."""
        if self.data[self.offset : self.offset + 1] != b"[":
            raise self.error("[ is missing")
        end = self.data.find(b"]", self.offset)
        if end < 0:
            raise self.error("] is missing")
        inside = self.data[self.offset + 1 : end]
        self._move_to(end + 1)
        return inside

    def _word_end(self) -> int:
        end = self.offset
        while end < len(self.data) and not self.data[end : end + 1].isspace():
            end += 1
        return end

    def _move_to(self, offset: int) -> None:
        self.offset = offset
        self._skip_space()

    def _skip_space(self) -> None:
        while self.data[self.offset : self.offset + 1].isspace():
            self.offset += 1


def open_kaldi(path: Path) -> BinaryReader:
    """A reader of the file ``path``, in whichever mode it is; DataError when it is missing or no Kaldi file."""
    data = BinaryReader.contents(path)
    kind = TextReader if data.lstrip().startswith(_BEGINNINGS) else BinaryReader
    return kind(data, str(path))
