"""Whether transition-ids are a path through the HMMs of a model, in the contexts that its tree gives them.

Ids alone don't say which model they are of: those of another tree are numbers of the same range. But a path must go
from each state to one that its move leads to, from the end of a phone to the beginning of the next, and each state's
pdf must be the tree's answer for the phones around it.
"""

from dataclasses import dataclass, field

import numpy as np

from asrkd.core.errors import DataError, MismatchError
from asrkd.hmm.tied_states import TiedStates
from asrkd.hmm.transitions import Int32Array, IntArray, TransitionTables


@dataclass
class PathCheck:
    """``check(ids)`` for many utterances of one model; answers of the tree are kept."""

    model: TiedStates
    _known: set[tuple[int, ...]] = field(default_factory=set)

    def check(self, transition_ids: Int32Array) -> None:
        """Raise MismatchError, naming the frame, unless ``transition_ids`` (num_frames,) are a path of the model."""
        tables, last = self.model.tables, self.model.transitions.num_transition_ids
        wrong = (transition_ids < 1) | (transition_ids > last)
        if wrong.any():
            frame = int(np.argmax(wrong))
            raise MismatchError(f"transition-id {transition_ids[frame]} at frame {frame}, the model has 1 to {last}")
        frames = np.flatnonzero(~tables.self_loop[transition_ids])
        moves = transition_ids[frames]
        _check_moves(moves, frames, tables)
        _check_self_loops(transition_ids, frames, tables)
        self._check_tree(moves, frames, tables)

    def _check_tree(self, moves: Int32Array, frames: IntArray, tables: TransitionTables) -> None:
        tree = self.model.context_tree
        ends = tables.final[moves]
        instance = np.concatenate([[0], np.cumsum(ends[:-1])])
        around = np.zeros(tree.context_width - 1, np.int64)
        before, after = around[: tree.central_position], around[tree.central_position :]
        phones = np.concatenate([before, tables.phone[moves[ends]], after])
        window = instance[:, None] + np.arange(tree.context_width)
        rows = np.column_stack([phones[window], tables.pdf_class[moves], tables.pdf[moves]])
        distinct, first = np.unique(rows, axis=0, return_index=True)
        for row, index in zip(distinct.tolist(), first.tolist(), strict=True):
            if tuple(row) not in self._known and not self._answers(row):
                raise MismatchError(f"pdf {row[-1]} at frame {frames[index]} is not what the tree gives its phones")
            self._known.add(tuple(row))

    def _answers(self, row: list[int]) -> bool:
        *context, pdf_class, pdf = row
        try:
            return self.model.context_tree.pdf(tuple(context), pdf_class) == pdf
        except DataError:
            return False


def _check_moves(moves: Int32Array, frames: IntArray, tables: TransitionTables) -> None:
    """Each forward move must go on where the one before it led."""
    if not len(moves) or tables.hmm_state[moves[0]] != 0:
        raise MismatchError("it begins within a phone")
    if not tables.final[moves[-1]]:
        raise MismatchError("it ends within a phone")
    leaves, goes_on = moves[:-1], moves[1:]
    expected = np.where(tables.final[leaves], 0, tables.target[leaves])
    wrong = tables.hmm_state[goes_on] != expected
    wrong |= ~tables.final[leaves] & (tables.phone[goes_on] != tables.phone[leaves])
    if wrong.any():
        raise MismatchError(f"the state at frame {frames[1:][wrong][0]} is not one that the state before it moves to")


def _check_self_loops(transition_ids: Int32Array, frames: IntArray, tables: TransitionTables) -> None:
    """Self-loops stand after their state's forward move (Kaldi's reordered graphs, the usual ones) or before it."""
    state, number = tables.state[transition_ids], np.arange(len(transition_ids))
    after = np.searchsorted(frames, number, side="right") - 1
    before = np.searchsorted(frames, number)
    owners = (frames[np.maximum(after, 0)], frames[np.minimum(before, len(frames) - 1)])
    wrong = [state[owner] != state for owner in owners]
    if all(w.any() for w in wrong):
        raise MismatchError(
            f"the self-loop at frame {int(np.argmax(wrong[0]))} is of another state than the move beside it"
        )
