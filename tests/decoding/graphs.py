"""Small graphs for tests of searches, and what paths in them cost."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from asrkd.decoding.config import DecodeConfig
from asrkd.graph.graph import Graph

WIDE = DecodeConfig(beam=1000.0, max_active=100_000, lattice_beam=5.0)

GraphWriter = Callable[[Path, str, dict[str, int], int], Graph]
WordCosts = tuple[dict[str, tuple[tuple[int, int], float]], float, float]


def cost_of_states(states: Sequence[int], matrix: NDArray[np.float32], stay: float) -> float:
    """The cheapest way through a chain of states, one frame or more in each."""
    costs = np.full(len(states), np.inf)
    for frame, row in enumerate(matrix):
        came = np.concatenate([[0.0 if frame == 0 else np.inf], costs[:-1]])
        costs = np.minimum(costs + stay, came) - row[list(states)]
    return float(costs[-1])


Arc = tuple[int, int, int, int, float]  # source, target, input label, output label, cost
Case = tuple[list[Arc], list[float], NDArray[np.float32]]  # arcs, final costs by state, log-likelihoods


@st.composite
def random_graphs(draw: st.DrawFn) -> Case:
    num_states, num_pdfs = draw(st.integers(2, 5)), 3
    arcs = []
    for source in range(num_states):
        for target in draw(st.lists(st.integers(0, num_states - 1), min_size=1, max_size=3)):
            epsilon = target > source and draw(st.booleans())  # epsilons only forward: no cycles of them
            label = 0 if epsilon else draw(st.integers(1, num_pdfs))
            arcs.append((source, target, label, draw(st.integers(0, 4)), draw(st.integers(-50, 300)) / 100))
    final = [draw(st.sampled_from([np.inf, 0.0, 0.5])) for _ in range(num_states)]
    seed = draw(st.integers(0, 1000))
    matrix = np.random.default_rng(seed).normal(0, 2, (draw(st.integers(1, 7)), num_pdfs)).astype(np.float32)
    return arcs, final, matrix


def random_graph(write_graph: GraphWriter, folder: Path, case: Case) -> Graph:
    """A case of `random_graphs`, opened."""
    arcs, final, matrix = case
    lines = [f"{a} {b} {i} {o} {c}" for a, b, i, o, c in sorted(arcs)]
    lines += [f"{state} {cost}" for state, cost in enumerate(final) if np.isfinite(cost)]
    words = {str(number): number for number in range(1, 5)}
    return write_graph(folder, "\n".join([*lines, ""]), words, matrix.shape[1])
