"""Top-p with a cap: the fewest pdfs that together have the mass p, and the mass of all others: 4 bytes each, and 3.

A sure frame keeps one pdf and an unsure one up to the cap, so that bytes go where the teachers hesitate. Holtzman et
al. (2020) call the set the nucleus. As in ``topk`` the rest of the mass is one number, and nothing is renormalised.
"""

from collections.abc import Mapping

import numpy as np
import torch
from pydantic import Field
from pydantic.dataclasses import dataclass

from asrkd.core.config import STRICT
from asrkd.losses import SoftTargets
from asrkd.targets import Records, id_type, without_padding


@dataclass(frozen=True, config=STRICT)
class Config:
    """``p``: the mass to keep; ``cap``: pdfs a frame at most, whatever their mass."""

    p: float = Field(default=0.99, gt=0, le=1)
    cap: int = Field(default=40, ge=1, le=255)


class Nucleus:
    """pdf-ids in 16 bits where they fit, posteriors in float16, most probable first; their number in 8 bits."""

    random = False

    def __init__(self, p: float, cap: int, num_pdfs: int):
        self.p = p
        # One pdf at least is left to the tail, which then says all that there is to say of it.
        self.cap = max(1, min(cap, num_pdfs - 1))
        lists = [("ids", id_type(num_pdfs), (self.cap,)), ("probs", np.float16, (self.cap,))]
        self.dtype = np.dtype([("count", np.uint8), ("tail", np.float16), *lists])

    def encode(self, posteriors: torch.Tensor, utt_id: str = "") -> Records:
        probs, ids = posteriors.float().topk(self.cap, dim=-1)
        mass = probs.cumsum(-1)
        counts = ((mass < self.p).sum(-1) + 1).clamp_max(self.cap)
        records = np.zeros(len(posteriors), self.dtype)
        records["count"] = counts.cpu().numpy()
        records["tail"] = (1 - mass.gather(-1, counts[:, None] - 1)[:, 0]).clamp_min(0).cpu().numpy()
        listed = (torch.arange(self.cap, device=counts.device) < counts[:, None]).cpu().numpy()
        records["ids"] = np.where(listed, ids.cpu().numpy(), 0)
        records["probs"] = np.where(listed, probs.half().cpu().numpy(), 0)
        return records

    def soft_targets(self, records: Mapping[str, torch.Tensor]) -> SoftTargets:
        ids, probs = without_padding(records["ids"], records["probs"], records["count"])
        tail = records["tail"].float()
        total = probs.sum(-1) + tail  # 1 but for float16's rounding
        return SoftTargets(probs / total[:, None], tail / total, ids)


def build(config: Config, num_pdfs: int) -> Nucleus:
    return Nucleus(config.p, config.cap, num_pdfs)
