"""Soft targets: teachers' posteriors averaged, made compact, kept in archives that say what they are.

Each codec is one file with ``Config`` and ``build``, found by the file's name (`build_codec`): ``dense``,
``kaldi_two_byte``, ``kaldi_posterior``, ``topk``, ``nucleus`` (top-p) and ``sampled``.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from asrkd.core.plugins import find_plugin
from asrkd.losses import SoftTargets

Records = NDArray[np.void]

DEFAULT_CODEC = "topk"


class Codec(Protocol):
    """How a frame's posteriors are stored: one record of ``dtype`` a frame.

    ``random`` says that they are drawn at random, and right only on the average.

    Where a record has a field ``count``, its lists hold so many values; the rest of them is not stored (`packed`).
    """

    dtype: np.dtype[np.void]
    random: bool

    def encode(self, posteriors: torch.Tensor, utt_id: str = "") -> Records:
        """Records (frames,) of posteriors (frames, num_pdfs), rows summing to 1.

        What is drawn at random depends on the codec's seed, ``utt_id`` and the frame alone.
        """
        ...

    def soft_targets(self, records: Mapping[str, torch.Tensor]) -> SoftTargets:
        """What a loss takes, from a batch of records' fields (each a tensor with frames first).

        Lists may be narrower than ``dtype``'s, and hold anything beyond the count.
        """
        ...


def build_codec(section: Mapping[str, Any], num_pdfs: int, where: str) -> Codec:
    """The codec that a ``codec:`` section (``type`` and the type's own keys) describes."""
    plugin, config = find_plugin(__name__, section, default=DEFAULT_CODEC, where=where)
    codec: Codec = plugin.build(config, num_pdfs)
    return codec


def fields(records: Records) -> dict[str, torch.Tensor]:
    """A structured array's fields as tensors: what `Codec.soft_targets` takes."""
    # Copied, since torch takes no fields between others, and none that are read-only (memory-mapped).
    return {name: torch.from_numpy(np.array(records[name])) for name in records.dtype.names or ()}


def id_type(num_pdfs: int) -> type[np.int16] | type[np.uint16] | type[np.int32]:
    """The type of a pdf-id: 16 bits where they fit. Signed while it may be: torch can do more with those."""
    sixteen: list[type[np.int16] | type[np.uint16]] = [np.int16, np.uint16]
    return next((kind for kind in sixteen if num_pdfs - 1 <= np.iinfo(kind).max), np.int32)


def without_padding(
    ids: torch.Tensor, weights: torch.Tensor, counts: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and weights (frames, width), where beyond ``counts`` (frames,) the first id is repeated, with no weight.

    Ids are int64, weights float32. A repeated id changes neither the loss nor what it takes for the tail.
    """
    listed = torch.arange(ids.shape[-1], device=ids.device) < counts[:, None]
    ids = torch.where(listed, ids, ids[:, :1])
    return ids.long(), weights.float().masked_fill(~listed, 0.0)


def dense_posteriors(soft: SoftTargets, prior: torch.Tensor) -> torch.Tensor:
    """Posteriors (frames, num_pdfs) of soft targets; a tail is spread over the unlisted pdfs by ``prior`` (num_pdfs,).

    For reading and for measuring what was lost; training never needs it.
    """
    if soft.ids is None:
        return soft.probs
    unlisted = prior.expand(len(soft.probs), -1).scatter(-1, soft.ids, 0.0)
    mass = unlisted.sum(-1, keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)
    # Added, since an id may be there again with no weight.
    return (unlisted / mass * soft.tail[:, None]).scatter_add(-1, soft.ids, soft.probs)
