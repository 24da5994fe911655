"""Statistics of triphones, and the questions drawn from them."""

from typing import Any

import numpy as np
import pytest
import scipy.stats

from asrkd.hmm import tree_statistics
from asrkd.hmm.tied_states import TiedStates
from asrkd.hmm.tree_statistics import TreeStatistics, collect, log_likelihood, merge, phone_questions


def sums_of(values: np.ndarray) -> np.ndarray:
    return np.concatenate([[len(values)], values.sum(axis=0), (values**2).sum(axis=0)])


def test_log_likelihood_is_that_of_the_fitted_gaussian() -> None:
    values = np.random.default_rng(0).normal(2.0, 1.5, (80, 3))
    expected = scipy.stats.norm.logpdf(values, values.mean(axis=0), values.std(axis=0)).sum()
    assert log_likelihood(sums_of(values)) == pytest.approx(expected)
    assert log_likelihood(np.zeros(7)) == 0.0


def test_phones_that_sound_alike_share_a_question() -> None:
    """Phones 1 and 2 are near each other, so are 3 and 4; 5 has no frames."""
    rng = np.random.default_rng(1)
    keys = np.array([[0, phone, 0, state] for phone in (1, 2, 3, 4) for state in range(3)])
    centres = {1: 0.0, 2: 0.5, 3: 9.0, 4: 9.5}
    sums = np.stack([sums_of(rng.normal(centres[phone], 1.0, (50, 2))) for phone in (1, 2, 3, 4) for _ in range(3)])
    questions = phone_questions(TreeStatistics(keys, sums), [1, 2, 3, 4, 5])
    assert questions == [(1,), (2,), (3,), (4,), (1, 2), (3, 4), (1, 2, 3, 4)]


def test_collected_sums_are_those_of_the_frames(mono: TiedStates) -> None:
    """Of a hand-made alignment: B, AA, B with one frame for each state."""
    tables = mono.tables
    ids = []
    for phone in ("B", "AA", "B"):
        of = (tables.phone == mono.phones[phone]) & ~tables.self_loop
        ids += [int(np.flatnonzero(of & (tables.hmm_state == state))[0]) for state in range(3)]
    feats = np.arange(18, dtype=np.float32).reshape(9, 2)
    b, aa = mono.phones["B"], mono.phones["AA"]
    statistics = collect([np.array(ids, np.int32)], [feats], tables, [])
    expected = [[0, b, aa, s] for s in range(3)] + [[aa, b, 0, s] for s in range(3)] + [[b, aa, b, s] for s in range(3)]
    assert statistics.keys.tolist() == sorted(expected)
    assert statistics.phones == sorted([b, aa])
    row = statistics.keys.tolist().index([b, aa, b, 1])
    np.testing.assert_array_equal(statistics.sums[row], [1, 8, 9, 64, 81])


def test_context_independent_phones_are_pooled_and_parts_merge(mono: TiedStates) -> None:
    tables = mono.tables
    path = [
        int(np.flatnonzero((tables.phone == mono.phones["B"]) & (tables.hmm_state == s) & ~tables.self_loop)[0])
        for s in range(3)
    ]
    twice = np.array(path * 2, np.int32)
    feats = np.ones((6, 2), np.float32)
    pooled = collect([twice], [feats], tables, [mono.phones["B"]])
    assert pooled.keys[:, [0, 2]].any() == 0
    np.testing.assert_array_equal(pooled.sums[:, 0], 2)
    both = merge([pooled, pooled])
    np.testing.assert_array_equal(both.keys, pooled.keys)
    np.testing.assert_array_equal(both.sums, 2 * pooled.sums)


def test_statistics_that_wait_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    parts = []
    for _ in range(20):
        keys = np.unique(rng.integers(0, 3, (10, 4)), axis=0)
        parts.append(TreeStatistics(keys, rng.integers(0, 9, (len(keys), 5)).astype(np.float64)))
    whole = merge(parts)
    most = 0
    pooled = tree_statistics._pooled

    def noted(keys: Any, values: Any) -> TreeStatistics:
        nonlocal most
        most = max(most, len(keys))
        return pooled(keys, values)

    monkeypatch.setattr(tree_statistics, "_pooled", noted)
    monkeypatch.setattr(tree_statistics, "MAX_ROWS", 90)
    bounded = merge(iter(parts))
    np.testing.assert_array_equal(bounded.keys, whole.keys)
    np.testing.assert_array_equal(bounded.sums, whole.sums)
    assert most <= 100
