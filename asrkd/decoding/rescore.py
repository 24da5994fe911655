"""Lattice rescoring: the best path when another language model takes the place of the graph's own.

A path's cost in the lattice holds the graph's model already; its cost there is taken off word by word, and the other
model's put in its place (Kaldi's ``lattice-lmrescore``). The path is the best of all in the lattice: histories are told
apart as far as either model tells them apart, and no alternative is dropped.
"""

import math
import sys
import time
from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asrkd.core.errors import MismatchError
from asrkd.decoding.config import DecodeConfig
from asrkd.decoding.lattice import Lattice, LatticeSearch
from asrkd.decoding.search import BestPath, checked
from asrkd.graph.graph import Graph
from asrkd.lang.lm import check_words, identity, open_table
from asrkd.lang.ngram_table import NgramTable, State

Words = tuple[int, "Words"] | None
"""The words of a path, the last one first."""
_States = tuple[State, State]
_Token = tuple[float, Words]

_CACHE_SIZE = 1_000_000


class Rescorer:
    """Replaces language model ``old``, which is in lattices' costs, by ``new``; both over the graph's word ids."""

    def __init__(self, old: NgramTable, new: NgramTable):
        self._old, self._new = old, new
        self._steps: dict[tuple[_States, int], tuple[float, _States]] = {}

    def best(self, lattice: Lattice) -> tuple[float, list[int]] | None:
        """Cost and word ids of the best path; None where ``new`` holds every path for impossible."""
        tokens: list[dict[_States, _Token]] = [{} for _ in range(lattice.num_nodes)]
        tokens[0][self._old.start, self._new.start] = (0.0, None)
        for source, arcs in _by_source(lattice):
            here = tokens[source]
            for _, target, word, cost in arcs:
                there = tokens[target]
                for states, (before, words) in here.items():
                    total, following, said = before + cost, states, words
                    if word:
                        change, following = self._step(states, word)
                        total, said = total + change, (word, words)
                    if total < there.get(following, _NEVER)[0]:
                        there[following] = (total, said)
            if not np.isfinite(lattice.final[source]):
                here.clear()
        ends = [
            (cost + final + self._end(states, lattice.partial), words)
            for node, final in enumerate(lattice.final.tolist())
            if final < math.inf
            for states, (cost, words) in tokens[node].items()
        ]
        cost, words = min(ends, key=itemgetter(0), default=_NEVER)
        return (cost, _spelled(words)) if cost < math.inf else None

    def _step(self, states: _States, word: int) -> tuple[float, _States]:
        step = self._steps.get((states, word))
        if step is None:
            old, old_state = self._old.score(states[0], word)
            new, new_state = self._new.score(states[1], word)
            if len(self._steps) >= _CACHE_SIZE:
                self._steps.clear()
            step = self._steps[states, word] = (old - new, (old_state, new_state))
        return step

    def _end(self, states: _States, partial: bool) -> float:
        """A path that was cut off before its end has no end in its cost."""
        return 0.0 if partial else self._old.end(states[0]) - self._new.end(states[1])


_NEVER: _Token = (math.inf, None)


def _by_source(lattice: Lattice) -> Iterator[tuple[int, Iterator[tuple[int, int, int, float]]]]:
    """Arcs as (source, target, word, cost), grouped by source, in topological order."""
    columns = (lattice.source, lattice.target, lattice.word, lattice.cost)
    return groupby(zip(*(column.tolist() for column in columns), strict=True), key=itemgetter(0))


def _spelled(words: Words) -> list[int]:
    spelled = []
    while words is not None:
        word, words = words
        spelled.append(word)
    return spelled[::-1]


class RescoringSearcher:
    """In the place of a `Searcher`: lattices by the graph, the best path in them by another language model."""

    def __init__(self, graph: Graph, config: DecodeConfig, rescorer: Rescorer):
        self._graph = graph
        self._search = LatticeSearch(graph.arrays, config)
        self._rescorer = rescorer

    def decode(self, utt_id: str, log_likelihoods: NDArray[np.floating[Any]]) -> BestPath:
        """As `Searcher.decode`, and raises what it raises; ``score`` has the other language model in it."""
        start = time.perf_counter()
        matrix = checked(self._graph, utt_id, log_likelihoods)
        lattice = self._search.search(matrix) if len(matrix) else None
        best = None if lattice is None else self._rescorer.best(lattice)
        cost, word_ids = best or (0.0, [])
        return BestPath(
            utt_id,
            tuple(self._graph.words[word] for word in word_ids),
            partial=lattice is not None and lattice.partial and best is not None,
            failed=best is None,
            score=-cost,
            num_frames=len(matrix),
            seconds=time.perf_counter() - start,
        )


def open_rescorer(graph: Graph, old: Path, new: Path) -> Rescorer:
    """From two folders of `asrkd lm`: the graph's own model, and the one to take its place.

    Raises MismatchError where ``old`` is not the graph's, or either is a model of other words.
    """
    for lm in (old, new):
        check_words(lm, graph.path)
    tables = open_table(old), open_table(new)
    words = np.setdiff1d(graph.arrays.arcs["olabel"], [0]).astype(np.int64)
    if (graph.lm or identity(old)) != identity(old) or not tables[0].has(words).all():
        raise MismatchError(
            f"{old} is not the language model that graph {graph.path} was made with: give that one as --lm, since its "
            "scores are taken off"
        )
    if len(lacking := words[~tables[1].has(words)]):
        example = graph.words[int(lacking[0])]
        print(
            f"{new} lacks {len(lacking)} words of the graph, such as {example}: they are never recognised",
            file=sys.stderr,
            flush=True,
        )
    return Rescorer(*tables)
