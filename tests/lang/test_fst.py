"""OpenFst's files: round trips through the wheel, both layouts, and files that are damaged."""

import struct
from pathlib import Path

import kaldifst
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrkd.core.errors import DataError
from asrkd.lang.fst import ARC, FstArrays, from_kaldifst, read_fst, to_kaldifst, write_fst

HEADER = 4 + (4 + 6) + (4 + 8) + 40  # magic, "vector", "standard", counts


def _fst(text: str = "0 1 1 2 0.5\n0 2 0 0 0.25\n1 2 3 4\n2 1.5\n") -> kaldifst.StdVectorFst:
    return kaldifst.compile(text, acceptor=False)


def _equal(first: FstArrays, second: FstArrays) -> bool:
    return (
        first.start == second.start
        and np.array_equal(first.final, second.final)
        and np.array_equal(first.num_arcs, second.num_arcs)
        and np.array_equal(first.arcs, second.arcs)
    )


@st.composite
def _random_fsts(draw: st.DrawFn) -> FstArrays:
    num_states = draw(st.integers(1, 6))
    costs = st.floats(-10, 10, width=32)
    counts = draw(st.lists(st.integers(0, 4), min_size=num_states, max_size=num_states))
    arc = st.tuples(st.integers(0, 2**31 - 1), st.integers(0, 99), costs, st.integers(0, num_states - 1))
    arcs = draw(st.lists(arc, min_size=sum(counts), max_size=sum(counts)))
    final = draw(st.lists(st.one_of(costs, st.just(np.inf)), min_size=num_states, max_size=num_states))
    start = draw(st.integers(0, num_states - 1))
    return FstArrays(start, np.array(final, np.float32), np.array(counts, np.int64), np.array(arcs, ARC))


@given(_random_fsts())
def test_arrays_and_objects_are_the_same_thing(fst: FstArrays) -> None:
    assert _equal(from_kaldifst(to_kaldifst(fst)), fst)


def test_what_the_wheel_writes_is_read_in_both_layouts(tmp_path: Path) -> None:
    fst = _fst()
    fst.write(str(tmp_path / "vector.fst"))
    kaldifst.StdConstFst(fst).write(str(tmp_path / "const.fst"))
    arrays = read_fst(tmp_path / "vector.fst")
    assert arrays.num_states == 3
    assert arrays.start == 0
    assert arrays.final.tolist() == [np.inf, np.inf, 1.5]
    assert arrays.num_arcs.tolist() == [2, 1, 0]
    assert arrays.arcs.tolist() == [(1, 2, 0.5, 1), (0, 0, 0.25, 2), (3, 4, 0.0, 2)]
    assert _equal(read_fst(tmp_path / "const.fst"), arrays)


def test_what_is_written_the_wheel_reads(tmp_path: Path) -> None:
    write_fst(tmp_path / "a.fst", from_kaldifst(_fst()))
    assert kaldifst.StdVectorFst.read(str(tmp_path / "a.fst")).to_str() == _fst().to_str()


def test_aligned_const_files_are_read(tmp_path: Path) -> None:
    """A const file with the flag of alignment pads header and states to 16 bytes."""
    kaldifst.StdConstFst(_fst()).write(str(tmp_path / "const.fst"))
    plain = (tmp_path / "const.fst").read_bytes()
    at, states = HEADER - 1, 3 * 20  # "const" is a letter shorter than "vector"
    flags = at - 36
    header = plain[:flags] + struct.pack("<i", 4) + plain[flags + 4 : at]

    def pad(data: bytes) -> bytes:
        return data + b"\0" * (-len(data) % 16)

    (tmp_path / "aligned.fst").write_bytes(pad(pad(header) + plain[at : at + states]) + plain[at + states :])
    assert _equal(read_fst(tmp_path / "aligned.fst"), read_fst(tmp_path / "const.fst"))


def test_empty_fst(tmp_path: Path) -> None:
    empty = from_kaldifst(kaldifst.StdVectorFst())
    assert (empty.start, empty.num_states, len(empty.arcs)) == (-1, 0, 0)
    write_fst(tmp_path / "a.fst", empty)
    assert read_fst(tmp_path / "a.fst").num_states == 0


