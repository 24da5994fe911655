"""ARPA language models line by line, gzipped or not: checked, and restricted to the words of a lexicon.

The format is SRILM's ngram-format(5): ``\\data\\`` and the counts, then for each order ``\\N-grams:`` and lines of
log10 probability, words, and perhaps a back-off weight; ``\\end\\`` at last.
"""

import itertools
import math
import shutil
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from asrkd.core.errors import DataError
from asrkd.core.files import atomic_write, iter_lines
from asrkd.lang.lexicon import UNKNOWN

Ngram = tuple[str, ...]

_MARKS = ("<s>", "</s>")
_MAX_DIGITS = 15
_HEAD = 1000
"""Lines within which a model says that it is one; comments may stand before."""


@dataclass(frozen=True)
class Entry:
    """One n-gram; numbers are log10."""

    words: Ngram
    log_prob: float
    backoff: float | None


@dataclass(frozen=True)
class Restriction:
    """What is left of a model over fewer words. ``num_ngrams`` is by order, from unigrams on."""

    words: frozenset[str]
    num_ngrams: tuple[int, ...]
    num_words_dropped: int
    num_ngrams_dropped: int

    @property
    def order(self) -> int:
        return len(self.num_ngrams)


def is_arpa(path: Path) -> bool:
    """Whether a file is an ARPA model, by what it holds or, for one cut short, by its name."""
    named = path.name.removesuffix(".gz").endswith((".arpa", ".lm"))
    return named or any(line.strip() == "\\data\\" for line, _ in zip(iter_lines(path), range(_HEAD), strict=False))


def arpa_words(source: Path, known: Container[str], with_unknown: bool) -> set[str]:
    """Words of the unigrams of ``source`` that `restrict_arpa` would keep; raises what it raises."""
    unigrams = itertools.takewhile(lambda entry: len(entry.words) == 1, arpa_entries(source))
    words = {_named(word, known) for entry in unigrams for word in entry.words}
    kept = {word for word in words if _kept(word, known, with_unknown)}
    _check_words(source, kept, words - kept, known)
    return kept


def restrict_arpa(source: Path, known: Container[str], with_unknown: bool, target: Path) -> Restriction:
    """Write to ``target`` the n-grams of ``source`` whose words are all ``known``; what is left is not scaled anew.

    ``<unk>``, in either case, becomes <UNK> ``with_unknown`` (unless it is known as it stands), and is dropped without.
    Raises DataError, naming the line, for a malformed model, and for one that shares no word with what is known.
    """
    body = target.with_name(target.name + ".body")  # the counts come first, and are known last
    try:
        with open(body, "w", encoding="utf-8") as file:
            left = _restrict(source, known, with_unknown, file)
        with atomic_write(target) as file, open(body, encoding="utf-8") as rest:
            file.write("\\data\\\n")
            file.writelines(f"ngram {order}={count}\n" for order, count in enumerate(left.num_ngrams, 1))
            shutil.copyfileobj(rest, file)
            file.write("\n\\end\\\n")
    finally:
        body.unlink(missing_ok=True)
    return left


def _restrict(source: Path, known: Container[str], with_unknown: bool, file: IO[str]) -> Restriction:
    """`restrict_arpa`, into ``file``, of all but the header and the end."""
    words: set[str] = set()
    dropped: set[str] = set()
    counts: list[int] = []
    num_dropped = 0
    for entry in arpa_entries(source):
        while len(entry.words) > len(counts):
            counts.append(0)
            file.write(f"\n\\{len(counts)}-grams:\n")
        ngram = [_named(word, known) for word in entry.words]
        if outside := [word for word in ngram if not _kept(word, known, with_unknown)]:
            dropped.update(outside)
            num_dropped += 1
            continue
        counts[-1] += 1
        _check_ngram(source, ngram, words)
        words.update(ngram if len(ngram) == 1 else ())
        file.write(_line(entry, ngram) + "\n")
    _check_words(source, words, dropped, known)
    return Restriction(frozenset(words), tuple(counts), len(dropped - {UNKNOWN}), num_dropped)


def _named(word: str, known: Container[str]) -> str:
    return UNKNOWN if word == "<unk>" and word not in known else word


def _kept(word: str, known: Container[str], with_unknown: bool) -> bool:
    return word in _MARKS or (with_unknown if word == UNKNOWN else word in known)


