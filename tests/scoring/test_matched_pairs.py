"""Matched pairs over segments: closed forms, a slow scan as the other way to cut, error rate where nothing differs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from asrkd.core.errors import MismatchError
from asrkd.scoring.matched_pairs import holm, mapsswe, word_error_segments
from asrkd.scoring.significance import PairedBootstrap
from asrkd.scoring.words import score_words

Errors = NDArray[np.int64]


def _places(words: str, inserted: dict[int, int] | None = None) -> Errors:
    """``..x.`` has its third word wrong; ``inserted`` are words before the word of that number."""
    places = np.zeros(2 * len(words) + 1, np.int64)
    places[1::2] = [mark == "x" for mark in words]
    for before, number in (inserted or {}).items():
        places[2 * before] = number
    return places


def _scanned(errors: Errors) -> list[list[int]]:
    """The same cut by a scan: a run of right words closes the segment when it is two long."""
    segments: list[list[int]] = []
    current, right = None, 0
    for position in range(errors.shape[1]):
        at = errors[:, position]
        if at.any():
            current = at.copy() if current is None else current + at
            right = 0
        elif position % 2:
            right += 1
            if right == 2 and current is not None:
                segments.append(current.tolist())
                current = None
    return segments if current is None else [*segments, current.tolist()]


def test_segments_are_cut_where_two_words_are_right_in_both() -> None:
    # Two right words end the first segment; one does not end the second.
    errors = np.stack([_places("x..x.x"), _places("......")])
    assert word_error_segments(errors).tolist() == [[1, 2], [0, 0]]
    # What is right in one system alone does not end a segment.
    assert word_error_segments(np.stack([_places("x...."), _places("..x..")])).tolist() == [[1], [1]]
    # Nor do two right words with an insertion between them.
    assert word_error_segments(_places("x..x", {2: 3})[None]).tolist() == [[5]]
    assert word_error_segments(_places("....")[None]).shape == (1, 0)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=25).filter(lambda rows: len(rows) % 2 == 1))
def test_segments_as_a_scan_finds_them(rows: list[tuple[int, int]]) -> None:
    errors = np.maximum(np.array(rows, np.int64).T - 1, 0)
    errors[:, 1::2] = np.minimum(errors[:, 1::2], 1)
    assert word_error_segments(errors).T.tolist() == _scanned(errors)
    assert word_error_segments(errors).sum() == errors.sum()


def test_closed_form() -> None:
    """Differences 1, 1, 1, -1 over four segments: mean 0.5, deviation 1, W = 1."""
    first = {"u": _places("x..x..x..."), "v": _places("...")}
    second = {"u": _places(".........."), "v": _places("x..")}
    test = mapsswe([first], [second])
    assert (test.segments, test.mean) == (4, 0.5)
    assert test.p_value == pytest.approx(0.31731050786291415)
    back = mapsswe([second], [first])
    assert (back.mean, back.p_value) == (-test.mean, test.p_value)


def test_the_same_errors_are_no_difference() -> None:
    system = {"u": _places("x...x.."), "v": _places("...", {1: 2})}
    assert mapsswe([system], [system]).p_value == 1
    assert mapsswe([{"u": _places("...")}], [{"u": _places("...")}]).segments == 0


def test_few_segments_tell_no_more_than_their_signs() -> None:
    """Three segments that all favour one system: all heads or all tails, one throw in four."""
    first, second = {"u": _places("x..x..x")}, {"u": _places(".......")}
    assert mapsswe([first], [second]).p_value == 0.25
    assert mapsswe([{"u": _places("x")}], [{"u": _places(".")}]).p_value == 1


def test_segments_that_tie_make_few_differences_no_surer() -> None:
    """Three that favour one system among 200: W = 1.74 alone would be p = 0.08, the signs' is one in four."""
    both = "x..." * 197
    first, second = {"u": _places(both + "x..." * 3)}, {"u": _places(both + "...." * 3)}
    test = mapsswe([first], [second])
    assert test.segments == 200
    assert test.p_value == 0.25


def test_several_systems_are_their_mean() -> None:
    first = [{"u": _places("x..x..x")}, {"u": _places("x......")}]
    test = mapsswe(first, [{"u": _places(".......")}])
    assert test.segments == 3
    assert test.mean == pytest.approx((1 + 0.5 + 0.5) / 3)


def test_as_often_significant_as_it_says_where_nothing_differs() -> None:
    """Of 400 pairs of equal systems with shared difficulty, 20 +- 4.4 have p < 0.05; about three deviations pass."""
    rng = np.random.default_rng(11)
    found = 0
    for _ in range(400):
        systems: list[dict[str, Errors]] = [{}, {}]
        for utterance in range(40):
            hard = rng.beta(1, 6)
            for system in systems:
                places = np.zeros(61, np.int64)
                places[1::2] = rng.random(30) < hard
                places[::2] = rng.random(31) < hard / 10
                system[str(utterance)] = places
        found += mapsswe([systems[0]], [systems[1]]).p_value < 0.05
    assert 8 <= found <= 33


def test_agrees_with_the_bootstrap_on_a_large_set() -> None:
    rng = np.random.default_rng(12)
    systems = []
    for rate in (0.115, 0.1):
        wrong = rng.random((800, 20)) < rate
        systems.append({str(n): _places("".join("x" if w else "." for w in row)) for n, row in enumerate(wrong)})
    counts = {name: {utt: float(each.sum()) for utt, each in s.items()} for name, s in zip("ab", systems, strict=True)}
    bootstrap = PairedBootstrap(counts, dict.fromkeys(counts["a"], 20.0)).difference("a", "b").p_value
    assert mapsswe([systems[0]], [systems[1]]).p_value == pytest.approx(bootstrap, abs=0.02)


def test_places_of_errors_in_aligned_words() -> None:
    errors = score_words({"u": "a b c d", "v": "a b"}, {"u": "z a x d"})
    assert errors.places["u"].sum() == errors.utterances["u"].errors
    assert errors.places["v"].tolist() == [0, 1, 0, 1, 0]
    inserted = score_words({"u": "a b"}, {"u": "a z y b"})
    assert inserted.places["u"].tolist() == [0, 0, 2, 0, 0]


def test_other_utterances_and_other_references() -> None:
    with pytest.raises(MismatchError, match="v is scored in only one"):
        mapsswe([{"u": _places("."), "v": _places(".")}], [{"u": _places(".")}])
    with pytest.raises(MismatchError, match="u has another number of words"):
        mapsswe([{"u": _places(".")}], [{"u": _places("..")}])


def test_holm_by_hand() -> None:
    """0.01 * 4, 0.02 * 3, 0.03 * 2, 0.5; the third is no smaller than the second."""
    assert holm([0.5, 0.03, 0.01, 0.02]) == pytest.approx([0.5, 0.06, 0.04, 0.06])
    assert holm([0.7]) == [0.7]
    assert holm([]) == []
    assert holm([0.9, 0.8]) == [1, 1]