def test_relabelling_leaves_the_original() -> None:
    arrays = from_kaldifst(_fst())
    other = arrays.relabelled(arrays.arcs["ilabel"] + 10)
    assert other.arcs["ilabel"].tolist() == [11, 10, 13]
    assert arrays.arcs["ilabel"].tolist() == [1, 0, 3]
    assert other.arcs["olabel"].tolist() == arrays.arcs["olabel"].tolist()


@pytest.mark.parametrize("layout", [kaldifst.StdVectorFst, kaldifst.StdConstFst])
def test_a_file_cut_anywhere_is_an_error_that_names_it(layout: type, tmp_path: Path) -> None:
    layout(_fst()).write(str(tmp_path / "a.fst"))
    data = (tmp_path / "a.fst").read_bytes()
    for length in range(len(data)):
        (tmp_path / "a.fst").write_bytes(data[:length])
        with pytest.raises(DataError, match=r"a\.fst: "):
            read_fst(tmp_path / "a.fst")


@pytest.mark.parametrize("layout", [kaldifst.StdVectorFst, kaldifst.StdConstFst])
def test_something_after_the_end(layout: type, tmp_path: Path) -> None:
    layout(_fst()).write(str(tmp_path / "a.fst"))
    with open(tmp_path / "a.fst", "ab") as file:
        file.write(b"\0" * 8)
    with pytest.raises(DataError, match="damaged"):
        read_fst(tmp_path / "a.fst")


@given(st.integers(0, 200), st.integers(0, 255))
def test_a_changed_byte_is_read_or_refused_never_a_crash(position: int, value: int) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.fst"
        write_fst(path, from_kaldifst(_fst()))
        data = bytearray(path.read_bytes())
        data[position % len(data)] = value
        path.write_bytes(data)
        try:
            fst = read_fst(path)
        except DataError:
            return
        assert len(fst.arcs) == fst.num_arcs.sum()
        assert fst.arcs["nextstate"].max() < fst.num_states


def test_text_is_no_fst(tmp_path: Path) -> None:
    (tmp_path / "a.fst").write_text("0 1 1 1\n1\n")
    with pytest.raises(DataError, match="is not an OpenFst binary file: is it a text FST"):
        read_fst(tmp_path / "a.fst")


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file"):
        read_fst(tmp_path / "a.fst")
    with pytest.raises(DataError, match="Is a directory"):
        read_fst(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ((b"standard", b"log_arcs"), "over arc 'log_arcs'"),
        ((b"vector", b"ngramm"), "type 'ngramm'"),
    ],
)
def test_other_types(change: tuple[bytes, bytes], message: str, tmp_path: Path) -> None:
    write_fst(tmp_path / "a.fst", from_kaldifst(_fst()))
    (tmp_path / "a.fst").write_bytes((tmp_path / "a.fst").read_bytes().replace(*change))
    with pytest.raises(DataError, match=message):
        read_fst(tmp_path / "a.fst")


def test_symbol_tables_inside_are_refused(tmp_path: Path) -> None:
    write_fst(tmp_path / "a.fst", from_kaldifst(_fst()))
    data = bytearray((tmp_path / "a.fst").read_bytes())
    data[HEADER - 36] = 1
    (tmp_path / "a.fst").write_bytes(data)
    with pytest.raises(DataError, match="holds symbol tables: drop them"):
        read_fst(tmp_path / "a.fst")


def test_arc_to_no_state(tmp_path: Path) -> None:
    arrays = from_kaldifst(_fst())
    arrays.arcs["nextstate"][1] = 3
    write_fst(tmp_path / "a.fst", arrays)
    with pytest.raises(DataError, match="points to no state"):
        read_fst(tmp_path / "a.fst")


def test_weight_that_is_no_number(tmp_path: Path) -> None:
    arrays = from_kaldifst(_fst())
    arrays.arcs["weight"][1] = np.nan
    write_fst(tmp_path / "a.fst", arrays)
    with pytest.raises(DataError, match="no number"):
        read_fst(tmp_path / "a.fst")


def test_kaldis_own_const_graph(shared_dir: Path) -> None:
    """Sizes as its README and fstinfo give them."""
    fst = read_fst(shared_dir / "kaldi-exp" / "graph" / "HCLG.fst")
    assert (fst.num_states, len(fst.arcs), fst.start) == (46991, 110748, 0)
    assert fst.arcs["ilabel"].max() <= 4038
