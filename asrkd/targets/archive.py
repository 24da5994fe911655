"""The soft-target archive: what the teachers said of every frame, readable by utterance id.

``header.json`` says temperature, codec, combination, teachers, features and tied-state model; ``targets.N.npy`` are
structured arrays, one record a frame, memory-mapped on reading; ``index`` has lines ``utt_id SHARD START FRAMES``.
Using an archive with another temperature or tied-state model is an error.
"""

import tokenize
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from asrkd.core.archive import read_scp
from asrkd.core.errors import DataError, MismatchError
from asrkd.core.files import atomic_write, read_fields, write_json
from asrkd.targets import Codec, Records, build_codec, dense_posteriors, fields


@dataclass(frozen=True)
class Header:
    """What an archive is. ``codec`` is its section; ``prior`` (num_pdfs,) is how a tail is spread when read densely."""

    temperature: float
    codec: Mapping[str, Any]
    combination: str
    teachers: tuple[str, ...]
    num_pdfs: int
    features: str
    tied_states: str
    prior: tuple[float, ...]


_FIELDS: dict[str, type | tuple[type, ...]] = {
    "temperature": (int, float),
    "num_pdfs": int,
    "codec": dict,
    "teachers": list,
    "prior": list,
    **dict.fromkeys(("combination", "features", "tied_states"), str),
}


@dataclass(frozen=True)
class Entry:
    """Where an utterance's records lie."""

    shard: int
    start: int
    num_frames: int


@dataclass
class SoftTargetArchive:
    """Random access by utterance id; nothing is kept in memory but the index."""

    path: Path
    header: Header
    entries: Mapping[str, Entry]
    _shards: dict[int, Records] = field(default_factory=dict)

    @classmethod
    def open(cls, path: Path) -> "SoftTargetArchive":
        """Read header and index. DataError when they are missing or malformed."""
        description = read_fields(path / "header.json", **_FIELDS)
        try:
            header = Header(**{**description, **{name: tuple(description[name]) for name in ("teachers", "prior")}})
        except (TypeError, KeyError) as error:
            raise DataError(f"{path / 'header.json'}: {error}: was it written by another version?") from None
        return cls(path, header, read_index(path / "index"))

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
        """Records of an utterance's frames ``start`` to ``end``, shape (frames,)."""
        entry = self.entry(utt_id)
        end = entry.num_frames if end is None else end
        if not 0 <= start <= end <= entry.num_frames:
            raise DataError(f"{self.path}: {utt_id} has {entry.num_frames} frames; {start} to {end} were asked for")
        shard = self._shard(entry.shard)
        if entry.start + entry.num_frames > len(shard):
            raise DataError(
                f"{shard_path(self.path, entry.shard)} has {len(shard)} frames, the index places {utt_id} at "
                f"{entry.start} to {entry.start + entry.num_frames}: were files of two runs mixed?"
            )
        return shard[entry.start + start : entry.start + end]

    def posteriors(self, utt_id: str) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Dense posteriors (num_frames, num_pdfs); a tail is spread over the unlisted pdfs by the prior."""
        soft = self.codec.soft_targets(fields(self.records(utt_id)))
        return dense_posteriors(soft, torch.tensor(self.header.prior)).numpy()

    def _shard(self, number: int) -> Records:
        if number not in self._shards:
            path = shard_path(self.path, number)
            try:
                shard = np.load(path, mmap_mode="r", allow_pickle=False)
            except (OSError, ValueError, EOFError, tokenize.TokenError) as error:
                cause = " ".join(str(error).split())
                raise DataError(f"{path}: not readable ({cause}): was it cut short?") from None
            if shard.ndim != 1 or shard.dtype != self.codec.dtype:
                raise DataError(f"{path} holds {shard.dtype}, its header says {self.codec.dtype}")
            self._shards[number] = shard
        return self._shards[number]


def shard_path(folder: Path, number: int) -> Path:
    return folder / f"targets.{number}.npy"


def write_shard(folder: Path, number: int, records: Records) -> None:
    """Commit one shard's records, shape (frames,)."""
    with atomic_write(shard_path(folder, number), "wb") as file:
        np.save(file, records, allow_pickle=False)


def write_header(folder: Path, header: Header, index: Mapping[str, Entry]) -> None:
    """Write the index, then the header: an archive that has its header is whole."""
    with atomic_write(folder / "index") as file:
        file.writelines(f"{utt} {e.shard} {e.start} {e.num_frames}\n" for utt, e in sorted(index.items()))
    write_json(folder / "header.json", asdict(header))


def read_index(path: Path) -> dict[str, Entry]:
    """``utt_id SHARD START FRAMES`` lines; DataError for a malformed one."""
    entries = read_scp(path)
    try:
        if negative := [rest for rest in entries.values() if "-" in rest]:
            raise ValueError(f"found {negative[0][:60]!r}")
        return {utt_id: Entry(*map(int, rest.split())) for utt_id, rest in entries.items()}
    except (ValueError, TypeError) as error:
        raise DataError(f"{path}: expected `utt_id SHARD START FRAMES` ({error})") from None


def layout(lengths: Mapping[str, int], shards: Iterable[Iterable[str]]) -> dict[str, Entry]:
    """Index of utterances written one after another, shard by shard."""
    index = {}
    for number, utt_ids in enumerate(shards, 1):
        start = 0
        for utt_id in utt_ids:
            index[utt_id] = Entry(number, start, lengths[utt_id])
            start += lengths[utt_id]
    return index
