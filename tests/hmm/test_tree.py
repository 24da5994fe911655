"""Growing trees where the right splits are known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrkd.hmm.event_map import Split
from asrkd.hmm.tree import LEFT, RIGHT, BuiltTree, TreeLimits, TreeRoots, build_tree
from asrkd.hmm.tree_statistics import TreeStatistics, log_likelihood

SILENCE, UNSEEN = 1, 4
ROOTS = TreeRoots({1: 2, 2: 2, 3: 2, 4: 2}, unsplit=[SILENCE], substitutes={UNSEEN: SILENCE})
QUESTIONS = [(2,), (3,), (2, 3)]


def statistics(mean_of: dict[tuple[int, int, int, int], float], count: int = 100) -> TreeStatistics:
    """Unit variance around ``mean_of`` each key, exactly."""
    keys = np.array(sorted(mean_of))
    means = np.array([mean_of[tuple(key)] for key in keys.tolist()])
    return TreeStatistics(
        keys, np.column_stack([np.full(len(keys), count), count * means, count * (means**2 + 1)]).astype(float)
    )


def grown(mean_of: dict[tuple[int, int, int, int], float], leaves: int, min_count: float = 10.0) -> BuiltTree:
    return build_tree(statistics(mean_of), QUESTIONS, ROOTS, TreeLimits(leaves, min_count))


SILENT = {(0, SILENCE, 0, 0): 0.0, (0, SILENCE, 0, 1): 5.0}


@pytest.mark.parametrize(("key", "column"), [(LEFT, 0), (RIGHT, 2)])
def test_the_neighbour_that_matters_is_asked_for(key: int, column: int) -> None:
    """Phone 2 sounds otherwise beside a 3; its states, and the other neighbour, make no difference."""
    means = dict(SILENT)
    for left in (2, 3):
        for right in (2, 3):
            for state in (0, 1):
                means[left, 2, right, state] = 10.0 if (left, 2, right)[column] == 3 else 0.0
    built = grown(means, leaves=5)
    node = built.tree.root.children[2]  # type: ignore[union-attr]
    assert isinstance(node, Split)
    assert (node.key, node.yes_set) in {(key, (2,)), (key, (3,))}
    assert built.tree.num_pdfs == 5  # two of silence, two of phone 2, one of phone 3 (which has no frames)
    beside, apart = ((3, 2, 2), (2, 2, 2)) if key == LEFT else ((2, 2, 3), (2, 2, 2))
    assert built.tree.pdf(beside, 0) == built.tree.pdf(beside, 1) != built.tree.pdf(apart, 0)


def test_the_gain_is_the_likelihood_gained() -> None:
    means = {**SILENT, (2, 2, 2, 0): 0.0, (3, 2, 2, 0): 10.0, (2, 2, 2, 1): 30.0, (3, 3, 3, 0): 1.0}
    stats = statistics(means)
    built = build_tree(stats, QUESTIONS, ROOTS, TreeLimits(6, 10.0))
    before = sum(float(log_likelihood(stats.sums[stats.keys[:, 1] == phone].sum(axis=0))) for phone in (2, 3))
    after = float(log_likelihood(built.sums[2:]).sum())
    assert built.gain == pytest.approx(after - before)
    assert built.sums[:, 0].sum() == stats.sums[:, 0].sum()


def test_the_best_split_comes_first() -> None:
    """With one split to give, it goes to the phone where it gains most."""
    means = {**SILENT, (2, 2, 2, 0): 0.0, (3, 2, 2, 0): 3.0, (2, 3, 2, 0): 0.0, (3, 3, 2, 0): 30.0}
    built = grown(means, leaves=5)
    assert built.tree.pdf((2, 3, 2), 0) != built.tree.pdf((3, 3, 2), 0)
    assert built.tree.pdf((2, 2, 2), 0) == built.tree.pdf((3, 2, 2), 0)


def test_leaves_keep_their_least_number_of_frames() -> None:
    means = {**SILENT, (2, 2, 2, 0): 0.0, (3, 2, 2, 0): 30.0, (3, 3, 3, 0): 0.0}
    assert grown(means, leaves=10, min_count=101.0).tree.num_pdfs == 4
    assert grown(means, leaves=10, min_count=100.0).tree.num_pdfs == 5


def test_silence_is_free_of_context_and_unseen_phones_take_its_leaves() -> None:
    tree = grown({**SILENT, (2, 2, 2, 0): 0.0, (3, 3, 3, 0): 0.0}, leaves=10).tree
    assert [tree.pdf((left, SILENCE, right), 1) for left in (0, 2) for right in (0, 3)] == [1, 1, 1, 1]
    assert [tree.pdf((2, UNSEEN, 3), state) for state in (0, 1)] == [0, 1]


@given(st.integers(0, 2**32 - 1), st.integers(4, 12))
def test_every_triphone_state_has_one_leaf_and_kaldi_agrees(seed: int, leaves: int) -> None:
    rng = np.random.default_rng(seed)
    means = dict(SILENT)
    for left, phone, right, state in rng.integers((1, 2, 1, 0), (4, 4, 4, 2), (40, 4)).tolist():
        means[left, phone, right, state] = float(rng.normal(0, 5))
    built = grown(means, leaves)
    assert built.tree.num_pdfs == len(built.sums) <= max(leaves, 4)
    counts = np.zeros(built.tree.num_pdfs)
    for left, phone, right, state in means:
        pdf = built.tree.pdf((left, phone, right), state)
        assert (True, pdf) == tuple(built.tree.kaldi.compute([left, phone, right], state))
        counts[pdf] += 100
    np.testing.assert_array_equal(counts, built.sums[:, 0])
