"""Kaldi's binary building blocks: frozen bytes, round trips, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as stnp

from asrkd.core.errors import DataError
from asrkd.hmm.kaldi_io import (
    BINARY_HEADER,
    BinaryReader,
    kaldi_errors,
    write_float,
    write_float_matrix,
    write_float_vector,
    write_int,
    write_int_vector,
    write_token,
    write_uint,
)


def reader(data: bytes) -> BinaryReader:
    return BinaryReader(BINARY_HEADER + data, "model")


def test_bytes_are_those_that_kaldi_writes() -> None:
    assert write_int(-2) == b"\x04\xfe\xff\xff\xff"
    assert write_uint(2) == b"\xfc\x02\x00\x00\x00"
    assert write_float(1.0) == b"\x04\x00\x00\x80\x3f"
    assert write_int_vector([7]) == b"\x04\x01\x00\x00\x00\x07\x00\x00\x00"
    assert write_float_vector(np.ones(1, np.float32)) == b"FV \x04\x01\x00\x00\x00\x00\x00\x80\x3f"
    assert write_float_matrix(np.ones((1, 1), np.float32))[:13] == b"FM \x04\x01\x00\x00\x00\x04\x01\x00\x00\x00"


@given(
    st.lists(st.integers(-(2**31), 2**31 - 1), max_size=8),
    stnp.arrays(np.float32, stnp.array_shapes(min_dims=2, max_dims=2, max_side=5), elements=st.floats(width=32)),
)
def test_what_is_written_is_read(integers: list[int], matrix: np.ndarray) -> None:
    data = write_token("<A>") + write_int_vector(integers) + write_float_matrix(matrix) + write_float_vector(matrix[0])
    source = reader(data)
    source.expect("<A>")
    assert source.int_vector() == integers
    np.testing.assert_array_equal(source.float_matrix(), matrix)
    np.testing.assert_array_equal(source.float_vector(), matrix[0])
    assert source.at_end


@given(st.integers(0, 40))
def test_a_file_cut_short_is_named_with_the_byte(length: int) -> None:
    whole = write_token("<A>") + write_int(3) + write_float_vector(np.arange(5, dtype=np.float32))
    source = reader(whole[: min(length, len(whole) - 1)])
    with pytest.raises(DataError, match=r"^model: .* at byte \d+ of \d+"):
        source.expect("<A>"), source.integer(), source.float_vector()


@pytest.mark.parametrize("data", [b"", b"<TransitionModel> text", b"\0"])
def test_text_and_other_files_are_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "final.mdl").write_bytes(data)
    with pytest.raises(DataError, match=r"final.mdl: not a binary Kaldi file"):
        BinaryReader.open(tmp_path / "final.mdl")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="tree is missing"):
        BinaryReader.open(tmp_path / "tree")


def test_numbers_of_another_size_are_refused() -> None:
    with pytest.raises(DataError, match="no four-byte number"):
        reader(b"\x08" + bytes(8)).integer()


def test_counts_that_cannot_be_are_refused_before_memory_is_taken() -> None:
    with pytest.raises(DataError, match="2000000000 mixtures can't follow"):
        reader(write_int(2_000_000_000)).count("mixtures")
    with pytest.raises(DataError, match="ends too early"):
        reader(b"\x04" + b"\xff\xff\xff\x7f").int_vector()


def test_kaldis_exceptions_become_errors_of_ours() -> None:
    with pytest.raises(DataError, match=r"graph of utt1: refused by Kaldi \(bad fst\)"), kaldi_errors("graph of utt1"):
        raise RuntimeError("file.cc:1\n[E] bad fst")
