"""pdf-ids drawn at random in proportion to the posteriors, with counts: 2 bytes for most that were drawn, and 1.

Anshumann et al. (2025), Sparse Logit Sampling: where truncation is biased, draws are not. With n draws of which c_i
are pdf i, E[c_i / n] = p_i, so that the cross-entropy with the student, -sum_i (c_i / n) log q_i, and its gradient
have the dense ones as their means. (The entropy of c / n has not: the loss is off by a constant of the student.)

Draws are systematic: n points at equal distances in the cumulated posteriors, all moved by one random number a frame.
The mean is that of independent draws; the variance of each c_i is at most theirs, and at most 1/4.

An item is a pdf-id and, in what 16 bits leave beside it, a power of a base: so many draws. A count is the sum of its
items, which are its digits in that base: most counts are 1, and one item. For up to 8,192 pdfs the base is 2, for up
to 16,384 it is 4, and where 16 bits hold no two powers, an item has 32.

How many pdfs are listed adapts to the frame by itself: a sure one lists one or two. How many draws a frame needs is
known from p alone, so that choosing n by frame keeps the mean, too: independent draws are off by (1 - sum_i p_i^2) / n
in expected squared distance, and ``max_variance`` bounds that. At equal bytes one n for all frames gave the loss less
variance (`bench/soft_targets.py`), so it is off unless asked for.

A frame alone is far from what was drawn of it: the divergence that a dump prints is large, and says little here.
"""

from collections.abc import Mapping

import numpy as np
import torch
from pydantic import Field
from pydantic.dataclasses import dataclass

from asrkd.core.config import STRICT
from asrkd.core.random import rng_for
from asrkd.losses import SoftTargets
from asrkd.targets import Records, without_padding

_MOST = 255  # draws of a frame
_BITS = 8  # powers of 2 that make it up


@dataclass(frozen=True, config=STRICT)
class Config:
    """``draws`` a frame, or at most so many, where ``max_variance`` makes do with fewer (0: it does not)."""

    draws: int = Field(default=50, ge=1, le=_MOST)
    max_variance: float = Field(default=0.0, ge=0, lt=1)
    seed: int = 1


class Sampled:
    """Items by ascending pdf-id, then by power, and their number, in 8 bits."""

    random = True

    def __init__(self, draws: int, max_variance: float, seed: int, num_pdfs: int):
        self.draws, self.max_variance, self.seed, self.num_pdfs = draws, max_variance, seed, num_pdfs
        powers, item = min(_BITS, 2**16 // num_pdfs), np.int16
        if powers < 2:
            powers, item = _BITS, np.int32
        self.base = next(base for base in (2, 3, 4, 7, 16) if base**powers > _MOST)
        self.dtype = np.dtype([("count", np.uint8), ("items", item, (draws,))])
        digits = [_digits(count, self.base, powers) for count in range(_MOST + 1)]
        self._lengths = np.array([*map(len, digits)])
        self._digits = np.zeros((len(digits), self._lengths.max()), np.int64)
        for count, found in enumerate(digits):
            self._digits[count, : len(found)] = found

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
        lengths = self._lengths[counts]
        frames = np.repeat(np.nonzero(begins)[0], lengths)
        within = np.arange(len(frames)) - np.repeat(lengths.cumsum() - lengths, lengths)
        items = np.repeat(ids[begins], lengths) + self.num_pdfs * self._digits[np.repeat(counts, lengths), within]
        records = np.zeros(len(ids), self.dtype)
        records["count"] = numbers = np.bincount(frames, minlength=len(ids))
        ranks = np.arange(len(frames)) - (numbers.cumsum() - numbers)[frames]
        records["items"][frames, ranks] = items.astype(self.dtype["items"].base)
        return records

    def _drawn(self, posteriors: torch.Tensor, moves: torch.Tensor) -> torch.Tensor:
        """Ids (frames, draws) in ascending order, then -1 where a frame has fewer draws; ``moves`` (frames,)."""
        cumulated = posteriors.cumsum(-1)
        total, draws = cumulated[:, -1:], self.num_draws(posteriors)[:, None]
        numbers = torch.arange(self.draws, device=posteriors.device)
        points = torch.minimum((numbers + moves[:, None]) / draws * total, total)
        return torch.searchsorted(cumulated, points.contiguous()).masked_fill(numbers >= draws, -1)

    def soft_targets(self, records: Mapping[str, torch.Tensor]) -> SoftTargets:
        items = records["items"].int()
        if records["items"].dtype == torch.int16:
            items &= 2**16 - 1
        powers = items.div(self.num_pdfs, rounding_mode="floor")
        ids, drawn = without_padding(items - self.num_pdfs * powers, self.base**powers, records["count"])
        # A pdf's items, which stand together, as one; what is left over is padding.
        begins = torch.ones_like(ids)
        begins[:, 1:] = ids[:, 1:] != ids[:, :-1]
        places = begins.cumsum(-1) - 1
        counts = torch.zeros_like(drawn).scatter_add_(-1, places, drawn)
        ids = ids[:, :1].repeat(1, ids.shape[-1]).scatter_(-1, places, ids)
        return SoftTargets(counts / counts.sum(-1, keepdim=True), torch.zeros_like(drawn[:, 0]), ids, has_tail=False)


def _digits(count: int, base: int, powers: int) -> list[int]:
    """The powers of ``base`` whose sum is ``count``, least first."""
    return [power for power in range(powers) for _ in range(count // base**power % base)]


def build(config: Config, num_pdfs: int) -> Sampled:
    return Sampled(config.draws, config.max_variance, config.seed, num_pdfs)
