"""Viterbi beam search that keeps alternatives: every path that is nearly as good as the best, as a lattice.

Kaldi's wheels search fast, but give the best path alone. This is the same search over arrays, all active states of a
frame in one expression, with the lattice pruning of Povey et al. (2012), "Generating exact lattices in the WFST
framework": an arc stays whose best path costs no more than the best of all plus ``lattice_beam``.
"""

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asrkd.core.errors import DataError
from asrkd.decoding.config import DecodeConfig
from asrkd.lang.fst import FstArrays

Ints = NDArray[np.integer[Any]]
Costs = NDArray[np.float64]

_PRUNE_INTERVAL = 25
"""Frames after which arcs that no longer matter are dropped, which bounds the memory; no influence on the result."""
_CYCLE = "the graph has a cycle of epsilon arcs: was it made without disambiguation symbols?"
_BEAM_DELTA = 0.5
"""What a beam that the number of active states has set gains for the next frame, as in Kaldi."""


@dataclass(frozen=True)
class Lattice:
    """Paths of one utterance through nodes 0 (the start) to ``num_nodes`` - 1, in topological order.

    Arc ``i`` leads from ``source[i]`` to ``target[i]``, says word ``word[i]`` (0: none) and costs ``cost[i]`` (graph
    and acoustics; negated log probability); arcs are sorted by source. ``final`` is the cost of ending at a node,
    infinity where no path ends. ``partial``: no final state of the graph was reached, and paths end anywhere.
    """

    source: Ints
    target: Ints
    word: Ints
    cost: Costs
    final: Costs
    partial: bool

    @property
    def num_nodes(self) -> int:
        return len(self.final)


@dataclass
class _Arcs:
    """Between tokens, by their places among their frames' tokens."""

    source: Ints
    target: Ints
    word: Ints
    cost: Costs

    def keep(self, kept: NDArray[np.bool_]) -> None:
        for name in ("source", "target", "word", "cost"):
            setattr(self, name, getattr(self, name)[kept])


@dataclass
class _Frame:
    """Tokens after a frame: states (sorted) and the costs of the best ways to them; and the arcs that lead on.

    ``depth`` is how many epsilon arcs in a row lead to a token, at most; ``onward`` are arcs to the next frame.
    """

    states: Ints
    costs: Costs
    depth: Ints
    epsilons: _Arcs
    onward: _Arcs | None = None


@dataclass(frozen=True)
class _Table:
    """The graph's arcs of one kind, grouped by the state they leave, as the graph has them: there may be millions."""

    first: Ints
    count: Ints
    arcs: NDArray[Any]

    @classmethod
    def of(cls, fst: FstArrays, epsilons: bool) -> "_Table":
        chosen = (fst.arcs["ilabel"] == 0) == epsilons
        count = np.bincount(np.repeat(np.arange(fst.num_states), fst.num_arcs)[chosen], minlength=fst.num_states)
        return cls(np.cumsum(count) - count, count, fst.arcs[chosen])

    def leaving(self, states: Ints) -> tuple[NDArray[Any], Ints]:
        """Arcs that leave ``states``, and for each the place of its state among them."""
        count = self.count[states]
        owner = np.repeat(np.arange(len(states)), count)
        offset = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
        return self.arcs[self.first[states][owner] + offset], owner


