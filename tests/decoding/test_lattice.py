"""Lattices against all paths of small graphs, and their best path against Kaldi's search."""

import itertools
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import kaldiio
import numpy as np
import pytest
from hypothesis import given, settings
from numpy.typing import NDArray

from asrkd.core.errors import DataError
from asrkd.decoding.acoustic import scaled
from asrkd.decoding.config import DecodeConfig
from asrkd.decoding.lattice import Lattice, LatticeSearch
from asrkd.decoding.search import Searcher
from asrkd.graph.graph import Graph
from tests.decoding.graphs import WIDE, Arc, Case, GraphWriter, WordCosts, cost_of_states, random_graph, random_graphs

Path_ = tuple[tuple[int, ...], float]


def lattice_paths(lattice: Lattice) -> list[Path_]:
    """Words and cost of every path."""
    leaving: dict[int, list[int]] = {}
    for arc, source in enumerate(lattice.source.tolist()):
        leaving.setdefault(source, []).append(arc)

    def onward(node: int) -> list[Path_]:
        found: list[Path_] = [((), float(lattice.final[node]))] if np.isfinite(lattice.final[node]) else []
        for arc in leaving.get(node, []):
            word, cost = int(lattice.word[arc]), float(lattice.cost[arc])
            found += [
                ((word, *words) if word else words, cost + rest) for words, rest in onward(int(lattice.target[arc]))
            ]
        return found

    return onward(0)


def graph_paths(arcs: list[Arc], final: list[float], matrix: NDArray[np.float32]) -> list[Path_]:
    """Words and cost of every way through a graph that takes all frames and ends in a final state."""

    def onward(state: int, frame: int) -> list[Path_]:
        found: list[Path_] = [((), final[state])] if frame == len(matrix) and np.isfinite(final[state]) else []
        for source, target, label, word, cost in arcs:
            if source != state or (label and frame == len(matrix)):
                continue
            step = cost - float(matrix[frame, label - 1]) if label else cost
            rest = onward(target, frame + 1 if label else frame)
            found += [((word, *words) if word else words, step + tail) for words, tail in rest]
        return found

    return onward(0, 0)


@settings(max_examples=150, deadline=None)
@given(random_graphs())
def test_a_lattice_holds_the_paths_within_its_beam_and_no_arc_beside_them(
    write_graph: GraphWriter, tmp_path_factory: pytest.TempPathFactory, drawn: Case
) -> None:
    arcs, final, matrix = drawn
    graph = random_graph(write_graph, tmp_path_factory.mktemp("graph"), drawn)
    config = DecodeConfig(beam=1000.0, max_active=100_000, lattice_beam=2.0)
    lattice = LatticeSearch(graph.arrays(), config).search(matrix)
    whole = graph_paths(arcs, final, matrix)
    if lattice is None or lattice.partial:
        assert not whole
        return
    best = min(cost for _, cost in whole)
    near = sorted((words, cost) for words, cost in whole if cost <= best + 2.0 - 1e-4)
    paths = lattice_paths(lattice)
    found = sorted((words, cost) for words, cost in paths if cost <= best + 2.0 - 1e-4)
    assert [words for words, _ in found] == [words for words, _ in near]
    assert np.allclose([cost for _, cost in found], [cost for _, cost in near], atol=1e-4)
    assert (lattice.source < lattice.target).all()
    assert (np.diff(lattice.source) >= 0).all()
    ways = best_ways(lattice)
    assert (ways <= best + 2.0 + 1e-4).all()


def best_ways(lattice: Lattice) -> NDArray[np.float64]:
    """The cost of the best path over each arc, by the lattice alone."""
    to, onward = np.full(lattice.num_nodes, np.inf), lattice.final.copy()
    to[0] = 0.0
    arcs = list(zip(lattice.source.tolist(), lattice.target.tolist(), lattice.cost.tolist(), strict=True))
    for source, target, cost in arcs:
        to[target] = min(to[target], to[source] + cost)
    for source, target, cost in reversed(arcs):
        onward[source] = min(onward[source], cost + onward[target])
    return to[lattice.source] + lattice.cost + onward[lattice.target]


@pytest.mark.parametrize("num_frames", [4, 30, 60, 130])
def test_the_best_path_is_kaldis(word_loop: Graph, num_frames: int) -> None:
    """Longer ones are pruned on the way, which must not change them."""
    searcher, lattices = Searcher(word_loop, WIDE), LatticeSearch(word_loop.arrays(), WIDE)
    for seed in range(5):
        matrix = np.random.default_rng(seed).normal(0, 3, (num_frames, 4)).astype(np.float32)
        lattice = lattices.search(matrix)
        assert lattice is not None
        ways = best_ways(lattice)
        assert ways.min() == pytest.approx(-searcher.decode("u", matrix).score, abs=1e-3)
        assert ways.max() <= ways.min() + WIDE.lattice_beam + 1e-6


