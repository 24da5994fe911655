"""Logit matching, |z - v|^2 / 2N for zero-mean logits: what distillation tends to as T grows (equation 4).

Hinton, Vinyals and Dean (2015), section 2.1. An archive holds posteriors, which give the teacher's logits but for a
constant: v = T log p, and mean-free logits know no constant. The gradient is (z - v) / N, whatever T is; T matters
where p is of several teachers, or rounded.

The tail is one event: its log-odds T log p against the student's T log q. It weighs as many pdfs as it is of, as it
does in the limit of the KL divergence over the same events. Posteriors below `events.FLOOR` count as that.
"""

import torch

from asrkd.losses import SoftTargets
from asrkd.losses.events import compared, over_events
from asrkd.losses.mixing import SoftConfig, SoftLoss

Config = SoftConfig


def logit_divergence(log_q: torch.Tensor, soft: SoftTargets) -> torch.Tensor:
    """Half the variance over pdfs of log q - log p per frame, shape (frames,); times T^2 it is of logits.

    ``log_q`` (frames, num_pdfs) are log posteriors.
    """
    num_pdfs = log_q.shape[-1]
    parts = [(each.sizes / num_pdfs, each.log_q - each.log_p()) for each in compared(log_q, soft)]
    mean = over_events(weights * off for weights, off in parts)[:, None]
    return over_events(weights * (off - mean).square() for weights, off in parts) / 2


def build(config: SoftConfig) -> SoftLoss:
    return SoftLoss(config, logit_divergence)