class LatticeSearch:
    """A search on one graph (pdf + 1 on the input side), for one utterance after another."""

    def __init__(self, fst: FstArrays, config: DecodeConfig):
        self.config = config
        self._start, self._final = fst.start, fst.final
        self._emitting, self._epsilon = _Table.of(fst, epsilons=False), _Table.of(fst, epsilons=True)

    def search(self, log_likelihoods: NDArray[np.float32]) -> Lattice | None:
        """The lattice for scaled log-likelihoods (num_frames, num_pdfs), or None where no path survives."""
        frames = [self._closed(np.array([self._start]), np.zeros(1), self.config.beam)]
        for number, row in enumerate(log_likelihoods, 1):
            frame = self._advanced(frames[-1], row)
            if frame is None:
                return None
            frames.append(frame)
            if number % _PRUNE_INTERVAL == 0:
                _prune(frames[-_PRUNE_INTERVAL - 1 :], np.zeros(len(frame.states)), self.config.lattice_beam)
        final = self._final[frames[-1].states].astype(np.float64)
        partial = not np.isfinite(final).any()
        if partial:
            final = np.zeros(len(final))
        extra = frames[-1].costs + final
        extra -= extra.min()
        final[extra > self.config.lattice_beam] = np.inf
        _prune(frames, extra, self.config.lattice_beam)
        return _joined(frames, final, partial)

    def _advanced(self, frame: _Frame, row: NDArray[np.float32]) -> _Frame | None:
        """The next frame's tokens; the arcs that lead to them are kept in ``frame``."""
        cutoff, beam = self._cutoff(frame.costs)
        alive = np.flatnonzero(frame.costs <= cutoff)
        arcs, owner = self._emitting.leaving(frame.states[alive])
        if not len(arcs):
            return None
        step = arcs["weight"].astype(np.float64) - row[arcs["ilabel"] - 1]
        costs = frame.costs[alive][owner] + step
        near = costs <= costs.min() + beam
        arcs, owner, step, costs = arcs[near], owner[near], step[near], costs[near]
        following = self._closed(*_cheapest(arcs["nextstate"], costs), beam)
        target = following.states.searchsorted(arcs["nextstate"])
        frame.onward = _Arcs(alive[owner], target, arcs["olabel"], step)
        return following

    def _cutoff(self, costs: Costs) -> tuple[float, float]:
        """The highest cost with which a token goes on, and the beam for the next frame: Kaldi's ``GetCutoff``."""
        config, best = self.config, float(costs.min())
        cutoff = best + config.beam
        if config.max_active < len(costs) and (bound := _lowest(costs, config.max_active)) < cutoff:
            return bound, bound - best + _BEAM_DELTA
        if config.min_active > 0:
            if config.min_active >= len(costs):
                return np.inf, np.inf
            if (bound := _lowest(costs, config.min_active)) > cutoff:
                return bound, bound - best + _BEAM_DELTA
        return cutoff, config.beam

    def _closed(self, states: Ints, costs: Costs, beam: float) -> _Frame:
        """Tokens of ``states`` (sorted) and of all that epsilon arcs lead to within the beam."""
        limit = costs.min() + beam
        frontier = np.arange(len(states))
        for _ in range(len(self._final) + 1):
            arcs, owner = self._epsilon.leaving(states[frontier])
            reached = costs[frontier][owner] + arcs["weight"]
            near = reached <= limit
            if not near.any():
                break
            old_states, old_costs = states, costs
            states, costs = _cheapest(
                np.concatenate([states, arcs["nextstate"][near]]), np.concatenate([costs, reached[near]])
            )
            before = np.full(len(states), np.inf)
            before[states.searchsorted(old_states)] = old_costs
            frontier = np.flatnonzero(costs < before)
        else:
            raise DataError(_CYCLE)
        arcs, owner = self._epsilon.leaving(states)
        near = costs[owner] + arcs["weight"] <= limit
        arcs, owner = arcs[near], owner[near]
        target = states.searchsorted(arcs["nextstate"])
        epsilons = _Arcs(owner, target, arcs["olabel"], arcs["weight"].astype(np.float64))
        return _Frame(states, costs, _depth(len(states), epsilons), epsilons)


def _lowest(costs: Costs, number: int) -> float:
    """The ``number``-th lowest cost."""
    return float(np.partition(costs, number - 1)[number - 1])


def _cheapest(states: Ints, costs: Costs) -> tuple[Ints, Costs]:
    """Each state once, sorted, with the lowest of its costs."""
    order = np.argsort(states, kind="stable")
    ordered = states[order]
    first = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    return ordered[first], np.minimum.reduceat(costs[order], first)


