"""All posteriors of a frame, as float16 or float32: 2 or 4 bytes a pdf."""

from collections.abc import Mapping
from typing import Literal

import numpy as np
import torch
from pydantic.dataclasses import dataclass

from asrkd.core.config import STRICT
from asrkd.losses import SoftTargets
from asrkd.targets import Records


@dataclass(frozen=True, config=STRICT)
class Config:
    """``precision`` of a stored posterior."""

    precision: Literal["float16", "float32"] = "float16"


class Dense:
    """One field: ``probs`` (num_pdfs,)."""

    random = False

    def __init__(self, precision: str, num_pdfs: int):
        self.dtype = np.dtype([("probs", precision, (num_pdfs,))])
        self._precision = torch.float16 if precision == "float16" else torch.float32

    def encode(self, posteriors: torch.Tensor, utt_id: str = "") -> Records:
        records = np.empty(len(posteriors), self.dtype)
        # Rounded by torch, which is many times as fast as numpy at it.
        records["probs"] = posteriors.to(self._precision).cpu().numpy()
        return records

    def soft_targets(self, records: Mapping[str, torch.Tensor]) -> SoftTargets:
        probs = records["probs"].float()
        return SoftTargets(probs / probs.sum(-1, keepdim=True), torch.zeros_like(probs[:, 0]))


def build(config: Config, num_pdfs: int) -> Dense:
    return Dense(config.precision, num_pdfs)
