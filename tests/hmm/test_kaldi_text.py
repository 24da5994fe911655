"""Kaldi's text mode: what --binary=false prints of a model and a tree, and what is no text of Kaldi's."""

import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from asrkd.core.errors import DataError
from asrkd.hmm.event_map import Leaf, Node, Table, read_tree
from asrkd.hmm.kaldi_text import TextReader
from asrkd.hmm.tied_states import TiedStates, read_model


def numbers(values: Sequence[float] | np.ndarray) -> str:
    """A vector as Kaldi prints it: six digits."""
    return " [ " + "".join(f"{value:g} " for value in values) + "]\n"


def matrix(rows: np.ndarray) -> str:
    return " [" + "".join("\n  " + "".join(f"{value:g} " for value in row) for row in rows) + "]\n"


def model_text(model: TiedStates) -> str:
    """``gmm-copy --binary=false``, after Kaldi's TransitionModel::Write and AmDiagGmm::Write."""
    transitions, gmms = model.transitions, model.gmms
    parts = [f"<TransitionModel> \n{transitions.topology.to_text()}<Triples> {len(transitions.states)} \n"]
    parts += [f"{phone} {state} {pdf} \n" for phone, state, pdf in transitions.states.tolist()]
    parts += [f"</Triples> \n<LogProbs> \n{numbers(transitions.log_probs)}</LogProbs> \n</TransitionModel> \n"]
    parts += [f"<DIMENSION> {gmms.dim} <NUMPDFS> {gmms.num_pdfs} "]
    for first, end in zip(gmms.bounds[:-1], gmms.bounds[1:], strict=True):
        parts += [f"<DiagGMM> \n<GCONSTS> {numbers(gmms.gconsts[first:end])}"]
        parts += [
            f"<WEIGHTS> {numbers(gmms.weights[first:end])}<MEANS_INVVARS> {matrix(gmms.means_invvars[first:end])}"
        ]
        parts += [f"<INV_VARS> {matrix(gmms.inv_vars[first:end])}</DiagGMM> \n"]
    return "".join(parts)


def tree_text(model: TiedStates) -> str:
    """``copy-tree --binary=false``, after ContextDependency::Write and the event maps'."""
    tree = model.context_tree

    def node_text(node: Node | None) -> Iterator[str]:
        if node is None:
            yield "NULL "
        elif isinstance(node, Leaf):
            yield f"CE {node.pdf} "
        elif isinstance(node, Table):
            yield f"TE {node.key} {len(node.children)} ( "
            for child in node.children:
                yield from node_text(child)
            yield ") \n"
        else:
            yield f"SE {node.key} [ {''.join(f'{value} ' for value in node.yes_set)}]\n{{ "
            yield from node_text(node.yes)
            yield from node_text(node.no)
            yield "} \n"

    head = f"ContextDependency {tree.context_width} {tree.central_position} ToPdf "
    return head + "".join(node_text(tree.root)) + "EndContextDependency "


@pytest.fixture
def folder(triphone_dir: Path, triphone: TiedStates, tmp_path: Path) -> Path:
    """A model in text mode, that may be changed."""
    (tmp_path / "final.mdl").write_text(model_text(triphone))
    (tmp_path / "tree").write_text(tree_text(triphone))
    shutil.copyfile(triphone_dir / "phones.txt", tmp_path / "phones.txt")
    return tmp_path


def same_but_for_digits(text: TiedStates, model: TiedStates) -> None:
    assert text.context_tree == model.context_tree
    np.testing.assert_array_equal(text.transitions.states, model.transitions.states)
    np.testing.assert_allclose(text.transitions.log_probs, model.transitions.log_probs, rtol=1e-5)
    np.testing.assert_array_equal(text.gmms.owner, model.gmms.owner)
    for name in ("weights", "gconsts", "means_invvars", "inv_vars"):
        np.testing.assert_allclose(getattr(text.gmms, name), getattr(model.gmms, name), rtol=1e-5)


def test_a_model_in_text_is_the_model(folder: Path, triphone: TiedStates) -> None:
    model = TiedStates.load(folder)
    same_but_for_digits(model, triphone)
    assert model.transitions.topology == triphone.transitions.topology
    assert model.hash == triphone.hash


