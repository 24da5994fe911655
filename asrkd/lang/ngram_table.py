"""N-gram models as sorted arrays on disk: millions of n-grams, mapped into memory, found by binary search.

An n-gram's key is the place of its first n - 1 words among the n-grams one shorter, times the number of words, plus its
last word: a trie laid out level by level. What is not there backs off, as the ARPA format says.
"""

import math
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asrkd.core.errors import DataError
from asrkd.core.files import atomic_write, load_array
from asrkd.lang.arpa import Entry, arpa_entries
from asrkd.lang.phones import SymbolTable

State = tuple[int, ...]
"""A history as far as the model tells it from others: word ids, the latest last."""

Ints = NDArray[np.int64]

_FILES = {"keys.{}.npy": "int64", "log_probs.{}.npy": "float32", "backoffs.{}.npy": "float32"}
_LN10 = math.log(10)


@dataclass(frozen=True)
class _Level:
    """The n-grams of one order: sorted keys (int64), log10 probabilities and back-off weights (float32)."""

    keys: NDArray[np.int64]
    log_probs: NDArray[np.float32]
    backoffs: NDArray[np.float32]

    def find(self, key: int) -> int:
        """Where a key is, or -1."""
        place = int(self.keys.searchsorted(np.int64(key)))  # of the array's own type, or all of it would be converted
        return place if place < len(self.keys) and self.keys[place] == key else -1


class NgramTable:
    """Probabilities of words after histories, both as ids of words.txt."""

    def __init__(self, levels: Sequence[_Level], words: SymbolTable):
        words = _with_marks(words)
        self._levels = levels
        self._num_words = _key_base(words)
        self._start, self._end = words["<s>"], words["</s>"]

    @classmethod
    def open(cls, folder: Path, words: SymbolTable, order: int) -> "NgramTable":
        """Map a table of an ``order`` that `write_table` made. DataError where it is missing or not whole."""
        levels = []
        for number in range(1, order + 1):
            arrays = [_mapped(folder / name.format(number), dtype) for name, dtype in _FILES.items()]
            if len({array.shape for array in arrays}) != 1:
                raise DataError(f"{folder}: its files of order {number} are not of one length: of two models?")
            levels.append(_Level(*arrays))
        return cls(levels, words)

    @property
    def order(self) -> int:
        return len(self._levels)

    def has(self, words: Ints) -> NDArray[np.bool_]:
        """Of each word id, whether it has a unigram."""
        return np.isin(words, self._levels[0].keys)

    @property
    def start(self) -> State:
        """The state in which a sentence begins."""
        return (self._start,) if self.order > 1 else ()

    @property
    def end(self) -> int:
        """The id that stands for a sentence's end."""
        return self._end

    def score(self, state: State, word: int) -> tuple[float, State]:
        """Natural log p(word | state), and the state after it; minus infinity for a word without a unigram."""
        weight, history = 0.0, state
        while (log_prob := self.explicit(history, word)) is None:
            if not history:
                return -math.inf, ()
            weight += self.backoff(history)
            history = history[1:]
        return weight + log_prob, self.after((*history, word))

    def explicit(self, history: State, word: int) -> float | None:
        """Natural log probability of the n-gram itself, or None where the model does not have it."""
        place = self._find((*history, word))
        return _LN10 * float(self._levels[len(history)].log_probs[place]) if place >= 0 else None

    def backoff(self, history: State) -> float:
        """Natural logarithm of the history's back-off weight."""
        place = self._find(history)
        return _LN10 * float(self._levels[len(history) - 1].backoffs[place]) if place >= 0 else 0.0

    def after(self, ngram: State) -> State:
        """The longest end of an n-gram that the model knows as a history."""
        ngram = ngram[max(0, len(ngram) - self.order + 1) :]
        while ngram and self._find(ngram) < 0:
            ngram = ngram[1:]
        return ngram

    def _find(self, ngram: State) -> int:
        place = 0
        for level, word in zip(self._levels, ngram, strict=False):
            place = level.find(place * self._num_words + word)
            if place < 0:
                break
        return place


def write_table(arpa: Path, words: SymbolTable, folder: Path, name: Path | None = None) -> None:
    """Write the n-grams of an ARPA file over ``words`` into ``folder``; errors call the file ``name``, where given.

    Raises DataError for a malformed file, for a word that is not in ``words``, for an n-gram that is there twice, and
    for one whose beginning is not there, which the format asks for.
    """
    name = name or arpa
    words = _with_marks(words)
    folder.mkdir(exist_ok=True)
    levels: list[_Level] = []
    for order, entries in groupby(arpa_entries(arpa), key=lambda entry: len(entry.words)):
        if order > len(levels) + 1:
            raise DataError(f"{name}: has {order}-grams, but no {order - 1}-grams, which they begin with")
        level = _level(entries, order, levels, words, name)
        arrays: tuple[NDArray[Any], ...] = (level.keys, level.log_probs, level.backoffs)
        for file_name, values in zip(_FILES, arrays, strict=True):
            with atomic_write(folder / file_name.format(order), "wb") as file:
                np.save(file, values)
        levels.append(level)


def _level(entries: Iterable[Entry], order: int, shorter: Sequence[_Level], words: SymbolTable, name: Path) -> _Level:
    ids, log_probs, backoffs = array("q"), array("f"), array("f")
    for entry in entries:
        try:
            ids.extend(words[word] for word in entry.words)
        except KeyError as error:
            raise DataError(f"{name}: {error.args[0]!r} is not in words.txt: is it of another lang dir?") from None
        log_probs.append(entry.log_prob)
        backoffs.append(0.0 if entry.backoff is None else entry.backoff)
    ngrams = np.asarray(ids, dtype=np.int64).reshape(-1, order)
    base = _key_base(words)
    place = np.zeros(len(ngrams), dtype=np.int64)
    for column, level in enumerate(shorter):
        keys = place * base + ngrams[:, column]
        place = level.keys.searchsorted(keys)
        missing = level.keys[np.minimum(place, len(level.keys) - 1)] != keys
        if missing.any():
            wrong = _spelled(ngrams[missing][0], words)
            raise DataError(f"{name}: {wrong!r} is there, its beginning is not: was it pruned by hand?")
    keys = place * base + ngrams[:, -1]
    sorting = np.argsort(keys, kind="stable")
    keys = keys[sorting]
    if (twice := keys[1:] == keys[:-1]).any():
        raise DataError(f"{name}: {_spelled(ngrams[sorting][1:][twice][0], words)!r} is there twice")
    return _Level(keys, np.asarray(log_probs)[sorting], np.asarray(backoffs)[sorting])


def _spelled(ngram: NDArray[np.int64], words: SymbolTable) -> str:
    names = {number: word for word, number in words.items()}
    return " ".join(names[int(number)] for number in ngram)


def _with_marks(words: SymbolTable) -> SymbolTable:
    """With ids for a sentence's start and end, which a graph's words may lack."""
    last = max(words.values())
    return {"<s>": last + 1, "</s>": last + 2, **words}


def _key_base(words: SymbolTable) -> int:
    return max(words.values()) + 1


def _mapped(path: Path, dtype: str) -> NDArray[Any]:
    values = np.asarray(load_array(path, memory_mapped=True))  # a memmap's own indexing is slow
    if values.ndim != 1 or values.dtype != dtype:
        raise DataError(f"{path}: {values.ndim} axes of {values.dtype}, where one of {dtype} is expected")
    return values
