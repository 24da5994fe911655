"""pdf-ids drawn at random in proportion to the posteriors, with counts: 3 bytes for each that was drawn, and 1.

Anshumann et al. (2025), Sparse Logit Sampling: where truncation is biased, draws are not. With n draws of which c_i
are pdf i, E[c_i / n] = p_i, so that the cross-entropy with the student, -sum_i (c_i / n) log q_i, and its gradient
have the dense ones as their means. (The entropy of c / n has not: the loss is off by a constant of the student.)

Draws are systematic: n points at equal distances in the cumulated posteriors, all moved by one random number a frame.
The mean is that of independent draws; the variance of each c_i is at most theirs, and at most 1/4.

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
from asrkd.targets import Records, id_type, without_padding


@dataclass(frozen=True, config=STRICT)
class Config:
    """``draws`` a frame, or at most so many, where ``max_variance`` makes do with fewer (0: it does not)."""

    draws: int = Field(default=50, ge=1, le=255)
    max_variance: float = Field(default=0.0, ge=0, lt=1)
    seed: int = 1


class Sampled:
    """pdf-ids in 16 bits where they fit, in ascending order; how often each was drawn, and their number, in 8 bits."""

    random = True

    def __init__(self, draws: int, max_variance: float, seed: int, num_pdfs: int):
        self.draws, self.max_variance, self.seed = draws, max_variance, seed
        self._width = min(draws, num_pdfs)
        self.dtype = np.dtype(
            [("count", np.uint8), ("ids", id_type(num_pdfs), (self._width,)), ("drawn", np.uint8, (self._width,))]
        )

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
        frames, ranks = np.nonzero(drawn)[0], (begins.cumsum(1) - 1)[drawn]
        records = np.zeros(len(ids), self.dtype)
        records["count"] = begins.sum(1)
        records["ids"][frames, ranks] = ids[drawn]
        counts = np.bincount(frames * self._width + ranks, minlength=len(ids) * self._width)
        records["drawn"] = counts.reshape(len(ids), self._width)
        return records

    def _drawn(self, posteriors: torch.Tensor, moves: torch.Tensor) -> torch.Tensor:
        """Ids (frames, draws) in ascending order, then -1 where a frame has fewer draws; ``moves`` (frames,)."""
        cumulated = posteriors.cumsum(-1)
        total, draws = cumulated[:, -1:], self.num_draws(posteriors)[:, None]
        numbers = torch.arange(self.draws, device=posteriors.device)
        points = torch.minimum((numbers + moves[:, None]) / draws * total, total)
        return torch.searchsorted(cumulated, points.contiguous()).masked_fill(numbers >= draws, -1)

    def soft_targets(self, records: Mapping[str, torch.Tensor]) -> SoftTargets:
        ids, drawn = without_padding(records["ids"], records["drawn"], records["count"])
        return SoftTargets(drawn / drawn.sum(-1, keepdim=True), torch.zeros_like(drawn[:, 0]), ids, has_tail=False)


def build(config: Config, num_pdfs: int) -> Sampled:
    return Sampled(config.draws, config.max_variance, config.seed, num_pdfs)
