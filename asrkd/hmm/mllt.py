"""MLLT: one linear transform for all Gaussians, under which diagonal covariances fit best.

Gales 1999, "Semi-tied covariance matrices for hidden Markov models", section III; the update by rows is Kaldi's
``MlltAccs``. With residuals r of the frames and component variances v the transform A maximises

    sum of gamma (log |det A| - 1/2 sum_i (A_i r)^2 / v_i)  =  beta log |det A| - 1/2 sum_i A_i G_i A_i^T
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from asrkd.core.errors import DataError
from asrkd.hmm.gmm import DiagGmms, DoubleArray, FloatArray, expand

ITERATIONS = 200


@dataclass
class MlltStatistics:
    """``beta``: number of frames. ``scatter`` (D, D, D): G_i = sum of gamma / v_i r r^T over frames and components."""

    beta: float
    scatter: DoubleArray

    def __iadd__(self, other: "MlltStatistics") -> "MlltStatistics":
        self.beta += other.beta
        self.scatter += other.scatter
        return self


def accumulate_mllt(gmms: DiagGmms, feats: FloatArray, pdf_ids: NDArray[np.integer]) -> MlltStatistics:
    """Statistics of frames (num_frames, D) that belong to the pdfs ``pdf_ids`` (num_frames,)."""
    dim, order = gmms.dim, np.argsort(pdf_ids, kind="stable")
    expanded = expand(np.ascontiguousarray(feats[order]), dim)
    bounds = np.searchsorted(pdf_ids[order], np.arange(gmms.num_pdfs + 1))
    means = torch.from_numpy(gmms.means.astype(np.float32))
    inv_vars = torch.from_numpy(gmms.inv_vars)
    scatter = torch.zeros(dim, dim * dim, dtype=torch.float64)
    for pdf in np.flatnonzero(np.diff(bounds)).tolist():
        inside = expanded[bounds[pdf] : bounds[pdf + 1]]
        components = slice(int(gmms.bounds[pdf]), int(gmms.bounds[pdf + 1]))
        gamma = torch.softmax(torch.mm(inside, gmms.linear[components].T), dim=1)
        residuals = inside[:, :dim] - means[components, None]
        outer = torch.bmm((residuals * gamma.T[..., None]).transpose(1, 2), residuals)
        scatter += torch.mm(inv_vars[components].T, outer.reshape(len(outer), -1)).double()
    return MlltStatistics(float(len(feats)), scatter.numpy().reshape(dim, dim, dim))


def estimate_mllt(statistics: MlltStatistics) -> tuple[DoubleArray, float]:
    """The transform (D, D), and by how much it raises a frame's log-likelihood. DataError for too few frames."""
    beta, dim = statistics.beta, len(statistics.scatter)
    try:
        inverses = np.linalg.inv(statistics.scatter)
    except np.linalg.LinAlgError:
        inverses = np.full(1, np.nan)
    if beta <= dim or not np.isfinite(inverses).all():
        raise DataError(f"mllt: {beta:.0f} frames of speech do not span {dim} dimensions: too little data?")
    matrix = np.eye(dim)
    before = objective(statistics, matrix)
    for _ in range(ITERATIONS):
        for row in range(dim):
            cofactors = np.linalg.inv(matrix)[:, row]
            direction = inverses[row] @ cofactors
            matrix[row] = direction * np.sqrt(beta / (cofactors @ direction))
    return matrix, (objective(statistics, matrix) - before) / beta


def objective(statistics: MlltStatistics, matrix: DoubleArray) -> float:
    """What the transform maximises: the log-likelihood of all frames, but for a constant."""
    quadratic = np.einsum("ij,ijk,ik->", matrix, statistics.scatter, matrix)
    return float(statistics.beta * np.linalg.slogdet(matrix)[1] - 0.5 * quadratic)


def transformed_means(gmms: DiagGmms, matrix: DoubleArray) -> DiagGmms:
    """The Gaussians for features under ``matrix``: their means moved along, their variances as they are."""
    return DiagGmms.from_moments(gmms.weights, gmms.means @ matrix.T, gmms.variances, gmms.owner)
