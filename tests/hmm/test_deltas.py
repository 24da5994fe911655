"""Derivatives against Kaldi's filters and closed forms."""

import numpy as np
import pytest

from asrkd.hmm.deltas import add_deltas


def test_slope_and_curvature_of_a_parabola() -> None:
    time = np.arange(30.0)
    values = np.column_stack([time, 0.5 * time**2]).astype(np.float32)
    middle = add_deltas(values)[5:-5]
    np.testing.assert_allclose(middle[:, 2], 1.0, rtol=1e-5)
    np.testing.assert_allclose(middle[:, 3], time[5:-5], rtol=1e-4)
    np.testing.assert_allclose(middle[:, 4], 0.0, atol=1e-4)
    np.testing.assert_allclose(middle[:, 5], 1.0, rtol=1e-3)


def test_filters_are_kaldis() -> None:
    """Response to an impulse: -2 -1 0 1 2 over 10, and that filter twice (feature-functions.cc)."""
    impulse = np.zeros((21, 1), np.float32)
    impulse[10] = 1.0
    result = add_deltas(impulse)
    np.testing.assert_allclose(result[8:13, 1], [0.2, 0.1, 0.0, -0.1, -0.2], atol=1e-7)
    np.testing.assert_allclose(result[6:15, 2], [0.04, 0.04, 0.01, -0.04, -0.1, -0.04, 0.01, 0.04, 0.04], atol=1e-7)


def test_ends_repeat_the_outermost_frames_of_the_features() -> None:
    """Not of the first derivative, as a filter applied twice would."""
    values = np.arange(6, dtype=np.float32)[:, None]
    result = add_deltas(values)
    padded = np.concatenate([[0.0] * 4, np.arange(6.0), [5.0] * 4])
    twice = np.array([0.04, 0.04, 0.01, -0.04, -0.1, -0.04, 0.01, 0.04, 0.04])
    np.testing.assert_allclose(result[:, 2], np.correlate(padded, twice, "valid"), atol=1e-6)


@pytest.mark.parametrize("num_frames", [0, 1, 2])
def test_short_utterances(num_frames: int) -> None:
    feats = np.ones((num_frames, 3), np.float32)
    result = add_deltas(feats)
    assert result.shape == (num_frames, 9)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result[:, 3:], 0.0, atol=1e-6)


def test_order_and_window_are_free() -> None:
    feats = np.random.default_rng(0).standard_normal((20, 2)).astype(np.float32)
    np.testing.assert_array_equal(add_deltas(feats, order=0), feats)
    assert add_deltas(feats, order=3, window=1).shape == (20, 8)
