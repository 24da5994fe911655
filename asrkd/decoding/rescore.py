"""Lattice rescoring: the best path when another language model takes the place of the graph's own.

A path's cost in the lattice holds the graph's model already; what it costs there is taken off word by word, and the
other model's cost put in its place (Kaldi's ``lattice-lmrescore``). A graph lets words back off although their n-gram
is there, so its model's cost is that of the best of these ways, not the n-gram's. The path is the best of all in the
lattice: histories are told apart as far as either model tells them apart, and no alternative is dropped.
"""

import math
import time
from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asrkd.core.errors import MismatchError
from asrkd.core.messages import say
from asrkd.decoding.config import DecodeConfig
from asrkd.decoding.lattice import Lattice, LatticeSearch
from asrkd.decoding.search import BestPath, checked
from asrkd.graph.graph import Graph
from asrkd.lang.lm import check_words, identity, open_table
from asrkd.lang.ngram_table import NgramTable, State

Words = tuple[int, "Words"] | None
"""The words of a path, the last one first."""
Routes = tuple[tuple[State, float], ...]
"""Histories in which a graph's grammar may be after the same words, each with its cost beyond the best way's."""
_States = tuple[Routes, State]
_Token = tuple[float, Words]

_CACHE_SIZE = 100_000
_TOLERANCE = 1e-6
"""Below which costs are the same: float32's rounding."""
_NEVER: _Token = (math.inf, None)


class BackoffRoutes:
    """A model's costs as its graph has them: of the cheapest way, where any n-gram may be left for a shorter one."""

    def __init__(self, table: NgramTable):
        self._table = table
        self.start: Routes = ((table.start, 0.0),)

    def cost(self, routes: Routes, word: int) -> tuple[float, Routes]:
        """By how much ``word`` raises the cost of the cheapest way, and the routes after it.

        Infinity for a word without a unigram.
        """
        reached: dict[State, float] = {}
        for history, cost in self._backed_off(routes):
            if (log_prob := self._table.explicit(history, word)) is not None:
                following = self._table.after((*history, word))
                reached[following] = min(cost - log_prob, reached.get(following, math.inf))
        if not reached:
            return math.inf, ()
        best = min(reached.values())
        return best, self._needed({history: cost - best for history, cost in reached.items()})

    def end(self, routes: Routes) -> float:
        """By how much a sentence's end raises the cost of the cheapest way."""
        return self.cost(routes, self._table.end)[0]

    def _backed_off(self, routes: Routes) -> Iterator[tuple[State, float]]:
        """All histories from the longest on, of which all are ends, with what backing off to shorter ones costs."""
        costs = dict(routes)
        longest = max(costs, key=len)
        for length in range(len(longest), -1, -1):
            history = longest[len(longest) - length :]
            if (cost := costs.get(history)) is not None:
                yield history, cost
                if length:
                    shorter = history[1:]
                    costs[shorter] = min(cost - self._table.backoff(history), costs.get(shorter, math.inf))

    def _needed(self, costs: dict[State, float]) -> Routes:
        """Those that backing off from a longer one does not reach as cheaply."""
        needed, reached = [], math.inf
        longest = max(costs, key=len)
        for length in range(len(longest), -1, -1):
            history = longest[len(longest) - length :]
            cost = costs.get(history, math.inf)
            if cost < reached - _TOLERANCE:
                needed.append((history, round(cost, 6)))
                reached = cost
            reached -= self._table.backoff(history)
        return tuple(needed)


class Rescorer:
    """Replaces language model ``old``, which is in lattices' costs, by ``new``; both over the graph's word ids.

    ``name`` says which the new one is.
    """

    def __init__(self, old: NgramTable, new: NgramTable, name: str = ""):
        self._old, self._new, self.name = BackoffRoutes(old), new, name
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
            old, routes = self._old.cost(states[0], word)
            log_prob, state = self._new.score(states[1], word)
            if len(self._steps) >= _CACHE_SIZE:
                self._steps.clear()
            step = self._steps[states, word] = (-log_prob - old, (routes, state))
        return step

    def _end(self, states: _States, partial: bool) -> float:
        """A path that was cut off before its end has no end in its cost."""
        return 0.0 if partial else -self._new.score(states[1], self._new.end)[0] - self._old.end(states[0])


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
        self._search = LatticeSearch(graph.arrays(), config)
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
            score=-cost if best else 0.0,
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
    words = graph.word_ids.astype(np.int64)
    if graph.lm is None:
        say(f"{graph.path} was made elsewhere and does not say by which language model: {old} is taken for it")
    if (graph.lm or identity(old)) != identity(old) or not tables[0].has(words).all():
        raise MismatchError(
            f"{old} is not the language model that graph {graph.path} was made with: give that one as --lm, since its "
            "scores are taken off"
        )
    if len(lacking := words[~tables[1].has(words)]):
        example = graph.words[int(lacking[0])]
        say(f"{new} lacks {len(lacking)} words of the graph, such as {example}: they are never recognised")
    return Rescorer(*tables, name=identity(new))