def test_a_narrow_search_may_miss_the_best_path(word_loop: Graph) -> None:
    """Never for the better; and a least number of states loses less than the beam alone."""

    def lost(**narrow: Any) -> list[float]:
        wide, search = (
            LatticeSearch(word_loop.arrays(), WIDE),
            LatticeSearch(word_loop.arrays(), replace(WIDE, **narrow)),
        )
        costs = []
        for seed in range(20):
            matrix = np.random.default_rng(seed).normal(0, 1, (40, 4)).astype(np.float32)
            best, found = wide.search(matrix), search.search(matrix)
            assert best is not None
            assert found is not None
            if not found.partial:
                costs.append(best_ways(found).min() - best_ways(best).min())
        return costs

    few, near, more = (lost(max_active=2, min_active=0), lost(beam=1.0, min_active=0), lost(beam=1.0, min_active=7))
    assert min(few + near + more) > -1e-6
    assert max(few) > 1
    assert np.mean(near) > 2 * np.mean(more)


def test_alternatives_are_those_of_brute_force(word_loop: Graph, word_costs: WordCosts) -> None:
    lexicon, stay, end = word_costs
    matrix = np.random.default_rng(1).normal(0, 2, (7, 4)).astype(np.float32)
    costs = {}
    for length in (1, 2, 3):
        for words in itertools.product(lexicon, repeat=length):
            states = [pdf for word in words for pdf in lexicon[word][0]]
            ids = tuple(list(lexicon).index(word) + 1 for word in words)
            costs[ids] = cost_of_states(states, matrix, stay) + sum(lexicon[word][1] for word in words) + end
    lattice = LatticeSearch(word_loop.arrays(), WIDE).search(matrix)
    assert lattice is not None
    found: dict[tuple[int, ...], float] = {}
    for way, cost in lattice_paths(lattice):
        found[way] = min(cost, found.get(way, math.inf))
    best = min(costs.values())
    near = {ids: cost for ids, cost in costs.items() if cost <= best + WIDE.lattice_beam}
    assert len(near) > 3
    assert {ids: pytest.approx(cost, abs=1e-3) for ids, cost in near.items()}.items() <= found.items()


def test_frames_without_a_way_on_have_no_lattice(write_graph: GraphWriter, tmp_path: Path) -> None:
    graph = write_graph(tmp_path, "0 1 1 1 0.5\n1\n", {"ONE": 1}, 1)
    search = LatticeSearch(graph.arrays(), WIDE)
    assert search.search(np.zeros((2, 1), np.float32)) is None
    lattice = search.search(np.zeros((1, 1), np.float32))
    assert lattice is not None
    assert lattice_paths(lattice) == [((1,), 0.5)]


def test_a_path_that_ends_nowhere_is_partial(write_graph: GraphWriter, tmp_path: Path) -> None:
    graph = write_graph(tmp_path, "0 1 1 1 0.5\n1 2 1 2 0.5\n2 3 1 3 0.5\n3\n", {"A": 1, "B": 2, "C": 3}, 1)
    lattice = LatticeSearch(graph.arrays(), WIDE).search(np.zeros((2, 1), np.float32))
    assert lattice is not None
    assert lattice.partial
    assert lattice_paths(lattice) == [((1, 2), 1.0)]


def test_a_cycle_of_epsilons_is_refused(write_graph: GraphWriter, tmp_path: Path) -> None:
    """Also one that makes nothing cheaper, and so is never gone round."""
    graph = write_graph(tmp_path, "0 1 1 1 0.5\n1 2 0 0 0.1\n2 1 0 0 0\n2\n", {"ONE": 1}, 1)
    with pytest.raises(DataError, match="has a cycle of epsilon arcs"):
        LatticeSearch(graph.arrays(), WIDE).search(np.zeros((1, 1), np.float32))


@pytest.mark.parametrize("beam", [2.0, 4.0, 13.0])
def test_narrow_beams_lose_no_more_than_kaldis(shared_dir: Path, kaldi_graph: Graph, beam: float) -> None:
    config = DecodeConfig(beam=beam, max_active=2000, min_active=200, lattice_beam=2.0)
    searcher, lattices = Searcher(kaldi_graph, config), LatticeSearch(kaldi_graph.arrays(), config)
    path = shared_dir / "kaldi-exp/data/test/loglikes-first5.ark"
    for utt_id, matrix in kaldiio.load_ark(str(path)):
        lattice = lattices.search(scaled(matrix, 1 / 13))
        assert lattice is not None
        assert best_ways(lattice).min() <= -searcher.decode(utt_id, scaled(matrix, 1 / 13)).score + 0.1
