"""Transition models: what each transition-id stands for, and how likely it is. Kaldi's ``TransitionModel`` as tables.

A transition-state is a (phone, HMM state, pdf); a transition-id is one of the moves out of one, numbered from 1. An
alignment is one transition-id a frame. Kaldi's graphs are "reordered": a state's forward move comes first and its
self-loops follow, so that a phone's last state may go on looping after the move that leaves it.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asrkd.core.errors import DataError
from asrkd.hmm.event_map import ContextTree
from asrkd.hmm.kaldi_io import BinaryReader, kaldi_errors, write_float_vector, write_int, write_token
from asrkd.hmm.topology import NO_PDF, Topology, read_model_topology

Int32Array = NDArray[np.int32]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

_MIN_PROBABILITY = 1e-10
_MAX_LOG_PROBABILITY = 0.01  # rounded


@dataclass(frozen=True)
class TransitionTables:
    """What each transition-id stands for; arrays of shape (num_transition_ids + 1,), whose entry 0 means nothing."""

    state: IntArray
    """transition-state, from 0"""
    index: IntArray
    """which of its state's moves it is"""
    phone: IntArray
    hmm_state: IntArray
    target: IntArray
    """the HMM state that it moves to"""
    pdf_class: IntArray
    pdf: IntArray
    self_loop: BoolArray
    final: BoolArray
    """whether it leaves the phone"""


@dataclass(frozen=True)
class TransitionModel:
    """``states`` has shape (num_states, 3): phone, HMM state, pdf, sorted. ``log_probs``: (num_transition_ids + 1,)."""

    topology: Topology
    states: Int32Array
    log_probs: NDArray[np.float32]

    @classmethod
    def for_tree(cls, topology: Topology, tree: ContextTree) -> "TransitionModel":
        """The model with the topology's own probabilities, over all states that the tree tells apart."""
        model = _kaldi_model(topology, tree)
        states = [state.__getstate__() for state in model.tuples]
        if any(forward != loop for _, _, forward, loop in states):
            raise DataError("tree and topology are of a chain model, which is not supported")
        table = np.array([state[:3] for state in states], np.int32)
        return cls(topology, table, np.array(model.log_probs, np.float32))

    @property
    def num_transition_ids(self) -> int:
        return len(self.log_probs) - 1

    @cached_property
    def num_pdfs(self) -> int:
        return int(self.states[:, 2].max()) + 1

    @cached_property
    def first_id(self) -> IntArray:
        """First transition-id of each transition-state, and one past the last id; shape (num_states + 1,)."""
        counts = [len(self.topology.states(phone)[state].transitions) for phone, state, _ in self.states.tolist()]
        return np.concatenate([[1], 1 + np.cumsum(counts)])

    @cached_property
    def tables(self) -> TransitionTables:
        """What each transition-id stands for."""
        counts = np.diff(self.first_id)
        state = np.concatenate([[0], np.repeat(np.arange(len(counts)), counts)])
        index = np.arange(len(state)) - self.first_id[state]
        index[0] = 0
        phone, hmm_state, pdf = self.states[state].T.astype(np.int64)
        target = np.array(
            [self._state(p, s).transitions[i][0] for p, s, i in zip(phone, hmm_state, index, strict=True)]
        )
        pdf_class = np.array([self._state(p, s).pdf_class for p, s in zip(phone, hmm_state, strict=True)])
        last = np.array([len(self.topology.states(p)) - 1 for p in phone.tolist()])
        self_loop, final = target == hmm_state, target == last
        for table in (phone, hmm_state, target, pdf, pdf_class, self_loop, final):
            table[0] = 0
        return TransitionTables(state, index, phone, hmm_state, target, pdf_class, pdf, self_loop, final)

    def _state(self, phone: int, state: int) -> Any:
        return self.topology.states(int(phone))[state]

    def to_bytes(self) -> bytes:
        """Kaldi's binary format (without the file's header)."""
        parts = [write_token("<TransitionModel>"), self.topology.to_bytes(), write_token("<Triples>")]
        parts.append(write_int(len(self.states)))
        parts += [write_int(value) for value in self.states.ravel().tolist()]
        parts += [write_token("</Triples>"), write_token("<LogProbs>"), write_float_vector(self.log_probs)]
        return b"".join([*parts, write_token("</LogProbs>"), write_token("</TransitionModel>")])

    def to_kaldi(self, tree: ContextTree) -> Any:
        """The same as a new object of kaldi_hmm_gmm. Raises DataError when ``tree`` is not this model's."""
        model = _kaldi_model(self.topology, tree)
        state = list(model.__getstate__())
        if [tuple(t.__getstate__()[:3]) for t in state[0]] != [tuple(row) for row in self.states.tolist()]:
            raise DataError("tree and transition model do not belong together: are both files of one folder?")
        stay = np.zeros(len(self.states))
        loops = np.flatnonzero(self.tables.self_loop)
        stay[self.tables.state[loops]] = np.exp(self.log_probs[loops].astype(np.float64))
        leave = np.log(np.maximum(1.0 - stay, _MIN_PROBABILITY))
        state[6] = self.log_probs.tolist()
        state[7] = [0.0, *leave.tolist()]
        kind: Any = type(model)
        filled = kind.__new__(kind)  # an object that is initialised would ignore the new state
        filled.__setstate__(tuple(state))
        return filled

    def updated(self, counts: NDArray[np.float64], floor: float = 0.01, min_count: float = 5.0) -> "TransitionModel":
        """Maximum likelihood from ``counts`` of the transition-ids, shape (num_transition_ids + 1,).

        A state seen less than ``min_count`` times keeps its probabilities; none falls below ``floor``. Kaldi's
        ``TransitionModel::MleUpdate``.
        """
        starts, state = self.first_id[:-1] - 1, self.tables.state[1:]
        totals = np.add.reduceat(counts[1:], starts)
        seen = (totals >= min_count) & (np.diff(self.first_id) > 1)
        probability = np.where(seen[state], counts[1:], 1.0)
        for _ in range(3):
            probability = np.maximum(probability / np.add.reduceat(probability, starts)[state], floor)
        log_probs = self.log_probs.copy()
        log_probs[1:][seen[state]] = np.log(probability[seen[state]])
        return replace(self, log_probs=log_probs)


