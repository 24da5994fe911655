"""Word error rate: substitutions, deletions and insertions over the words of the references, of the whole set.

Conventions: both sides are mappings from utterance id to words separated by spaces, compared exactly (case counts).
An utterance without a hypothesis counts as deletions and is listed; a hypothesis without a reference is an error. The
rate is the sum of errors over the sum of words (never a mean over utterances), as in Kaldi's ``compute-wer``; the
alignment of each utterance is one of least edit distance (Levenshtein 1966), through jiwer.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jiwer
import numpy as np
from numpy.typing import NDArray

from asrkd.core.errors import DataError, MismatchError
from asrkd.core.files import read_lines

_KINDS = {"substitute": "substitutions", "delete": "deletions", "insert": "insertions", "equal": "hits"}


@dataclass(frozen=True)
class WordCounts:
    """How the words of one utterance, or of a set, came out."""

    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0
    hits: int = 0

    @property
    def errors(self) -> int:
        return self.substitutions + self.deletions + self.insertions

    @property
    def words(self) -> int:
        """Words of the reference."""
        return self.substitutions + self.deletions + self.hits

    def __add__(self, other: "WordCounts") -> "WordCounts":
        return WordCounts(
            self.substitutions + other.substitutions,
            self.deletions + other.deletions,
            self.insertions + other.insertions,
            self.hits + other.hits,
        )


@dataclass(frozen=True)
class WordErrors:
    """A set's word errors by utterance id, in the references' order, and the ids that had no hypothesis.

    ``places`` says where the errors are, int64 of shape (2 * words + 1,): at odd indices whether that word of the
    reference is wrong, at even ones how many words were inserted before the word that follows.
    """

    utterances: Mapping[str, WordCounts]
    places: Mapping[str, NDArray[np.int64]]
    missing: tuple[str, ...] = ()

    @property
    def total(self) -> WordCounts:
        return sum(self.utterances.values(), WordCounts())

    @property
    def wer(self) -> float:
        """Errors over words, a fraction; may exceed 1."""
        total = self.total
        return total.errors / total.words

    @property
    def sentence_error_rate(self) -> float:
        """The fraction of utterances with any error."""
        return sum(counts.errors > 0 for counts in self.utterances.values()) / len(self.utterances)

    def words_by_utterance(self) -> dict[str, int]:
        return {utt_id: counts.words for utt_id, counts in self.utterances.items()}


def score_words(references: Mapping[str, str], hypotheses: Mapping[str, str]) -> WordErrors:
    """Compare words. Raises what `validate` raises."""
    validate(references, hypotheses)
    ids = list(references)
    compared = jiwer.process_words(
        [" ".join(references[utt_id].split()) for utt_id in ids],
        [" ".join(hypotheses.get(utt_id, "").split()) for utt_id in ids],
    )
    counts = {utt_id: _counts(chunks) for utt_id, chunks in zip(ids, compared.alignments, strict=True)}
    places = {
        utt_id: _places(chunks, counts[utt_id].words) for utt_id, chunks in zip(ids, compared.alignments, strict=True)
    }
    return WordErrors(counts, places, tuple(utt_id for utt_id in ids if utt_id not in hypotheses))


def _counts(chunks: list[Any]) -> WordCounts:
    counts = dict.fromkeys(_KINDS.values(), 0)
    for chunk in chunks:
        counts[_KINDS[chunk.type]] += max(
            chunk.ref_end_idx - chunk.ref_start_idx, chunk.hyp_end_idx - chunk.hyp_start_idx
        )
    return WordCounts(**counts)


def _places(chunks: list[Any], words: int) -> NDArray[np.int64]:
    places = np.zeros(2 * words + 1, np.int64)
    for chunk in chunks:
        if chunk.type == "insert":
            places[2 * chunk.ref_start_idx] += chunk.hyp_end_idx - chunk.hyp_start_idx
        elif chunk.type != "equal":
            places[2 * chunk.ref_start_idx + 1 : 2 * chunk.ref_end_idx : 2] = 1
    return places


def validate(references: Mapping[str, str], hypotheses: Mapping[str, str]) -> None:
    """Check that the two belong together; the error guesses what went wrong.

    Raises DataError for references without words and for ids left in the text, MismatchError for a hypothesis of an
    unknown utterance, and where words differ throughout in their case alone.
    """
    if not any(words.split() for words in references.values()):
        raise DataError("the references hold no words: is the data dir's text empty?")
    if unknown := [utt_id for utt_id in hypotheses if utt_id not in references]:
        raise MismatchError(_unknown(unknown, references, hypotheses))
    for what, texts in (("reference", references), ("hypothesis", hypotheses)):
        starts_with_id = [utt_id for utt_id, words in texts.items() if words.split()[:1] == [utt_id]]
        if starts_with_id:
            raise DataError(f"the {what} of {starts_with_id[0]} starts with the id itself: was the id column kept?")
    _check_case(references, hypotheses)


def _unknown(unknown: list[str], references: Mapping[str, str], hypotheses: Mapping[str, str]) -> str:
    message = f"hypothesis {unknown[0]} has no reference ({len(unknown)} such): "
    if len(unknown) == len(hypotheses):
        return message + "no id is shared at all, are both of one set?"
    if all(utt_id in hypotheses for utt_id in references):
        return message + "every reference has a hypothesis, were the two given in the wrong order?"
    return message + "are both of one set?"


def _check_case(references: Mapping[str, str], hypotheses: Mapping[str, str]) -> None:
    ours, theirs = set(_words(references)), set(_words(hypotheses))
    if ours & theirs:
        return
    folded = {word.casefold() for word in ours} & {word.casefold() for word in theirs}
    if folded:
        raise MismatchError(
            f"references are {_case(ours)}, hypotheses {_case(theirs)}, and only so do they differ (as in "
            f"{min(folded)!r}): was the language model's text or the transcript normalised another way?"
        )


def _words(texts: Mapping[str, str]) -> Iterator[str]:
    return (word for text in texts.values() for word in text.split())


def _case(words: set[str]) -> str:
    if all(word == word.upper() for word in words):
        return "upper case"
    return "lower case" if all(word == word.lower() for word in words) else "of mixed case"


def read_text(path: Path) -> dict[str, str]:
    """``{utt_id: words}`` of a text or hyp.txt; a line with an id alone has no words. DataError for repeated ids."""
    return _read(path, read_lines(path), "`utt_id WORDS`", lambda line: line.partition(" ")[::2])


def read_transcript_file(path: Path) -> dict[str, str]:
    """The same of a Kaldi text or, where every line ends in ``(utt_id)``, of a NIST .trn file.

    Raises DataError for repeated ids and malformed lines, and for alternatives (``{ a / b }``), of which none is known
    to be right.
    """
    lines = read_lines(path)
    if not lines:
        raise DataError(f"{path} is empty: is it the right file?")
    if path.suffix != ".trn" and not all(_TRN.fullmatch(line) for line in lines):
        return read_text(path)
    if alternatives := [number for number, line in enumerate(lines, 1) if {"{", "/", "}"} <= set(line.split())]:
        raise DataError(f"{path}:{alternatives[0]}: has alternatives ({{ a / b }}): write one of them")
    return _read(path, lines, "`WORDS (utt_id)`", _trn_line)


_TRN = re.compile(r"(.*?)\(([^\s()]+)\)\s*")


def _trn_line(line: str) -> Sequence[str]:
    match = _TRN.fullmatch(line)
    return (match[2], match[1]) if match else ("", "")


def _read(path: Path, lines: list[str], expected: str, split: Callable[[str], Sequence[str]]) -> dict[str, str]:
    texts: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        utt_id, words = split(" ".join(line.split()))
        if not utt_id:
            raise DataError(
                f"{path}:{number}: expected {expected}, found {repr(line) if line.strip() else 'an empty line'}"
            )
        if utt_id in texts:
            raise DataError(f"{path}:{number}: {utt_id} is there twice")
        texts[utt_id] = " ".join(words.split())
    return texts
