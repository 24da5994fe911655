"""Viterbi beam search over HCLG: Kaldi's lattice-faster decoder on matrices of log-likelihoods.

Nothing in the wheel releases the GIL, so parallel means processes (see `asrkd.decoding.decode`); the graph is loaded
before the fork and shared.
"""

import time
from dataclasses import dataclass
from typing import Any

import kaldi_hmm_gmm as khg
import numpy as np
from numpy.typing import NDArray

from asrkd.core.audio import Seconds
from asrkd.core.errors import DataError, MismatchError
from asrkd.decoding.config import DecodeConfig
from asrkd.graph.graph import Graph

_ONE_STATE = """<Topology>
<TopologyEntry>
<ForPhones> 1 </ForPhones>
<State> 0 <PdfClass> 0 <Transition> 0 0.5 <Transition> 1 0.5 </State>
<State> 1 </State>
</TopologyEntry>
</Topology>
"""


@dataclass(frozen=True)
class BestPath:
    """The best path of one utterance.

    ``words`` are spelled out; ``partial`` says that no final state of the graph was reached (the best path that ends
    anywhere is taken); ``failed``, that none survived at all. ``score`` is the path's log probability as the graph
    weighs it plus its scaled log-likelihood; ``seconds`` is the time that the search took.
    """

    utt_id: str
    words: tuple[str, ...]
    partial: bool
    failed: bool
    score: float
    num_frames: int
    seconds: Seconds


class Searcher:
    """A decoder on a graph. Keeps the graph alive, which the wheel does not."""

    def __init__(self, graph: Graph, config: DecodeConfig):
        self._graph = graph
        self._decoder = khg.LatticeFasterDecoderStdConstFst(
            graph.fst,
            khg.LatticeFasterDecoderConfig(
                beam=config.beam,
                max_active=config.max_active,
                min_active=config.min_active,
                lattice_beam=config.lattice_beam,
            ),
        )
        self._transition_model = _placeholder_model()

    def decode(self, utt_id: str, log_likelihoods: NDArray[np.floating[Any]]) -> BestPath:
        """Best path for scaled log-likelihoods of shape (num_frames, num_pdfs); raises what `checked` raises."""
        start = time.perf_counter()
        matrix = checked(self._graph, utt_id, log_likelihoods)
        if not len(matrix):
            return BestPath(utt_id, (), partial=False, failed=True, score=0.0, num_frames=0, seconds=0.0)
        found, word_ids, score = self._search(utt_id, matrix, allow_partial=False)
        partial = not found
        if partial:  # the wheel does not say whether a path that it was allowed to end anywhere is a whole one
            found, word_ids, score = self._search(utt_id, matrix, allow_partial=True)
        words = tuple(self._graph.words[word] for word in word_ids)
        seconds = time.perf_counter() - start
        return BestPath(utt_id, words, partial and found, not found, float(score), len(matrix), seconds)

    def _search(self, utt_id: str, matrix: NDArray[np.float32], allow_partial: bool) -> tuple[bool, list[int], float]:
        found, _, word_ids, score = khg.decode_utterance_lattice_faster(
            decoder=self._decoder,
            decodable=khg.DecodableCtc(matrix),
            trans_model=self._transition_model,
            utt=utt_id,
            allow_partial=allow_partial,
        )
        return found, word_ids, score


def checked(graph: Graph, utt_id: str, log_likelihoods: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Log-likelihoods (num_frames, num_pdfs) as a search takes them.

    Raises MismatchError for another number of pdfs than the graph's, DataError for NaN and infinities, on which a
    search would fail without a word.
    """
    if log_likelihoods.ndim != 2 or log_likelihoods.shape[1] != graph.num_pdfs:
        raise MismatchError(
            f"{utt_id}: log-likelihoods have shape {log_likelihoods.shape}, graph {graph.path} has "
            f"{graph.num_pdfs} pdfs: are model and graph of one tied-state model?"
        )
    matrix = np.ascontiguousarray(log_likelihoods, dtype=np.float32)
    finite = np.isfinite(matrix).all(axis=1)
    if not finite.all():
        raise DataError(f"{utt_id}: log-likelihoods hold NaN or infinity at frame {int(np.argmin(finite))}")
    return matrix


def _placeholder_model() -> khg.TransitionModel:
    """A transition model of one state: the binding asks for one, and looks at it only for lattices of phones."""
    topology = khg.HmmTopology()
    topology.read(_ONE_STATE)
    return khg.TransitionModel(khg.monophone_context_dependency([1], [0, 1]), topology)
