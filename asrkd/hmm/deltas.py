"""Time derivatives of features, as Kaldi's ``add-deltas`` takes them."""

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]


def add_deltas(feats: FloatArray, order: int = 2, window: int = 2) -> FloatArray:
    """Features (num_frames, D) with their first ``order`` derivatives, shape (num_frames, (order + 1) D).

    The first derivative is the slope of a line fitted to 2 ``window`` + 1 frames; the k-th applies the same filter k
    times. Frames beyond the ends repeat the first and the last, once for the filters together.
    """
    if not len(feats):
        return np.zeros((0, feats.shape[1] * (order + 1)), np.float32)
    filters = [np.ones(1)]
    slope = np.arange(-window, window + 1) / (2.0 * sum(i * i for i in range(1, window + 1)))
    for _ in range(order):
        filters.append(np.convolve(filters[-1], slope))
    reach = order * window
    index = np.clip(np.arange(-reach, len(feats) + reach), 0, len(feats) - 1)
    padded = feats[index].astype(np.float32)
    parts = []
    for weights in filters:
        half = len(weights) // 2
        part = np.zeros(feats.shape, np.float32)
        for offset, weight in enumerate(weights, reach - half):
            if weight:
                part += np.float32(weight) * padded[offset : offset + len(feats)]
        parts.append(part)
    return np.concatenate(parts, axis=1)
