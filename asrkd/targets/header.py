"""header.json of a soft-target archive: what its posteriors are, and checksums of that and of the index."""

import json
import math
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

from asrkd.core.errors import DataError
from asrkd.core.files import read_fields, write_json
from asrkd.targets.averaging import Combination
from asrkd.targets.weights import check_weights

INDEX = "index"
_HEADER = "header.json"
_OWN, _OF_INDEX = "checksum", "index_checksum"


@dataclass(frozen=True)
class Header:
    """What an archive is. ``codec`` is its section; ``prior`` (num_pdfs,) is how a tail is spread when read densely.

    ``weights`` are the teachers', in their order; None: all the same.
    """

    temperature: float
    codec: Mapping[str, Any]
    combination: str
    teachers: tuple[str, ...]
    num_pdfs: int
    features: str
    tied_states: str
    prior: tuple[float, ...]
    weights: tuple[float, ...] | None = None


_FIELDS: dict[str, type | tuple[type, ...]] = {
    "temperature": (int, float),
    "num_pdfs": int,
    "codec": dict,
    "teachers": list,
    "prior": list,
    **dict.fromkeys(("combination", "features", "tied_states"), str),
}


def write(folder: Path, header: Header) -> None:
    """Write header.json, with the CRC-32 of its own content and of the index, which stands beside it."""
    content = {name: value for name, value in asdict(header).items() if value is not None}
    content[_OF_INDEX] = _crc((folder / INDEX).read_bytes())
    write_json(folder / _HEADER, {**content, _OWN: _checksum(content)})


def read(folder: Path) -> Header:
    """What `write` wrote. DataError, naming the file, where it is missing or malformed, or it or the index not that.

    Headers of older versions have no checksums, and are read unchecked.
    """
    path, index = folder / _HEADER, folder / INDEX
    content = read_fields(path, **_FIELDS)
    damaged = "not what was written (its checksum differs): was it edited, or the disk damaged? Dump them again"
    if (checksum := content.pop(_OWN, None)) is not None and checksum != _checksum(content):
        raise DataError(f"{path}: {damaged}")
    of_index = content.pop(_OF_INDEX, None)
    if of_index is not None and index.is_file() and of_index != _crc(index.read_bytes()):
        raise DataError(f"{index}: {damaged}")
    if (weights := content.get("weights")) is not None:  # not there where all are the same
        check_weights(weights, len(content["teachers"]), str(path))
        content["weights"] = tuple(weights)
    try:
        header = Header(**{**content, **{name: tuple(content[name]) for name in ("teachers", "prior")}})
    except TypeError as error:
        raise DataError(f"{path}: {error}: was it written by another version?") from None
    _check(header, path)
    return header


def _check(header: Header, path: Path) -> None:
    numbers = all(isinstance(each, (int, float)) and 0 <= each < math.inf for each in header.prior)
    wrong = {
        "temperature": not 0 < header.temperature < math.inf,
        "combination": header.combination not in get_args(Combination),
        "teachers": not header.teachers or not all(isinstance(each, str) for each in header.teachers),
        "prior": not numbers or len(header.prior) != header.num_pdfs,
    }
    if found := next((name for name, is_wrong in wrong.items() if is_wrong), None):
        raise DataError(f"{path}: {found!r} can't be that: was it edited, or written by another version?")


def _checksum(content: Mapping[str, Any]) -> str:
    """CRC-32 of what the header says, however the file is laid out."""
    return _crc(json.dumps(content, sort_keys=True).encode())


def _crc(content: bytes) -> str:
    return f"{zlib.crc32(content):08x}"
