"""The triple loss of DistilBERT (Sanh et al. 2019, section 2): distillation, hard labels, and hidden states' direction.

Per frame, with the terms of `mixing` and the last hidden states h of the student and g of the teacher::

    loss = distillation T^2 KL(p || q) + hard CE(y, softmax(z)) + cosine (1 - h . g / (|h| |g|))

averaged over all frames of the batch; frames without a label have no hard term. The weights are the paper's code's
(5, 2, 1, at T = 2) and need not sum to 1. Without the cosine the teacher's hidden states are not asked for, and an
archive will do.
"""

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass

from asrkd.core.config import STRICT
from asrkd.losses import Batch
from asrkd.losses.distillation import kl_divergence
from asrkd.losses.mixing import hard_term, soft_term


@dataclass(frozen=True, config=STRICT)
class Config:
    """``temperature`` of the soft targets, and the weight of each term, of which one at least is not 0."""

    temperature: float = Field(default=2.0, gt=0)
    distillation: float = Field(default=5.0, ge=0)
    hard: float = Field(default=2.0, ge=0)
    cosine: float = Field(default=1.0, ge=0)

    def __post_init__(self) -> None:
        if not self.distillation + self.hard + self.cosine:
            raise ValueError("a triple loss whose weights are all 0 teaches nothing")


class TripleLoss:
    """The weighted sum of the module's equation. A term without weight is not computed."""

    takes_draws = True

    def __init__(self, config: Config):
        self.temperature = config.temperature
        self.takes_hidden = config.cosine > 0
        self._weights = config

    def __call__(self, logits: torch.Tensor, batch: Batch) -> torch.Tensor:
        if batch.soft is None:
            raise ValueError("the loss needs soft targets")
        logits, weights = logits.float(), self._weights
        loss = logits.new_zeros(())
        if weights.distillation:
            loss = loss + weights.distillation * soft_term(logits, batch.soft, kl_divergence, self.temperature)
        if weights.hard:
            loss = loss + weights.hard * hard_term(logits, batch.labels)
        if weights.cosine:
            loss = loss + weights.cosine * cosine_distance(batch.hidden, batch.soft.hidden).mean()
        return loss


def cosine_distance(ours: torch.Tensor | None, theirs: torch.Tensor | None) -> torch.Tensor:
    """1 - cos of hidden states (frames, units), per frame: from 0, the same direction, to 2. 1 where one is all 0."""
    if ours is None or theirs is None:
        raise ValueError("the loss needs the hidden states of student and teacher")
    if ours.shape != theirs.shape:
        raise ValueError(
            f"hidden states of {ours.shape[-1]} units in the student and {theirs.shape[-1]} in the teacher"
        )
    return 1 - torch.nn.functional.cosine_similarity(ours.float(), theirs.float(), dim=-1)


def build(config: Config) -> TripleLoss:
    return TripleLoss(config)
