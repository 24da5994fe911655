"""The soft-target archive: what the teachers said of every frame, readable by utterance id.

``header.json`` says temperature, codec, combination, teachers, features and tied-state model; ``targets.N.npy`` are
structured arrays, one record a frame, memory-mapped on reading. Where a codec's records vary in length (`packed`),
those are their heads, and ``targets.N.items.npy`` holds what they list, without padding. ``index`` has lines ::

    utt_id SHARD START FRAMES [CHECKSUM [FIRST ITEMS CHECKSUM]]

where START counts frames and FIRST items, and checksums are the CRC-32, in hexadecimal, of the utterance's bytes in
either file, so that one utterance is read and checked without the rest of its shard. ``header.json`` has those of
itself and of ``index``. Archives without checksums are read unchecked. Using an archive with another temperature or
tied-state model is an error.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import torch

from asrkd.core.archive import read_scp
from asrkd.core.errors import DataError, MismatchError
from asrkd.core.files import atomic_write, load_array
from asrkd.losses import SoftTargets
from asrkd.targets import Codec, Records, build_codec, dense_posteriors, fields
from asrkd.targets import header as headers
from asrkd.targets.entry import Entry, Items, checksum_of
from asrkd.targets.header import INDEX, Header
from asrkd.targets.packed import COUNT, Packed, pack, split, unpack, width_of

Spread: TypeAlias = Literal["prior", "uniform"]


@dataclass
class SoftTargetArchive:
    """Random access by utterance id; nothing is kept in memory but the index."""

    path: Path
    header: Header
    entries: Mapping[str, Entry]
    _files: dict[Path, Records] = field(default_factory=dict)
    _sound: set[str] = field(default_factory=set)

    @classmethod
    def open(cls, path: Path) -> "SoftTargetArchive":
        """Read header and index. DataError when they are missing, malformed or not what was written."""
        return cls(path, headers.read(path), read_index(path / INDEX))

    @cached_property
    def codec(self) -> Codec:
        return build_codec(self.header.codec, self.header.num_pdfs, str(self.path / "header.json"))

    @property
    def utt_ids(self) -> list[str]:
        return list(self.entries)

    @property
    def num_frames(self) -> dict[str, int]:
        return {utt_id: entry.num_frames for utt_id, entry in self.entries.items()}

    def check(self, temperature: float | None, tied_states: str | None = None) -> None:
        """MismatchError unless the archive is of this temperature and this tied-state model."""
        if temperature is not None and not np.isclose(temperature, self.header.temperature):
            raise MismatchError(
                f"{self.path} holds posteriors at temperature {self.header.temperature:g}, the loss has "
                f"{temperature:g}: dump them again at {temperature:g}, or set the loss's temperature"
            )
        if tied_states is not None and tied_states != self.header.tied_states:
            raise MismatchError(
                f"{self.path} is of tied states {self.header.tied_states[:12]}, the alignment of {tied_states[:12]}: "
                "was the tree built again since? Dump the soft targets again"
            )

    def entry(self, utt_id: str) -> Entry:
        """Where an utterance's records lie; MismatchError where there are none."""
        if utt_id not in self.entries:
            raise MismatchError(f"{self.path} has no soft targets for {utt_id}: were they dumped from other features?")
        return self.entries[utt_id]

    def records(self, utt_id: str, start: int = 0, end: int | None = None) -> Records:
        """Records of an utterance's frames ``start`` to ``end``, shape (frames,); errors as in `packed`."""
        return unpack(self.packed(utt_id, start, end), self.codec.dtype)

    def packed(self, utt_id: str, start: int = 0, end: int | None = None) -> Packed:
        """Frames ``start`` to ``end`` of an utterance as they are stored, memory-mapped.

        The first time that an utterance is asked for, all its bytes are checked. DataError, naming file and utterance,
        where they are not those that were written, and where there are no such frames.
        """
        entry = self.entry(utt_id)
        end = entry.num_frames if end is None else end
        if not 0 <= start <= end <= entry.num_frames:
            raise DataError(f"{self.path}: {utt_id} has {entry.num_frames} frames; {start} to {end} were asked for")
        whole = self._whole(utt_id, entry)
        if whole.items is None:
            return Packed(whole.heads[start:end])
        before, listed = (int(whole.heads[COUNT][part].sum()) for part in (slice(start), slice(start, end)))
        return Packed(whole.heads[start:end], whole.items[before : before + listed])

    def num_bytes(self, utt_id: str) -> int:
        """What is stored of an utterance."""
        return self.entry(utt_id).num_bytes(self.codec.dtype)

    def posteriors(
        self, utt_id: str, start: int = 0, end: int | None = None, spread: Spread = "prior"
    ) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Dense posteriors (frames, num_pdfs) of frames ``start`` to ``end``.

        A tail is spread over the unlisted pdfs in proportion to the prior, or evenly.
        """
        return self.dense(self.soft_targets(utt_id, start, end), spread)

    def soft_targets(self, utt_id: str, start: int = 0, end: int | None = None) -> SoftTargets:
        """What a loss takes, of frames ``start`` to ``end``."""
        return self.codec.soft_targets(fields(self.records(utt_id, start, end)))

    def dense(self, soft: SoftTargets, spread: Spread) -> np.ndarray[Any, np.dtype[np.float32]]:
        """`posteriors` (frames, num_pdfs) of soft targets of this archive."""
        prior = torch.tensor(self.header.prior)
        return dense_posteriors(soft, prior if spread == "prior" else torch.ones_like(prior)).numpy()

    def _whole(self, utt_id: str, entry: Entry) -> Packed:
        head, item = split(self.codec.dtype)
        path = shard_path(self.path, entry.shard)
        heads = self._slice(path, head, utt_id, entry.start, entry.num_frames, entry.checksum)
        if item is None:
            self._sound.add(utt_id)
            return Packed(heads)
        if entry.items is None:
            raise DataError(f"{self.path / INDEX}: {utt_id}: does not say where its items lie: was it edited?")
        path, places = items_path(self.path, entry.shard), entry.items
        items = self._slice(path, item, utt_id, places.first, places.count, places.checksum)
        if utt_id not in self._sound and int(heads[COUNT].sum()) != places.count:
            raise DataError(f"{path}: {utt_id}: its frames count other items than the index: were two runs mixed?")
        if len(heads) and int(heads[COUNT].max()) > width_of(self.codec.dtype):
            raise DataError(f"{path}: {utt_id}: a frame lists more than its codec can: was the header edited?")
        self._sound.add(utt_id)
        return Packed(heads, items)

    def _slice(  # noqa: PLR0917
        self, path: Path, dtype: np.dtype[np.void], utt_id: str, start: int, count: int, checksum: int | None
    ) -> Records:
        """An utterance's part of a file; checked unless the utterance has been found sound."""
        content = self._file(path, dtype)
        if start + count > len(content):
            raise DataError(
                f"{path} has {len(content)} {'items' if path.stem.endswith('items') else 'frames'}, the index places "
                f"{utt_id} at {start} to {start + count}: were files of two runs mixed?"
            )
        part = content[start : start + count]
        if checksum is not None and utt_id not in self._sound and checksum_of(part) != checksum:
            raise DataError(
                f"{path}: {utt_id}: its bytes are not those that were written (their checksum differs): was the disk "
                "or a copy damaged? Dump the soft targets again"
            )
        return part

    def _file(self, path: Path, dtype: np.dtype[np.void]) -> Records:
        if path not in self._files:
            content = load_array(path, memory_mapped=True)
            if content.ndim != 1 or content.dtype != dtype:
                raise DataError(f"{path} holds {content.dtype}, its header says {dtype}")
            self._files[path] = content
        return self._files[path]


