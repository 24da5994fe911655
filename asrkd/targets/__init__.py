"""Soft targets: teachers' posteriors averaged, made compact, kept in archives that say what they are.

Each codec is one file with ``Config`` and ``build``, found by the file's name (`build_codec`).
"""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from asrkd.core.plugins import find_plugin
from asrkd.losses import SoftTargets

Records = NDArray[np.void]


class Codec(Protocol):
    """How a frame's posteriors are stored: one record of ``dtype`` a frame."""

    dtype: np.dtype[np.void]

    def encode(self, posteriors: torch.Tensor) -> Records:
        """Records (frames,) of posteriors (frames, num_pdfs), rows summing to 1."""
        ...

    def soft_targets(self, records: Mapping[str, torch.Tensor]) -> SoftTargets:
        """What a loss takes, from a batch of records' fields (each a tensor with frames first)."""
        ...


def build_codec(section: Mapping[str, Any], num_pdfs: int, where: str) -> Codec:
    """The codec that a ``codec:`` section (``type`` and the type's own keys) describes."""
    plugin, config = find_plugin(__name__, section, default="topk", where=where)
    codec: Codec = plugin.build(config, num_pdfs)
    return codec


def fields(records: Records) -> dict[str, torch.Tensor]:
    """A structured array's fields as tensors: what `Codec.soft_targets` takes."""
    # Copied, since torch takes no fields between others, and none that are read-only (memory-mapped).
    return {name: torch.from_numpy(np.array(records[name])) for name in records.dtype.names or ()}


def dense_posteriors(soft: SoftTargets, prior: torch.Tensor) -> torch.Tensor:
    """Posteriors (frames, num_pdfs) of soft targets; a tail is spread over the unlisted pdfs by ``prior`` (num_pdfs,).

    For reading and for measuring what was lost; training never needs it.
    """
    if soft.ids is None:
        return soft.probs
    unlisted = prior.expand(len(soft.probs), -1).scatter(-1, soft.ids, 0.0)
    mass = unlisted.sum(-1, keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)
    return (unlisted / mass * soft.tail[:, None]).scatter(-1, soft.ids, soft.probs)