def _check_ngram(source: Path, ngram: list[str], words: set[str]) -> None:
    """DataError for a unigram that is among ``words`` already, and for a longer n-gram of a word that is not."""
    if len(ngram) == 1 and ngram[0] in words:
        raise DataError(f"{source}: unigram {ngram[0]} is there twice")
    missing = [word for word in ngram if word not in words and word not in _MARKS]
    if len(ngram) > 1 and missing:
        raise DataError(f"{source}: n-gram {' '.join(ngram)}: there is no unigram {missing[0]}: was one taken out?")


def _line(entry: Entry, words: Iterable[str]) -> str:
    """An n-gram as all tools read it; numbers lose nothing."""
    backoff = "" if entry.backoff is None else f"\t{entry.backoff!r}"
    return f"{entry.log_prob!r}\t{' '.join(words)}{backoff}"


def _check_words(source: Path, words: set[str], dropped: set[str], known: Container[str]) -> None:
    if missing := [mark for mark in _MARKS if mark not in words]:
        raise DataError(f"{source}: has no unigram {missing[0]}: was it estimated from sentences?")
    if not words - {*_MARKS, UNKNOWN}:
        outside = sorted(dropped - {UNKNOWN})
        other = [word for word in outside if word.upper() in known or word.lower() in known]
        example = (other or outside or [""])[0]
        cause = "its words are in another case" if other else "is it of another language?"
        raise DataError(f"{source}: none of its {len(outside)} words (such as {example!r}) is in the lexicon: {cause}")


def arpa_entries(path: Path) -> Iterator[Entry]:
    """The n-grams of an ARPA file, unigrams first. DataError names the line: wrong counts, cut short, no number."""
    lines = _Lines(path)
    declared = _read_header(lines)
    for order, count in enumerate(declared, 1):
        _expect(lines, f"\\{order}-grams:")
        found = 0
        for line in lines:
            if not line.strip():
                break
            yield _read_entry(lines.position, line, order, order == len(declared))
            found += 1
        if found != count:
            raise DataError(
                f"{lines.position}: end of {found} {order}-grams, its header says {count}: cut short, or changed?"
            )
    _expect(lines, "\\end\\")
    for _ in lines:  # to the end, where a gzip file says whether it is whole
        pass


class _Lines:
    """Lines of a file, and where the last one was."""

    def __init__(self, path: Path) -> None:
        self.path, self.number = path, 0
        self._lines = iter_lines(path)

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.number += 1
        return line

    @property
    def position(self) -> str:
        return f"{self.path}:{self.number}"


def _read_header(lines: _Lines) -> list[int]:
    for line in lines:
        if line.strip() == "\\data\\":
            break
    else:
        raise DataError(f"{lines.path}: no \\data\\ line: is it an ARPA language model?")
    declared: list[int] = []
    for line in lines:
        if not line.strip():
            if declared:
                return declared
            continue
        order, equals, count = line.strip().removeprefix("ngram ").partition("=")
        if not equals or order.strip() != str(len(declared) + 1) or not _is_count(count.strip()):
            raise DataError(f"{lines.position}: expected `ngram {len(declared) + 1}=COUNT`, found {line!r}")
        declared.append(int(count))
    raise DataError(f"{lines.position}: ends within its header: cut short?")


def _is_count(text: str) -> bool:
    return text.isdecimal() and len(text) <= _MAX_DIGITS


def _expect(lines: _Lines, mark: str) -> None:
    for line in lines:
        if line.strip() == mark:
            return
        if line.strip():
            raise DataError(f"{lines.position}: expected {mark}, found {line!r}: do the header's counts hold?")
    raise DataError(f"{lines.position}: ends before {mark}: cut short?")


def _read_entry(where: str, line: str, order: int, is_highest: bool) -> Entry:
    fields = line.split()
    if len(fields) != order + 1 and (is_highest or len(fields) != order + 2):
        rest = "" if is_highest else " and perhaps a back-off weight"
        raise DataError(f"{where}: expected a number, {order} words{rest}, found {line!r}")
    try:
        log_prob = float(fields[0])
        backoff = float(fields[-1]) if len(fields) == order + 2 else None
    except ValueError:
        raise DataError(f"{where}: no number in {line!r}: cut short, or edited by hand?") from None
    if not math.isfinite(log_prob + (backoff or 0.0)):
        raise DataError(f"{where}: a number that is not finite in {line!r}: write -99 for the logarithm of 0")
    if log_prob > 0.0:
        raise DataError(f"{where}: log probability {log_prob} is not below zero")
    return Entry(tuple(fields[1 : order + 1]), log_prob, backoff)
