"""Soft targets with hard labels mixed in: Hinton, Vinyals and Dean (2015), section 2.

Per frame, with student logits z, teacher posteriors p at temperature T, and label y::

    q  = softmax(z / T)
    loss = alpha T^2 KL(p || q) + (1 - alpha) CE(y, softmax(z))

averaged over all frames of the batch; frames without a label have the soft term alone. T^2 keeps the soft term's
gradient, T (q - p), of the same size as T varies (section 2: soft-target gradients scale as 1 / T^2). It is applied
here and nowhere else.
"""

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass

from asrkd.core.config import STRICT
from asrkd.losses import NO_LABEL, Batch, SoftTargets


@dataclass(frozen=True, config=STRICT)
class Config:
    """``temperature`` must be the one that the soft targets were dumped at; ``alpha`` is the soft term's weight."""

    temperature: float = Field(default=2.0, gt=0)
    alpha: float = Field(default=0.9, ge=0, le=1)


class Distillation:
    """The weighted sum of the module's equation."""

    def __init__(self, temperature: float, alpha: float):
        self.temperature = temperature
        self.alpha = alpha

    def __call__(self, logits: torch.Tensor, batch: Batch) -> torch.Tensor:
        if batch.soft is None:
            raise ValueError("distillation needs soft targets")
        logits = logits.float()
        soft = kl_divergence(torch.log_softmax(logits / self.temperature, dim=-1), batch.soft).mean()
        loss = self.alpha * self.temperature**2 * soft
        if self.alpha < 1:
            hard = torch.nn.functional.cross_entropy(logits, batch.labels, ignore_index=NO_LABEL, reduction="sum")
            loss = loss + (1 - self.alpha) * hard / len(logits)
        return loss


def kl_divergence(log_q: torch.Tensor, soft: SoftTargets) -> torch.Tensor:
    """KL(p || q) per frame, in nats, shape (frames,). ``log_q`` (frames, num_pdfs) are log posteriors.

    Sparse targets: the pdfs that are not listed count as one event, whose mass under p is the tail, and under q
    what q gives to all of them together. No value is made up for any of them, and no dense teacher is formed.
    """
    log_q_listed = log_q if soft.ids is None else log_q.gather(-1, soft.ids)
    divergence = (torch.xlogy(soft.probs, soft.probs) - soft.probs * log_q_listed).sum(-1)
    if soft.ids is None or not soft.has_tail or soft.ids.shape[-1] == log_q.shape[-1]:
        return divergence
    # Summed over the unlisted pdfs, not 1 - listed, which has no digits left when the tail is small.
    log_q_tail = log_q.scatter(-1, soft.ids, -torch.inf).logsumexp(-1)
    return divergence + torch.xlogy(soft.tail, soft.tail) - soft.tail * log_q_tail


def build(config: Config) -> Distillation:
    return Distillation(config.temperature, config.alpha)