def shard_path(folder: Path, number: int) -> Path:
    return folder / f"targets.{number}.npy"


def items_path(folder: Path, number: int) -> Path:
    return folder / f"targets.{number}.items.npy"


def write_shard(
    folder: Path, number: int, records: Records, lengths: Mapping[str, int] | None = None
) -> dict[str, Entry]:
    """Commit one shard's records, shape (frames,), padded or not.

    Returns the entries, with checksums, of its utterances: ``lengths`` frames each, in the records' order.
    """
    packed = pack(records)
    commit_shard(folder, number, packed)
    return index_shard(number, packed, lengths or {})


def commit_shard(folder: Path, number: int, packed: Packed) -> None:
    """Write a shard's files: its heads last, so that one that has them is whole."""
    if packed.items is not None:
        _write(items_path(folder, number), packed.items)
    _write(shard_path(folder, number), packed.heads)


def index_shard(number: int, packed: Packed, lengths: Mapping[str, int]) -> dict[str, Entry]:
    """The entries, with checksums, of a shard's utterances: ``lengths`` frames each, in the records' order."""
    return dict(_entries(number, packed, lengths))


def _write(path: Path, records: Records) -> None:
    with atomic_write(path, "wb") as file:
        np.save(file, records, allow_pickle=False)


def _entries(number: int, packed: Packed, lengths: Mapping[str, int]) -> Iterator[tuple[str, Entry]]:
    start = first = 0
    for utt_id, length in lengths.items():
        heads, items = packed.heads[start : start + length], None
        if packed.items is not None:
            count = int(heads[COUNT].sum())
            items = Items(first, count, checksum_of(packed.items[first : first + count]))
            first += count
        yield utt_id, Entry(number, start, length, checksum_of(heads), items)
        start += length


def write_header(folder: Path, header: Header, index: Mapping[str, Entry]) -> None:
    """Write the index, then the header: an archive that has its header is whole."""
    write_index(folder / INDEX, index)
    headers.write(folder, header)


def write_index(path: Path, index: Mapping[str, Entry]) -> None:
    """Write the entries, sorted by utterance id."""
    with atomic_write(path) as file:
        file.writelines(f"{utt_id} {entry.line()}\n" for utt_id, entry in sorted(index.items()))


def read_index(path: Path) -> dict[str, Entry]:
    """Lines of an index as the module has them; DataError for a malformed one."""
    try:
        return {utt_id: Entry.parse(rest) for utt_id, rest in read_scp(path).items()}
    except ValueError as error:
        raise DataError(f"{path}: expected `utt_id SHARD START FRAMES` and checksums ({error})") from None
