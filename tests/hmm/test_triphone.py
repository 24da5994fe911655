"""Triphones: the tree's size, its start, and what must belong together."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asrkd.core.errors import MismatchError
from asrkd.core.files import read_json
from asrkd.hmm.alignment import Alignment
from asrkd.hmm.event_map import ContextTree, Leaf, Table
from asrkd.hmm.tied_states import TiedStates
from asrkd.hmm.tree import BuiltTree
from asrkd.hmm.triphone import TriphoneConfig, start_model, triphone_stage


def test_the_tree_has_its_leaves_and_context(triphone: TiedStates, triphone_dir: Path) -> None:
    description = read_json(triphone_dir / "tied_states.json")
    assert description["num_pdfs"] == triphone.num_pdfs == 20
    assert description["context_width"] == 3
    assert description["tree_gain_per_frame"] > 0
    assert description["phones_without_data"] == ["SPN"]


def test_triphones_fit_better_than_monophones(mono_dir: Path, triphone_dir: Path) -> None:
    before, after = (read_json(path / "tied_states.json")["history"][-1] for path in (mono_dir, triphone_dir))
    assert after["log_likelihood"] > before["log_likelihood"]


def test_every_leaf_has_frames(triphone_dir: Path) -> None:
    assert Alignment.open(triphone_dir / "ali").pdf_counts.min() > 0


def test_leaves_start_as_their_statistics_and_empty_ones_as_all(mono: TiedStates) -> None:
    """Two pdfs for each of the phones' three states: the first with frames, the second without."""
    phones = mono.transitions.topology.phones
    leaves = Table(-1, (Leaf(0), Leaf(1), Leaf(0)))
    tree = ContextTree(3, 1, Table(1, (None, *[leaves] * len(phones))))
    sums = np.array([[10.0, 20.0, 50.0], [0.0, 0.0, 0.0]])
    model = start_model(mono, BuiltTree(tree, sums, 0.0))
    np.testing.assert_allclose(model.gmms.means, [[2.0], [2.0]], rtol=1e-6)
    np.testing.assert_allclose(model.gmms.variances, [[1.0], [1.0]], rtol=1e-6)


def test_a_triphone_model_may_follow_another(toy: Any, triphone_dir: Path, tmp_path: Path) -> None:
    config = TriphoneConfig(num_passes=2, realign_passes=(), num_gauss=25, num_leaves=15, min_leaf_count=20.0)
    summary = triphone_stage(config, toy.features, toy.data, toy.lang, triphone_dir, tmp_path, 1)
    assert summary["num_pdfs"] == 15
    assert summary["num_failed"] == 0


def test_an_alignment_of_another_model_is_refused(toy: Any, mono_dir: Path, triphone_dir: Path, tmp_path: Path) -> None:
    previous = tmp_path / "previous"
    shutil.copytree(mono_dir, previous)
    shutil.rmtree(previous / "ali")
    shutil.copytree(triphone_dir / "ali", previous / "ali")
    (tmp_path / "work").mkdir()
    with pytest.raises(MismatchError, match="was the tree built again"):
        triphone_stage(TriphoneConfig(), toy.features, toy.data, toy.lang, previous, tmp_path / "work", 1)
