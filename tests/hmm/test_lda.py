"""LDA against closed forms and SciPy's generalised eigenvalues."""

import numpy as np
import pytest
import scipy.linalg
from numpy.typing import NDArray

from asrkd.core.errors import ConfigError, DataError
from asrkd.hmm.lda import ClassStatistics, lda


def classes_of(seed: int, dim: int = 5, num_classes: int = 4) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Frames (600, dim) whose classes differ in their means, with one covariance; the last class has no frames."""
    rng = np.random.default_rng(seed)
    mixing, means = rng.normal(size=(dim, dim)), 2 * rng.normal(size=(num_classes, dim))
    classes = rng.integers(0, num_classes - 1, 600)
    return (means[classes] + rng.normal(size=(600, dim)) @ mixing).astype(np.float32), classes


def covariances(values: NDArray[np.float64], classes: NDArray[np.int64]) -> tuple[NDArray[np.float64], ...]:
    """Within and between classes."""
    centred = np.concatenate([values[classes == c] - values[classes == c].mean(axis=0) for c in np.unique(classes)])
    within = centred.T @ centred / len(values)
    return within, np.cov(values.T, bias=True) - within


@pytest.mark.parametrize("seed", range(3))
def test_directions_are_the_generalised_eigenvectors(seed: int) -> None:
    feats, classes = classes_of(seed)
    matrix = lda(ClassStatistics.collect(feats, classes, 4), 3)
    within, between = covariances(feats @ matrix.T.astype(np.float64), classes)
    np.testing.assert_allclose(within, np.eye(3), atol=1e-4)
    ratios = scipy.linalg.eigh(*reversed(covariances(feats.astype(np.float64), classes)), eigvals_only=True)[::-1]
    np.testing.assert_allclose(between, np.diag(ratios[:3]), atol=1e-3)


def test_two_classes_are_told_apart_along_fishers_direction() -> None:
    """W^-1 (m1 - m0), Fisher 1936."""
    feats, classes = classes_of(7, num_classes=3)
    row = lda(ClassStatistics.collect(feats, classes, 3), 1)[0]
    values = feats.astype(np.float64)
    within, _ = covariances(values, classes)
    fisher = np.linalg.solve(within, values[classes == 1].mean(axis=0) - values[classes == 0].mean(axis=0))
    cosine = row @ fisher / np.linalg.norm(row) / np.linalg.norm(fisher)
    assert abs(cosine) == pytest.approx(1.0, abs=1e-6)
    assert row[np.abs(row).argmax()] > 0


def test_statistics_add_up() -> None:
    feats, classes = classes_of(1)
    parts = ClassStatistics.collect(feats[:0], classes[:0], 4)
    parts += ClassStatistics.collect(feats[:250], classes[:250], 4)
    parts += ClassStatistics.collect(feats[250:], classes[250:], 4)
    whole = ClassStatistics.collect(feats, classes, 4)
    for name in ("counts", "first", "second"):
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), rtol=1e-10)


def test_what_cannot_be_is_refused() -> None:
    feats, classes = classes_of(2)
    with pytest.raises(ConfigError, match="lda: 6 dimensions of 5"):
        lda(ClassStatistics.collect(feats, classes, 4), 6)
    with pytest.raises(DataError, match=r"lda: 4 frames of speech in \d classes do not span 5 dimensions"):
        lda(ClassStatistics.collect(feats[:4], classes[:4], 4), 2)
    with pytest.raises(DataError, match="lda: 0 frames of speech in 0 classes"):
        lda(ClassStatistics.collect(feats[:0], classes[:0], 4), 2)
