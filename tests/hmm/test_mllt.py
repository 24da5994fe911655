"""MLLT against its definition and the closed form for one Gaussian."""

import numpy as np
import pytest

from asrkd.core.errors import DataError
from asrkd.hmm.gmm import DiagGmms
from asrkd.hmm.mllt import MlltStatistics, accumulate_mllt, estimate_mllt, objective, transformed_means
from tests.hmm.gmms import random_gmms

DIM = 4


def correlated(rng: np.random.Generator, count: int) -> np.ndarray:
    return (rng.normal(size=(count, DIM)) @ rng.normal(size=(DIM, DIM))).astype(np.float32)


def test_statistics_are_what_they_are_defined_as() -> None:
    rng = np.random.default_rng(0)
    gmms = random_gmms(rng, 3, DIM)
    feats, pdf_ids = rng.normal(size=(40, DIM)).astype(np.float32), rng.integers(0, 3, 40)
    expected = np.zeros((DIM, DIM, DIM))
    for x, pdf in zip(feats.astype(np.float64), pdf_ids, strict=True):
        own = np.flatnonzero(gmms.owner == pdf)
        residuals, variances = x - gmms.means[own], gmms.variances[own]
        scores = np.log(gmms.weights[own]) - 0.5 * (np.log(variances) + residuals**2 / variances).sum(axis=1)
        gamma = np.exp(scores - np.logaddexp.reduce(scores))
        expected += np.einsum("c,ci,cj,ck->ijk", gamma, 1 / variances, residuals, residuals)
    statistics = accumulate_mllt(gmms, feats, pdf_ids)
    np.testing.assert_allclose(statistics.scatter, expected, rtol=1e-3, atol=1e-3)
    assert statistics.beta == 40
    parts = accumulate_mllt(gmms, feats[:0], pdf_ids[:0])
    parts += accumulate_mllt(gmms, feats[:10], pdf_ids[:10])
    parts += accumulate_mllt(gmms, feats[10:], pdf_ids[10:])
    np.testing.assert_allclose(parts.scatter, statistics.scatter, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_one_gaussian_gains_what_its_correlations_cost(seed: int) -> None:
    """Of a Gaussian with covariance S the diagonal loses (log |diag S| - log |S|) / 2 a frame, which a transform that
    makes S diagonal wins back."""
    feats = correlated(np.random.default_rng(seed), 5000)
    values = feats.astype(np.float64)
    covariance = np.cov(values.T, bias=True)
    gmms = DiagGmms.from_moments(
        np.ones(1), values.mean(axis=0)[None], np.diag(covariance)[None], np.zeros(1, np.int64)
    )
    matrix, gain = estimate_mllt(accumulate_mllt(gmms, feats, np.zeros(len(feats), int)))
    expected = 0.5 * (np.log(np.diag(covariance)).sum() - np.linalg.slogdet(covariance)[1])
    assert gain == pytest.approx(expected, rel=1e-3)
    np.testing.assert_allclose(matrix @ covariance @ matrix.T, np.diag(np.diag(covariance)), atol=1e-2)


def test_the_gain_is_that_of_the_likelihood() -> None:
    """Of Gaussians whose means move along, on frames under the transform, its Jacobian counted."""
    rng = np.random.default_rng(4)
    means = 6 * rng.normal(size=(3, DIM))
    pdf_ids = rng.integers(0, 3, 4000)
    feats = (means[pdf_ids] + correlated(rng, 4000)).astype(np.float32)
    gmms = DiagGmms.from_moments(np.ones(3), means, np.ones((3, DIM)), np.arange(3))
    matrix, gain = estimate_mllt(accumulate_mllt(gmms, feats, pdf_ids))
    after = transformed_means(gmms, matrix).log_likelihoods((feats @ matrix.T).astype(np.float32))
    frames = np.arange(len(feats))
    difference = (after - gmms.log_likelihoods(feats))[frames, pdf_ids].mean() + np.linalg.slogdet(matrix)[1]
    assert gain == pytest.approx(difference, abs=1e-3)
    assert gain > 0.1


def test_no_small_change_of_the_transform_does_better() -> None:
    rng = np.random.default_rng(5)
    statistics = accumulate_mllt(random_gmms(rng, 3, DIM), correlated(rng, 500), rng.integers(0, 3, 500))
    matrix, _ = estimate_mllt(statistics)
    best = objective(statistics, matrix)
    for _ in range(50):
        assert objective(statistics, matrix + 0.01 * rng.normal(size=matrix.shape)) <= best + 1e-6 * abs(best)


def test_too_few_frames_are_refused() -> None:
    rng = np.random.default_rng(6)
    few = accumulate_mllt(random_gmms(rng, 1, DIM), correlated(rng, 3), np.zeros(3, int))
    for statistics in (few, MlltStatistics(0.0, np.zeros((DIM, DIM, DIM)))):
        with pytest.raises(DataError, match=r"mllt: \d frames of speech do not span 4 dimensions: too little data"):
            estimate_mllt(statistics)
