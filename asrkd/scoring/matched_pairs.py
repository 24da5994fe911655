"""Matched pairs: is the mean difference in errors of two systems, over segments of the speech, other than 0?

Gillick and Cox 1989, "Some statistical issues in the comparison of speech recognition algorithms": errors within an
utterance depend on each other, but hardly across words that all systems have right. The segments between such words, as
NIST's MAPSSWE takes them, are more than there are utterances, so that smaller differences show.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asrkd.core.errors import MismatchError

MIN_CORRECT = 2
"""Right words in a row between two segments: as in NIST's sc_stats."""

Places = Mapping[str, NDArray[np.int64]]
"""Errors of a system by utterance id, as `words.WordErrors.places`."""


@dataclass(frozen=True)
class MatchedPairs:
    """Segments with any error, the mean of first minus second in errors a segment, and the two-sided p-value."""

    segments: int
    mean: float
    p_value: float


def mapsswe(first: Sequence[Places], second: Sequence[Places]) -> MatchedPairs:
    """The test over segments of word errors; several systems on a side stand for their mean.

    Raises MismatchError unless all systems have the same utterances with the same numbers of words.
    """
    everyone = [*first, *second]
    for other in everyone[1:]:
        _check_ids(everyone[0], other)
    differences = []
    for utt_id in sorted(everyone[0]):
        errors = _stacked(utt_id, everyone)
        segments = word_error_segments(errors)
        differences.append(segments[: len(first)].mean(axis=0) - segments[len(first) :].mean(axis=0))
    return _normal_test(np.concatenate(differences))


def word_error_segments(errors: NDArray[np.int64]) -> NDArray[np.int64]:
    """Errors of each system in each segment of an utterance that has any, shape (num_systems, num_segments).

    ``errors`` has shape (num_systems, 2 * words + 1), as `words.WordErrors.places`. A segment ends where at least
    ``MIN_CORRECT`` words in a row are right in all systems, with nothing inserted between them.
    """
    where = np.flatnonzero(errors.sum(axis=0))
    if not len(where):
        return np.zeros((len(errors), 0), np.int64)
    # Words, at odd indices, that lie strictly between one error and the next.
    right_between = where[1:] // 2 - (where[:-1] + 1) // 2
    starts = np.concatenate([[0], np.flatnonzero(right_between >= MIN_CORRECT) + 1])
    sums: NDArray[np.int64] = np.add.reduceat(errors[:, where], starts, axis=1)
    return sums


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm 1979, "A simple sequentially rejective multiple test procedure": p-values adjusted for their number."""
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    scaled = [min(1.0, (len(order) - rank) * p_values[index]) for rank, index in enumerate(order)]
    adjusted = dict(zip(order, itertools.accumulate(scaled, max), strict=True))
    return [adjusted[index] for index in range(len(p_values))]


def with_holm(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows of tests that answer one question, each with its ``p`` and ``p_holm``, adjusted for their number."""
    adjusted = holm([row["p"] for row in rows])
    return [{**row, "p_holm": p_value} for row, p_value in zip(rows, adjusted, strict=True)]


def _normal_test(differences: NDArray[np.floating[Any]]) -> MatchedPairs:
    """Gillick and Cox's W, the mean over its standard error, taken for normal.

    Few differences can't tell much, however alike: p is never below that of all having the same sign by chance, which
    segments with as many errors on both sides have no part in.
    """
    count = len(differences)
    if not differences.any():
        return MatchedPairs(count, 0.0, 1.0)
    mean, deviation = float(differences.mean()), float(differences.std(ddof=1)) if count > 1 else 0.0
    p_value = math.erfc(abs(mean) * math.sqrt(count / 2) / deviation) if deviation else 0.0
    return MatchedPairs(count, mean, max(p_value, 2.0 ** (1 - int(np.count_nonzero(differences)))))


def _stacked(utt_id: str, systems: Sequence[Places]) -> NDArray[np.int64]:
    lengths = {len(places[utt_id]) for places in systems}
    if len(lengths) > 1:
        raise MismatchError(f"{utt_id} has another number of words in two systems: were they scored on one reference?")
    return np.stack([places[utt_id] for places in systems])


def _check_ids(first: Mapping[str, Any], second: Mapping[str, Any]) -> None:
    if difference := sorted(first.keys() ^ second.keys()):
        raise MismatchError(f"{difference[0]} is scored in only one of the two systems: were both scored on one set?")
