"""From posteriors to what the search scores: scaled log-likelihoods. The one place where prior and scale come in.

By Bayes' rule p(x | pdf) is p(pdf | x) / p(pdf) times p(x), which is the same for all pdfs and is left out
(Bourlard and Morgan 1994, "Connectionist speech recognition"). The acoustic scale (near 0.1) makes up for frames
that are scored as if they were independent.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from asrkd.core.errors import DataError, MismatchError

Matrix = NDArray[np.float32]

LOG_UNDERFLOW = float(np.log(np.finfo(np.float32).smallest_subnormal))
"""Logarithm of the least positive float32: a posterior of 0 is one that was too small for float32, -103.3 or below."""


def scaled_log_likelihoods(
    log_posteriors: NDArray[np.floating[Any]], log_priors: NDArray[np.floating[Any]], acoustic_scale: float
) -> Matrix:
    """(log posterior - log prior) * acoustic_scale, float32 of shape (num_frames, num_pdfs)."""
    return scaled(log_likelihoods(log_posteriors, log_priors), acoustic_scale)


def scaled(unscaled: NDArray[np.floating[Any]], acoustic_scale: float) -> Matrix:
    """Log-likelihoods, a net's or a GMM's, times the acoustic scale."""
    return np.asarray(unscaled, dtype=np.float32) * np.float32(acoustic_scale)


def log_likelihoods(log_posteriors: NDArray[np.floating[Any]], log_priors: NDArray[np.floating[Any]]) -> Matrix:
    """log p(x | pdf) up to a constant of the frame: log posterior - log prior, shape (num_frames, num_pdfs).

    ``log_posteriors`` has shape (num_frames, num_pdfs), ``log_priors`` (num_pdfs,), natural logarithms. A log
    posterior of minus infinity is taken as float32's underflow.

    Raises MismatchError where the shapes differ, DataError for NaN, for posteriors above 1, and for a pdf whose prior
    is zero: dividing by it would make the pdf that was never seen the most likely of all.
    """
    if log_posteriors.ndim != 2 or log_priors.shape != log_posteriors.shape[1:]:
        raise MismatchError(
            f"log posteriors have shape {log_posteriors.shape}, log priors {log_priors.shape}: "
            "are both of one model's pdfs?"
        )
    check_log_priors(log_priors)
    _check_log_posteriors(log_posteriors)
    return np.maximum(log_posteriors, LOG_UNDERFLOW, dtype=np.float32) - log_priors.astype(np.float32)


def check_log_priors(log_priors: NDArray[np.floating[Any]]) -> None:
    """DataError, naming the first pdf, unless every prior is a probability above zero."""
    wrong = ~np.isfinite(log_priors) | (log_priors > 1e-3)
    if wrong.any():
        pdf = int(np.argmax(wrong))
        cause = (
            "it never occurs in the alignment: floor its count before the logarithm"
            if log_priors[pdf] == -np.inf
            else "were probabilities or counts given, not log priors?"
        )
        raise DataError(f"log prior of pdf {pdf} is {log_priors[pdf]}: {cause}")


def _check_log_posteriors(log_posteriors: NDArray[np.floating[Any]]) -> None:
    if not log_posteriors.size:
        return
    highest = log_posteriors.max(axis=1)  # NaN where a frame holds one
    wrong = ~(highest <= 1e-3) | (highest == -np.inf)
    if wrong.any():
        frame = int(np.argmax(wrong))
        if np.isnan(highest[frame]):
            raise DataError(f"log posteriors hold NaN at frame {frame}: has training diverged?")
        raise DataError(
            f"log posteriors reach {highest[frame]:.3g} at frame {frame}, where 0 is the most: "
            "were logits or probabilities given, not log posteriors?"
            if highest[frame] > 0
            else f"log posteriors of frame {frame} are all minus infinity: has training diverged?"
        )
