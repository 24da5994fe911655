"""OpenFst's binary files as numpy arrays, and back.

Kaldi's wheels change an FST arc by arc only; as arrays, millions of arcs are relabelled in one expression. And the
`const` files that Kaldi's own programs write (``HCLG.fst``) are not readable by the wheel's OpenFst: parsed here,
they are. Only the standard arc (tropical weights, float32) is supported, in the `vector` and `const` layouts.
"""

import struct
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import kaldifst
import numpy as np
from numpy.typing import NDArray

from asrkd.core.errors import DataError
from asrkd.core.files import atomic_write

ARC = np.dtype([("ilabel", "<i4"), ("olabel", "<i4"), ("weight", "<f4"), ("nextstate", "<i4")])
"""One arc, as OpenFst lays it out; the weight is a cost (a negated log probability)."""

_CONST_STATE = np.dtype(
    [("final", "<f4"), ("first", "<u4"), ("num_arcs", "<u4"), ("num_iepsilons", "<u4"), ("num_oepsilons", "<u4")]
)
_MAGIC = 2125659606
_HAS_SYMBOLS, _IS_ALIGNED = 3, 4
_EXPANDED_MUTABLE = 3  # the properties that every vector FST has
_COUNTS = struct.Struct("<iiQqqq")  # version, flags, properties, start, number of states, number of arcs


@dataclass(frozen=True)
class FstArrays:
    """An FST. Arcs are grouped by the state they leave, states in order.

    ``final`` is (num_states,) float32 costs, infinity for a state that is not final; ``num_arcs`` is (num_states,)
    int64; ``arcs`` is (total,) of `ARC`. ``start`` is -1 for an FST without states.
    """

    start: int
    final: NDArray[np.float32]
    num_arcs: NDArray[np.int64]
    arcs: NDArray[Any]

    @property
    def num_states(self) -> int:
        return len(self.final)

    def relabelled(self, ilabels: NDArray[np.integer[Any]]) -> "FstArrays":
        """The same with other input labels, shape (total number of arcs,)."""
        arcs = self.arcs.copy()
        arcs["ilabel"] = ilabels
        return replace(self, arcs=arcs)


