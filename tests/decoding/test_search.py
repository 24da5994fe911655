"""The search against brute force over all words, an exact Viterbi in numpy on random graphs, and Kaldi's own words."""

import itertools
from pathlib import Path

import kaldiio
import numpy as np
import pytest
from hypothesis import given, settings
from numpy.typing import NDArray

from asrkd.core.config import parse
from asrkd.core.errors import ConfigError, DataError, MismatchError
from asrkd.decoding.acoustic import scaled
from asrkd.decoding.config import DecodeConfig
from asrkd.decoding.search import Searcher
from asrkd.graph.graph import Graph
from tests.decoding.graphs import WIDE, Arc, Case, GraphWriter, WordCosts, cost_of_states, random_graph, random_graphs


def _brute_force(matrix: NDArray[np.float32], word_costs: WordCosts) -> tuple[float, tuple[str, ...]]:
    """Cost and words of the best of all sequences that fit into the frames."""
    lexicon, stay, end = word_costs
    best: tuple[float, tuple[str, ...]] = (np.inf, ())
    for length in range(1, len(matrix) // 2 + 1):
        for words in itertools.product(lexicon, repeat=length):
            states = [pdf for word in words for pdf in lexicon[word][0]]
            cost = cost_of_states(states, matrix, stay) + sum(lexicon[word][1] for word in words) + end
            best = min(best, (cost, words))
    return best


@pytest.mark.parametrize("num_frames", [2, 3, 5, 8, 9])
def test_best_path_is_that_of_brute_force_over_all_sentences(
    word_loop: Graph, word_costs: WordCosts, num_frames: int
) -> None:
    searcher = Searcher(word_loop, WIDE)
    for seed in range(10):
        matrix = np.random.default_rng(seed).normal(0, 3, (num_frames, 4)).astype(np.float32)
        cost, words = _brute_force(matrix, word_costs)
        path = searcher.decode("u", matrix)
        assert path.words == words
        assert path.score == pytest.approx(-cost, abs=1e-3)
        assert (path.partial, path.failed, path.num_frames) == (False, False, num_frames)
        assert path.seconds > 0


def _viterbi(arcs: list[Arc], final: list[float], matrix: NDArray[np.float32]) -> tuple[float, bool]:
    """The cost of the best path to a final state, or, where there is none, to any; and whether it is partial."""
    costs = np.full(len(final), np.inf)
    costs[0] = 0.0

    def follow_epsilons(costs: NDArray[np.float64]) -> NDArray[np.float64]:
        for source, target, label, _, cost in sorted(arcs):
            if label == 0:
                costs[target] = min(costs[target], costs[source] + cost)
        return costs

    costs = follow_epsilons(costs)
    for row in matrix:
        following = np.full(len(final), np.inf)
        for source, target, label, _, cost in arcs:
            if label:
                following[target] = min(following[target], costs[source] + cost - row[label - 1])
        costs = follow_epsilons(following)
    ended = float((costs + np.array(final)).min())
    return (ended, False) if np.isfinite(ended) else (float(costs.min()), True)


@given(random_graphs())
@settings(max_examples=150)
def test_score_is_that_of_an_exact_search(
    tmp_path_factory: pytest.TempPathFactory,
    write_graph: GraphWriter,
    case: Case,
) -> None:
    arcs, final, matrix = case
    graph = random_graph(write_graph, tmp_path_factory.mktemp("random"), case)
    path = Searcher(graph, WIDE).decode("u", matrix)
    cost, partial = _viterbi(arcs, final, matrix)
    if np.isfinite(cost):
        assert path.score == pytest.approx(-cost, abs=1e-3)
        assert (path.partial, path.failed) == (partial, False)
    else:
        assert (path.words, path.failed) == ((), True)


def test_scale_moves_the_balance_between_sound_and_grammar(word_loop: Graph) -> None:
    matrix = np.zeros((2, 4), np.float32)
    matrix[0, 2] = 0.5  # a little for TWO and NO, which the graph holds dearer
    searcher = Searcher(word_loop, WIDE)
    assert searcher.decode("u", scaled(matrix, 0.1)).words == ("ONE",)
    assert searcher.decode("u", scaled(matrix, 10)).words == ("TWO",)


def test_sentence_that_is_too_short_is_partial(word_loop: Graph) -> None:
    """One frame can't hold a word of two states: no final state is reached."""
    path = Searcher(word_loop, WIDE).decode("u", np.zeros((1, 4), np.float32))
    assert (path.words, path.partial, path.failed) == (("ONE",), True, False)


def test_no_frames_is_a_failure_without_words(word_loop: Graph) -> None:
    path = Searcher(word_loop, WIDE).decode("u", np.zeros((0, 4), np.float32))
    assert (path.words, path.partial, path.failed, path.num_frames) == ((), False, True, 0)


def test_graph_without_a_way_on_is_a_failure(tmp_path: Path, write_graph: GraphWriter) -> None:
    graph = write_graph(tmp_path, "0 1 1 1 0\n1 0\n", {"A": 1}, 1)
    path = Searcher(graph, WIDE).decode("u", np.zeros((3, 1), np.float32))
    assert (path.words, path.failed) == ((), True)


def test_one_searcher_serves_many_utterances(word_loop: Graph) -> None:
    rng = np.random.default_rng(5)
    matrices = [rng.normal(0, 3, (rng.integers(2, 30), 4)).astype(np.float32) for _ in range(20)]
    one = Searcher(word_loop, DecodeConfig())
    again = [one.decode("u", matrix) for matrix in matrices[::-1]][::-1]
    for matrix, path in zip(matrices, again, strict=True):
        fresh = Searcher(word_loop, DecodeConfig()).decode("u", matrix)
        assert (fresh.words, fresh.score) == (path.words, path.score)


def test_matrix_may_be_of_any_layout_and_precision(word_loop: Graph) -> None:
    matrix = np.random.default_rng(6).normal(0, 3, (9, 4)).astype(np.float32)
    searcher = Searcher(word_loop, WIDE)
    expected = searcher.decode("u", matrix)
    for other in (matrix.astype(np.float64), np.asfortranarray(matrix), np.repeat(matrix, 2, axis=0)[::2]):
        path = searcher.decode("u", other)
        assert (path.words, path.score) == (expected.words, expected.score)


@pytest.mark.parametrize("shape", [(5, 3), (5, 5), (4,)])
def test_other_number_of_pdfs_names_the_utterance(word_loop: Graph, shape: tuple[int, ...]) -> None:
    with pytest.raises(MismatchError, match=r"utt-3: log-likelihoods have shape .* has 4 pdfs"):
        Searcher(word_loop, WIDE).decode("utt-3", np.zeros(shape, np.float32))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_names_utterance_and_frame(word_loop: Graph, value: float) -> None:
    matrix = np.zeros((5, 4), np.float32)
    matrix[3, 1] = value
    with pytest.raises(DataError, match="utt-3: log-likelihoods hold NaN or infinity at frame 3"):
        Searcher(word_loop, WIDE).decode("utt-3", matrix)


@pytest.mark.parametrize(
    "wrong",
    [{"beam": 0}, {"max_active": 1}, {"acoustic_scales": []}, {"acoustic_scales": [0.1, -1]}, {"min_active": 8000}],
)
def test_configuration_is_checked(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        parse(DecodeConfig, wrong, "recipe")


def test_gives_kaldis_words(shared_dir: Path, kaldi_graph: Graph) -> None:
    """Kaldi's log-likelihoods and graph, and the options of its own decoding: its words, to the last."""
    test = shared_dir / "kaldi-exp" / "data" / "test"
    expected = dict(line.split(maxsplit=1) for line in (test / "hyp_kaldi_tri1.txt").read_text().splitlines())
    searcher = Searcher(kaldi_graph, DecodeConfig(beam=13.0, lattice_beam=8.0, max_active=7000))
    decoded = 0
    for utt_id, matrix in kaldiio.load_ark(str(test / "loglikes-first5.ark")):
        path = searcher.decode(utt_id, scaled(matrix, 1 / 13))
        assert " ".join(path.words) == expected[utt_id].strip()
        assert not path.partial
        decoded += 1
    assert decoded == 5
