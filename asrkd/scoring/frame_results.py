"""Frame accuracy, cross-entropy and calibration of a system on a set, with counts by utterance, in frames.json.

The predictions lie beside it (`scoring.predictions`). ``tied_states`` and ``labels`` in frames.json are the hashes of
the tree and of the alignment's pdf-ids that the scores are against: only systems that share both may be compared.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from asrkd.core.device import choose_device
from asrkd.core.files import write_json
from asrkd.features.store import FeatureDir
from asrkd.hmm.alignment import Alignment
from asrkd.hmm.gmm_features import GmmFeatures
from asrkd.hmm.tied_states import TiedStates
from asrkd.models.saved import check_belongs
from asrkd.scoring.frames import score_frames
from asrkd.scoring.predictions import write_predictions
from asrkd.targets.averaging import Combination
from asrkd.targets.weights import open_ensemble

TEMPERATURES = (0.5, 0.7, 0.85, 1.0, 1.2, 1.5, 2.0, 3.0)
"""Where the cross-entropy of softmax(z / T) is measured: its least says how over-confident a net is."""

LogPosteriors = Callable[[str], NDArray[np.float32]]


def net_frame_scores(  # noqa: PLR0917 (inputs first, output last)
    features_dir: Path,
    alignment_dir: Path,
    models: Sequence[Path],
    work: Path,
    combination: Combination | None = None,
    weights: Path | None = None,
    passes: int = 0,
) -> dict[str, Any]:
    """Frame accuracy, cross-entropy and calibration of a net or an ensemble; writes frames.json.

    ``passes``: stochastic ones of nets with dropout, averaged; 0 for plain inference.
    """
    device = choose_device("auto")
    features, alignment = FeatureDir.open(features_dir), Alignment.open(alignment_dir)
    ensemble = open_ensemble(models, device, combination, weights, passes=passes)
    check_belongs(ensemble.models[0], features.identity, alignment.tied_states)
    curve = np.zeros(len(TEMPERATURES))

    def log_posteriors(utt_id: str) -> NDArray[np.float32]:
        logits = ensemble.logits(features.load(utt_id), utt_id)
        labels = torch.from_numpy(alignment.pdf_ids(utt_id)).long().to(logits[0].device)
        for index, temperature in enumerate(TEMPERATURES):
            softened = ensemble.combined(logits, temperature)
            if len(softened) == len(labels):  # otherwise the scorer says so
                curve[index] -= float(softened.gather(1, labels[:, None]).sum())
        return ensemble.combined(logits).cpu().numpy()

    extra = {"parameters": ensemble.num_parameters}
    return frame_scores(features.utt_ids, alignment, log_posteriors, work, extra=extra, temperature_sums=curve)


def gmm_frame_scores(features_dir: Path, alignment_dir: Path, model: Path, work: Path) -> dict[str, Any]:
    """The same of a GMM, whose posteriors are likelihoods times the alignment's priors, normalised."""
    features, alignment = FeatureDir.open(features_dir), Alignment.open(alignment_dir)
    tied_states = TiedStates.load_gmm(model)
    seen = GmmFeatures(features, tied_states.transform)
    alignment.check_tied_states(tied_states.hash, str(model))
    log_priors = alignment.log_priors

    def log_posteriors(utt_id: str) -> NDArray[np.float32]:
        joint = torch.from_numpy(tied_states.log_likelihoods(seen.load(utt_id)) + log_priors)
        return torch.log_softmax(joint, dim=-1).numpy()

    return frame_scores(
        features.utt_ids,
        alignment,
        log_posteriors,
        work,
        extra={"parameters": tied_states.gmms.num_gauss * (2 * tied_states.gmms.dim + 1)},
    )


def frame_scores(
    all_ids: Sequence[str],
    alignment: Alignment,
    log_posteriors: LogPosteriors,
    work: Path,
    *,
    extra: dict[str, Any],
    temperature_sums: NDArray[np.float64] | None = None,
) -> dict[str, Any]:
    """The same of any log posteriors, given by utterance id, on those of ``all_ids`` that could be aligned.

    ``extra``: figures to keep with the scores. ``temperature_sums``: summed cross-entropy at each of `TEMPERATURES`,
    whole once all posteriors have been asked for.
    """
    failed = set(alignment.failed)
    utt_ids = [utt_id for utt_id in all_ids if utt_id not in failed]
    labels = {utt: alignment.pdf_ids(utt) for utt in utt_ids}
    scores = score_frames(log_posteriors, labels, utt_ids)
    summary: dict[str, Any] = {
        **extra,
        "frame_accuracy": scores.accuracy,
        "cross_entropy": scores.nll,
        "ece": scores.calibration.expected_error,
        "frames": scores.num_frames,
        "tied_states": alignment.tied_states,
        "labels": labels_hash(labels),
        "num_pdfs": alignment.num_pdfs,
    }
    details: dict[str, Any] = {
        "calibration": scores.calibration.table(),
        "utterances": {utt: [counts.correct, counts.total] for utt, counts in scores.utterances.items()},
    }
    if temperature_sums is not None:
        details["temperature_curve"] = [
            {"temperature": temperature, "cross_entropy": value}
            for temperature, value in zip(TEMPERATURES, (temperature_sums / scores.num_frames).tolist(), strict=True)
        ]
    write_predictions(work, scores.predictions)
    write_json(work / "frames.json", {**summary, **details})
    print(f"frames: accuracy {100 * scores.accuracy:.2f} % of {scores.num_frames} frames", flush=True)
    return summary


def labels_hash(labels: Mapping[str, NDArray[np.int32]]) -> str:
    """SHA-256 of the pdf-ids of utterances, with their ids."""
    digest = hashlib.sha256()
    for utt_id in sorted(labels):
        digest.update(f"{utt_id}\0".encode() + labels[utt_id].astype("<i4").tobytes())
    return digest.hexdigest()
