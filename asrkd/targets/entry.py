"""Where an utterance lies in a soft-target archive, and what its bytes must be: a line of the index."""

import zlib
from dataclasses import dataclass

import numpy as np

from asrkd.targets import Records
from asrkd.targets.packed import split


@dataclass(frozen=True)
class Items:
    """Where the items of an utterance lie, and the CRC-32 of their bytes."""

    first: int
    count: int
    checksum: int


@dataclass(frozen=True)
class Entry:
    """Where an utterance's records (or their heads) lie, and the CRC-32 of their bytes; None: not known."""

    shard: int
    start: int
    num_frames: int
    checksum: int | None = None
    items: Items | None = None

    @classmethod
    def parse(cls, text: str) -> "Entry":
        """What `line` gives; ValueError for anything else."""
        parts = text.split()
        if "-" in text or len(parts) not in (3, 4, 7):
            raise ValueError(f"found {text[:60]!r}")
        shard, start, num_frames = map(int, parts[:3])
        items = Items(int(parts[4]), int(parts[5]), _checksum(parts[6])) if parts[4:] else None
        return cls(shard, start, num_frames, _checksum(parts[3]) if parts[3:] else None, items)

    def line(self) -> str:
        """The utterance's line of the index, without its id."""
        parts = [str(self.shard), str(self.start), str(self.num_frames)]
        if self.checksum is not None:
            parts.append(f"{self.checksum:08x}")
        if self.items is not None:
            parts += [str(self.items.first), str(self.items.count), f"{self.items.checksum:08x}"]
        return " ".join(parts)

    def num_bytes(self, dtype: np.dtype[np.void]) -> int:
        """What is stored of records of this type."""
        head, item = split(dtype)
        listed = self.items.count * item.itemsize if self.items is not None and item is not None else 0
        return self.num_frames * head.itemsize + listed


def table_bytes(entry: Entry, dtype: np.dtype[np.void]) -> int:
    """What an utterance takes of a `Table`, which keeps, in 64 bits, where the list of each frame begins."""
    return entry.num_bytes(dtype) + (8 * entry.num_frames if entry.items is not None else 0)


def _checksum(text: str) -> int:
    if len(text) != 8:
        raise ValueError(f"{text[:60]!r} is no checksum")
    return int(text, 16)


def checksum_of(records: Records) -> int:
    """CRC-32 of the records' bytes."""
    return zlib.crc32(np.ascontiguousarray(records).view(np.uint8).data)
