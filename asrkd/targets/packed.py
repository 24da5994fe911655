"""Records of varying length: laid out without their padding on disk, gathered by frame in memory.

In memory every record of a codec has one ``dtype``. Where that has a field ``count``, its fields of several values are
lists, of which the first ``count`` are meant (at least one); what follows is padding. Packed, the frame keeps its
single values (its head), and the lists' values of all frames lie one after another as items, found by adding up
counts. A codec without ``count`` has heads alone, which are its records.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from asrkd.targets import Records

COUNT = "count"

_FILES = 1.05  # a margin for index and headers


@dataclass(frozen=True)
class Packed:
    """``heads`` (frames,), and the ``items`` (sum of the counts,) of a codec that has a count."""

    heads: Records
    items: Records | None = None


def split(dtype: np.dtype[np.void]) -> tuple[np.dtype[np.void], np.dtype[np.void] | None]:
    """Types of head and item of a record; no item where the record has no count."""
    if COUNT not in (dtype.names or ()):
        return dtype, None
    shapes = {name: dtype[name] for name in dtype.names or ()}
    lists = [(name, of.base) for name, of in shapes.items() if of.shape]
    return np.dtype([(name, of) for name, of in shapes.items() if not of.shape]), np.dtype(lists)


def size_range(dtype: np.dtype[np.void], num_frames: int) -> tuple[int, int]:
    """The least and the most bytes that the files of so many records take: where they list one item each, and all."""
    head, item = split(dtype)
    least = dtype.itemsize if item is None else head.itemsize + item.itemsize
    return int(num_frames * least * _FILES), int(num_frames * dtype.itemsize * _FILES)


def pack(records: Records) -> Packed:
    """Records (frames,) without what lies beyond their counts."""
    head, item = split(records.dtype)
    if item is None:
        return Packed(records)
    heads = np.empty(len(records), head)
    for name in head.names or ():
        heads[name] = records[name]
    listed = _listed(records.dtype, heads)
    items = np.empty(int(listed.sum()), item)
    for name in item.names or ():
        items[name] = records[name][listed]
    return Packed(heads, items)


def unpack(packed: Packed, dtype: np.dtype[np.void]) -> Records:
    """The records (frames,) of type ``dtype``; padding is zeros. Without items: the heads themselves, not a copy."""
    if packed.items is None:
        return packed.heads
    records = np.zeros(len(packed.heads), dtype)
    for name in packed.heads.dtype.names or ():
        records[name] = packed.heads[name]
    listed = _listed(dtype, packed.heads)
    for name in packed.items.dtype.names or ():
        records[name][listed] = packed.items[name]
    return records


def _listed(dtype: np.dtype[np.void], heads: Records) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    return np.arange(width_of(dtype)) < heads[COUNT][:, None]


def width_of(dtype: np.dtype[np.void]) -> int:
    """How many items a record of this type can list."""
    return max(dtype[name].shape[0] for name in dtype.names or () if dtype[name].shape)


class Table:
    """Records of many frames on one device, without padding; a batch of them is gathered by frame."""

    def __init__(self, parts: Sequence[Packed], device: str = "cpu"):
        def joined(records: list[Records]) -> dict[str, torch.Tensor]:
            names = records[0].dtype.names or ()  # field by field: copied once
            columns = {name: np.concatenate([each[name] for each in records]) for name in names}
            return {name: torch.from_numpy(column).to(device) for name, column in columns.items()}

        self._heads = joined([part.heads for part in parts])
        items = [part.items for part in parts if part.items is not None]
        self._items = joined(items) if items else {}
        if items:
            counts = self._heads[COUNT].long()
            self._first = counts.cumsum(0) - counts
            # Of the longest list, once: a batch's own would make a GPU wait for it.
            self._places = torch.arange(int(counts.max()) if len(counts) else 0, device=counts.device)
            self._last = int(counts.sum()) - 1

    @property
    def num_bytes(self) -> int:
        """What it holds."""
        tensors = [*self._heads.values(), *self._items.values(), *([self._first] if self._items else [])]
        return sum(tensor.nbytes for tensor in tensors)

    def gather(self, frames: torch.Tensor) -> dict[str, torch.Tensor]:
        """The fields, each a tensor with frames first, of these frames (indices, shape (batch_size,)).

        Lists are as wide as the longest of the table; beyond a frame's count they hold values of other frames.
        """
        found = {name: tensor[frames] for name, tensor in self._heads.items()}
        if self._items:
            places = (self._first[frames][:, None] + self._places).clamp_max(self._last)
            found |= {name: tensor[places] for name, tensor in self._items.items()}
        return found
