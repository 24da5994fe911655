"""Reverse KL(q || p): the student is punished for mass where the teacher has none, and may leave out what it likes.

The gradient in the logits is T q_i (log q_i / p_i - KL(q || p)) before the floor, `events.FLOOR`, below which log p is
not told: without it one posterior that was rounded to 0 would make the loss infinite. It is not linear in p, and no
random draws of p will do.
"""

import torch

from asrkd.losses import SoftTargets
from asrkd.losses.events import compared, over_events
from asrkd.losses.mixing import SoftConfig, SoftLoss

Config = SoftConfig


def reverse_kl_divergence(log_q: torch.Tensor, soft: SoftTargets) -> torch.Tensor:
    """KL(q || p) per frame, in nats, shape (frames,). ``log_q`` (frames, num_pdfs) are log posteriors."""
    return over_events(
        torch.where(each.sizes > 0, each.log_q.exp() * (each.log_q - each.log_p()), 0.0)
        for each in compared(log_q, soft)
    )


def build(config: SoftConfig) -> SoftLoss:
    return SoftLoss(config, reverse_kl_divergence)