def test_kaldis_own_model_in_text(kaldi_dir: Path, tmp_path: Path) -> None:
    model = TiedStates.load(kaldi_dir)
    (tmp_path / "final.mdl").write_text(model_text(model))
    (tmp_path / "tree").write_text(tree_text(model))
    shutil.copyfile(kaldi_dir / "phones.txt", tmp_path / "phones.txt")
    same_but_for_digits(TiedStates.load(tmp_path), model)


def test_text_is_written_back_as_binary(folder: Path, triphone_dir: Path, tmp_path: Path) -> None:
    TiedStates.load(folder).write(tmp_path / "again")
    assert (tmp_path / "again" / "tree").read_bytes() == (triphone_dir / "tree").read_bytes()
    assert (tmp_path / "again" / "final.mdl").read_bytes().startswith(b"\0B<TransitionModel> <Topology> ")


@pytest.mark.parametrize("name", ["final.mdl", "tree"])
@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.9, 0.99])
def test_text_cut_short(folder: Path, name: str, share: float) -> None:
    text = (folder / name).read_text()
    (folder / name).write_text(text[: int(share * len(text))])
    with pytest.raises(DataError, match=rf"{name}: .*cut short"):
        TiedStates.load(folder)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("<PdfClass>", "<ForwardPdfClass> 0 <SelfLoopPdfClass>", "a chain model, which is not supported"),
        ("<DIMENSION>", "<Nnet3>", "a neural network follows"),
        ("<DIMENSION>", "<SGMM>", "a subspace GMM follows"),
        ("<DiagGMM>", "<FullGMM>", "full covariances"),
        ("<WEIGHTS>  [", "<WEIGHTS>  [ x", "no vector of numbers at byte"),
        ("<INV_VARS>  [", "<INV_VARS>  [ 1", "no matrix of numbers at byte"),
        ("<NUMPDFS> ", "<NUMPDFS> -", "mixtures can't follow"),
        ("<Triples> ", "<Triples> many ", "'many' where a number is expected"),
        ("<Triples> ", "<Triples> 99999999999 ", "no four-byte number at byte"),
        ("<Triples> ", "<Triples> " + "9" * 5000, "'9{40}' where a number is expected"),
    ],
)
def test_text_of_other_models(folder: Path, old: str, new: str, message: str) -> None:
    text = (folder / "final.mdl").read_text()
    assert old in text
    (folder / "final.mdl").write_text(text.replace(old, new, 1))
    with pytest.raises(DataError, match=message):
        read_model(folder / "final.mdl")


def test_prose_and_unsigned_numbers(tmp_path: Path) -> None:
    (tmp_path / "tree").write_text("Once upon a time\n")
    with pytest.raises(DataError, match="not a binary Kaldi file"):
        read_tree(tmp_path / "tree")
    with pytest.raises(DataError, match="-3 where a size is expected"):
        TextReader(b" -3 ", "tree").unsigned()
    assert TextReader(b" [ ]\n", "m").float_matrix().shape == (0, 0)


@pytest.mark.parametrize(
    ("pattern", "new", "message"),
    [
        (r"(<Triples> \d+\s+)\d+", r"\g<1>77", "a state of phone 77, of which the topology has no model"),
        (r"(<LogProbs> \s*\[ \S+) \S+", r"\1 nan", "transition probabilities that can't be"),
        (r"(<LogProbs> \s*\[ \S+) \S+", r"\1 0.5", "transition probabilities that can't be"),
        (r"(<GCONSTS>  \[) \S+", r"\1 nan", "a mixture with impossible constants"),
        (r"(<WEIGHTS>  \[) \S+", r"\1 inf", "a mixture with impossible means, variances or weights"),
        (r"(<INV_VARS>  \[\s+)\S+", r"\1inf", "a mixture with impossible means, variances or weights"),
    ],
)
def test_numbers_that_no_model_has(folder: Path, pattern: str, new: str, message: str) -> None:
    text = (folder / "final.mdl").read_text()
    changed = re.sub(pattern, new, text, count=1)
    assert changed != text
    (folder / "final.mdl").write_text(changed)
    with pytest.raises(DataError, match=f"final.mdl: {message}"):
        read_model(folder / "final.mdl")


def test_a_question_about_a_place_beyond_four_bytes(folder: Path) -> None:
    text = (folder / "tree").read_text()
    (folder / "tree").write_text(re.sub(r"(TE|SE) -?\d+", r"\1 99999999999", text, count=1))
    with pytest.raises(DataError, match="tree: no four-byte number"):
        read_tree(folder / "tree")
