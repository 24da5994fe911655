"""Letters and phones of a lexicon aligned: each word as a sequence of graphones, by expectation maximisation.

A graphone is one letter with no, one or two phones, or two letters with one phone. Its probability is that of the
joint-multigram model (Bisani and Ney 2008, "Joint-sequence models for grapheme-to-phoneme conversion", equation 9)
without history; words of equal lengths are aligned together, as arrays.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Pair = tuple[str, tuple[str, ...]]
"""A word, or a part of one, with its phones."""

_SHAPES = ((1, 0), (1, 1), (1, 2), (2, 1))
_WEIGHTS = (1.0, 1.0, 0.1, 0.01)
"""Of each shape, throughout: joint probabilities alone prefer few and long graphones, and a thousand kinds of them."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class _Group:
    """Words of equal lengths: letters (words, num_letters), phones (words, num_phones), and their places."""

    letters: Ints
    phones: Ints
    places: list[int]


def align(pairs: Sequence[Pair], num_iterations: int = 8) -> list[list[Pair]]:
    """The graphones of each pair; none for one whose phones are too many for its letters (an abbreviation, say)."""
    letters = sorted({letter for word, _ in pairs for letter in word})
    phones = sorted({phone for _, pronunciation in pairs for phone in pronunciation})
    groups = _groups(pairs, letters, phones)
    sizes = [len(letters) ** num_letters * len(phones) ** num_phones for num_letters, num_phones in _SHAPES]
    tables = [np.full(size, weight / size) for size, weight in zip(sizes, _WEIGHTS, strict=True)]
    for _ in range(num_iterations):
        counts = [np.zeros(size) for size in sizes]
        for group in groups:
            _expect(group, tables, len(letters), len(phones), counts)
        total = sum(float(count.sum()) for count in counts)
        tables = [weight * count / max(total, 1.0) for weight, count in zip(_WEIGHTS, counts, strict=True)]
    aligned: list[list[Pair]] = [[] for _ in pairs]
    for group in groups:
        for place, path in zip(group.places, _best(group, tables, len(letters), len(phones)), strict=True):
            aligned[place] = _graphones(pairs[place], path)
    return aligned


def _groups(pairs: Sequence[Pair], letters: Sequence[str], phones: Sequence[str]) -> list[_Group]:
    letter_ids = {letter: number for number, letter in enumerate(letters)}
    phone_ids = {phone: number for number, phone in enumerate(phones)}
    places = defaultdict(list)
    for place, (word, pronunciation) in enumerate(pairs):
        if 0 < len(pronunciation) <= 2 * len(word):
            places[len(word), len(pronunciation)].append(place)
    return [
        _Group(
            np.array([[letter_ids[letter] for letter in pairs[place][0]] for place in same]),
            np.array([[phone_ids[phone] for phone in pairs[place][1]] for place in same]),
            same,
        )
        for _, same in sorted(places.items())
    ]


def _codes(group: _Group, shape: int, num_letters: int, num_phones: int) -> Ints:
    """Index of the graphone of a shape that begins at each letter and phone, (words, letter, phone)."""
    num_phones_there = group.phones.shape[1]
    first = group.letters[:, :, None]
    match _SHAPES[shape]:
        case (1, 0):
            return np.repeat(first, num_phones_there + 1, axis=2)
        case (1, 1):
            return first * num_phones + group.phones[:, None, :]
        case (1, 2):
            pairs = group.phones[:, :-1] * num_phones + group.phones[:, 1:]
            return first * num_phones**2 + pairs[:, None, :]
        case _:
            both = group.letters[:, :-1] * num_letters + group.letters[:, 1:]
            return both[:, :, None] * num_phones + group.phones[:, None, :]


def _edges(
    group: _Group, tables: Sequence[Floats], num_letters: int, num_phones: int
) -> tuple[list[Ints], list[Floats]]:
    codes = [_codes(group, shape, num_letters, num_phones) for shape in range(len(_SHAPES))]
    return codes, [table[code] for table, code in zip(tables, codes, strict=True)]


def _expect(group: _Group, tables: Sequence[Floats], num_letters: int, num_phones: int, counts: list[Floats]) -> None:
    """Add the expected number of each graphone in the group's words, over all alignments, to ``counts``."""
    codes, weights = _edges(group, tables, num_letters, num_phones)
    words, length = group.letters.shape
    forward = np.zeros((words, length + 1, group.phones.shape[1] + 1))
    forward[:, 0, 0] = 1.0
    backward = np.zeros_like(forward)
    backward[:, -1, -1] = 1.0
    for i in range(length + 1):
        for j in range(forward.shape[2]):
            for weight, (m, n) in zip(weights, _SHAPES, strict=True):
                if i >= m and j >= n:
                    forward[:, i, j] += forward[:, i - m, j - n] * weight[:, i - m, j - n]
    for i in range(length, -1, -1):
        for j in range(forward.shape[2] - 1, -1, -1):
            for weight, (m, n) in zip(weights, _SHAPES, strict=True):
                if i + m <= length and j + n < forward.shape[2]:
                    backward[:, i, j] += weight[:, i, j] * backward[:, i + m, j + n]
    total = forward[:, -1, -1]
    scale = np.divide(1.0, total, out=np.zeros_like(total), where=total > 0)[:, None, None]
    for shape, (m, n) in enumerate(_SHAPES):
        steps = weights[shape].shape
        share = forward[:, : steps[1], : steps[2]] * weights[shape] * backward[:, m:, n:] * scale
        counts[shape] += np.bincount(codes[shape].ravel(), share.ravel(), len(counts[shape]))


def _best(group: _Group, tables: Sequence[Floats], num_letters: int, num_phones: int) -> list[list[int]]:
    """The shapes along the best alignment of each word; none where there is no alignment."""
    _, weights = _edges(group, tables, num_letters, num_phones)
    words, length = group.letters.shape
    score = np.zeros((words, length + 1, group.phones.shape[1] + 1))
    score[:, 0, 0] = 1.0
    came_by = np.full(score.shape, -1)
    for i in range(length + 1):
        for j in range(score.shape[2]):
            for shape, (m, n) in enumerate(_SHAPES):
                if i >= m and j >= n:
                    new = score[:, i - m, j - n] * weights[shape][:, i - m, j - n]
                    better = new > score[:, i, j]
                    score[better, i, j] = new[better]
                    came_by[better, i, j] = shape
    return [_trace(table) for table in came_by]


def _trace(came_by: Ints) -> list[int]:
    i, j = came_by.shape[0] - 1, came_by.shape[1] - 1
    path: list[int] = []
    while i or j:
        shape = int(came_by[i, j])
        if shape < 0:
            return []
        path.append(shape)
        i, j = i - _SHAPES[shape][0], j - _SHAPES[shape][1]
    return path[::-1]


def _graphones(pair: Pair, path: Sequence[int]) -> list[Pair]:
    word, phones = pair
    i = j = 0
    result = []
    for m, n in (_SHAPES[shape] for shape in path):
        result.append((word[i : i + m], tuple(phones[j : j + n])))
        i, j = i + m, j + n
    return result
