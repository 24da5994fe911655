"""Soft targets without an archive: the teachers are asked for them, batch by batch, while the student trains.

They are what a dense float32 archive of the same teachers would hold, but for the rounding of products of other shapes:
the same windows, the same combination, the loss's temperature. The teachers see clean windows, whatever noise the
student's input gets, as they do when an archive is dumped. They draw nothing at random, so a killed run goes on to
the same bytes. It saves the archive's disk, and costs a forward pass of all teachers in each epoch.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from asrkd.features.window import Window
from asrkd.losses import SoftTargets
from asrkd.targets.averaging import Ensemble


@dataclass(frozen=True)
class OnlineTeacher:
    """One or several trained models, at the temperature of the student's loss.

    ``hidden``: soft targets come with the last hidden state, of one model.
    """

    ensemble: Ensemble
    temperature: float
    hidden: bool = False

    @property
    def windows(self) -> set[Window]:
        """The contexts that the teachers see, which need not be the student's."""
        return self.ensemble.windows

    @torch.no_grad()  # not inference_mode, whose tensors no loss may keep for its gradient
    def soft_targets(self, windows: Mapping[Window, torch.Tensor]) -> SoftTargets:
        """Dense soft targets of a batch, given as windows (frames, input_dim) of each of `windows`."""
        hidden = None
        if self.hidden:
            ((one, hidden),) = self.ensemble.logits_and_hidden_of(windows)
            logits = [one]
        else:
            logits = self.ensemble.logits_of(windows)
        probs = self.ensemble.combined(logits, self.temperature).exp()
        return SoftTargets(probs / probs.sum(-1, keepdim=True), torch.zeros_like(probs[:, 0]), hidden=hidden)