def _kaldi_model(topology: Topology, tree: ContextTree) -> Any:
    import kaldi_hmm_gmm

    with kaldi_errors("tree and topology"):
        return kaldi_hmm_gmm.TransitionModel(ctx_dep=tree.kaldi, hmm_topo=topology.kaldi)


def read_transition_model(reader: BinaryReader) -> TransitionModel:
    """Read the transition model at the front of a model file. Raises DataError for chain models and damage."""
    if reader.peek_token() == "<Nnet3>":
        raise DataError(f"{reader.name}: a bare neural network (nnet3): give the GMM model of its alignments")
    reader.expect("<TransitionModel>")
    topology = read_model_topology(reader)
    if reader.expect("<Triples>", "<Tuples>") == "<Tuples>":
        raise DataError(f"{reader.name}: its states have self-loop pdfs: a chain model, which is not supported")
    count = reader.count("transition-states", 15)
    states = np.array([[reader.integer() for _ in range(3)] for _ in range(count)], np.int32).reshape(count, 3)
    reader.expect("</Triples>")
    reader.expect("<LogProbs>")
    log_probs = reader.float_vector()
    reader.expect("</LogProbs>")
    reader.expect("</TransitionModel>")
    model = TransitionModel(topology, states, log_probs)
    if unknown := set(states[:, 0].tolist()) - set(topology.phones):
        raise reader.error(f"a state of phone {min(unknown)}, of which the topology has no model")
    for phone, hmm_state, pdf in states.tolist():
        known = topology.states(phone)
        if not 0 <= hmm_state < len(known) or known[hmm_state].pdf_class == NO_PDF or pdf < 0:
            raise reader.error(f"phone {phone} has no state {hmm_state} with pdf {pdf}")
    if count == 0 or model.first_id[-1] != len(log_probs):
        raise reader.error(f"{len(log_probs)} transition probabilities for {model.first_id[-1] - 1} transition-ids")
    if not (np.isfinite(log_probs) & (log_probs < _MAX_LOG_PROBABILITY)).all():
        raise reader.error("transition probabilities that can't be")
    return model


def split_phones(transition_ids: Int32Array, tables: TransitionTables) -> IntArray:
    """Ends (one past the last frame) of the phones of a reordered alignment, shape (num_phones,).

    Raises DataError for an alignment that is empty or stops within a phone.
    """
    self_loop, final = tables.self_loop[transition_ids], tables.final[transition_ids]
    if not len(transition_ids) or self_loop[0]:
        raise DataError("an alignment is empty or begins with a self-loop: is it of another model?")
    # The last forward move at or before each frame: self-loops after it belong to its state.
    forward = np.maximum.accumulate(np.where(self_loop, 0, np.arange(len(transition_ids))))
    ends = np.flatnonzero(final[forward] & ~np.append(self_loop[1:], False)) + 1
    if not len(ends) or ends[-1] != len(transition_ids):
        raise DataError("an alignment stops within a phone: is it cut short, or of another model?")
    return ends


def phone_contexts(transition_ids: Int32Array, tables: TransitionTables) -> IntArray:
    """Left phone, phone and right phone of every frame, shape (num_frames, 3); 0 beyond the utterance's edges."""
    ends = split_phones(transition_ids, tables)
    starts = np.concatenate([[0], ends[:-1]])
    padded = np.concatenate([[0], tables.phone[transition_ids[starts]], [0]])
    instance = np.repeat(np.arange(len(ends)), ends - starts)
    return np.stack([padded[instance], padded[instance + 1], padded[instance + 2]], axis=1)
