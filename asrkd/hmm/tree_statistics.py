"""What a tree is built from: how the frames of each phone in context are distributed, as sums of x and x^2."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asrkd.hmm.gmm import DoubleArray, FloatArray, IntArray
from asrkd.hmm.transitions import Int32Array, TransitionTables, phone_contexts

VARIANCE_FLOOR = 0.01
"""Of the Gaussians that likelihoods are judged by: cepstra have variances of about one and more."""

MAX_ROWS = 500_000
"""Rows of statistics that wait to be pooled: 320 MB of them for features of 39 dimensions."""


@dataclass(frozen=True)
class TreeStatistics:
    """``keys`` (n, 4): left phone, phone, right phone, pdf-class, sorted and distinct. ``sums`` (n, 1 + 2 D): count,
    sums of x, sums of x^2 of their frames."""

    keys: IntArray
    sums: DoubleArray

    @property
    def dim(self) -> int:
        return (self.sums.shape[1] - 1) // 2

    @property
    def phones(self) -> list[int]:
        """Phones that have frames."""
        return np.unique(self.keys[:, 1]).tolist()


def collect(
    alignments: Sequence[Int32Array],
    feats: Sequence[FloatArray],
    tables: TransitionTables,
    context_independent: Collection[int],
) -> TreeStatistics:
    """Statistics of aligned utterances; the phones ``context_independent`` are pooled over all contexts."""
    ids = np.concatenate(alignments)
    contexts = np.concatenate([phone_contexts(alignment, tables) for alignment in alignments])
    keys = np.column_stack([contexts, tables.pdf_class[ids]]).astype(np.int64)
    pooled = np.isin(keys[:, 1], list(context_independent))
    keys[pooled, 0] = keys[pooled, 2] = 0
    values = np.concatenate(feats).astype(np.float64)
    return _pooled(keys, np.column_stack([np.ones(len(values)), values, values * values]))


def merge(parts: Iterable[TreeStatistics]) -> TreeStatistics:
    """The statistics of all ``parts`` together. They are pooled whenever they have `MAX_ROWS`, which bounds memory."""
    waiting: list[TreeStatistics] = []
    for part in parts:
        waiting.append(part)
        if sum(len(each.keys) for each in waiting) > MAX_ROWS:
            waiting = [_merged(waiting)]
    return _merged(waiting)


def _merged(parts: Sequence[TreeStatistics]) -> TreeStatistics:
    return _pooled(np.concatenate([part.keys for part in parts]), np.concatenate([part.sums for part in parts]))


def _pooled(keys: IntArray, values: DoubleArray) -> TreeStatistics:
    distinct, inverse = np.unique(keys, axis=0, return_inverse=True)
    order = np.argsort(inverse.ravel(), kind="stable")
    starts = np.searchsorted(inverse.ravel()[order], np.arange(len(distinct)))
    return TreeStatistics(distinct, np.add.reduceat(values[order], starts, axis=0))


def log_likelihood(sums: DoubleArray) -> DoubleArray:
    """Log-likelihood of the frames behind ``sums`` (.., 1 + 2 D) under their own Gaussian, shape (..)."""
    dim = (sums.shape[-1] - 1) // 2
    count = sums[..., 0]
    safe = np.maximum(count, 1e-10)[..., None]
    mean = sums[..., 1 : 1 + dim] / safe
    variance = np.maximum(sums[..., 1 + dim :] / safe - mean**2, VARIANCE_FLOOR)
    return np.where(count > 0, -0.5 * count * (np.log(2 * np.pi * variance) + 1).sum(axis=-1), 0.0)


def phone_questions(statistics: TreeStatistics, phones: Collection[int]) -> list[tuple[int, ...]]:
    """Sets of ``phones`` that sound alike: every node of an agglomerative clustering of their middle states.

    Phones without frames are in no set. Smallest sets first. After Kaldi's ``cluster-phones``.
    """
    clusters: list[tuple[tuple[int, ...], NDArray[np.float64]]] = []
    for phone in sorted(phones):
        rows = statistics.keys[:, 1] == phone
        if rows.any():
            middle = rows & (statistics.keys[:, 3] == (statistics.keys[rows, 3].max()) // 2)
            clusters.append(((phone,), statistics.sums[middle if middle.any() else rows].sum(axis=0)))
    questions = {members for members, _ in clusters}
    while len(clusters) > 1:
        sums = np.stack([total for _, total in clusters])
        own = log_likelihood(sums)
        first, second = np.triu_indices(len(clusters), 1)
        loss = own[first] + own[second] - log_likelihood(sums[first] + sums[second])
        nearest = int(np.argmin(loss))
        a, b = int(first[nearest]), int(second[nearest])
        joined = (tuple(sorted(clusters[a][0] + clusters[b][0])), clusters[a][1] + clusters[b][1])
        clusters = [cluster for number, cluster in enumerate(clusters) if number not in (a, b)] + [joined]
        questions.add(joined[0])
    return sorted(questions, key=lambda members: (len(members), members))
