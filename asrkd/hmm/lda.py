"""Linear discriminant analysis of spliced frames: the directions in which the classes differ most.

Haeb-Umbach and Ney 1992, "Linear discriminant analysis for improved large vocabulary continuous speech recognition";
classes are the pdfs of an alignment, as in Kaldi's ``est-lda``. Within the classes the covariance becomes the identity.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asrkd.core.errors import ConfigError, DataError
from asrkd.hmm.gmm import DoubleArray, FloatArray


@dataclass
class ClassStatistics:
    """Of frames in classes: ``counts`` (C,), sums of x by class ``first`` (C, D), sum of x x^T ``second`` (D, D)."""

    counts: DoubleArray
    first: DoubleArray
    second: DoubleArray

    @classmethod
    def collect(cls, feats: FloatArray, classes: NDArray[np.integer], num_classes: int) -> "ClassStatistics":
        """Statistics of frames (num_frames, D) and the class of each (num_frames,)."""
        values = feats.astype(np.float64)
        order = np.argsort(classes, kind="stable")
        present, starts = np.unique(classes[order], return_index=True)
        first = np.zeros((num_classes, values.shape[1]))
        if len(present):
            first[present] = np.add.reduceat(values[order], starts, axis=0)
        counts = np.bincount(classes, minlength=num_classes).astype(np.float64)
        return cls(counts, first, values.T @ values)

    def __iadd__(self, other: "ClassStatistics") -> "ClassStatistics":
        self.counts += other.counts
        self.first += other.first
        self.second += other.second
        return self


def lda(statistics: ClassStatistics, dim: int) -> DoubleArray:
    """The transform (dim, D), the most telling direction first.

    Raises ConfigError for more dimensions than there are, DataError where frames are too few to tell them apart.
    """
    size = len(statistics.second)
    if dim > size:
        raise ConfigError(f"lda: {dim} dimensions of {size}, which is what the spliced features have")
    total = statistics.counts.sum()
    seen = statistics.counts > 0
    means = statistics.first[seen] / statistics.counts[seen, None]
    mean = statistics.first.sum(axis=0) / max(total, 1)
    between = (means * statistics.counts[seen, None]).T @ means / max(total, 1) - np.outer(mean, mean)
    within = statistics.second / max(total, 1) - between - np.outer(mean, mean)
    try:
        whiten = np.linalg.inv(np.linalg.cholesky(within))
    except np.linalg.LinAlgError:
        raise DataError(
            f"lda: {total:.0f} frames of speech in {seen.sum()} classes do not span {size} dimensions: too little data?"
        ) from None
    _, directions = np.linalg.eigh(whiten @ between @ whiten.T)
    rows = directions[:, ::-1].T[:dim] @ whiten
    # An eigenvector's sign is arbitrary; this one is the same on every machine.
    largest = np.abs(rows).argmax(axis=1)
    result: DoubleArray = rows * np.sign(rows[np.arange(dim), largest])[:, None]
    return result