def read_fst(path: Path) -> FstArrays:
    """Read an OpenFst file, `vector` or `const`, over the standard arc.

    Raises DataError for a missing file, what is no FST, another type or arc, symbol tables inside, and a file that
    was cut short or is inconsistent in itself.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: no FST can be read ({error.strerror})") from None
    try:
        fst = _parse(data, str(path))
    except struct.error:
        raise DataError(f"{path}: FST ends within its header: was the file cut short?") from None
    _validate(fst, str(path))
    return fst


def write_fst(path: Path, fst: FstArrays) -> None:
    """Write ``fst`` in the `vector` layout, which Kaldi and its wheels read."""
    with atomic_write(path, "wb") as file:
        file.write(_vector_bytes(fst))


def to_kaldifst(fst: FstArrays) -> kaldifst.StdVectorFst:
    """``fst`` as an object of the wheel."""
    with tempfile.TemporaryDirectory(prefix="asrkd-") as folder:
        path = Path(folder) / "fst"
        path.write_bytes(_vector_bytes(fst))
        return kaldifst.StdVectorFst.read(str(path))


def from_kaldifst(fst: kaldifst.StdVectorFst) -> FstArrays:
    """An object of the wheel as arrays."""
    with tempfile.TemporaryDirectory(prefix="asrkd-") as folder:
        path = Path(folder) / "fst"
        kaldifst.StdConstFst(fst).write(str(path))
        return read_fst(path)


@dataclass(frozen=True)
class _Header:
    fst_type: str
    where: str
    version: int
    flags: int
    properties: int
    start: int
    num_states: int
    num_arcs: int


def _parse(data: bytes, where: str) -> FstArrays:
    if len(data) < 4 or struct.unpack_from("<i", data)[0] != _MAGIC:
        raise DataError(f"{where}: is not an OpenFst binary file: is it a text FST, or compressed?")
    fst_type, offset = _text(data, 4)
    arc_type, offset = _text(data, offset)
    if fst_type not in ("vector", "const") or arc_type != "standard":
        raise DataError(
            f"{where}: FST of type {fst_type!r} over arc {arc_type!r}; 'vector' or 'const' over 'standard' is expected"
        )
    header = _Header(fst_type, where, *_COUNTS.unpack_from(data, offset))
    if header.flags & _HAS_SYMBOLS:
        raise DataError(f"{where}: holds symbol tables: drop them (fstsymbols --clear_isymbols --clear_osymbols)")
    return (_parse_vector if fst_type == "vector" else _parse_const)(header, data, offset + _COUNTS.size)


def _text(data: bytes, offset: int) -> tuple[str, int]:
    (length,) = struct.unpack_from("<i", data, offset)
    end = offset + 4 + length
    if not 0 <= length <= 64 or end > len(data):
        raise struct.error
    return data[offset + 4 : end].decode("latin-1"), end


def _parse_const(header: _Header, data: bytes, offset: int) -> FstArrays:
    num_states, num_arcs, where = header.num_states, header.num_arcs, header.where
    aligned = bool(header.flags & _IS_ALIGNED) or header.version == 1
    offset = _aligned(offset) if aligned else offset
    states_end = offset + num_states * _CONST_STATE.itemsize
    arcs_at = _aligned(states_end) if aligned else states_end
    expected = arcs_at + num_arcs * ARC.itemsize
    if num_states < 0 or num_arcs < 0 or len(data) != expected:
        raise _wrong_length(header, len(data), expected)
    states = np.frombuffer(data, _CONST_STATE, num_states, offset)
    counts = states["num_arcs"].astype(np.int64)
    if counts.sum() != num_arcs or (states["first"] != np.cumsum(counts) - counts).any():
        raise DataError(f"{where}: states and arcs of the FST don't fit together: is the file damaged?")
    arcs = np.frombuffer(data, ARC, num_arcs, arcs_at).copy()
    return FstArrays(header.start, states["final"].copy(), counts, arcs)


def _parse_vector(header: _Header, data: bytes, offset: int) -> FstArrays:
    num_states, where = header.num_states, header.where
    # Everything that follows the header is four bytes wide: final cost, number of arcs (8 bytes), arcs (16 each).
    body = data[offset : len(data) - (len(data) - offset) % 4]
    words = np.frombuffer(body, "<i4")
    view = memoryview(body).cast("i")
    if num_states < 0 or 3 * num_states > len(words):  # before memory is asked for by a damaged count
        raise _wrong_length(header, len(data), offset + 12 * num_states)
    heads = np.empty(num_states, np.int64)
    position = 0
    try:
        for state in range(num_states):
            heads[state] = position
            position += 3 + 4 * view[position + 1]
    except IndexError:
        raise DataError(f"{where}: FST ends at state {state} of {num_states}: was the file cut short?") from None
    if position * 4 != len(data) - offset:
        raise _wrong_length(header, len(data), offset + position * 4)
    is_arc = np.ones(len(words), bool)
    for part in range(3):
        is_arc[heads + part] = False
    counts = words[heads + 1].astype(np.int64) if num_states else np.zeros(0, np.int64)
    final = words[heads].view("<f4") if num_states else np.zeros(0, np.float32)
    return FstArrays(header.start, final, counts, words[is_arc].view(ARC))


def _aligned(offset: int) -> int:
    return (offset + 15) // 16 * 16


def _wrong_length(header: _Header, length: int, expected: int) -> DataError:
    cause = "was the file cut short?" if length < expected else "is the file damaged?"
    return DataError(
        f"{header.where}: FST of {header.num_states} states takes {expected} bytes, {length} are there: {cause}"
    )


def _validate(fst: FstArrays, where: str) -> None:
    damaged = DataError(f"{where}: an arc or the start points to no state of the FST: is the file damaged?")
    if fst.num_states == 0:
        if fst.start != -1:
            raise damaged
        return
    targets = fst.arcs["nextstate"]
    if not -1 <= fst.start < fst.num_states:
        raise damaged
    if len(targets) and (targets.min() < 0 or targets.max() >= fst.num_states):
        raise damaged
    if np.isnan(fst.final).any() or np.isnan(fst.arcs["weight"]).any():
        raise DataError(f"{where}: the FST holds a weight that is no number: is the file damaged?")


def _vector_bytes(fst: FstArrays) -> bytes:
    counts = fst.num_arcs.astype(np.int64)
    heads = (np.cumsum(counts) - counts) * 4 + np.arange(fst.num_states) * 3
    words = np.empty(fst.num_states * 3 + len(fst.arcs) * 4, "<i4")
    is_arc = np.ones(len(words), bool)
    for part in range(3):
        is_arc[heads + part] = False
    words[heads] = np.ascontiguousarray(fst.final, "<f4").view("<i4")
    words[heads + 1] = counts
    words[heads + 2] = 0  # the upper half of the count
    words[is_arc] = np.ascontiguousarray(fst.arcs).view("<i4")
    header = struct.pack("<i", _MAGIC) + b"".join(struct.pack("<i", len(t)) + t for t in (b"vector", b"standard"))
    header += _COUNTS.pack(2, 0, _EXPANDED_MUTABLE, fst.start, fst.num_states, len(fst.arcs))
    return header + words.tobytes()
