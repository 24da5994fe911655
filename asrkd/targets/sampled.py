"""pdf-ids drawn at random in proportion to the posteriors, with counts: about a byte for each that was drawn.

Anshumann et al. (2025), Sparse Logit Sampling: where truncation is biased, draws are not. With n draws of which c_i
are pdf i, E[c_i / n] = p_i, so that the cross-entropy with the student, -sum_i (c_i / n) log q_i, and its gradient
have the dense ones as their means. (The entropy of c / n has not: the loss is off by a constant of the student.)

Draws are systematic: n points at equal distances in the cumulated posteriors, all moved by one random number a frame.
The mean is that of independent draws; the variance of each c_i is at most theirs, and at most 1/4.

A frame is numbers, written in halves of bytes, the lower half first: three bits of a number each, its lowest first,
and one that says whether more of it follow (`_lengths`). Small numbers are the most frequent by far:

    for each pdf drawn, in ascending order: twice how many pdfs lie between it and the last one (or the beginning), plus
        1 if it was drawn more than once
    for each of those that were: the times it was drawn, less 2

Where the latter begin is told by how many numbers there are in all. A half that is left over is a number's that does
not end.

How many pdfs are listed adapts to the frame by itself: a sure one lists one or two. How many draws a frame needs is
known from p alone, so that choosing n by frame keeps the mean, too: independent draws are off by (1 - sum_i p_i^2) / n
in expected squared distance, and ``max_variance`` bounds that. At equal bytes one n for all frames gave the loss less
variance (`bench/soft_targets.py`), so it is off unless asked for.

A frame alone is far from what was drawn of it: the divergence that a dump prints is large, and says little here.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass

from asrkd.core.config import STRICT
from asrkd.core.random import rng_for
from asrkd.losses import SoftTargets
from asrkd.targets import Records

_MOST = 1000  # draws of a frame
_BITS = 3  # of a number in half a byte
_MORE = 1 << _BITS


@dataclass(frozen=True, config=STRICT)
class Config:
    """``draws`` a frame, or at most so many, where ``max_variance`` makes do with fewer (0: it does not)."""

    draws: int = Field(default=50, ge=1, le=_MOST)
    max_variance: float = Field(default=0.0, ge=0, lt=1)
    seed: int = 1


class Sampled:
    """Bytes, and their number, which a frame has in 8 bits where it can't exceed them, else in 16."""

    random = True

    def __init__(self, draws: int, max_variance: float, seed: int, num_pdfs: int):
        self.draws, self.max_variance, self.seed = draws, max_variance, seed
        width = _most_bytes(draws, num_pdfs)
        count = np.uint8 if width <= np.iinfo(np.uint8).max else np.int16
        self.dtype = np.dtype([("count", count), ("halves", np.uint8, (width,))])

    def num_draws(self, posteriors: torch.Tensor) -> torch.Tensor:
        """Draws (frames,) for posteriors (frames, num_pdfs)."""
        if not self.max_variance:
            return torch.full(posteriors.shape[:1], self.draws, device=posteriors.device)
        spread = 1 - posteriors.square().sum(-1)
        return (spread / self.max_variance).ceil().clamp(1, self.draws).long()

    def encode(self, posteriors: torch.Tensor, utt_id: str = "") -> Records:
        moves = rng_for(self.seed, "soft targets", utt_id).random(len(posteriors), np.float32)
        drawn = self._drawn(posteriors.float(), torch.from_numpy(moves).to(posteriors.device)).cpu().numpy()
        num_frames, num_pdfs = drawn.shape
        rises = np.empty(drawn.shape, np.bool_)
        rises[:, 0] = drawn[:, 0] > 0
        np.greater(drawn[:, 1:], drawn[:, :-1], out=rises[:, 1:])
        places = np.flatnonzero(rises)
        frames, pdfs = np.divmod(places, num_pdfs)
        drawn = drawn.ravel()
        counts = (drawn[places] - np.where(pdfs > 0, drawn[places - 1], 0)).astype(np.int64)
        first = np.diff(frames, prepend=-1) > 0
        between = np.where(first, pdfs, np.diff(pdfs, prepend=0) - 1)
        again = counts > 1
        return self._written(num_frames, [(frames, 2 * between + again), (frames[again], counts[again] - 2)])

    def _drawn(self, posteriors: torch.Tensor, moves: torch.Tensor) -> torch.Tensor:
        """Draws (frames, num_pdfs) of a pdf and of those before it; ``moves`` (frames,) are in [0, 1).

        Whole numbers in float32: point j, from 1, stands at (j - move) / n of the mass.
        """
        cumulated, draws = posteriors.cumsum(-1), self.num_draws(posteriors)[:, None]
        # Divided first, so that all draws come where all mass is, and none beyond.
        cumulated.div_(cumulated[:, -1:].clone()).mul_(draws).add_(moves[:, None]).floor_()
        return torch.minimum(cumulated, draws, out=cumulated)

    def _written(self, num_frames: int, lists: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]]) -> Records:
        """Records of each frame's numbers; a list of them has their frames, in ascending order, and the numbers."""
        halves = np.zeros((num_frames, 2 * self.dtype["halves"].shape[0]), np.uint8)
        used = np.zeros(num_frames, np.int64)
        for of, numbers in lists:
            lengths = _lengths(numbers)
            here = np.bincount(of, lengths, num_frames).astype(np.int64)
            rows, places, rest = of, np.cumsum(lengths) - lengths + (used - (np.cumsum(here) - here))[of], numbers
            used += here
            while len(rest):
                more = rest >= _MORE
                halves[rows, places] = rest % _MORE + _MORE * more
                rows, places, rest = rows[more], places[more] + 1, rest[more] // _MORE - 1
        odd = np.flatnonzero(used % 2)
        halves[odd, used[odd]] = _MORE
        records = np.zeros(num_frames, self.dtype)
        records["count"] = (used + 1) // 2
        records["halves"] = halves[:, ::2] + (halves[:, 1::2] << (_BITS + 1))
        return records

    def soft_targets(self, records: Mapping[str, torch.Tensor]) -> SoftTargets:
        numbers, total = _read(records["halves"], records["count"])
        more = numbers & 1
        index = torch.arange(numbers.shape[-1], device=numbers.device)
        # If the first i + 1 are pdfs, so many numbers there are in all; it grows with i, and is right for one i alone.
        listed = index + 1 + more.cumsum(-1) <= total[:, None]
        pdfs = listed.sum(-1, keepdim=True)
        ids = (numbers // 2 + 1).masked_fill(~listed, 0).cumsum(-1) - 1
        places = (pdfs + more.cumsum(-1) - 1).clamp(0, numbers.shape[-1] - 1)
        counts = (1 + more * (1 + numbers.gather(-1, places))).masked_fill(~listed, 0)
        probs = counts.float() / counts.sum(-1, keepdim=True)
        width = min(numbers.shape[-1], self.draws)
        ids, listed = ids[:, :width], listed[:, :width]
        ids = ids.where(listed, ids[:, :1])
        return SoftTargets(probs[:, :width], torch.zeros_like(probs[:, 0]), ids, has_tail=False)


def _lengths(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Halves of bytes that each number takes: 1 below 8, 2 below 8 + 64, 3 below 8 + 64 + 512, and so on.

    What is left of a number is counted from 0 again for each length, so that none can be written in two ways.
    """
    lengths, rest = np.ones_like(numbers), numbers
    while (rest >= _MORE).any():
        lengths = lengths + (rest >= _MORE)
        rest = rest // _MORE - 1
    return lengths


def _most_bytes(draws: int, num_pdfs: int) -> int:
    """Room for any frame: a half for each draw, and longer numbers while the pdfs that lie between last.

    To take one half more, a number must be greater by 8, by another 64 for the next, and so on. All of them together
    are no greater than twice the pdfs, and 1 for each draw; a pdf that was drawn again spends a draw on the second.
    """
    halves, left, step = draws, 2 * num_pdfs + draws, _MORE
    while left >= step:
        longer = min(draws, left // step)
        halves, left, step = halves + longer, left - longer * step, step * _MORE
    return (halves + 1) // 2


def _read(halves: torch.Tensor, count: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Numbers (frames, 2 x width), and how many of them are meant (frames,), of ``halves`` (frames, width)."""
    parts = torch.stack([halves % (2 * _MORE), halves // (2 * _MORE)], -1).flatten(1).long()
    places = torch.arange(parts.shape[-1], device=parts.device)
    parts = parts.where(places < 2 * count.long()[:, None], _MORE)
    ends = parts < _MORE
    before = ends.cumsum(-1) - ends.long()  # numbers that have ended
    begins = torch.cat([torch.ones_like(ends[:, :1]), ends[:, :-1]], -1)
    nth = places - (places * begins).cummax(-1).values
    # Past the last number there may be more parts than any number has, which are not meant.
    values = (parts % _MORE + (nth > 0)) << (_BITS * nth).clamp_max(32)
    return torch.zeros_like(parts).scatter_add_(-1, before, values), ends.sum(-1)


def build(config: Config, num_pdfs: int) -> Sampled:
    return Sampled(config.draws, config.max_variance, config.seed, num_pdfs)
