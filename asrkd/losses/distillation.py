"""Distillation: forward KL(p || q), the cross-entropy with soft targets of Hinton, Vinyals and Dean (2015).

The gradient in the logits is T (q - p) (`mixing` has the loss): linear in p, so that random draws of p will do.
"""

import torch

from asrkd.losses import SoftTargets
from asrkd.losses.events import compared, over_events
from asrkd.losses.mixing import SoftConfig, SoftLoss

Config = SoftConfig


def kl_divergence(log_q: torch.Tensor, soft: SoftTargets) -> torch.Tensor:
    """KL(p || q) per frame, in nats, shape (frames,). ``log_q`` (frames, num_pdfs) are log posteriors."""
    return over_events(torch.xlogy(each.p, each.p) - each.p * each.log_q for each in compared(log_q, soft))


def build(config: SoftConfig) -> SoftLoss:
    return SoftLoss(config, kl_divergence, takes_draws=True)
