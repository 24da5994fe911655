"""Frame accuracy, negative log-likelihood and calibration of posteriors against an alignment.

Conventions: posteriors come as natural logarithms, (num_frames, num_pdfs); an alignment is one pdf-id a frame. The
prediction of a frame is its most probable pdf, and its confidence that pdf's probability. Rates are over the frames of
the whole set. The expected calibration error is that of Guo et al. 2017, "On calibration of modern neural networks",
equation 3: bins of equal width by confidence, |accuracy - mean confidence| weighted by the bin's share of frames.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asrkd.core.errors import DataError, MismatchError
from asrkd.scoring.predictions import Predictions, predictions

NUM_BINS = 15


@dataclass(frozen=True)
class FrameCounts:
    """Frames of one utterance, how many were right, and the summed -log p(aligned pdf) in nats."""

    correct: int
    total: int
    nll: float


@dataclass(frozen=True)
class Calibration:
    """Reliability by confidence: (NUM_BINS,) counts of frames, of correct ones, and sums of confidences."""

    count: NDArray[np.int64] = field(default_factory=lambda: np.zeros(NUM_BINS, np.int64))
    correct: NDArray[np.int64] = field(default_factory=lambda: np.zeros(NUM_BINS, np.int64))
    confidence: NDArray[np.float64] = field(default_factory=lambda: np.zeros(NUM_BINS))

    @classmethod
    def of(cls, confidence: NDArray[np.floating[Any]], correct: NDArray[np.bool_]) -> "Calibration":
        """Of frames with these confidences, shape (num_frames,)."""
        sureness = confidence.astype(np.float64)
        # Bins are (a, b]: a confidence of 1 is in the last.
        bins = np.clip(np.ceil(sureness * NUM_BINS).astype(np.int64) - 1, 0, NUM_BINS - 1)
        return cls(
            np.bincount(bins, minlength=NUM_BINS),
            np.bincount(bins[correct], minlength=NUM_BINS),
            np.bincount(bins, weights=sureness, minlength=NUM_BINS).astype(np.float64),
        )

    def __add__(self, other: "Calibration") -> "Calibration":
        return Calibration(self.count + other.count, self.correct + other.correct, self.confidence + other.confidence)

    @property
    def expected_error(self) -> float:
        """ECE: mean over frames of the bin's |accuracy - confidence|."""
        return float(np.abs(self.correct - self.confidence).sum() / max(self.count.sum(), 1))

    def table(self) -> list[dict[str, float]]:
        """One row a bin that holds frames: mean confidence, accuracy, count."""
        return [
            {"confidence": float(p / n), "accuracy": float(c / n), "count": int(n)}
            for n, c, p in zip(self.count, self.correct, self.confidence, strict=True)
            if n
        ]


@dataclass(frozen=True)
class FrameScores:
    """A set's frame scores: counts and predictions by utterance id, and calibration over all frames."""

    utterances: Mapping[str, FrameCounts]
    calibration: Calibration
    predictions: Mapping[str, Predictions]

    @property
    def num_frames(self) -> int:
        return sum(counts.total for counts in self.utterances.values())

    @property
    def accuracy(self) -> float:
        """Correct frames over all frames, a fraction."""
        return sum(counts.correct for counts in self.utterances.values()) / self.num_frames

    @property
    def nll(self) -> float:
        """Mean negative log-likelihood of the aligned pdf, nats a frame."""
        return sum(counts.nll for counts in self.utterances.values()) / self.num_frames

    def __add__(self, other: "FrameScores") -> "FrameScores":
        """Scores of two parts of a set. DataError for an utterance that is in both."""
        if shared := sorted(self.utterances.keys() & other.utterances.keys()):
            raise DataError(f"utterance {shared[0]} is scored twice")
        return FrameScores(
            {**self.utterances, **other.utterances},
            self.calibration + other.calibration,
            {**self.predictions, **other.predictions},
        )


def score_frames(
    log_posteriors: Callable[[str], NDArray[np.floating[Any]]],
    alignment: Mapping[str, NDArray[np.integer[Any]]],
    utt_ids: Iterable[str],
) -> FrameScores:
    """Score the posteriors of ``utt_ids`` against their alignment; raises what `score_utterance` raises."""
    utterances, predicted, calibration = {}, {}, Calibration()
    for utt_id in utt_ids:
        if utt_id not in alignment:
            raise MismatchError(f"{utt_id} has no alignment: did aligning it fail, or is the alignment another set's?")
        scored = score_utterance(utt_id, log_posteriors(utt_id), alignment[utt_id])
        utterances[utt_id], part, predicted[utt_id] = scored
        calibration += part
    if not any(counts.total for counts in utterances.values()):
        raise DataError("there are no frames to score: are the utterances' ids those of the alignment?")
    return FrameScores(utterances, calibration, predicted)


def score_utterance(
    utt_id: str, log_posteriors: NDArray[np.floating[Any]], pdfs: NDArray[np.integer[Any]]
) -> tuple[FrameCounts, Calibration, Predictions]:
    """Counts, calibration and predictions of an utterance.

    Log posteriors have shape (num_frames, num_pdfs), pdf-ids (num_frames,).

    Raises MismatchError where numbers of frames or pdfs differ, DataError for what can't be log posteriors.
    """
    validate(utt_id, log_posteriors, pdfs)
    best = log_posteriors.argmax(axis=1)
    frames = np.arange(len(pdfs))
    confidence = np.minimum(np.exp(log_posteriors[frames, best].astype(np.float64)), 1.0)
    correct = best == pdfs
    nll = -log_posteriors[frames, pdfs].astype(np.float64).sum()
    return (
        FrameCounts(int(correct.sum()), len(pdfs), float(nll)),
        Calibration.of(confidence, correct),
        predictions(best, confidence, log_posteriors.shape[1]),
    )


def validate(utt_id: str, log_posteriors: NDArray[np.floating[Any]], pdfs: NDArray[np.integer[Any]]) -> None:
    """Check that posteriors and alignment fit; the error names the utterance and guesses the cause."""
    if log_posteriors.ndim != 2 or pdfs.ndim != 1:
        raise DataError(f"{utt_id}: posteriors of shape {log_posteriors.shape}, alignment of {pdfs.shape}")
    if len(log_posteriors) != len(pdfs):
        raise MismatchError(
            f"{utt_id}: {len(log_posteriors)} frames of posteriors, {len(pdfs)} of alignment: were the features made "
            "with another frame shift or snip_edges, or the alignment from perturbed speech?"
        )
    if len(pdfs) and not 0 <= pdfs.min() <= pdfs.max() < log_posteriors.shape[1]:
        raise MismatchError(
            f"{utt_id}: pdf {int(pdfs.max())} is in the alignment, the posteriors have {log_posteriors.shape[1]} "
            "pdfs: are these transition-ids, or of another tree?"
        )
    if np.isnan(log_posteriors).any():
        raise DataError(f"{utt_id}: posteriors hold NaN: has training diverged?")
    if log_posteriors.size and log_posteriors.max() > 1e-3:
        raise DataError(f"{utt_id}: a log posterior is above 0: were logits or probabilities given?")
