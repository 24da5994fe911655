"""Where log-likelihoods come from: a net, an ensemble of nets, or a GMM."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asrkd.core.device import choose_device
from asrkd.decoding.acoustic import log_likelihoods
from asrkd.decoding.decode import LogLikelihoods
from asrkd.features.store import FeatureDir
from asrkd.hmm.gmm_features import GmmFeatures
from asrkd.hmm.tied_states import TiedStates
from asrkd.models.saved import check_belongs
from asrkd.targets.averaging import Combination
from asrkd.targets.weights import open_ensemble


@dataclass(frozen=True)
class Source:
    """Unscaled log-likelihoods of a set's utterances. ``on_gpu``: they can't be computed in forked workers."""

    log_likelihoods: LogLikelihoods
    tied_states: str
    on_gpu: bool = False


def nets(
    features: FeatureDir,
    models: Sequence[Path],
    combination: Combination | None = None,
    weights: Path | None = None,
    device: str = "auto",
) -> Source:
    """One net's log posteriors, or several nets' combined, less the log priors."""
    device = choose_device(device)
    ensemble = open_ensemble(models, device, combination, weights)
    check_belongs(ensemble.models[0], features.identity)

    def compute(utt_id: str) -> np.ndarray:
        return log_likelihoods(ensemble.log_posteriors(features.load(utt_id)).cpu().numpy(), ensemble.log_priors)

    return Source(compute, ensemble.info.tied_states, on_gpu=device != "cpu")


def gmm(features: FeatureDir, model: Path) -> Source:
    """A GMM's log-likelihoods of MFCC, with deltas or under the model's transform."""
    tied_states = TiedStates.load_gmm(model)
    seen = GmmFeatures(features, tied_states.transform)

    def compute(utt_id: str) -> np.ndarray:
        return tied_states.log_likelihoods(seen.load(utt_id))

    return Source(compute, tied_states.hash)
