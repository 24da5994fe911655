"""The loss on soft targets, whatever the divergence: Hinton, Vinyals and Dean (2015), section 2.

Per frame, with student logits z, teacher posteriors p at temperature T, and label y::

    q    = softmax(z / T)
    loss = alpha T^2 D(p, q) + (1 - alpha) CE(y, softmax(z))

averaged over all frames of the batch; frames without a label have the soft term alone. A divergence's gradient in z
shrinks as 1 / T^2 (section 2); T^2 keeps the soft term of the same size as T varies. It is applied here and nowhere
else. Every divergence here has T^2 D -> |z - v|^2 / 2N as T grows, for zero-mean logits z and v of N pdfs (equation 4),
so that an alpha means the same with each.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass

from asrkd.core.config import STRICT
from asrkd.losses import NO_LABEL, Batch, SoftTargets, build_loss
from asrkd.losses.schedule import Schedule, Weight


@dataclass(frozen=True, config=STRICT)
class SoftConfig:
    """``temperature`` must be the one that the soft targets were dumped at; ``alpha`` is the soft term's weight."""

    temperature: float = Field(default=2.0, gt=0)
    alpha: Weight = Schedule(0.9, 0.9)


class Divergence(Protocol):
    """How far the student's log posteriors (frames, num_pdfs) are from the teacher's, per frame: shape (frames,)."""

    def __call__(self, log_q: torch.Tensor, soft: SoftTargets) -> torch.Tensor: ...


class SoftLoss:
    """The weighted sum of the module's equation. ``takes_draws``: the divergence is linear in p, but for a constant."""

    takes_hidden = False

    def __init__(self, config: SoftConfig, divergence: Divergence, takes_draws: bool = False):
        self.temperature = config.temperature
        self.alpha = config.alpha
        self.takes_draws = takes_draws
        self._divergence = divergence

    def __call__(self, logits: torch.Tensor, batch: Batch) -> torch.Tensor:
        if batch.soft is None:
            raise ValueError("the loss needs soft targets")
        if not (batch.soft.has_tail or self.takes_draws):
            raise ValueError("the divergence takes posteriors, not random draws of them")
        logits, alpha = logits.float(), self.alpha.value(batch.progress)
        loss = alpha * soft_term(logits, batch.soft, self._divergence, self.temperature)
        return loss + (1 - alpha) * hard_term(logits, batch.labels) if alpha < 1 else loss


def soft_term(logits: torch.Tensor, soft: SoftTargets, divergence: Divergence, temperature: float) -> torch.Tensor:
    """T^2 D(p, q), the mean over frames; ``logits`` (frames, num_pdfs), float32."""
    return temperature**2 * divergence(torch.log_softmax(logits / temperature, dim=-1), soft).mean()


def hard_term(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """CE(y, softmax(z)), summed over the frames with a label and divided by the number of all."""
    cross_entropy = torch.nn.functional.cross_entropy(logits, labels, ignore_index=NO_LABEL, reduction="sum")
    return cross_entropy / len(logits)


def alpha_of(section: Mapping[str, Any]) -> float | str | None:
    """The alpha of a ``loss:`` section as a report has it; None where its loss has none."""
    loss = build_loss(section, "loss")
    return loss.alpha.label() if isinstance(loss, SoftLoss) else None
