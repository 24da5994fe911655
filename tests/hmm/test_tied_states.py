"""Tied-state folders: Kaldi's own files byte for byte, damage, and mixing of models."""

import shutil
from pathlib import Path

import kaldi_hmm_gmm
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrkd.core.errors import DataError, MismatchError
from asrkd.core.files import read_json
from asrkd.hmm.kaldi_io import write_token
from asrkd.hmm.tied_states import TiedStates, check_phones, read_model


def copied(folder: Path, target: Path) -> Path:
    target.mkdir(parents=True, exist_ok=True)
    for name in ("final.mdl", "tree", "phones.txt", "tied_states.json"):
        if (folder / name).exists():
            shutil.copyfile(folder / name, target / name)
    return target


def test_writing_gives_the_bytes_that_were_read(triphone: TiedStates, triphone_dir: Path, tmp_path: Path) -> None:
    description = triphone.write(tmp_path / "again")
    for name in ("final.mdl", "tree", "phones.txt", "topo"):
        assert (tmp_path / "again" / name).read_bytes() == (triphone_dir / name).read_bytes()
    assert description["hash"] == triphone.hash == read_json(triphone_dir / "tied_states.json")["hash"]
    assert TiedStates.load(tmp_path / "again").hash == triphone.hash


def test_kaldis_own_model_round_trips_byte_for_byte(kaldi_dir: Path, tmp_path: Path) -> None:
    model = TiedStates.load(kaldi_dir)
    assert (model.num_pdfs, model.transitions.num_transition_ids, model.gmms.num_gauss) == (480, 4038, 5017)
    model.write(tmp_path)
    for name in ("final.mdl", "tree"):
        assert (tmp_path / name).read_bytes() == (kaldi_dir / name).read_bytes()


def test_kaldi_agrees_on_pdfs(triphone: TiedStates) -> None:
    kaldi = triphone.transition_model
    expected = [kaldi.transition_id_to_pdf(number) for number in range(1, triphone.transitions.num_transition_ids + 1)]
    np.testing.assert_array_equal(triphone.pdf_of_tid[1:], expected)
    assert triphone.tree.num_pdfs == triphone.num_pdfs == kaldi.num_pdfs


def test_kaldi_agrees_on_likelihoods(triphone: TiedStates) -> None:
    feats = np.random.default_rng(0).standard_normal((3, triphone.gmms.dim)).astype(np.float32)
    gmms = triphone.gmms
    for pdf in range(0, triphone.num_pdfs, 3):
        of = gmms.owner == pdf
        single = kaldi_hmm_gmm.DiagGmm(nmix=int(of.sum()), dim=gmms.dim)
        single.set_weights(gmms.weights[of])
        single.set_invvars_and_means(gmms.inv_vars[of], gmms.means[of].astype(np.float32))
        single.compute_gconsts()
        expected = [single.log_likelihood(frame) for frame in feats]
        np.testing.assert_allclose(triphone.log_likelihoods(feats)[:, pdf], expected, rtol=1e-4)


def test_parameters_do_not_change_the_hash_but_the_tree_does(triphone: TiedStates, mono: TiedStates) -> None:
    counts = np.arange(triphone.transitions.num_transition_ids + 1.0)
    assert triphone.retrained(triphone.transitions.updated(counts), triphone.gmms).hash == triphone.hash
    assert triphone.hash != mono.hash


@given(st.floats(0, 0.9999))
def test_a_model_cut_short_is_an_error(tmp_path_factory: pytest.TempPathFactory, mono_dir: Path, share: float) -> None:
    folder = copied(mono_dir, tmp_path_factory.mktemp("cut"))
    whole = (mono_dir / "final.mdl").read_bytes()
    (folder / "final.mdl").write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(DataError, match=r"final\.mdl"):
        TiedStates.load(folder)


@given(st.integers(0, 2**31), st.integers(0, 255))
def test_a_damaged_byte_is_an_error_or_another_number(
    tmp_path_factory: pytest.TempPathFactory, mono_dir: Path, position: int, value: int
) -> None:
    """Never an exception of another kind, and never memory for what the file can't hold."""
    whole = bytearray((mono_dir / "final.mdl").read_bytes())
    whole[position % min(len(whole), 1500)] = value
    path = tmp_path_factory.mktemp("damage") / "final.mdl"
    path.write_bytes(bytes(whole))
    try:
        transitions, gmms = read_model(path)
    except DataError:
        return
    assert len(transitions.to_bytes()) + len(gmms.to_bytes()) + 2 == len(whole)


def test_files_of_two_models_are_refused(mono_dir: Path, triphone_dir: Path, tmp_path: Path) -> None:
    folder = copied(triphone_dir, tmp_path)
    shutil.copyfile(mono_dir / "tree", folder / "tree")
    with pytest.raises(DataError, match="are both files of one model"):
        TiedStates.load(folder)
    folder = copied(mono_dir, tmp_path)
    shutil.copyfile(triphone_dir / "tied_states.json", folder / "tied_states.json")
    with pytest.raises(MismatchError, match="of another tree"):
        TiedStates.load(folder)


def test_a_neural_model_is_refused(mono: TiedStates, mono_dir: Path, tmp_path: Path) -> None:
    folder = copied(mono_dir, tmp_path)
    (folder / "final.mdl").write_bytes(b"\0B" + mono.transitions.to_bytes() + write_token("<Nnet3>") + b"x " * 40)
    with pytest.raises(DataError, match="a neural network follows the transition model"):
        TiedStates.load(folder)


def test_what_is_missing_is_named(tmp_path: Path, mono_dir: Path) -> None:
    with pytest.raises(DataError, match="nowhere does not exist"):
        TiedStates.load(tmp_path / "nowhere")
    (copied(mono_dir, tmp_path) / "tree").unlink()
    with pytest.raises(DataError, match="tree is missing"):
        TiedStates.load(tmp_path)


def test_phones_must_have_the_same_ids() -> None:
    check_phones(Path("a"), {"<eps>": 0, "SIL": 1, "#0": 2}, Path("b"), {"<eps>": 0, "SIL": 1, "#0": 2, "#1": 3})
    with pytest.raises(MismatchError, match="number phone B differently"):
        check_phones(Path("a"), {"SIL": 1, "B": 2}, Path("b"), {"SIL": 1, "B": 3})
