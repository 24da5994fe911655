"""All log posteriors of a frame in two bytes each, quantised as Kaldi's compressed matrices are: 2 bytes a pdf, and 8.

Kaldi (compressed-matrix.h, kTwoByteAuto) stores floor(65535 (x - low) / range + 0.499) under one header a matrix; here
each frame has its own, so that records are of one size and a frame can be read alone. Logarithms, never probabilities:
an even step over [0, 1] would lose all but the most probable pdfs.
"""

from collections.abc import Mapping

import numpy as np
import torch
from pydantic.dataclasses import dataclass

from asrkd.core.config import STRICT
from asrkd.losses import SoftTargets
from asrkd.targets import Records

LOG_FLOOR = -60.0
"""A posterior of 0 is stored as exp(-60) of the frame's mass; the step is then 0.001 nats."""

_STEPS = 65535


@dataclass(frozen=True, config=STRICT)
class Config:
    """Nothing to choose."""


class KaldiTwoByte:
    """``low`` and ``range`` of the frame's log posteriors, and ``values`` (num_pdfs,): Kaldi's 16 bits, unsigned."""

    random = False

    def __init__(self, num_pdfs: int):
        # Typed as signed, in which torch can gather.
        self.dtype = np.dtype([("low", "<f4"), ("range", "<f4"), ("values", "<i2", (num_pdfs,))])

    def encode(self, posteriors: torch.Tensor, utt_id: str = "") -> Records:
        logs = posteriors.float().log().clamp_min(LOG_FLOOR)
        low, high = logs.aminmax(dim=-1)
        spread = torch.where(high > low, high - low, 1 + low.abs())  # as Kaldi does where all are equal
        values = ((logs - low[:, None]) / spread[:, None] * _STEPS + 0.499).int()
        records = np.empty(len(posteriors), self.dtype)
        records["low"], records["range"] = low.cpu().numpy(), spread.cpu().numpy()
        records["values"] = values.cpu().numpy().astype("<u2").view("<i2")
        return records

    def soft_targets(self, records: Mapping[str, torch.Tensor]) -> SoftTargets:
        values = (records["values"].int() & 0xFFFF).float()
        # The lowest value is the same for all pdfs of a frame, and falls out of the softmax.
        probs = torch.softmax(values * (records["range"] / _STEPS)[:, None], dim=-1)
        return SoftTargets(probs, torch.zeros_like(probs[:, 0]))


def build(config: Config, num_pdfs: int) -> KaldiTwoByte:
    return KaldiTwoByte(num_pdfs)
