"""Transition models against Kaldi's own, and the segmentation of alignments into phones."""

from pathlib import Path

import kaldi_hmm_gmm
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrkd.core.errors import DataError
from asrkd.hmm.event_map import ContextTree, Leaf, Split, Table, monophone_tree, read_tree
from asrkd.hmm.kaldi_io import BINARY_HEADER, BinaryReader, write_token
from asrkd.hmm.topology import read_topology
from asrkd.hmm.transitions import TransitionModel, phone_contexts, read_transition_model, split_phones
from asrkd.lang.topo import topology_text


def small_model(folder: Path) -> tuple[TransitionModel, ContextTree]:
    """Phone 1 is a five-state silence, 2 to 4 have three states, of which 4 shares those of 3."""
    (folder / "topo").write_text(topology_text([2, 3, 4], [1], 3, 5))
    topology = read_topology(folder / "topo")
    tree = monophone_tree({phone: topology.num_pdf_classes(phone) for phone in topology.phones}, {4: 3})
    return TransitionModel.for_tree(topology, tree), tree


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[TransitionModel, ContextTree]:
    return small_model(tmp_path_factory.mktemp("small"))


def test_tables_are_kaldis(small: tuple[TransitionModel, ContextTree]) -> None:
    model, tree = small
    kaldi, tables = model.to_kaldi(tree), model.tables
    assert kaldi.num_transition_ids == model.num_transition_ids
    assert kaldi.num_pdfs == model.num_pdfs == tree.num_pdfs
    for number in range(1, model.num_transition_ids + 1):
        assert tables.pdf[number] == kaldi.transition_id_to_pdf(number)
        assert tables.phone[number] == kaldi.transition_id_to_phone(number)
        assert tables.self_loop[number] == kaldi.is_self_loop(number)
        assert tables.final[number] == kaldi.is_final(number)
        assert tables.state[number] + 1 == kaldi.id2state[number]


def test_binary_form_loses_nothing(small: tuple[TransitionModel, ContextTree]) -> None:
    model, _ = small
    again = read_transition_model(BinaryReader(BINARY_HEADER + model.to_bytes(), "final.mdl"))
    assert again.to_bytes() == model.to_bytes()
    np.testing.assert_array_equal(again.states, model.states)


@given(st.integers(0, 2**32 - 1))
def test_update_is_kaldis(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    model, tree = small_model(tmp_path_factory.mktemp("update"))
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, rng.choice([3, 10, 1000]), model.num_transition_ids + 1).astype(np.float64)
    kaldi = model.to_kaldi(tree)
    kaldi.mle_update(counts, kaldi_hmm_gmm.MleTransitionUpdateConfig())
    updated = model.updated(counts)
    np.testing.assert_allclose(updated.log_probs, kaldi.log_probs, atol=1e-5)
    np.testing.assert_allclose(updated.to_kaldi(tree).non_self_loop_log_probs, kaldi.non_self_loop_log_probs, atol=1e-4)


def test_another_tree_is_refused(small: tuple[TransitionModel, ContextTree]) -> None:
    model, _ = small
    other = monophone_tree({phone: model.topology.num_pdf_classes(phone) for phone in model.topology.phones}, {})
    with pytest.raises(DataError, match="do not belong together"):
        model.to_kaldi(other)


def test_neural_and_chain_models_are_refused() -> None:
    with pytest.raises(DataError, match="neural network"):
        read_transition_model(BinaryReader(BINARY_HEADER + write_token("<Nnet3>"), "final.mdl"))


def test_kaldis_own_transition_model(kaldi_dir: Path) -> None:
    reader = BinaryReader.open(kaldi_dir / "final.mdl")
    model = read_transition_model(reader)
    assert (model.num_transition_ids, len(model.states), model.num_pdfs) == (4038, 1979, 480)
    assert model.to_bytes() == reader.data[len(BINARY_HEADER) : reader.offset]
    np.testing.assert_array_equal(model.to_kaldi(read_tree(kaldi_dir / "tree")).log_probs, model.log_probs)


def walk(model: TransitionModel, phone: int, rng: np.random.Generator) -> list[int]:
    """A random way through a phone, forward moves first and self-loops after, as Kaldi's graphs have them."""
    tables, ids, hmm_state = model.tables, [], 0
    last = len(model.topology.states(phone)) - 1
    while hmm_state != last:
        leaving = np.flatnonzero((tables.phone == phone) & (tables.hmm_state == hmm_state))
        moves = model.topology.states(phone)[hmm_state].transitions
        forward = [i for i in leaving if not tables.self_loop[i]]
        loops = [i for i in leaving if tables.self_loop[i]]
        chosen = int(rng.choice(forward))
        ids += [chosen, *[int(loops[0])] * int(rng.integers(0, 4) if loops else 0)]
        hmm_state = moves[tables.index[chosen]][0]
    return ids


@given(st.lists(st.integers(1, 4), min_size=1, max_size=8), st.integers(0, 2**32 - 1))
def test_segmentation_finds_the_phones_that_were_walked(
    tmp_path_factory: pytest.TempPathFactory, phones: list[int], seed: int
) -> None:
    model, _ = small_model(tmp_path_factory.mktemp("walk"))
    rng = np.random.default_rng(seed)
    parts = [walk(model, phone, rng) for phone in phones]
    ids = np.array([number for part in parts for number in part], np.int32)
    np.testing.assert_array_equal(split_phones(ids, model.tables), np.cumsum([len(part) for part in parts]))
    padded = [0, *phones, 0]
    expected = [padded[i : i + 3] for i, part in enumerate(parts) for _ in part]
    np.testing.assert_array_equal(phone_contexts(ids, model.tables), expected)


@given(st.lists(st.integers(2, 3), min_size=1, max_size=3), st.integers(0, 2**32 - 1))
def test_alignments_that_stop_within_a_phone_are_refused(
    tmp_path_factory: pytest.TempPathFactory, phones: list[int], seed: int
) -> None:
    model, _ = small_model(tmp_path_factory.mktemp("cut"))
    rng = np.random.default_rng(seed)
    ids = np.array([number for phone in phones for number in walk(model, phone, rng)], np.int32)
    leaving = np.flatnonzero(model.tables.final[ids])[-1]
    with pytest.raises(DataError, match="stops within a phone"):
        split_phones(ids[:leaving], model.tables)
    with pytest.raises(DataError, match="empty"):
        split_phones(ids[:0], model.tables)


def test_the_context_shows_in_the_states(tmp_path: Path) -> None:
    """A tree that asks for the left phone gives two transition-states to one HMM state."""
    (tmp_path / "topo").write_text(topology_text([2], [1], 1, 1))
    topology = read_topology(tmp_path / "topo")
    tree = ContextTree(3, 1, Table(1, (None, Leaf(0), Split(0, (1,), Leaf(1), Leaf(2)))))
    model = TransitionModel.for_tree(topology, tree)
    np.testing.assert_array_equal(model.states, [[1, 0, 0], [2, 0, 1], [2, 0, 2]])
