"""What is a path through a model's HMMs, and what is another model's."""

from pathlib import Path

import numpy as np
import pytest

from asrkd.core.errors import MismatchError
from asrkd.hmm.alignment import Alignment
from asrkd.hmm.paths import PathCheck
from asrkd.hmm.tied_states import TiedStates
from asrkd.hmm.transitions import Int32Array


@pytest.fixture
def path(triphone_dir: Path) -> Int32Array:
    alignment = Alignment.open(triphone_dir / "ali")
    return alignment.transition_ids(alignment.utt_ids[0]).copy()


def test_alignments_of_the_model_are_paths(mono_dir: Path, triphone_dir: Path) -> None:
    for folder in (mono_dir, triphone_dir):
        check, alignment = PathCheck(TiedStates.load(folder)), Alignment.open(folder / "ali")
        for utt_id in alignment.utt_ids:
            check.check(alignment.transition_ids(utt_id))


def test_self_loops_before_their_move_are_a_path_too(triphone: TiedStates, path: Int32Array) -> None:
    """What Kaldi writes with --reorder=false: each state's self-loops, then its move."""
    starts = np.flatnonzero(~triphone.tables.self_loop[path])
    parts = np.split(path, starts[1:])
    straight = np.concatenate([np.append(part[1:], part[0]) for part in parts]).astype(np.int32)
    assert not np.array_equal(straight, path)
    PathCheck(triphone).check(straight)


def test_no_alignment_of_another_tree_is_a_path(mono: TiedStates, triphone: TiedStates, mono_dir: Path) -> None:
    check, alignment = PathCheck(triphone), Alignment.open(mono_dir / "ali")
    for utt_id in alignment.utt_ids:
        with pytest.raises(MismatchError):
            check.check(alignment.transition_ids(utt_id))


def test_ids_beyond_the_model(triphone: TiedStates, path: Int32Array) -> None:
    last = triphone.transitions.num_transition_ids
    for wrong in (0, last + 1, -3):
        path[4] = wrong
        with pytest.raises(MismatchError, match=f"transition-id {wrong} at frame 4, the model has 1 to {last}"):
            PathCheck(triphone).check(path)


def test_what_is_cut(triphone: TiedStates, path: Int32Array) -> None:
    with pytest.raises(MismatchError, match="it ends within a phone"):
        PathCheck(triphone).check(path[:1])
    first = int(np.flatnonzero(triphone.tables.hmm_state[path] == 1)[0])
    with pytest.raises(MismatchError, match="it begins within a phone"):
        PathCheck(triphone).check(path[first:])
    with pytest.raises(MismatchError, match="it begins within a phone"):
        PathCheck(triphone).check(path[:0])


def test_a_state_left_out(triphone: TiedStates, path: Int32Array) -> None:
    tables = triphone.tables
    second = int(np.flatnonzero((tables.hmm_state[path] == 1) & ~tables.self_loop[path])[0])
    with pytest.raises(MismatchError, match=r"is not one that the state before it moves to|another state"):
        PathCheck(triphone).check(np.delete(path, second))


def test_a_self_loop_of_another_state(triphone: TiedStates, path: Int32Array) -> None:
    loops = np.flatnonzero(triphone.tables.self_loop[path])
    other = next(
        tid for tid in path[loops].tolist() if triphone.tables.phone[tid] != triphone.tables.phone[path[loops[0]]]
    )
    path[loops[0]] = other
    with pytest.raises(MismatchError, match=f"self-loop at frame {loops[0]} is of another state"):
        PathCheck(triphone).check(path)


def test_a_pdf_that_the_tree_does_not_give(triphone: TiedStates, path: Int32Array) -> None:
    """The right phones and states, but of a pdf for other neighbours."""
    tables = triphone.tables
    for frame in np.flatnonzero(~tables.self_loop[path]).tolist():
        same = (tables.phone == tables.phone[path[frame]]) & (tables.hmm_state == tables.hmm_state[path[frame]])
        same &= (tables.index == tables.index[path[frame]]) & (tables.pdf != tables.pdf[path[frame]])
        if (others := np.flatnonzero(same)).size:
            break
    end = frame + 1
    while end < len(path) and tables.self_loop[path[end]]:
        end += 1
    path[frame:end] += others[0] - path[frame]
    with pytest.raises(MismatchError, match=f"pdf {tables.pdf[others[0]]} at frame {frame} is not what the tree gives"):
        PathCheck(triphone).check(path)
