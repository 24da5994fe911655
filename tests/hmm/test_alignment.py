"""Alignment folders: what is in them, consistency, conversion between models."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from asrkd.core.errors import DataError, MismatchError
from asrkd.hmm.alignment import Alignment, convert_alignment, write_alignment
from asrkd.hmm.tied_states import TiedStates


@pytest.fixture
def alignment(triphone_dir: Path, tmp_path: Path) -> Alignment:
    """A copy that may be damaged."""
    shutil.copytree(triphone_dir / "ali", tmp_path / "ali")
    return Alignment.open(tmp_path / "ali")


def test_pdfs_are_those_of_the_transitions(alignment: Alignment, triphone: TiedStates) -> None:
    counts = np.zeros(triphone.num_pdfs)
    for utt in alignment.utt_ids:
        transition_ids, pdf_ids = alignment.transition_ids(utt), alignment.pdf_ids(utt)
        np.testing.assert_array_equal(triphone.pdf_of_tid[transition_ids], pdf_ids)
        assert pdf_ids.dtype == transition_ids.dtype == np.int32
        assert len(pdf_ids) == alignment.num_frames[utt]
        counts += np.bincount(pdf_ids, minlength=triphone.num_pdfs)
    np.testing.assert_array_equal(alignment.pdf_counts, counts)
    assert alignment.tied_states == triphone.hash
    assert alignment.num_pdfs == triphone.num_pdfs
    alignment.check_tied_states(triphone.hash, "model")


def test_priors_sum_to_one_and_give_unseen_pdfs_a_share(alignment: Alignment) -> None:
    (alignment.path / "pdf_counts").write_text(f"[ 0 {' '.join(['7'] * (alignment.num_pdfs - 1))} ]\n")
    priors = np.exp(Alignment.open(alignment.path).log_priors)
    assert priors.sum() == pytest.approx(1.0)
    assert priors[0] == pytest.approx(priors[1] / 7)


def test_another_tree_is_a_mismatch(alignment: Alignment, mono: TiedStates) -> None:
    with pytest.raises(MismatchError, match="was the tree built again"):
        alignment.check_tied_states(mono.hash, "mono")


@pytest.mark.parametrize("counts", ["[ 1 2 3", "1 2 3 ]", "[ 1 two ]", "[ 1 2 ]", ""])
def test_damaged_counts_are_named(alignment: Alignment, counts: str) -> None:
    (alignment.path / "pdf_counts").write_text(counts)
    with pytest.raises(DataError, match="pdf_counts"):
        _ = Alignment.open(alignment.path).pdf_counts


def test_files_that_disagree_are_named(alignment: Alignment) -> None:
    lengths = (alignment.path / "utt2num_frames").read_text().splitlines()
    (alignment.path / "utt2num_frames").write_text("\n".join([lengths[0] + "0", *lengths[1:]]))
    utt = lengths[0].split()[0]
    with pytest.raises(DataError, match=rf"{utt} has \d+ frames, utt2num_frames says"):
        Alignment.open(alignment.path).pdf_ids(utt)
    (alignment.path / "utt2num_frames").write_text("\n".join(lengths[1:]))
    with pytest.raises(DataError, match=rf"{utt} is in only one of ali.scp and utt2num_frames"):
        Alignment.open(alignment.path)


def test_an_unknown_utterance_is_named(alignment: Alignment) -> None:
    with pytest.raises(DataError, match="nobody"):
        alignment.pdf_ids("nobody")


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        Alignment.open(tmp_path / "ali")


def test_failures_are_listed_up_to_the_limit(mono: TiedStates, tmp_path: Path) -> None:
    def align(utt_id: str) -> np.ndarray:
        return np.zeros(0, np.int32) if utt_id == "utt3" else np.full(4, 1, np.int32)

    utts = [f"utt{number}" for number in range(10)]
    summary = write_alignment(tmp_path / "ali", mono, utts, align, max_failed=0.1)
    opened = Alignment.open(tmp_path / "ali")
    assert summary["failed"] == ["utt3"] == list(opened.failed)
    assert (summary["num_utterances"], summary["num_frames"]) == (9, 36)
    assert opened.utt_ids == [utt for utt in utts if utt != "utt3"]
    with pytest.raises(DataError, match=r"1 of 10 utterances could not be aligned \(utt3\)"):
        write_alignment(tmp_path / "strict", mono, utts, align, max_failed=0.05)


def test_conversion_keeps_phones_states_and_moves(mono: TiedStates, triphone: TiedStates, mono_dir: Path) -> None:
    alignment = Alignment.open(mono_dir / "ali")
    there, back = convert_alignment(mono, triphone), convert_alignment(triphone, mono)
    for utt in alignment.utt_ids[:5]:
        old = alignment.transition_ids(utt)
        new = there(old)
        for name in ("phone", "hmm_state", "index", "self_loop", "final"):
            np.testing.assert_array_equal(getattr(mono.tables, name)[old], getattr(triphone.tables, name)[new])
        np.testing.assert_array_equal(back(new), old)
    np.testing.assert_array_equal(convert_alignment(mono, mono)(old), old)


def test_models_of_different_topologies_are_not_converted(mono: TiedStates, kaldi_dir: Path) -> None:
    with pytest.raises(MismatchError, match="different topologies"):
        convert_alignment(mono, TiedStates.load(kaldi_dir))


def test_kaldis_own_alignment_has_the_pdfs_that_kaldi_prints(kaldi_dir: Path) -> None:
    import gzip

    model = TiedStates.load(kaldi_dir)
    expected = {}
    with gzip.open(kaldi_dir / "pdf-first20.txt.gz", "rt") as file:
        for line in file:
            utt, *pdfs = line.split()
            expected[utt] = np.array(pdfs, int)
    found = 0
    with gzip.open(kaldi_dir / "ali.1.gz", "rt") as file:
        for line in file:
            utt, *ids = line.split()
            if utt in expected:
                np.testing.assert_array_equal(model.pdf_of_tid[np.array(ids, int)], expected[utt])
                found += 1
    assert found == len(expected) == 20


def test_numbers_of_frames_that_were_edited(mono_dir: Path, tmp_path: Path) -> None:
    shutil.copytree(mono_dir / "ali", tmp_path / "ali")
    counts = (tmp_path / "ali" / "utt2num_frames").read_text()
    (tmp_path / "ali" / "utt2num_frames").write_text(counts.replace(" ", " x", 1))
    with pytest.raises(DataError, match=r"utt2num_frames: spk0-000: 'x\d+' is no number of frames"):
        Alignment.open(tmp_path / "ali")
    with pytest.raises(DataError, match="utt2num_frames is a file, where a folder is expected"):
        Alignment.open(tmp_path / "ali" / "utt2num_frames")
