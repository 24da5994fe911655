"""Row and column ranges in scp lines, Kaldi's way: ``FILE.ark:123[0:99]`` is a matrix's first hundred rows.

Both ends belong to the range. ``[0:99,0:12]`` takes columns too, ``[:,0:12]`` all rows. Up to three rows beyond the
end are passed over, as Kaldi does, since the ends of segments are rounded.
"""

import re
from typing import Any

from numpy.typing import NDArray

_RANGE = re.compile(r"\[([^][]+)\]$")
_SIDE = re.compile(r"(\d{1,9}):(\d{1,9})")
_TOLERANCE = 3


def split_range(entry: str) -> tuple[str, str]:
    """An scp's entry without its range, and the range, without brackets; empty where there is none."""
    found = _RANGE.search(entry)
    return (entry[: found.start()], found[1]) if found else (entry, "")


def cut(matrix: NDArray[Any], wanted: str) -> NDArray[Any]:
    """The part of a matrix, or of a vector, that ``wanted`` says. ValueError for no range, or one beyond the matrix."""
    sides = wanted.split(",")
    if len(sides) > matrix.ndim:
        raise ValueError(f"[{wanted}] is no range of a {'vector' if matrix.ndim == 1 else 'matrix'}")
    shape = matrix.shape
    for axis, (side, size) in enumerate(zip(sides, shape, strict=False)):
        if side != ":":
            first, last = _ends(side, wanted)
            if first > last or last >= size + (_TOLERANCE if axis == 0 else 0) or first >= size:
                raise ValueError(f"[{wanted}] of {' x '.join(map(str, shape))}: beyond its end")
            matrix = matrix.take(range(first, min(last + 1, size)), axis)
    return matrix


def _ends(side: str, wanted: str) -> tuple[int, int]:
    found = _SIDE.fullmatch(side.strip())
    if not found:
        raise ValueError(f"[{wanted}] is no range")
    return int(found[1]), int(found[2])
