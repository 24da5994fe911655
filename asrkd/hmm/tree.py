"""Triphone decision trees, grown greedily: always the split, of all leaves, that gains most likelihood.

Young, Odell and Woodland 1994, "Tree-based state tying for high accuracy acoustic modelling". Each phone has a tree
of its own; its states (pdf-classes) are told apart by questions like all else. Silence phones do not depend on their
context: one leaf for each state.
"""

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from asrkd.hmm.event_map import PDF_CLASS, ContextTree, Leaf, Node, Split, Table
from asrkd.hmm.gmm import DoubleArray, IntArray
from asrkd.hmm.tree_statistics import TreeStatistics, log_likelihood

LEFT, CENTRE, RIGHT = 0, 1, 2
_COLUMN = {LEFT: 0, RIGHT: 2, PDF_CLASS: 3}


@dataclass(frozen=True)
class TreeLimits:
    """When to stop: leaves in all, and frames that each leaf must have."""

    max_leaves: int
    min_count: float


@dataclass(frozen=True)
class TreeRoots:
    """What each phone begins as.

    ``pdf_classes[phone]`` is each phone's number of pdf-classes; phones of ``unsplit`` get a leaf for each of them;
    phones of ``substitutes`` take the leaves of the phone that it names.
    """

    pdf_classes: Mapping[int, int]
    unsplit: Sequence[int]
    substitutes: Mapping[int, int]


@dataclass(frozen=True)
class BuiltTree:
    """A tree, the statistics of its leaves (num_pdfs, 1 + 2 D), and the log-likelihood gained over its roots."""

    tree: ContextTree
    sums: DoubleArray
    gain: float


@dataclass
class _Growing:
    """A leaf with its rows of the statistics, and once it is split, its question and the two leaves below."""

    rows: IntArray
    question: tuple[int, tuple[int, ...]] | None = None
    below: "list[_Growing]" = field(default_factory=list)


@dataclass(frozen=True)
class _Candidates:
    """All questions: for each, the key and the set of values that answer yes."""

    questions: list[tuple[int, tuple[int, ...]]]
    num_values: int

    @cached_property
    def _tables(self) -> list[tuple[int, NDArray[np.bool_]]]:
        """By key: whether each value answers yes, shape (questions of the key, num_values)."""
        tables = []
        for key in (LEFT, RIGHT, PDF_CLASS):
            sets = [members for of, members in self.questions if of == key]
            table = np.zeros((len(sets), self.num_values), bool)
            for number, members in enumerate(sets):
                table[number, list(members)] = True
            tables.append((_COLUMN[key], table))
        return tables

    def answers(self, keys: IntArray) -> NDArray[np.bool_]:
        """Who answers yes, shape (num_questions, num_rows)."""
        return np.concatenate([table[:, keys[:, column]] for column, table in self._tables])


def build_tree(
    statistics: TreeStatistics, questions: Sequence[tuple[int, ...]], roots: TreeRoots, limits: TreeLimits
) -> BuiltTree:
    """Grow a tree over triphones; ``questions`` are sets of phones, asked of the left and the right neighbour."""
    highest = max(roots.pdf_classes.values())
    asked = [(key, members) for key in (LEFT, RIGHT) for members in questions]
    asked += [(PDF_CLASS, tuple(range(end))) for end in range(1, highest)]
    candidates = _Candidates(asked, max(*roots.pdf_classes, highest) + 1)
    growing = {
        phone: _Growing(np.flatnonzero(statistics.keys[:, 1] == phone))
        for phone in sorted(set(roots.pdf_classes) - set(roots.substitutes) - set(roots.unsplit))
    }
    fixed = sum(roots.pdf_classes[phone] for phone in roots.unsplit)
    gain = _grow(list(growing.values()), statistics, candidates, limits, fixed)
    tree, sums = _frozen(growing, statistics, roots)
    return BuiltTree(tree, sums, gain)


def _grow(
    roots: list[_Growing], statistics: TreeStatistics, candidates: _Candidates, limits: TreeLimits, fixed: int
) -> float:
    """Split leaves, the best first, until the limits are met. Returns the gain in log-likelihood."""
    queue: list[tuple[float, int, _Growing, int, NDArray[np.bool_]]] = []
    leaves, count, total = fixed + len(roots), 0, 0.0

    def consider(leaf: _Growing) -> None:
        nonlocal count
        if best := _best_split(leaf.rows, statistics, candidates, limits.min_count):
            heapq.heappush(queue, (-best[0], count, leaf, best[1], best[2]))
            count += 1

    for root in roots:
        consider(root)
    while queue and leaves < limits.max_leaves:
        loss, _, leaf, number, yes = heapq.heappop(queue)
        total -= loss
        leaf.question = candidates.questions[number]
        leaf.below = [_Growing(leaf.rows[yes]), _Growing(leaf.rows[~yes])]
        leaves += 1
        for child in leaf.below:
            consider(child)
    return total


def _best_split(
    rows: IntArray, statistics: TreeStatistics, candidates: _Candidates, min_count: float
) -> tuple[float, int, NDArray[np.bool_]] | None:
    """Gain, question and answers of the best split that leaves ``min_count`` frames on both sides; None if none."""
    if len(rows) < 2:
        return None
    answers = candidates.answers(statistics.keys[rows])
    sums = statistics.sums[rows]
    total = sums.sum(axis=0)
    counts = answers @ sums[:, 0]
    allowed = np.flatnonzero((counts >= min_count) & (total[0] - counts >= min_count) & answers.any(axis=1))
    if not len(allowed):
        return None
    yes = answers[allowed].astype(np.float64) @ sums
    gains = log_likelihood(yes) + log_likelihood(total - yes) - log_likelihood(total)
    best = int(np.argmax(gains))
    if gains[best] <= 0:
        return None
    return float(gains[best]), int(allowed[best]), answers[allowed[best]]


def _frozen(
    growing: Mapping[int, _Growing], statistics: TreeStatistics, roots: TreeRoots
) -> tuple[ContextTree, DoubleArray]:
    """Number the leaves, phone by phone and from left to right."""
    sums: list[DoubleArray] = []

    def leaf(rows: IntArray) -> Leaf:
        sums.append(statistics.sums[rows].sum(axis=0))
        return Leaf(len(sums) - 1)

    def freeze(node: _Growing) -> Node:
        if node.question is None:
            return leaf(node.rows)
        key, members = node.question
        return Split(key, members, freeze(node.below[0]), freeze(node.below[1]))

    def classes(phone: int) -> Node:
        own = statistics.keys[:, 1] == phone
        numbers = range(roots.pdf_classes[phone])
        return Table(PDF_CLASS, tuple(leaf(np.flatnonzero(own & (statistics.keys[:, 3] == n))) for n in numbers))

    children: list[Node | None] = [None] * (max(roots.pdf_classes) + 1)
    for phone in sorted({*growing, *roots.unsplit}):
        children[phone] = freeze(growing[phone]) if phone in growing else classes(phone)
    for phone, representative in roots.substitutes.items():
        children[phone] = children[representative]
    return ContextTree(3, CENTRE, Table(CENTRE, tuple(children))), np.stack(sums)
