"""An ensemble's posteriors: several nets' logits combined into one distribution a frame.

Hinton, Vinyals and Dean (2015) average the distributions arithmetically or geometrically (section 2). With teachers'
weights w_m, which sum to 1 and are all alike unless they were learnt (`weights`), and p_m = softmax(z_m / T)::

    arithmetic   p = sum_m w_m p_m
    geometric    p = prod_m p_m^w_m, renormalised, which is softmax(sum_m w_m z_m / T)

A net that drops units at random is an ensemble of all that it can become: in place of the one pass that stands for
their mean it may be asked in several stochastic ones, each of which then is a teacher.

A mean of logits is thus the geometric mean: ``logits`` is its other name, not a third combination.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from asrkd.core.errors import ConfigError, MismatchError
from asrkd.core.random import rng_for
from asrkd.features.window import Window, splice
from asrkd.models.layers import drop_in_use, logits_and_hidden
from asrkd.models.saved import SavedModel, check_belongs, log_softmax

Combination: TypeAlias = Literal["arithmetic", "geometric", "logits"]


def mean_of(combination: Combination) -> Literal["arithmetic", "geometric"]:
    """Which of the two means it is, whatever its name."""
    return "arithmetic" if combination == "arithmetic" else "geometric"


def combine(
    logits: Sequence[torch.Tensor],
    temperature: float,
    combination: Combination,
    weights: Sequence[float] | None = None,
) -> torch.Tensor:
    """Log posteriors (frames, num_pdfs) of the combined teachers at ``temperature``; logits each (frames, num_pdfs).

    ``weights``: one a teacher, which sum to 1; without them all teachers count the same.
    """
    shares = None if weights is None else torch.tensor(weights, device=logits[0].device).view(-1, 1, 1)
    if mean_of(combination) == "arithmetic":
        log_posteriors = torch.stack([log_softmax(z, temperature) for z in logits])
        if shares is None:
            return log_posteriors.logsumexp(0) - math.log(len(logits))
        return (log_posteriors + shares.log()).logsumexp(0)
    stacked = torch.stack([z.float() for z in logits])
    return log_softmax(stacked.mean(0) if shares is None else (shares * stacked).sum(0), temperature)


def window_of(model: SavedModel) -> Window:
    """The context that a model sees."""
    return Window(model.info.left, model.info.right)


class Ensemble:
    """One or several trained models of the same features and tied states, used as one."""

    def __init__(
        self,
        models: Sequence[SavedModel],
        combination: Combination = "arithmetic",
        bfloat16: bool = False,
        weights: Sequence[float] | None = None,
        passes: int = 0,
    ):
        """``bfloat16``: the nets' products are computed in it; what follows the logits is in float32 all the same.

        ``weights``: one a model, in their order. ``passes``: stochastic ones of each model, with its dropout, which are
        averaged arithmetically; 0 for plain inference.
        """
        first = models[0]
        for model in models[1:]:
            check_belongs(model, first.info.features, first.info.tied_states)
            if model.info.num_pdfs != first.info.num_pdfs:
                raise MismatchError(
                    f"{model.path} has {model.info.num_pdfs} pdfs, {first.path} has {first.info.num_pdfs}"
                )
        self.models = list(models)
        self.passes = passes
        if passes:
            _check_passes(models, combination)
        self.combination = combination
        self.weights = weights
        self.bfloat16 = bfloat16
        self.info = first.info

    @property
    def num_parameters(self) -> int:
        return sum(model.num_parameters for model in self.models)

    @property
    def log_priors(self) -> NDArray[np.float32]:
        return self.models[0].log_priors

    @property
    def windows(self) -> set[Window]:
        """The contexts that the models see."""
        return {window_of(model) for model in self.models}

    @torch.inference_mode()
    def logits(self, features: NDArray[np.float32], utt_id: str = "") -> list[torch.Tensor]:
        """Each model's logits, (num_frames, num_pdfs), for one utterance's features (num_frames, dim).

        With ``passes`` those of each pass, whose random draws ``utt_id`` alone decides.
        """
        if self.passes:
            torch.manual_seed(int(rng_for(0, "passes", utt_id).integers(2**62)))
        frames = torch.from_numpy(features).to(self._device)
        return self.logits_of({window: splice(frames, window) for window in self.windows})

    def logits_of(self, windows: Mapping[Window, torch.Tensor]) -> list[torch.Tensor]:
        """Each model's logits, (frames, num_pdfs), for frames in windows (frames, input_dim) of each kind it takes."""
        asked = [model for model in self.models for _ in range(max(self.passes, 1))]
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self.bfloat16):
            return [model.module(windows[window_of(model)]) for model in asked]

    def logits_and_hidden_of(self, windows: Mapping[Window, torch.Tensor]) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """As `logits_of`, each model's logits with its last hidden state, (frames, units)."""
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self.bfloat16):
            return [logits_and_hidden(model.module, windows[window_of(model)]) for model in self.models]

    def combined(self, logits: Sequence[torch.Tensor], temperature: float = 1.0) -> torch.Tensor:
        """Log posteriors (frames, num_pdfs) of each model's logits, taken together."""
        weights = self.weights
        if weights is not None and self.passes:
            weights = [weight / self.passes for weight in weights for _ in range(self.passes)]
        return combine(logits, temperature, self.combination, weights)

    def log_posteriors(self, features: NDArray[np.float32], temperature: float = 1.0, utt_id: str = "") -> torch.Tensor:
        """Combined log posteriors (num_frames, num_pdfs) for one utterance's features (num_frames, dim)."""
        return self.combined(self.logits(features, utt_id), temperature)

    @property
    def _device(self) -> torch.device:
        return next(self.models[0].module.parameters()).device


def _check_passes(models: Sequence[SavedModel], combination: Combination) -> None:
    """Turn the models' dropout on. ConfigError for one that has none, and for any mean but the arithmetic one."""
    if combination != "arithmetic":
        raise ConfigError(
            f"stochastic passes are averaged arithmetically: take combination arithmetic, not {combination}"
        )
    for model in models:
        if not drop_in_use(model.module):
            raise ConfigError(
                f"{model.path} was trained without dropout, so that all its passes are one: take passes: 0"
            )
