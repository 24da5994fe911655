"""The k largest posteriors of a frame, and the mass of all others: 4 k + 2 bytes.

Truncation that renormalises is biased towards the listed pdfs (Sparse Logit Sampling, 2025); here the rest of the
mass is kept as one number, so nothing is dropped and nothing is made up.
"""

from collections.abc import Mapping

import numpy as np
import torch
from pydantic import Field
from pydantic.dataclasses import dataclass

from asrkd.core.config import STRICT
from asrkd.losses import SoftTargets
from asrkd.targets import Records, id_type


@dataclass(frozen=True, config=STRICT)
class Config:
    """``k`` pdfs a frame; at a higher temperature more are needed for the same loss."""

    k: int = Field(default=20, ge=1)


class TopK:
    """pdf-ids in 16 bits where they fit, posteriors in float16, most probable first."""

    random = False

    def __init__(self, k: int, num_pdfs: int):
        self.k = min(k, num_pdfs)
        ids = id_type(num_pdfs)
        self.dtype = np.dtype([("ids", ids, (self.k,)), ("probs", np.float16, (self.k,)), ("tail", np.float16)])

    def encode(self, posteriors: torch.Tensor, utt_id: str = "") -> Records:
        probs, ids = posteriors.float().topk(self.k, dim=-1)
        records = np.empty(len(posteriors), self.dtype)
        records["ids"] = ids.cpu().numpy()
        records["probs"] = probs.half().cpu().numpy()
        records["tail"] = (1 - probs.sum(-1)).clamp_min(0).cpu().numpy()
        return records

    def soft_targets(self, records: Mapping[str, torch.Tensor]) -> SoftTargets:
        probs, tail = records["probs"].float(), records["tail"].float()
        total = probs.sum(-1) + tail  # 1 but for float16's rounding
        return SoftTargets(probs / total[:, None], tail / total, records["ids"].long())


def build(config: Config, num_pdfs: int) -> TopK:
    return TopK(config.k, num_pdfs)
