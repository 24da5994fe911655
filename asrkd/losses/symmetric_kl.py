"""Symmetric KL: half of Jeffreys' divergence, (KL(p || q) + KL(q || p)) / 2, or sum_i (p_i - q_i) log(p_i / q_i) / 2.

Half, so that its gradient is as large as that of either, whose mean it is. As in `reverse_kl`, log p has a floor, and
no random draws of p will do.
"""

import torch

from asrkd.losses import SoftTargets
from asrkd.losses.events import compared, over_events
from asrkd.losses.mixing import SoftConfig, SoftLoss

Config = SoftConfig


def symmetric_kl_divergence(log_q: torch.Tensor, soft: SoftTargets) -> torch.Tensor:
    """Per frame, in nats, shape (frames,). ``log_q`` (frames, num_pdfs) are log posteriors."""
    both = over_events(
        torch.where(each.sizes > 0, (each.p - each.log_q.exp()) * (each.log_p() - each.log_q), 0.0)
        for each in compared(log_q, soft)
    )
    return both / 2


def build(config: SoftConfig) -> SoftLoss:
    return SoftLoss(config, symmetric_kl_divergence)
