"""Gaussian mixtures with diagonal covariances, one for each pdf, all in one set of arrays.

The log-likelihood of a component is linear in (x, x^2, 1)::

    log w - 1/2 sum_d [log 2 pi + log v_d + (x_d - m_d)^2 / v_d]  =  gconst + x . (m / v) - 1/2 x^2 . (1 / v)

so that those of all frames and components are one matrix product. The parameters kept are Kaldi's (``DiagGmm``).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from asrkd.core.errors import DataError, MismatchError
from asrkd.hmm.kaldi_io import BinaryReader, write_float_matrix, write_float_vector, write_int, write_token

FloatArray = NDArray[np.float32]
DoubleArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
_Blocks = list[tuple[int, IntArray, torch.Tensor]]


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread for torch's products in the block: sums, and so bytes, must not depend on the number of jobs."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@dataclass(frozen=True)
class DiagGmms:
    """G components of dimension D. Components of one pdf stand together, in the order of the pdfs.

    ``weights``, ``gconsts`` and ``owner`` (the pdf of each) have shape (G,); ``means_invvars`` (mean over variance)
    and ``inv_vars`` have shape (G, D).
    """

    weights: FloatArray
    means_invvars: FloatArray
    inv_vars: FloatArray
    gconsts: FloatArray
    owner: IntArray

    @classmethod
    def from_moments(
        cls, weights: NDArray[Any], means: NDArray[Any], variances: NDArray[Any], owner: IntArray
    ) -> "DiagGmms":
        """From weights (G,), means and variances (G, D)."""
        inv_vars = (1.0 / np.asarray(variances, np.float64)).astype(np.float32)
        return cls.from_parameters(weights, (means * inv_vars.astype(np.float64)).astype(np.float32), inv_vars, owner)

    @classmethod
    def from_parameters(
        cls, weights: NDArray[Any], means_invvars: FloatArray, inv_vars: FloatArray, owner: IntArray
    ) -> "DiagGmms":
        """From Kaldi's parameters; the constants are computed."""
        weights = np.asarray(weights, np.float32)
        precise, shifted = inv_vars.astype(np.float64), means_invvars.astype(np.float64)
        gconsts = np.log(weights.astype(np.float64)) + 0.5 * (
            np.log(precise) - np.log(2 * np.pi) - shifted**2 / precise
        ).sum(axis=1)
        return cls(weights, means_invvars, inv_vars, gconsts.astype(np.float32), owner)

    @property
    def num_gauss(self) -> int:
        return len(self.weights)

    @property
    def dim(self) -> int:
        return self.inv_vars.shape[1]

    @property
    def num_pdfs(self) -> int:
        return int(self.owner[-1]) + 1

    @cached_property
    def bounds(self) -> IntArray:
        """Component ``bounds[pdf]`` is the first of a pdf, ``bounds[pdf + 1]`` is past its last; (num_pdfs + 1,)."""
        return np.searchsorted(self.owner, np.arange(self.num_pdfs + 1))

    @property
    def means(self) -> DoubleArray:
        return self.means_invvars.astype(np.float64) / self.inv_vars

    @property
    def variances(self) -> DoubleArray:
        return 1.0 / self.inv_vars.astype(np.float64)

    @cached_property
    def linear(self) -> torch.Tensor:
        """Coefficients of (x, x^2, 1), shape (G, 2 D + 1)."""
        return torch.from_numpy(
            np.concatenate([self.means_invvars, -0.5 * self.inv_vars, self.gconsts[:, None]], axis=1)
        )

    @cached_property
    def _blocks(self) -> "_Blocks":
        return self._blocks_of(np.arange(self.num_pdfs))

    def _blocks_of(self, pdfs: IntArray) -> "_Blocks":
        """``pdfs`` by their number of components: that number, their places in ``pdfs``, and their coefficients."""
        counts = self.bounds[pdfs + 1] - self.bounds[pdfs]
        blocks = []
        for count in np.unique(counts):
            places = np.flatnonzero(counts == count)
            rows = (self.bounds[pdfs[places]][:, None] + np.arange(count)).ravel()
            blocks.append((int(count), places, self.linear[torch.from_numpy(rows)]))
        return blocks

    def log_likelihoods(self, feats: FloatArray, pdfs: IntArray | None = None) -> FloatArray:
        """log p(x | pdf) of all frames and of ``pdfs`` (all of them unless given), from features (num_frames, D).

        The result has shape (num_frames, number of pdfs). Raises MismatchError for features of another dimension.
        """
        expanded = expand(feats, self.dim).T
        result = np.empty((self.num_pdfs if pdfs is None else len(pdfs), len(feats)), np.float32)
        for count, places, linear in self._blocks if pdfs is None else self._blocks_of(pdfs):
            scores = torch.mm(linear, expanded).numpy().reshape(len(places), count, len(feats))
            best = scores.max(axis=1, keepdims=True)
            scores -= best
            np.exp(scores, out=scores)
            result[places] = best[:, 0] + np.log(scores.sum(axis=1))
        return np.ascontiguousarray(result.T)

    def to_bytes(self) -> bytes:
        """Kaldi's ``AmDiagGmm`` in its binary format (without the file's header)."""
        parts = [write_token("<DIMENSION>"), write_int(self.dim), write_token("<NUMPDFS>"), write_int(self.num_pdfs)]
        for first, end in zip(self.bounds[:-1], self.bounds[1:], strict=True):
            parts += [write_token("<DiagGMM>"), write_token("<GCONSTS>"), write_float_vector(self.gconsts[first:end])]
            parts += [write_token("<WEIGHTS>"), write_float_vector(self.weights[first:end])]
            parts += [write_token("<MEANS_INVVARS>"), write_float_matrix(self.means_invvars[first:end])]
            parts += [write_token("<INV_VARS>"), write_float_matrix(self.inv_vars[first:end])]
            parts.append(write_token("</DiagGMM>"))
        return b"".join(parts)


