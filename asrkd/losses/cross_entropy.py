"""Cross-entropy with the aligned state: hard targets, for teachers and for the baseline."""

import torch
from pydantic.dataclasses import dataclass

from asrkd.core.config import STRICT
from asrkd.losses import NO_LABEL, Batch


@dataclass(frozen=True, config=STRICT)
class Config:
    """Nothing to choose."""


class CrossEntropy:
    """Mean over the labelled frames of -log q[label]."""

    temperature = None
    takes_draws = takes_hidden = False

    def __call__(self, logits: torch.Tensor, batch: Batch) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(logits.float(), batch.labels, ignore_index=NO_LABEL)


def build(config: Config) -> CrossEntropy:
    return CrossEntropy()
