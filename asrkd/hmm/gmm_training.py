"""Training of Gaussian mixtures on aligned frames: statistics, maximum-likelihood update, splitting. After Kaldi."""

import heapq
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from asrkd.hmm.gmm import DiagGmms, DoubleArray, FloatArray, IntArray, expand


@dataclass
class GmmStatistics:
    """What an update needs: for each component its occupancy (G,) and sums of x and x^2, both (G, D)."""

    occupancy: DoubleArray
    first: DoubleArray
    second: DoubleArray
    log_likelihood: float
    num_frames: int

    @property
    def per_frame(self) -> float:
        """Average log-likelihood of a frame."""
        return self.log_likelihood / max(self.num_frames, 1)

    def __iadd__(self, other: "GmmStatistics") -> "GmmStatistics":
        self.occupancy += other.occupancy
        self.first += other.first
        self.second += other.second
        self.log_likelihood += other.log_likelihood
        self.num_frames += other.num_frames
        return self


def accumulate(gmms: DiagGmms, feats: FloatArray, pdf_ids: NDArray[np.integer]) -> GmmStatistics:
    """Statistics of frames (num_frames, D) that belong to the pdfs ``pdf_ids`` (num_frames,)."""
    order = np.argsort(pdf_ids, kind="stable")
    expanded = expand(np.ascontiguousarray(feats[order]), gmms.dim)
    frames = np.searchsorted(pdf_ids[order], np.arange(gmms.num_pdfs + 1))
    sums = torch.zeros(gmms.num_gauss, 2 * gmms.dim + 1, dtype=torch.float64)
    log_likelihood = 0.0
    for pdf in np.flatnonzero(np.diff(frames)).tolist():
        inside = expanded[frames[pdf] : frames[pdf + 1]]
        components = slice(int(gmms.bounds[pdf]), int(gmms.bounds[pdf + 1]))
        scores = torch.mm(inside, gmms.linear[components].T)
        total = torch.logsumexp(scores, dim=1, keepdim=True)
        sums[components] = torch.mm((scores - total).exp().T, inside).double()
        log_likelihood += float(total.sum(dtype=torch.float64))
    values = sums.numpy()
    first, second = values[:, : gmms.dim], values[:, gmms.dim : -1]
    return GmmStatistics(values[:, -1], first, second, log_likelihood, len(feats))


@dataclass(frozen=True)
class UpdateLimits:
    """When a component is too weak to be kept, and how narrow it may become."""

    min_occupancy: float = 10.0
    min_weight: float = 1e-5
    min_variance: float = 0.001


def update(gmms: DiagGmms, statistics: GmmStatistics, limits: UpdateLimits) -> DiagGmms:
    """Maximum-likelihood weights, means and variances; weak components go, but the last of a pdf stays as it is.

    Kaldi's ``MleDiagGmmUpdate``.
    """
    occupancy, starts = statistics.occupancy, gmms.bounds[:-1]
    totals = np.add.reduceat(occupancy, starts)[gmms.owner]
    share = np.divide(occupancy, totals, out=np.zeros_like(occupancy), where=totals > 0)
    strong = (occupancy > limits.min_occupancy) & (share > limits.min_weight)
    lost = ~np.logical_or.reduceat(strong, starts)
    keep = strong.copy()
    keep[gmms.bounds[1:][lost] - 1] = True
    safe = np.where(strong, occupancy, 1.0)[:, None]
    means = np.where(strong[:, None], statistics.first / safe, gmms.means)
    variances = np.where(strong[:, None], statistics.second / safe - means**2, gmms.variances)
    weights = np.where(strong, share, gmms.weights)[keep]
    owner = gmms.owner[keep]
    weights /= np.bincount(owner, weights, gmms.num_pdfs)[owner]
    return DiagGmms.from_moments(weights, means[keep], np.maximum(variances[keep], limits.min_variance), owner)


def split_targets(occupancy: DoubleArray, target: int, power: float, min_count: float) -> IntArray:
    """How many components each pdf is to have so that there are ``target`` in all, shape (num_pdfs,).

    A pdf's share goes with its occupancy to the ``power``; each component has at least ``min_count`` frames. Kaldi's
    ``GetSplitTargets``.
    """
    counts = np.ones(len(occupancy), np.int64)
    strength = np.power(occupancy, power)
    queue = [(-strength[pdf], pdf) for pdf in range(len(occupancy))]
    heapq.heapify(queue)
    total = len(occupancy)
    while total < target and queue:
        _, pdf = heapq.heappop(queue)
        if (counts[pdf] + 1) * min_count >= occupancy[pdf]:
            continue
        counts[pdf] += 1
        total += 1
        heapq.heappush(queue, (-strength[pdf] / counts[pdf], pdf))
    return counts


def split(gmms: DiagGmms, targets: IntArray, rng: np.random.Generator, perturb: float) -> DiagGmms:
    """Split the heaviest component of each pdf until the pdf has its target number; none is taken away.

    The halves' means are moved apart by ``perturb`` standard deviations times normal noise. Kaldi's
    ``DiagGmm::Split``.
    """
    while (short := np.flatnonzero(np.diff(gmms.bounds) < targets)).size:
        # By pdf, then by weight: the last of each pdf is its heaviest.
        order = np.lexsort((gmms.weights, gmms.owner))
        heaviest = order[gmms.bounds[short + 1] - 1]
        noise = rng.standard_normal((len(short), gmms.dim)).astype(np.float32)
        shift = np.float32(perturb) * noise * np.sqrt(gmms.inv_vars[heaviest])
        weights, means_invvars = gmms.weights.copy(), gmms.means_invvars.copy()
        weights[heaviest] /= 2
        twins = means_invvars[heaviest] + shift
        means_invvars[heaviest] -= shift
        at = gmms.bounds[short + 1]
        gmms = DiagGmms.from_parameters(
            np.insert(weights, at, weights[heaviest]),
            np.insert(means_invvars, at, twins, axis=0),
            np.insert(gmms.inv_vars, at, gmms.inv_vars[heaviest], axis=0),
            np.insert(gmms.owner, at, short),
        )
    return gmms
