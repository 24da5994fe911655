"""Triphones: the tree's size, its start, and what must belong together."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asrkd.core.errors import ConfigError, DataError, MismatchError
from asrkd.core.files import read_json
from asrkd.features.store import FeatureDir
from asrkd.hmm.align import align_stage
from asrkd.hmm.alignment import Alignment, write_alignment
from asrkd.hmm.event_map import ContextTree, Leaf, Table
from asrkd.hmm.kaldi_exchange import export_alignment, import_tied_states
from asrkd.hmm.sizes import TIED_STATES, TRIPHONE_GAUSSIANS
from asrkd.hmm.tied_states import TiedStates
from asrkd.hmm.tree import BuiltTree
from asrkd.hmm.triphone import LdaConfig, TriphoneConfig, sized, spread, start_model, triphone_stage
from tests.outputs import contents


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


SMALL: dict[str, Any] = {
    "num_passes": 3,
    "realign_passes": (2,),
    "num_gauss": 30,
    "num_leaves": 20,
    "min_leaf_count": 20.0,
}
LDA = LdaConfig(dim=4, context=2, mllt_passes=(2, 3))


def without_alignment(model: Path, folder: Path) -> Path:
    shutil.copytree(model, folder, ignore=shutil.ignore_patterns("ali"))
    return folder


def right_phones(toy: Any, model: TiedStates, alignment: Alignment) -> float:
    """Share of the frames whose aligned phone is the true one."""
    right = []
    for utt in alignment.utt_ids:
        true = [model.phones[phone] for phone in toy.phones[utt]]
        right.append(model.tables.phone[alignment.transition_ids(utt)] == true)
    return float(np.concatenate(right).mean())


def test_a_subset_is_spread_over_all_utterances() -> None:
    texts = {f"utt{number:02d}": [number] for number in range(10)}
    assert list(spread(texts, 4)) == ["utt00", "utt02", "utt05", "utt07"]
    assert spread(texts, None) == spread(texts, 10) == spread(texts, 11) == texts


def test_the_previous_model_aligns_where_it_left_no_alignment(toy: Any, mono_dir: Path, tmp_path: Path) -> None:
    """What its folder would have held is what it aligns again: the models are the same."""
    again = without_alignment(mono_dir, tmp_path / "mono")
    for name, previous in (("with", mono_dir), ("without", again)):
        (tmp_path / name).mkdir()
        triphone_stage(TriphoneConfig(**SMALL), toy.features, toy.data, toy.lang, previous, tmp_path / name, 1)
    for name in ("final.mdl", "tree", "tied_states.json", "ali/ali.1.ark"):
        assert (tmp_path / "with" / name).read_bytes() == (tmp_path / "without" / name).read_bytes()
    assert sorted(contents(tmp_path / "without")) == sorted(contents(tmp_path / "with"))


def test_stages_on_more_and_more_utterances(toy: Any, mono_dir: Path, tmp_path: Path) -> None:
    """Triphones on a part, then with LDA on all, as large recipes order them; nothing is aligned in vain."""
    frames = FeatureDir.open(toy.features).num_frames
    first, second = tmp_path / "tri1", tmp_path / "tri2"
    first.mkdir()
    second.mkdir()
    config = TriphoneConfig(**SMALL, max_utterances=10, align_all=False)
    inputs = toy.features, toy.data, toy.lang
    summary = triphone_stage(config, *inputs, without_alignment(mono_dir, tmp_path / "mono"), first, 2)
    assert "num_failed" not in summary
    assert not (first / "ali").exists()
    history = read_json(first / "tied_states.json")["history"]
    assert history[0]["num_frames"] == sum(frames[utt] for utt in spread({utt: [0] for utt in sorted(frames)}, 10))
    assert triphone_stage(TriphoneConfig(**SMALL, lda=LDA), *inputs, first, second, 1)["num_failed"] == 0
    assert right_phones(toy, TiedStates.load(second), Alignment.open(second / "ali")) > 0.9


def test_an_alignment_of_fewer_utterances_is_not_enough(toy: Any, mono_dir: Path, tmp_path: Path) -> None:
    previous = without_alignment(mono_dir, tmp_path / "mono")
    model, ours = TiedStates.load(mono_dir), Alignment.open(mono_dir / "ali")
    write_alignment(previous / "ali", model, ours.utt_ids[:3], ours.transition_ids, max_failed=0.0)
    (tmp_path / "work").mkdir()
    config = TriphoneConfig(**SMALL, align_all=False)
    triphone_stage(config, toy.features, toy.data, toy.lang, previous, tmp_path / "work", 1)
    history = read_json(tmp_path / "work" / "tied_states.json")["history"]
    assert history[0]["num_frames"] == sum(FeatureDir.open(toy.features).num_frames.values())


def test_auto_is_resolved_by_the_frames_trained_on(toy: Any, mono_dir: Path, tmp_path: Path) -> None:
    frames = sum(FeatureDir.open(toy.features).num_frames.values())
    config = TriphoneConfig(num_passes=6, realign_passes=(), num_leaves=None, num_gauss=None, min_leaf_count=20.0)
    resolved = sized(config, frames)
    assert resolved.num_leaves == TIED_STATES.size(None, frames)
    assert resolved.num_gauss == TRIPHONE_GAUSSIANS.size(None, frames)
    for name, each in (("auto", config), ("numbers", resolved)):
        (tmp_path / name).mkdir()
        triphone_stage(each, toy.features, toy.data, toy.lang, mono_dir, tmp_path / name, 1)
    assert (tmp_path / "auto" / "final.mdl").read_bytes() == (tmp_path / "numbers" / "final.mdl").read_bytes()


@pytest.fixture(scope="module")
def lda_dir(toy: Any, mono_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = tmp_path_factory.mktemp("lda")
    triphone_stage(TriphoneConfig(**SMALL, lda=LDA), toy.features, toy.data, toy.lang, mono_dir, work, 1)
    return work


def test_lda_and_mllt_belong_to_the_model(toy: Any, lda_dir: Path, tmp_path: Path) -> None:
    model = TiedStates.load(lda_dir)
    assert model.transform is not None
    assert model.transform.matrix.shape == (4, 5 * 3)
    assert model.gmms.dim == 4
    history = read_json(lda_dir / "tied_states.json")["history"]
    assert [entry["pass"] for entry in history if entry.get("mllt_gain", 0) > 0] == [2, 3]
    assert right_phones(toy, model, Alignment.open(lda_dir / "ali")) > 0.9
    align_stage(TriphoneConfig().align, toy.features, toy.data, toy.lang, lda_dir, tmp_path, 1)
    for name in ("ali.1.ark", "pdf_counts"):
        assert (tmp_path / name).read_bytes() == (lda_dir / "ali" / name).read_bytes()


def test_kaldi_gets_the_transform_and_gives_it_back(lda_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "kaldi").mkdir()
    (tmp_path / "back").mkdir()
    export_alignment(lda_dir / "ali", lda_dir, tmp_path / "kaldi")
    import_tied_states(tmp_path / "kaldi", tmp_path / "back")
    for name in ("final.mat", "splice_opts", "final.mdl"):
        assert (tmp_path / "back" / name).read_bytes() == (lda_dir / name).read_bytes()


def test_triphones_with_derivatives_may_follow_lda(toy: Any, lda_dir: Path, tmp_path: Path) -> None:
    triphone_stage(TriphoneConfig(**SMALL), toy.features, toy.data, toy.lang, lda_dir, tmp_path, 1)
    assert TiedStates.load(tmp_path).transform is None
    assert not (tmp_path / "final.mat").exists()


def test_a_transform_of_another_model_is_refused(lda_dir: Path, triphone_dir: Path, tmp_path: Path) -> None:
    mixed = without_alignment(triphone_dir, tmp_path / "mixed")
    for name in ("final.mat", "splice_opts"):
        shutil.copyfile(lda_dir / name, mixed / name)
    with pytest.raises(DataError, match=r"final\.mat gives 4 dimensions, the Gaussians of final\.mdl have 9"):
        TiedStates.load(mixed)


def test_more_dimensions_than_there_are_are_refused(toy: Any, mono_dir: Path, tmp_path: Path) -> None:
    config = TriphoneConfig(lda=LdaConfig(dim=40, context=1))
    with pytest.raises(ConfigError, match="lda: 40 dimensions of 9"):
        triphone_stage(config, toy.features, toy.data, toy.lang, mono_dir, tmp_path, 1)
