"""Archives of matrices and integer vectors keyed by utterance id: Kaldi's ark + scp, through kaldiio.

Lines of an scp written here are ``utt_id FILE.ark:OFFSET`` with FILE relative to the scp's own folder, so that a
folder may be renamed or moved. An scp written elsewhere (paths from the working directory, compressed or text
matrices, ranges of rows) is read as it is. A line that is a command (``cmd |``) is refused unless it is allowed,
since reading such a file runs it. kaldiio's own opening of files is not used: it runs commands, and unpickles.
"""

import io
import itertools
import os
import struct
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import kaldiio
import numpy as np
from kaldiio import matio
from numpy.typing import NDArray

from asrkd.core.errors import DataError
from asrkd.core.files import UNFINISHED, atomic_write, read_lines
from asrkd.core.parallel import map_shards
from asrkd.core.ranges import cut, split_range

Array = NDArray[Any]

_MAX_DIGITS = 18
"""Of an offset: what is longer is no number of bytes in a file."""

SHARD_SIZE = 50
"""Utterances in one ark file: what is lost at most by a kill."""


class ArchiveWriter:
    """Writes one ark file; it gets its name, and its index, when the block ends without an error.

    ``compression`` is Kaldi's compression method (3: two bytes a value, 5: one; see kaldiio), None for none.
    """

    def __init__(self, ark: Path, compression: int | None = None):
        self.ark = ark
        self.offsets: dict[str, int] = {}
        self._compression = {} if compression is None else {"compression_method": compression}
        self._file = open(self._partial, "wb")  # noqa: SIM115 (closed by __exit__)

    @property
    def _partial(self) -> Path:
        return self.ark.with_name(self.ark.name + UNFINISHED)

    def write(self, utt_id: str, value: Array) -> None:
        """Append a float32 matrix (num_frames, dim) or an int32 vector (num_frames,)."""
        if not utt_id or any(c.isspace() for c in utt_id):
            raise DataError(f"{self.ark}: {utt_id!r} can't be an utterance id: it is empty or holds spaces")
        if utt_id in self.offsets:
            raise DataError(f"{self.ark}: utterance {utt_id} is written twice")
        self.offsets[utt_id] = self._file.tell() + len(utt_id.encode()) + 1
        kaldiio.save_ark(self._file, {utt_id: value}, **self._compression)

    def __enter__(self) -> "ArchiveWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        if kind is not None:
            self._partial.unlink()
        else:
            # The index first: an ark that has its name has its index too.
            with atomic_write(index_of(self.ark)) as index:
                index.writelines(f"{utt} {self.ark.name}:{offset}\n" for utt, offset in self.offsets.items())
            os.replace(self._partial, self.ark)


def index_of(ark: Path) -> Path:
    """The index (an scp of that one file) that ArchiveWriter leaves beside an ark."""
    return ark.with_suffix(".scp")


def join_indices(scp: Path, arks: Sequence[Path]) -> None:
    """Write ``scp`` over all ``arks`` (of its own folder), sorted by utterance id."""
    lines = sorted(line for ark in arks for line in read_lines(index_of(ark)))
    ids = [line.split(maxsplit=1)[0] for line in lines]
    if repeated := [a for a, b in itertools.pairwise(ids) if a == b]:
        raise DataError(f"{scp}: utterance {repeated[0]} is in two archives")
    with atomic_write(scp) as file:
        file.writelines(line + "\n" for line in lines)


def absolute_index(scp: Path, folder: Path) -> None:
    """Rewrite ``scp``, and drop its parts, for Kaldi's tools: with the paths that its archives will have in ``folder``.

    Kaldi takes relative paths from where a program runs.
    """
    entries, place = read_scp(scp), os.path.abspath(folder)  # noqa: PTH100 (links stay links)
    with atomic_write(scp) as file:
        file.writelines(f"{utt_id} {place}/{entry}\n" for utt_id, entry in entries.items())
    for ark in {entry.rpartition(":")[0] for entry in entries.values()}:
        index_of(scp.parent / ark).unlink(missing_ok=True)


