"""What Kaldi's Posterior tables hold: pairs of pdf-id (int32) and weight (float32), those of at least ``min_post``.

`kaldi_posteriors` writes such tables, in which a pair takes 10 bytes, and here 8; of an archive of this codec they have
the very weights that training sees. Weights sum to less than 1, and nothing is renormalised: the rest is the tail.
"""

from collections.abc import Mapping

import numpy as np
import torch
from pydantic import Field
from pydantic.dataclasses import dataclass

from asrkd.core.config import STRICT
from asrkd.losses import SoftTargets
from asrkd.targets import Records, without_padding


@dataclass(frozen=True, config=STRICT)
class Config:
    """``min_post``: the least weight kept, as Kaldi's tools call it; ``cap``: pairs a frame at most."""

    min_post: float = Field(default=0.001, gt=0, lt=1)
    cap: int = Field(default=100, ge=1)


class KaldiPosterior:
    """Pairs, the most probable first; their number in 32 bits. The most probable is kept, whatever its weight."""

    random = False

    def __init__(self, min_post: float, cap: int, num_pdfs: int):
        self.min_post = min_post
        self.cap = min(cap, num_pdfs)
        self.dtype = np.dtype([("count", "<i4"), ("ids", "<i4", (self.cap,)), ("weights", "<f4", (self.cap,))])

    def encode(self, posteriors: torch.Tensor, utt_id: str = "") -> Records:
        weights, ids = posteriors.float().topk(self.cap, dim=-1)
        counts = (weights >= self.min_post).sum(-1).clamp_min(1)
        listed = torch.arange(self.cap, device=counts.device) < counts[:, None]
        records = np.zeros(len(posteriors), self.dtype)
        records["count"] = counts.cpu().numpy()
        records["ids"] = ids.where(listed, 0).cpu().numpy()
        records["weights"] = weights.where(listed, 0.0).cpu().numpy()
        return records

    def soft_targets(self, records: Mapping[str, torch.Tensor]) -> SoftTargets:
        ids, weights = without_padding(records["ids"], records["weights"], records["count"])
        mass = weights.sum(-1)
        tail = (1 - mass).clamp_min(0.0)
        total = mass + tail  # above 1 by rounding alone
        return SoftTargets(weights / total[:, None], tail / total, ids)


def build(config: Config, num_pdfs: int) -> KaldiPosterior:
    return KaldiPosterior(config.min_post, config.cap, num_pdfs)
