"""What teacher and student are compared over: each listed pdf, and all others together as one event, the tail.

Under the teacher the tail has the mass that was stored for it, under the student what it gives to all those pdfs
together. Nothing is made up for any of them, and no dense teacher is formed.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch

from asrkd.losses import SoftTargets

FLOOR = 2.0**-25
"""The least posterior whose logarithm is told: half of float16's smallest step, which is stored as 0.

So a stored 0, of a pdf or of the tail, is taken for the most that it may have been, and what no codec in float16 could
tell apart is not told apart in others either.
"""

_LOG_0 = -1e15
"""A logarithm of 0 whose square is finite, so that padding takes no part in gradients."""


@dataclass
class Events:
    """Events of one kind: masses ``p`` under the teacher, log masses ``log_q`` under the student, (frames, events).

    ``sizes`` is how many pdfs an event is of, 0 for padding; its shape broadcasts to theirs.
    """

    p: torch.Tensor
    log_q: torch.Tensor
    sizes: torch.Tensor

    def log_p(self) -> torch.Tensor:
        """Logarithms of the teacher's masses, none below that of `FLOOR`."""
        return self.p.clamp_min(FLOOR).log()


def compared(log_q: torch.Tensor, soft: SoftTargets) -> Iterator[Events]:
    """The listed pdfs, then the tail where there is one; ``log_q`` (frames, num_pdfs) are log posteriors.

    Random draws have no tail: what was not drawn is not told.
    """
    if soft.ids is None:
        yield Events(soft.probs, log_q, log_q.new_ones(1))
        return
    once = _listed_once(soft.ids).to(soft.probs.dtype)
    yield Events(soft.probs, log_q.gather(-1, soft.ids), once)
    if soft.has_tail:
        unlisted = log_q.shape[-1] - once.sum(-1, keepdim=True)
        # Summed over the unlisted pdfs, not 1 - listed, which has no digits left when the tail is small.
        log_q_tail = log_q.scatter(-1, soft.ids, _LOG_0).logsumexp(-1, keepdim=True)
        # A frame that lists every pdf has no tail, but padding, though others of the batch have one.
        yield Events(soft.tail[:, None].where(unlisted > 0, 0.0), log_q_tail, unlisted)


def over_events(parts: Iterable[torch.Tensor]) -> torch.Tensor:
    """The sum (frames,) over all events of what each kind of them has, (frames, events)."""
    return torch.stack([part.sum(-1) for part in parts]).sum(0)


def _listed_once(ids: torch.Tensor) -> torch.Tensor:
    """True for an id, False for padding, which repeats the first of its row."""
    once = ids != ids[:, :1]
    once[:, 0] = True
    return once
