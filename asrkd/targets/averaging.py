"""An ensemble's posteriors: several nets' logits combined into one distribution a frame.

Hinton, Vinyals and Dean (2015) average the distributions arithmetically or geometrically (section 2). The geometric
mean, renormalised, of softmax(z_i / T) is softmax(mean(z_i) / T): the mean of logits is the same combination.
"""

import math
from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from asrkd.core.errors import MismatchError
from asrkd.features.window import Window, splice
from asrkd.models.saved import SavedModel, check_belongs, log_softmax

Combination: TypeAlias = Literal["arithmetic", "geometric", "logits"]


def combine(logits: Sequence[torch.Tensor], temperature: float, combination: Combination) -> torch.Tensor:
    """Log posteriors (frames, num_pdfs) of the combined teachers at ``temperature``; logits each (frames, num_pdfs)."""
    if combination == "arithmetic":
        log_posteriors = torch.stack([log_softmax(z, temperature) for z in logits])
        return log_posteriors.logsumexp(0) - math.log(len(logits))
    return log_softmax(torch.stack([z.float() for z in logits]).mean(0), temperature)


class Ensemble:
    """One or several trained models of the same features and tied states, used as one."""

    def __init__(self, models: Sequence[SavedModel], combination: Combination = "arithmetic", bfloat16: bool = False):
        """``bfloat16``: the nets' products are computed in it; what follows the logits is in float32 all the same."""
        first = models[0]
        for model in models[1:]:
            check_belongs(model, first.info.features, first.info.tied_states)
            if model.info.num_pdfs != first.info.num_pdfs:
                raise MismatchError(
                    f"{model.path} has {model.info.num_pdfs} pdfs, {first.path} has {first.info.num_pdfs}"
                )
        self.models = list(models)
        self.combination = combination
        self.bfloat16 = bfloat16
        self.info = first.info

    @property
    def num_parameters(self) -> int:
        return sum(model.num_parameters for model in self.models)

    @property
    def log_priors(self) -> NDArray[np.float32]:
        return self.models[0].log_priors

    @torch.inference_mode()
    def logits(self, features: NDArray[np.float32]) -> list[torch.Tensor]:
        """Each model's logits, (num_frames, num_pdfs), for one utterance's features (num_frames, dim)."""
        device = next(self.models[0].module.parameters()).device
        frames = torch.from_numpy(features).to(device)
        spliced: dict[tuple[int, int], torch.Tensor] = {}
        for model in self.models:
            window = (model.info.left, model.info.right)
            if window not in spliced:
                spliced[window] = splice(frames, Window(*window))
        with torch.autocast(device.type, torch.bfloat16, enabled=self.bfloat16):
            return [model.module(spliced[(model.info.left, model.info.right)]) for model in self.models]

    def log_posteriors(self, features: NDArray[np.float32], temperature: float = 1.0) -> torch.Tensor:
        """Combined log posteriors (num_frames, num_pdfs) for one utterance's features (num_frames, dim)."""
        return combine(self.logits(features), temperature, self.combination)
