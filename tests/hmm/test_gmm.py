"""Mixtures: densities in closed form and against Kaldi's, binary form, damage."""

from pathlib import Path

import numpy as np
import pytest
import scipy.special
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from asrkd.core.errors import DataError, MismatchError
from asrkd.hmm.gmm import DiagGmms, read_gmms
from asrkd.hmm.kaldi_io import BINARY_HEADER, BinaryReader, write_token
from tests.hmm.gmms import random_gmms, to_kaldi


def read(data: bytes) -> DiagGmms:
    return read_gmms(BinaryReader(BINARY_HEADER + data, "final.mdl"))


@given(st.integers(0, 2**32 - 1))
def test_log_likelihoods_in_closed_form(seed: int) -> None:
    gmms = random_gmms(seed)
    feats = np.random.default_rng(seed).standard_normal((7, 3)).astype(np.float32)
    result = gmms.log_likelihoods(feats)
    assert result.shape == (7, 4)
    assert result.dtype == np.float32
    for pdf in range(4):
        parts = [
            np.log(gmms.weights[i]) + scipy.stats.norm.logpdf(feats, gmms.means[i], np.sqrt(gmms.variances[i])).sum(1)
            for i in np.flatnonzero(gmms.owner == pdf)
        ]
        np.testing.assert_allclose(result[:, pdf], scipy.special.logsumexp(parts, axis=0), rtol=1e-4, atol=1e-4)


def test_log_likelihoods_of_some_pdfs_are_those_of_all() -> None:
    gmms, feats = random_gmms(9), np.random.default_rng(9).normal(size=(30, 3)).astype(np.float32)
    chosen = np.array([3, 0, 2])
    np.testing.assert_allclose(gmms.log_likelihoods(feats, chosen), gmms.log_likelihoods(feats)[:, chosen], rtol=1e-5)


@given(st.integers(0, 2**32 - 1))
def test_log_likelihoods_are_kaldis(seed: int) -> None:
    gmms = random_gmms(seed, num_pdfs=3, dim=5)
    model = to_kaldi(gmms)
    feats = np.random.default_rng(seed).standard_normal((4, 5)).astype(np.float32)
    expected = [[model.log_likelihood(pdf, frame) for pdf in range(3)] for frame in feats]
    np.testing.assert_allclose(gmms.log_likelihoods(feats), expected, rtol=1e-4, atol=1e-4)


def test_frames_far_from_all_components_stay_finite() -> None:
    gmms = random_gmms(1)
    assert np.isfinite(gmms.log_likelihoods(np.full((1, 3), 1e4, np.float32))).all()


def test_no_frames_give_no_rows() -> None:
    assert random_gmms(1).log_likelihoods(np.zeros((0, 3), np.float32)).shape == (0, 4)


def test_features_of_another_dimension_are_refused() -> None:
    with pytest.raises(MismatchError, match=r"\(5, 2\) for Gaussians over 3 dimensions: .*deltas"):
        random_gmms(1).log_likelihoods(np.zeros((5, 2), np.float32))


@given(st.integers(0, 2**32 - 1))
def test_binary_form_loses_nothing(seed: int) -> None:
    gmms = random_gmms(seed)
    again = read(gmms.to_bytes())
    assert again.to_bytes() == gmms.to_bytes()
    np.testing.assert_array_equal(again.owner, gmms.owner)


@given(st.integers(0, 100_000))
def test_cut_short_anywhere_is_an_error(position: int) -> None:
    whole = random_gmms(2).to_bytes()
    with pytest.raises(DataError, match=r"^final.mdl: "):
        read(whole[: position % len(whole)])


@pytest.mark.parametrize(
    ("old", "new", "cause"),
    [
        (b"<DIMENSION> ", b"<Nnet3> ", "neural network"),
        (b"<WEIGHTS> ", b"<WEIGHTz> ", "WEIGHTz"),
        (write_token("</DiagGMM>"), write_token("<DiagGMM>"), "expected"),
    ],
)
def test_other_contents_are_refused(old: bytes, new: bytes, cause: str) -> None:
    with pytest.raises(DataError, match=cause):
        read(random_gmms(2).to_bytes().replace(old, new, 1))


def test_what_follows_the_gaussians_is_refused() -> None:
    with pytest.raises(DataError, match="something follows"):
        read(random_gmms(2).to_bytes() + b"x")


def test_impossible_variances_are_refused() -> None:
    gmms = random_gmms(2)
    gmms.inv_vars[0, 0] = np.nan
    with pytest.raises(DataError, match="impossible means, variances or weights"):
        read(gmms.to_bytes())


def test_kaldis_own_likelihoods(kaldi_dir: Path) -> None:
    """The constants that Kaldi wrote are those that we compute."""
    reader = BinaryReader.open(kaldi_dir / "final.mdl")
    reader.offset = reader.data.index(b"<DIMENSION>")
    gmms = read_gmms(reader)
    assert (gmms.num_pdfs, gmms.num_gauss, gmms.dim) == (480, 5017, 39)
    ours = DiagGmms.from_parameters(gmms.weights, gmms.means_invvars, gmms.inv_vars, gmms.owner)
    np.testing.assert_allclose(ours.gconsts, gmms.gconsts, rtol=1e-5)