def expand(feats: FloatArray, dim: int) -> torch.Tensor:
    """(x, x^2, 1) of each frame, shape (num_frames, 2 ``dim`` + 1). Raises MismatchError for another dimension."""
    if feats.ndim != 2 or feats.shape[1] != dim:
        raise MismatchError(
            f"features of shape {feats.shape} for Gaussians over {dim} dimensions: "
            "of another front end, or without their deltas?"
        )
    return torch.from_numpy(np.concatenate([feats, feats * feats, np.ones((len(feats), 1), np.float32)], axis=1))


def read_gmms(reader: BinaryReader) -> DiagGmms:
    """Read Kaldi's ``AmDiagGmm``, which must end the file. Raises DataError for other models and damaged bytes."""
    _check_kind(reader)
    reader.expect("<DIMENSION>")
    dim = reader.integer()
    reader.expect("<NUMPDFS>")
    pdfs = [_read_gmm(reader, dim) for _ in range(reader.count("mixtures"))]
    if not reader.at_end:
        raise reader.error("something follows the Gaussians")
    if not pdfs:
        raise reader.error("no mixtures")
    gconsts, weights, means_invvars, inv_vars = (np.concatenate(parts) for parts in zip(*pdfs, strict=True))
    owner = np.repeat(np.arange(len(pdfs)), [len(pdf[1]) for pdf in pdfs])
    return DiagGmms(weights, means_invvars, inv_vars, gconsts, owner)


_OTHER_MODELS = {
    **dict.fromkeys(("<Nnet3>", "<Nnet>", "<NumComponents>", "<LeftContext>"), "a neural network"),
    "<SGMM>": "a subspace GMM",
}


def _check_kind(reader: BinaryReader) -> None:
    found = "nothing" if reader.at_end else _OTHER_MODELS.get(reader.peek_token())
    if found is not None:
        raise DataError(
            f"{reader.name}: {found} follows the transition model, where Gaussians are expected: "
            "give the folder of the GMM whose tree and alignments it was trained on"
        )


def _read_gmm(reader: BinaryReader, dim: int) -> Sequence[FloatArray]:
    if reader.peek_token() == "<FullGMM>":
        raise DataError(
            f"{reader.name}: its Gaussians have full covariances, which are not supported: "
            "give the GMM with diagonal covariances whose alignments are to be used"
        )
    reader.expect("<DiagGMM>")
    gconsts = reader.float_vector() if reader.expect("<GCONSTS>", "<WEIGHTS>") == "<GCONSTS>" else None
    if gconsts is not None:
        reader.expect("<WEIGHTS>")
    weights = reader.float_vector()
    reader.expect("<MEANS_INVVARS>")
    means_invvars = reader.float_matrix()
    reader.expect("<INV_VARS>")
    inv_vars = reader.float_matrix()
    reader.expect("</DiagGMM>")
    shape = (len(weights), dim)
    if not len(weights) or means_invvars.shape != shape or inv_vars.shape != shape:
        raise reader.error(f"a mixture of {len(weights)} with means of {means_invvars.shape}")
    finite = all(np.isfinite(values).all() for values in (means_invvars, inv_vars, weights))
    if not finite or not (inv_vars > 0).all() or not (weights >= 0).all():
        raise reader.error("a mixture with impossible means, variances or weights")
    if gconsts is None:
        gconsts = DiagGmms.from_parameters(weights, means_invvars, inv_vars, np.zeros(len(weights), np.int64)).gconsts
    if len(gconsts) != len(weights):
        raise reader.error(f"{len(gconsts)} constants for a mixture of {len(weights)}")
    if not (gconsts < np.inf).all():  # minus infinity is that of a weight of 0
        raise reader.error("a mixture with impossible constants")
    return gconsts, weights, means_invvars, inv_vars
