"""Trees in Kaldi's form: bytes, answers, damage."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrkd.core.errors import DataError
from asrkd.hmm.event_map import PDF_CLASS, ContextTree, Leaf, Node, Split, Table, monophone_tree, read_tree

PHONES = 4


def nodes(depth: int) -> st.SearchStrategy[Node]:
    leaf = st.builds(Leaf, st.integers(0, 30))
    if depth == 0:
        return leaf
    child = nodes(depth - 1)
    values = st.sets(st.integers(0, PHONES), min_size=1).map(lambda members: tuple(sorted(members)))
    return leaf | st.builds(Split, st.integers(-1, 2), values, child, child)


@given(st.lists(nodes(4), min_size=PHONES, max_size=PHONES))
def test_trees_round_trip_and_kaldi_gives_the_same_answers(
    tmp_path_factory: pytest.TempPathFactory, per_phone: list[Node]
) -> None:
    tree = ContextTree(3, 1, Table(1, (None, *per_phone)))
    path = tmp_path_factory.mktemp("tree") / "tree"
    path.write_bytes(tree.to_bytes())
    assert read_tree(path) == tree
    for context in [(0, 1, 2), (3, 2, 0), (1, 4, 4)]:
        for pdf_class in range(3):
            assert (True, tree.pdf(context, pdf_class)) == tuple(tree.kaldi.compute(list(context), pdf_class))
    assert tree.kaldi.num_pdfs == tree.num_pdfs


def test_monophones_number_their_pdfs_phone_by_phone() -> None:
    tree = monophone_tree({1: 2, 2: 1, 3: 2}, {3: 1})
    assert [tree.pdf((phone,), pdf_class) for phone, pdf_class in [(1, 0), (1, 1), (2, 0), (3, 0), (3, 1)]] == [
        0,
        1,
        2,
        0,
        1,
    ]
    assert tree.num_pdfs == 3
    with pytest.raises(DataError, match="another phone set"):
        tree.pdf((4,), 0)
    with pytest.raises(DataError, match="another phone set"):
        tree.pdf((2,), 1)


def test_kaldis_own_tree_round_trips_byte_for_byte(kaldi_dir: Path) -> None:
    tree = read_tree(kaldi_dir / "tree")
    assert tree.to_bytes() == (kaldi_dir / "tree").read_bytes()
    assert (tree.num_pdfs, tree.context_width, tree.central_position) == (480, 3, 1)


@given(st.integers(0, 10_000))
def test_a_tree_cut_short_is_refused(tmp_path_factory: pytest.TempPathFactory, position: int) -> None:
    whole = ContextTree(
        3, 1, Table(1, (None, Split(0, (1, 2), Leaf(0), Split(PDF_CLASS, (0,), Leaf(1), Leaf(2)))))
    ).to_bytes()
    path = tmp_path_factory.mktemp("tree") / "tree"
    path.write_bytes(whole[: position % len(whole)])
    with pytest.raises(DataError, match="tree"):
        read_tree(path)


@given(st.integers(0, 10_000), st.integers(0, 255))
def test_a_damaged_byte_gives_an_error_or_another_tree(
    tmp_path_factory: pytest.TempPathFactory, position: int, value: int
) -> None:
    whole = bytearray(ContextTree(3, 1, Table(1, (None, Split(0, (1, 2), Leaf(0), Leaf(1))))).to_bytes())
    whole[position % len(whole)] = value
    path = tmp_path_factory.mktemp("tree") / "tree"
    path.write_bytes(bytes(whole))
    try:
        again = read_tree(path).to_bytes()
    except DataError:
        return
    assert again == bytes(whole)
