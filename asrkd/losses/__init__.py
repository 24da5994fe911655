"""Losses: one file each, with ``Config`` and ``build``; found by the file's name.

A loss is a callable ``loss(logits, batch) -> Tensor`` of shape (): logits (frames, num_pdfs) and a `Batch`. It takes
its softmax over the last axis, in float32. A loss keeps no state: what changes as training goes on, it takes from
`Batch.progress`.

``distillation`` (forward KL), ``reverse_kl``, ``symmetric_kl`` and ``logit_matching`` are one divergence each, which
`mixing` scales by T^2 and mixes with hard labels; ``triple`` adds the cosine of hidden states to the first of them;
``cross_entropy`` has hard labels alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from asrkd.core.plugins import find_plugin

NO_LABEL = -1


@dataclass
class SoftTargets:
    """A teacher's posteriors for a batch of frames, at the temperature at which they were dumped.

    Sparse: ``probs`` (frames, k) for pdfs ``ids`` (frames, k), and ``tail`` (frames,), the mass of all others; rows of
    probs plus tail sum to 1; a row's first id may come again with no probability, which is padding. Where ``has_tail``
    is False, ``probs`` are random draws, right only on the average, and ``tail`` is zeros: nothing is computed for it.
    Dense: ``ids`` is None and ``probs`` is (frames, num_pdfs), ``tail`` zeros.
    ``hidden`` (frames, units) is the teacher's last hidden state, for a loss that takes it.
    """

    probs: torch.Tensor
    tail: torch.Tensor
    ids: torch.Tensor | None = None
    has_tail: bool = True
    hidden: torch.Tensor | None = None


@dataclass
class Batch:
    """Frames to train on: ``windows`` (frames, input_dim), ``labels`` (frames,): pdf-ids, `NO_LABEL` if unknown.

    ``progress`` is the share of the training, in [0, 1), that lies before this batch. ``hidden`` (frames, units) is the
    last hidden state of the net that is trained, which the loop adds for a loss that takes it.
    """

    windows: torch.Tensor
    labels: torch.Tensor
    soft: SoftTargets | None = None
    progress: float = 0.0
    hidden: torch.Tensor | None = None


class Loss(Protocol):
    """What a net is trained to make small."""

    @property
    def temperature(self) -> float | None:
        """What soft targets must have been dumped at; None: the loss uses none."""

    @property
    def takes_draws(self) -> bool:
        """Whether soft targets may be random draws: its gradient is linear in them, and so right on the average."""

    @property
    def takes_hidden(self) -> bool:
        """Whether it compares hidden states, of the net (`Batch.hidden`) and of its teacher (`SoftTargets.hidden`)."""

    def __call__(self, logits: torch.Tensor, batch: Batch) -> torch.Tensor: ...


def build_loss(section: Mapping[str, Any], where: str) -> Loss:
    """The loss that a ``loss:`` section (``type`` and the type's own keys) describes."""
    plugin, config = find_plugin(__name__, section, default="cross_entropy", where=where)
    loss: Loss = plugin.build(config)
    return loss