def _depth(num_tokens: int, epsilons: _Arcs) -> Ints:
    depth = np.zeros(num_tokens, dtype=np.int64)
    for _ in range(num_tokens + 1):
        before = depth.copy()
        np.maximum.at(depth, epsilons.target, depth[epsilons.source] + 1)
        if (depth == before).all():
            return depth
    raise DataError(_CYCLE)


def _prune(frames: list[_Frame], extra: Costs, beam: float) -> None:
    """Drop arcs all of whose paths cost more than the best path plus ``beam``, and tokens without arcs.

    ``extra`` is by how much the best path through each token of the last frame exceeds the best of all, or a lower
    bound of it. The tokens of the first and the last frame all stay.
    """
    _prune_epsilons(frames[-1], extra, beam)
    for frame, following in reversed(list(itertools.pairwise(frames))):
        arcs = frame.onward
        assert arcs is not None
        link = _exceeding(arcs, frame, following) + extra[arcs.target]
        arcs.keep(link <= beam)
        if following is not frames[-1]:
            _keep_tokens(following, arcs, extra <= beam)
        extra = np.full(len(frame.states), np.inf)
        np.minimum.at(extra, arcs.source, link[link <= beam])
        _prune_epsilons(frame, extra, beam)


def _prune_epsilons(frame: _Frame, extra: Costs, beam: float) -> None:
    """The same within a frame; lowers ``extra`` of tokens that epsilon arcs lead on from."""
    arcs = frame.epsilons
    exceeding = _exceeding(arcs, frame, frame)
    for depth in range(int(frame.depth.max(initial=0)), 0, -1):  # what lies deepest first
        chosen = frame.depth[arcs.target] == depth
        np.minimum.at(extra, arcs.source[chosen], (exceeding + extra[arcs.target])[chosen])
    arcs.keep(exceeding + extra[arcs.target] <= beam)


def _exceeding(arcs: _Arcs, frame: _Frame, following: _Frame) -> Costs:
    """By how much the way over each arc exceeds the best way to where it leads."""
    return frame.costs[arcs.source] + arcs.cost - following.costs[arcs.target]


def _keep_tokens(frame: _Frame, incoming: _Arcs, kept: NDArray[np.bool_]) -> None:
    place = np.cumsum(kept) - 1
    frame.states, frame.costs, frame.depth = frame.states[kept], frame.costs[kept], frame.depth[kept]
    incoming.target = place[incoming.target]
    frame.epsilons.source, frame.epsilons.target = place[frame.epsilons.source], place[frame.epsilons.target]
    assert frame.onward is not None
    frame.onward.source = place[frame.onward.source]


def _joined(frames: list[_Frame], final: Costs, partial: bool) -> Lattice:
    """One lattice of all frames; tokens are numbered by frame, then by depth."""
    numbers, total = [], 0
    for frame in frames:
        number = np.empty(len(frame.states), dtype=np.int64)
        number[np.argsort(frame.depth, kind="stable")] = total + np.arange(len(number))
        numbers.append(number)
        total += len(number)
    parts: list[tuple[Ints, Ints, _Arcs]] = []
    for frame, here, there in zip(frames, numbers, [*numbers[1:], None], strict=True):
        parts.append((here[frame.epsilons.source], here[frame.epsilons.target], frame.epsilons))
        if there is not None and frame.onward is not None:
            parts.append((here[frame.onward.source], there[frame.onward.target], frame.onward))
    source, target = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
    word, cost = (np.concatenate([getattr(part[2], name) for part in parts]) for name in ("word", "cost"))
    ends = np.full(total, np.inf)
    ends[numbers[-1]] = final
    used = np.zeros(total, dtype=bool)
    used[source] = used[target] = used[np.isfinite(ends)] = used[numbers[0][frames[0].depth == 0]] = True
    place, order = np.cumsum(used) - 1, np.argsort(source, kind="stable")
    return Lattice(place[source][order], place[target][order], word[order], cost[order], ends[used], partial)
