"""Weights of teachers, learnt on a dev set: those whose combination gives its labels the least cross-entropy.

With w on the simplex, teachers' posteriors p_m and logits z_m at T = 1, and labels y_t of N frames::

    arithmetic   L(w) = -1/N sum_t log sum_m w_m p_m(y_t)
    geometric    L(w) = 1/N sum_t (log sum_k exp(sum_m w_m z_mk) - sum_m w_m z_m,y_t)

Both are convex, so the minimum that `simplex` finds is the only one, within the gap that it states. (The arithmetic one
is the likelihood of a mixture of fixed distributions.) Few numbers against many frames: there is hardly anything to
over-fit, but figures on that same dev set are those of the set that the weights were chosen on.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from asrkd.core.device import choose_device
from asrkd.core.errors import ConfigError, DataError, MismatchError
from asrkd.features.store import FeatureDir
from asrkd.hmm.alignment import Alignment
from asrkd.models.saved import check_belongs, log_softmax
from asrkd.targets.averaging import Combination, Ensemble, mean_of
from asrkd.targets.simplex import Derivatives, Minimum, Vector, minimise
from asrkd.targets.weights import distinct_ids, open_ensemble, write_weights

Frames = Callable[[], Iterator[tuple[torch.Tensor, torch.Tensor]]]
"""A pass over the set: by utterance the teachers' log posteriors (M, frames, num_pdfs) and the labels (frames,)."""

_CHUNK = 256  # frames


def weigh(
    features_dir: Path, alignment_dir: Path, models: Sequence[Path], work: Path, combination: Combination = "arithmetic"
) -> dict[str, Any]:
    """Learn the weights of ``models`` on a labelled (dev) set, and write them to ``work`` as weights.json.

    Memory: an utterance's logits, and for the arithmetic mean a number a frame and model, from a single pass over the
    set; for the geometric mean each evaluation, of which there are few, is a pass.
    """
    if len(models) < 2:
        raise ConfigError("weights are learnt of two models or more")
    distinct_ids(models)  # before any work
    features, alignment = FeatureDir.open(features_dir), Alignment.open(alignment_dir)
    ensemble = open_ensemble(models, choose_device("auto"), combination)
    check_belongs(ensemble.models[0], features.identity, alignment.tied_states)
    utt_ids = labelled(features, alignment)

    def frames() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for logits, labels in labelled_logits(ensemble, features, alignment, "weigh"):
            yield torch.stack([log_softmax(z) for z in logits]), labels

    learnt = learn(frames, mean_of(combination), len(models))
    figures: dict[str, Any] = {
        "cross_entropy": {"uniform": learnt.start, "learnt": learnt.value},
        "gap": learnt.gap,
        "frames": sum(features.num_frames[utt_id] for utt_id in utt_ids),
        "evaluations": learnt.evaluations,
    }
    write_weights(work, combination, models, learnt.weights.tolist(), **figures)
    shown = " ".join(f"{weight:.3f}" for weight in learnt.weights)
    print(
        f"weigh: {mean_of(combination)} weights {shown}: cross-entropy {learnt.value:.5f} nats a frame, with equal "
        f"weights {learnt.start:.5f}; at most {learnt.gap:.1g} above the least",
        flush=True,
    )
    return {"weights": learnt.weights.tolist(), **figures}


def learn(frames: Frames, combination: Combination, count: int) -> Minimum:
    """Weights of ``count`` teachers with the least cross-entropy on ``frames``."""
    if mean_of(combination) == "geometric":
        return minimise(lambda weights: _of_geometric_mean(frames, weights), count)
    log_probs = np.concatenate([_of_labels(p, y).double().cpu().numpy() for p, y in frames()], axis=1).T
    most = log_probs.max(axis=1, keepdims=True)
    probs, level = np.exp(log_probs - most), float(most.mean())
    return minimise(lambda weights: _of_mixture(probs, level, weights), count)


def _of_mixture(probs: Vector, level: float, weights: Vector) -> Derivatives:
    """Of the arithmetic mean; ``probs`` (frames, M) are the labels', each frame's scaled, by ``level`` in all."""
    mixed = probs @ weights
    with np.errstate(divide="ignore"):
        value = -float(np.log(mixed).mean()) - level
    ratios = probs / np.maximum(mixed, np.finfo(np.float64).tiny)[:, None]
    return Derivatives(value, -ratios.mean(axis=0), ratios.T @ ratios / len(ratios))


def _of_geometric_mean(frames: Frames, weights: Vector) -> Derivatives:
    """Of the geometric mean: the gradient is E_q[z] - z_y, the Hessian the covariance of the logits under q."""
    count = len(weights)
    value, gradient, hessian, total = 0.0, np.zeros(count), np.zeros((count, count)), 0
    for logits, labels in _in_chunks(frames):
        log_q = torch.log_softmax(torch.tensordot(torch.from_numpy(weights).to(logits), logits, 1), -1)
        mean = (log_q.exp() * logits).sum(-1)  # (M, frames)
        spread = ((log_q / 2).exp() * (logits - mean[..., None])).flatten(1)
        value -= float(log_q.gather(1, labels[:, None]).sum())
        gradient += (mean - _of_labels(logits, labels)).sum(1).cpu().numpy()
        hessian += (spread @ spread.T).cpu().numpy()
        total += len(labels)
    return Derivatives(value / total, gradient / total, hessian / total)


def _in_chunks(frames: Frames) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """In float64, in which the value is known well enough for the last steps, and few frames at a time."""
    for log_posteriors, labels in frames():
        for part, of_part in zip(torch.split(log_posteriors, _CHUNK, 1), torch.split(labels, _CHUNK), strict=True):
            yield part.double(), of_part


def _of_labels(log_posteriors: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """What (M, frames, num_pdfs) holds for the labels (frames,), shape (M, frames)."""
    return log_posteriors.gather(2, labels.expand(len(log_posteriors), -1)[..., None])[..., 0]


def labelled(features: FeatureDir, alignment: Alignment) -> list[str]:
    """The utterances that did not fail to align; DataError where there are none."""
    failed = set(alignment.failed)
    utt_ids = [utt_id for utt_id in features.utt_ids if utt_id not in failed]
    if not utt_ids:
        raise DataError(f"{features.path}: no labelled frames: did every utterance fail to align?")
    return utt_ids


def labelled_logits(
    ensemble: Ensemble, features: FeatureDir, alignment: Alignment, description: str
) -> Iterator[tuple[list[torch.Tensor], torch.Tensor]]:
    """By utterance that is `labelled`: each model's logits (frames, num_pdfs), and the labels (frames,).

    MismatchError where these are of another number of frames.
    """
    for utt_id in tqdm(labelled(features, alignment), description, disable=None):
        logits = ensemble.logits(features.load(utt_id))
        labels = torch.from_numpy(alignment.pdf_ids(utt_id)).long().to(logits[0].device)
        if len(labels) != len(logits[0]):
            raise MismatchError(
                f"{features.path}: {utt_id} has {len(logits[0])} frames, {len(labels)} in the alignment "
                f"{alignment.path}: were both made from one data dir?"
            )
        yield logits, labels