def shards(utt_ids: Sequence[str]) -> list[Sequence[str]]:
    """Runs of a fixed number of utterances, so that nothing made of them depends on the number of jobs."""
    return [utt_ids[start : start + SHARD_SIZE] for start in range(0, len(utt_ids), SHARD_SIZE)]


def write_sharded(
    folder: Path,
    name: str,
    utt_ids: Sequence[str],
    compute: Callable[[str], Array],
    *,
    jobs: int = 1,
    description: str = "",
) -> None:
    """Write ``compute(utt_id)`` for all utterances to ``folder/NAME.N.ark`` and index them in ``NAME.scp``.

    Shards hold a fixed number of utterances, whatever ``jobs`` is, so that the bytes do not depend on it; a shard
    that stands (from a run that was cut off) is kept.
    """
    parts = shards(utt_ids)
    arks = [folder / f"{name}.{number}.ark" for number in range(1, len(parts) + 1)]

    def write(number: int) -> None:
        if not arks[number].exists():
            with ArchiveWriter(arks[number]) as writer:
                for utt_id in parts[number]:
                    writer.write(utt_id, compute(utt_id))

    map_shards(write, range(len(parts)), jobs, description)
    join_indices(folder / f"{name}.scp", arks)


class Archive(Mapping[str, Array]):
    """Random access to an scp by utterance id. Values are read anew each time; nothing is kept in memory."""

    def __init__(self, scp: Path, entries: Mapping[str, str]):
        self.scp = scp
        self._entries = dict(entries)

    @classmethod
    def open(cls, scp: Path, allow_pipes: bool = False) -> "Archive":
        """Read the index ``scp``; DataError for malformed lines, repeated ids, and pipes unless allowed."""
        return cls(scp, read_scp(scp, allow_pipes))

    def __getitem__(self, utt_id: str) -> Array:
        if utt_id not in self._entries:
            raise DataError(f"{self.scp}: utterance {utt_id} is not in it: were both made from one data dir?")
        entry = self._entries[utt_id]
        try:
            place, wanted = split_range(entry)
            value = _read_value(_output_of(place)) if is_pipe(place) else self._read(place)
            value = cut(value, wanted) if wanted else value
        except FileNotFoundError:
            raise DataError(f"{self.scp}: {utt_id}: its archive {entry} is missing") from None
        except _UNREADABLE as error:
            cause = " ".join(str(error).split()) or type(error).__name__
            raise DataError(
                f"{self.scp}: {utt_id}: {entry} is not readable ({cause}): another file, or cut short?"
            ) from None
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            frame = int(np.argwhere(~np.isfinite(value))[0][0])
            raise DataError(f"{self.scp}: {utt_id}: NaN or infinity at frame {frame}: was the audio damaged?")
        return value

    def _read(self, entry: str) -> Array:
        path, offset = self._place(entry)
        with open(path, "rb") as file:
            file.seek(offset)
            return _read_value(file)

    def place(self, utt_id: str) -> str:
        """Where an utterance lies, with an absolute path. DataError for a command, and for what is no regular file."""
        entry, wanted = split_range(self._entries[utt_id])
        path, offset = self._place(entry)
        if is_pipe(entry) or not os.path.isfile(path):  # noqa: PTH113 (also for what can be no path)
            cause = (
                "is no file with an archive"
                if os.path.exists(path)  # noqa: PTH110
                else "is missing: relative paths are taken from the scp's own folder or from where asrkd runs; "
                "run it where Kaldi's scripts ran"
            )
            raise DataError(f"{self.scp}: {utt_id}: its archive {path} {cause}")
        return f"{os.path.abspath(path)}:{offset}" + (f"[{wanted}]" if wanted else "")  # noqa: PTH100 (links stay links)

    def _place(self, entry: str) -> tuple[Path, int]:
        name, colon, offset = entry.rpartition(":")
        if not (colon and offset.isdecimal() and len(offset) <= _MAX_DIGITS):
            name, offset = entry, "0"
        beside = self.scp.parent / name
        return beside if os.path.exists(beside) else Path(name), int(offset)  # noqa: PTH110 (False for too long a name)

    @property
    def has_pipes(self) -> bool:
        """Whether an entry is a command, which reading runs."""
        return any(map(is_pipe, self._entries.values()))

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, utt_id: object) -> bool:
        return utt_id in self._entries


