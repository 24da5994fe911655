"""Scaled log-likelihoods: Bayes' rule, and what is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from asrkd.core.errors import DataError, MismatchError
from asrkd.decoding.acoustic import LOG_UNDERFLOW, log_likelihoods, scaled, scaled_log_likelihoods

PRIORS = np.log([0.5, 0.25, 0.25])


def test_by_hand() -> None:
    posteriors = np.log(np.array([[0.8, 0.1, 0.1], [0.25, 0.5, 0.25]]))
    expected = 0.1 * np.log([[1.6, 0.4, 0.4], [0.5, 2.0, 1.0]])
    result = scaled_log_likelihoods(posteriors, PRIORS, 0.1)
    assert result.dtype == np.float32
    assert result.shape == (2, 3)
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-7)


@given(arrays(np.float64, (4, 3), elements=st.floats(0.01, 1)), st.floats(0.01, 2))
def test_bayes_rule_inverts(weights: np.ndarray, scale: float) -> None:
    """Likelihoods times priors, normalised, are the posteriors again."""
    posteriors = weights / weights.sum(axis=1, keepdims=True)
    likelihoods = np.exp(scaled_log_likelihoods(np.log(posteriors), PRIORS, scale).astype(np.float64) / scale)
    joint = likelihoods * np.exp(PRIORS)
    np.testing.assert_allclose(joint / joint.sum(axis=1, keepdims=True), posteriors, rtol=1e-4)


def test_posteriors_that_equal_the_priors_say_nothing() -> None:
    np.testing.assert_allclose(log_likelihoods(np.tile(PRIORS, (5, 1)), PRIORS), 0, atol=1e-7)


def test_underflow_of_a_posterior_is_floored() -> None:
    result = log_likelihoods(np.array([[0.0, -np.inf, -200.0]]), PRIORS)
    np.testing.assert_allclose(result[0, 1:], LOG_UNDERFLOW - np.log(0.25), rtol=1e-6)
    assert np.isfinite(result).all()


def test_scale_of_log_likelihoods_above_zero() -> None:
    """A GMM's densities may exceed 1."""
    result = scaled(np.array([[20.0, -30.0]]), 0.1)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, [[2.0, -3.0]], rtol=1e-6)


def test_no_frames() -> None:
    assert log_likelihoods(np.zeros((0, 3)), PRIORS).shape == (0, 3)


@pytest.mark.parametrize("shape", [(2, 4), (3,)])
def test_other_number_of_pdfs(shape: tuple[int, ...]) -> None:
    with pytest.raises(MismatchError, match="one model's pdfs"):
        log_likelihoods(np.full(shape, -1.0), PRIORS)


@pytest.mark.parametrize(
    ("priors", "message"),
    [
        ([-1.0, -np.inf, -2.0], "log prior of pdf 1 is -inf: it never occurs in the alignment: floor its count"),
        ([-1.0, -2.0, np.nan], "log prior of pdf 2 is nan"),
        ([120.0, 30.0, 1.0], "log prior of pdf 0 is 120.0: were probabilities or counts given"),
    ],
)
def test_priors_that_are_none(priors: list[float], message: str) -> None:
    with pytest.raises(DataError, match=message):
        log_likelihoods(np.full((2, 3), -1.0), np.array(priors))


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        ([-1.0, np.nan, -1.0], "NaN at frame 1: has training diverged"),
        ([5.0, -1.0, -2.0], "reach 5 at frame 1, where 0 is the most: were logits"),
        ([-np.inf] * 3, "of frame 1 are all minus infinity"),
        ([np.inf, 0.0, 0.0], "reach inf at frame 1"),
    ],
)
def test_posteriors_that_are_none(frame: list[float], message: str) -> None:
    with pytest.raises(DataError, match=message):
        log_likelihoods(np.array([[-1.0] * 3, frame]), PRIORS)
