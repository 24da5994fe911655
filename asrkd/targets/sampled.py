"""pdf-ids drawn at random in proportion to the posteriors, with counts: a byte or two for each that was drawn, and 1.

Anshumann et al. (2025), Sparse Logit Sampling: where truncation is biased, draws are not. With n draws of which c_i
are pdf i, E[c_i / n] = p_i, so that the cross-entropy with the student, -sum_i (c_i / n) log q_i, and its gradient
have the dense ones as their means. (The entropy of c / n has not: the loss is off by a constant of the student.)

Draws are systematic: n points at equal distances in the cumulated posteriors, all moved by one random number a frame.
The mean is that of independent draws; the variance of each c_i is at most theirs, and at most 1/4.

A frame is a list of steps, a byte each, that go up through the pdf-ids from 0 and say what was drawn on the way:

    0 to 239     so many pdfs on, and one draw of the pdf there
    240 + k      240 * 2^k pdfs on, and no draw
    248 + k      no pdf on, and 2^k more draws

How many pdfs are listed adapts to the frame by itself: a sure one lists one or two. How many draws a frame needs is
known from p alone, so that choosing n by frame keeps the mean, too: independent draws are off by (1 - sum_i p_i^2) / n
in expected squared distance, and ``max_variance`` bounds that. At equal bytes one n for all frames gave the loss less
variance (`bench/soft_targets.py`), so it is off unless asked for.

A frame alone is far from what was drawn of it: the divergence that a dump prints is large, and says little here.
"""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass

from asrkd.core.config import STRICT
from asrkd.core.random import rng_for
from asrkd.losses import SoftTargets
from asrkd.targets import Records

_MOST = 255  # draws of a frame
_JUMP, _AGAIN = 240, 248  # the first steps of their kinds; each has a power of 2 for every bit of a byte
_BITS = 8


@dataclass(frozen=True, config=STRICT)
class Config:
    """``draws`` a frame, or at most so many, where ``max_variance`` makes do with fewer (0: it does not)."""

    draws: int = Field(default=50, ge=1, le=_MOST)
    max_variance: float = Field(default=0.0, ge=0, lt=1)
    seed: int = 1


class Sampled:
    """Steps, and their number, which a frame has in 8 bits where it can't exceed them, else in 16."""

    random = True

    def __init__(self, draws: int, max_variance: float, seed: int, num_pdfs: int):
        self.draws, self.max_variance, self.seed, self.num_pdfs = draws, max_variance, seed, num_pdfs
        width = draws + (num_pdfs - 1) // _JUMP  # all draws in different places, all that lies between jumped over
        count = np.uint8 if width <= np.iinfo(np.uint8).max else np.int16
        self.dtype = np.dtype([("count", count), ("steps", np.uint8, (width,))])
        self._jumps = _powers((num_pdfs - 1) // _JUMP, _JUMP)
        self._agains = _powers(draws - 1, _AGAIN)

    def num_draws(self, posteriors: torch.Tensor) -> torch.Tensor:
        """Draws (frames,) for posteriors (frames, num_pdfs)."""
        if not self.max_variance:
            return torch.full(posteriors.shape[:1], self.draws, device=posteriors.device)
        spread = 1 - posteriors.square().sum(-1)
        return (spread / self.max_variance).ceil().clamp(1, self.draws).long()

    def encode(self, posteriors: torch.Tensor, utt_id: str = "") -> Records:
        posteriors = posteriors.float()
        moves = 1 - rng_for(self.seed, "soft targets", utt_id).random(len(posteriors))  # in (0, 1]
        ids = self._drawn(posteriors, torch.from_numpy(moves).to(posteriors)).cpu().numpy()
        drawn = ids >= 0
        begins = drawn.copy()  # points come in ascending order, so those of a pdf stand together
        begins[:, 1:] &= ids[:, 1:] != ids[:, :-1]
        counts = np.diff(np.flatnonzero(np.append(begins[drawn], True)))
        frames, pdfs = np.nonzero(begins)[0], ids[begins]
        gaps = np.diff(pdfs, prepend=0)
        first = np.diff(frames, prepend=-1) > 0
        gaps[first] = pdfs[first]
        jumps, agains = self._jumps[gaps // _JUMP], self._agains[counts - 1]
        steps = np.concatenate([jumps, (gaps % _JUMP)[:, None], agains], axis=1)
        there = steps >= 0
        records = np.zeros(len(ids), self.dtype)
        records["count"] = numbers = np.bincount(frames, there.sum(1), len(ids))
        width = self.dtype["steps"].shape[0]
        records["steps"][np.arange(width) < numbers[:, None]] = steps[there]
        return records

    def _drawn(self, posteriors: torch.Tensor, moves: torch.Tensor) -> torch.Tensor:
        """Ids (frames, draws) in ascending order, then -1 where a frame has fewer draws; ``moves`` (frames,)."""
        cumulated = posteriors.cumsum(-1)
        total, draws = cumulated[:, -1:], self.num_draws(posteriors)[:, None]
        numbers = torch.arange(self.draws, device=posteriors.device)
        points = torch.minimum((numbers + moves[:, None]) / draws * total, total)
        return torch.searchsorted(cumulated, points.contiguous()).masked_fill(numbers >= draws, -1)

    def soft_targets(self, records: Mapping[str, torch.Tensor]) -> SoftTargets:
        steps = records["steps"].int()
        listed = torch.arange(steps.shape[-1], device=steps.device) < records["count"][:, None]
        powers = 1 << steps % _BITS  # both kinds that have one begin at a multiple
        single, jump = steps < _JUMP, steps < _AGAIN
        ids = torch.where(single, steps, torch.where(jump, _JUMP * powers, 0)).cumsum(-1)
        drawn = torch.where(single, 1, torch.where(jump, 0, powers)).masked_fill(~listed, 0)
        # The draws of a pdf as one, at the step that comes to it; all other steps are padding.
        comes = single & listed
        places = (comes.cumsum(-1) - 1).clamp_min(0)
        counts = torch.zeros_like(ids).scatter_add_(-1, places, drawn.long()).gather(-1, places)
        first = ids.gather(-1, comes.int().argmax(-1, keepdim=True))
        probs = counts.masked_fill(~comes, 0).float() / drawn.sum(-1, keepdim=True)
        return SoftTargets(probs, torch.zeros_like(probs[:, 0]), ids.where(comes, first), has_tail=False)


def _powers(most: int, first: int) -> NDArray[np.int16]:
    """For each number up to ``most`` the powers k of 2 that it is the sum of, as steps ``first`` + k; -1 beyond them.

    The last k is there as often as it takes.
    """
    last = _BITS - 1
    rows = [
        [first + k for k in range(last) if number >> k & 1] + [first + last] * (number >> last)
        for number in range(most + 1)
    ]
    result = np.full((len(rows), max(map(len, rows))), -1, np.int16)
    for number, row in enumerate(rows):
        result[number, : len(row)] = row
    return result


def build(config: Config, num_pdfs: int) -> Sampled:
    return Sampled(config.draws, config.max_variance, config.seed, num_pdfs)