_UNREADABLE = (
    *(ValueError, EOFError, OSError, AssertionError, IndexError, struct.error, RuntimeError),
    *(MemoryError, OverflowError, subprocess.SubprocessError),
)
"""What kaldiio raises on bytes that are no archive."""


class _Whole:
    """A file of which every read gives all the bytes asked for; kaldiio takes a vector that ends early for whole."""

    def __init__(self, file: IO[bytes]):
        self._file = file

    def read(self, size: int) -> bytes:
        if size < 0:
            raise ValueError("a negative size")
        value = self._file.read(size)
        if len(value) != size:
            raise EOFError(f"{size} bytes expected, {len(value)} are there")
        return value


def _read_value(file: IO[bytes]) -> Array:
    """The matrix or vector at the place where ``file`` stands, in Kaldi's binary or text format."""
    start = file.tell()
    head = file.read(3)
    file.seek(start)
    if not head:
        raise EOFError("its offset is beyond the end")
    if not head.startswith(b"\0B"):
        value = _text_value(file)
    elif head == b"\0B\4":
        value = matio.read_int32vector(_Whole(file))
    else:
        value = matio.read_matrix_or_vector(_Whole(file))
    return np.asarray(value)


def _text_value(file: IO[bytes]) -> Array:
    """A matrix or vector in Kaldi's text format; what kaldiio says of other bytes may show what is in them."""
    try:
        return np.asarray(matio.read_ascii_mat(file))
    except (ValueError, RuntimeError, AssertionError):
        raise ValueError("no matrix or vector begins there") from None


def _output_of(command: str) -> IO[bytes]:
    """What a command prints; CalledProcessError when it fails. Only for an archive opened with ``allow_pipes``."""
    output = subprocess.run(["sh", "-c", command.strip().rstrip("|")], stdout=subprocess.PIPE, check=True)
    return io.BytesIO(output.stdout)


def is_pipe(entry: str) -> bool:
    """Whether Kaldi would run ``entry`` as a shell command."""
    entry = split_range(entry.strip())[0]
    return entry.endswith("|") or entry.startswith("|")


def split_line(line: str) -> tuple[str, str]:
    """The id that a line begins with, and the rest; each empty where there is none. Blanks or tabs lie between."""
    key, *rest = line.split(maxsplit=1) or [""]
    return key, rest[0].strip() if rest else ""


def read_scp(path: Path, allow_pipes: bool = False) -> dict[str, str]:
    """``{utt_id: rest of the line}`` in the file's order.

    Raises DataError for a line without a value, an id that comes twice, and, unless ``allow_pipes``, a command.
    """
    entries: dict[str, str] = {}
    for number, line in enumerate(read_lines(path), 1):
        utt_id, entry = split_line(line)
        if not utt_id or not entry:
            raise DataError(f"{path}:{number}: expected `id value`, found {line!r}")
        if utt_id in entries:
            raise DataError(f"{path}:{number}: {utt_id} is there twice")
        if is_pipe(entry) and not allow_pipes:
            raise DataError(
                f"{path}:{number}: {utt_id} is a command ({entry[:60]!r}), which reading would run: "
                "refused unless pipes are explicitly allowed (--allow-pipes)"
            )
        entries[utt_id] = entry
    return entries
