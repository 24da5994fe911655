"""Kaldi's alignment archives: frozen bytes, round trips in text and binary, gaps in the numbering, damage."""

import gzip
from pathlib import Path

import kaldi_native_io
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrkd.core.errors import DataError
from asrkd.hmm.kaldi_ali import ali_files, read_ali, split_evenly, write_ali
from asrkd.hmm.transitions import Int32Array

UTT_IDS = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF, categories=("L", "N")), min_size=1, max_size=8)


def ids(*numbers: int) -> Int32Array:
    return np.array(numbers, np.int32)


def zipped(folder: Path, content: bytes, name: str = "ali.1.gz") -> Path:
    (folder / name).write_bytes(gzip.compress(content))
    return folder / name


def test_bytes_are_those_that_kaldi_writes(tmp_path: Path) -> None:
    write_ali(tmp_path / "text", iter([("a", ids(3, 12)), ("b", ids())]), text=True)
    assert gzip.decompress((tmp_path / "text").read_bytes()) == b"a 3 12 \nb \n"
    write_ali(tmp_path / "binary", iter([("a", ids(3, 258))]))
    expected = b"a \0B\x04\x02\0\0\0\x04\x03\0\0\0\x04\x02\x01\0\0"
    assert gzip.decompress((tmp_path / "binary").read_bytes()) == expected


@given(st.dictionaries(UTT_IDS, st.lists(st.integers(1, 2**31 - 1), max_size=6), max_size=4), st.booleans())
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, entries: dict[str, list[int]], text: bool
) -> None:
    path = tmp_path_factory.mktemp("ali") / "ali.1.gz"
    write_ali(path, ((utt, ids(*numbers)) for utt, numbers in entries.items()), text)
    found = dict(read_ali(path))
    assert {utt: numbers.tolist() for utt, numbers in found.items()} == entries
    assert all(numbers.dtype == np.int32 for numbers in found.values())
    again = path.with_name("again")
    write_ali(again, iter(found.items()), text)
    assert again.read_bytes() == path.read_bytes()


def test_the_wheel_reads_what_is_written(tmp_path: Path) -> None:
    entries = {"a": [3, 12, 2**31 - 1], "b": [7]}
    write_ali(tmp_path / "ali.1.gz", ((utt, ids(*numbers)) for utt, numbers in entries.items()))
    (tmp_path / "ali.ark").write_bytes(gzip.decompress((tmp_path / "ali.1.gz").read_bytes()))
    with kaldi_native_io.SequentialInt32VectorReader(f"ark:{tmp_path / 'ali.ark'}") as reader:
        assert {utt: list(numbers) for utt, numbers in reader} == entries


def test_jobs_are_read_in_their_order(tmp_path: Path) -> None:
    for number in (1, 2, 10):
        zipped(tmp_path, b"", f"ali.{number}.gz")
    for number in range(3, 10):
        zipped(tmp_path, b"", f"ali.{number}.gz")
    assert [path.name for path in ali_files(tmp_path)] == [f"ali.{number}.gz" for number in range(1, 11)]


@pytest.mark.parametrize(
    ("numbers", "num_jobs", "message"),
    [
        ((1, 3), None, r"ali\.2\.gz is missing, there should be 3"),
        ((2,), None, r"ali\.1\.gz is missing"),
        ((1,), "2\n", r"ali\.2\.gz is missing, there should be 2"),
        ((1, 2), "1\n", r"ali\.2\.gz: num_jobs says 1: left over"),
        ((1,), "many\n", "num_jobs: 'many' is no number of jobs"),
        ((), None, r"holds no ali\.1\.gz"),
        (("x",), None, r"ali\.x\.gz: no ali\.N\.gz"),
    ],
)
def test_gaps_are_named(tmp_path: Path, numbers: tuple[object, ...], num_jobs: str | None, message: str) -> None:
    for number in numbers:
        zipped(tmp_path, b"", f"ali.{number}.gz")
    if num_jobs is not None:
        (tmp_path / "num_jobs").write_text(num_jobs)
    with pytest.raises(DataError, match=message):
        ali_files(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"utt1 1 two 3 \n", r"ali\.1\.gz: utt1: no integer vector"),
        (b"utt1 1 2 \nutt2 1.5 \n", r"utt2: no integer vector"),
        (b"utt1 -1 \n", "utt1: .*can't be transition-ids"),
        (b"utt1 99999999999 \n", "utt1: .*can't be transition-ids"),
        (b"utt1 1 2", "in or after utt1 .*a line without an end"),
        (b"The quick brown fox", r"The: no integer vector|after The"),
        (b"utt1", "an id without a value"),
        (b"\xff\xfe\0 1 2 \n", "no utterance id at its beginning"),
        (b"x" * 5000, "no utterance id at its beginning"),
        (b"utt1 \0B\x04\xff\xff\xff\x7f", "utt1: no integer vector .2147483647 frames"),
        (b"utt1 \0B\x04\x02\0\0\0\x04\x01\0\0\0", "in or after utt1 .fewer numbers"),
        (b"utt1 \0BFM \x04\0\0\0\0", "utt1: no integer vector"),
    ],
)
def test_what_is_no_archive_of_alignments(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        list(read_ali(zipped(tmp_path, content)))


def test_what_is_not_zipped_and_what_is_cut_off(tmp_path: Path) -> None:
    (tmp_path / "ali.1.gz").write_bytes(b"utt1 1 2 3 \n")
    with pytest.raises(DataError, match="not compressed with gzip"):
        list(read_ali(tmp_path / "ali.1.gz"))
    whole = gzip.compress(
        "".join(f"utt{n} {' '.join(str(n * i % 97) for i in range(50))} \n" for n in range(99)).encode()
    )
    for share in (0, 0.1, 0.5, 0.99):
        (tmp_path / "ali.1.gz").write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(DataError, match=r"ali\.1\.gz: ends too early or is damaged"):
            list(read_ali(tmp_path / "ali.1.gz"))
    with pytest.raises(DataError, match=r"ali\.2\.gz is missing"):
        list(read_ali(tmp_path / "ali.2.gz"))


@given(st.integers(0, 2**31), st.integers(0, 255))
def test_a_damaged_byte_is_an_error_or_other_numbers(
    tmp_path_factory: pytest.TempPathFactory, position: int, value: int
) -> None:
    content = bytearray(b"utt1 \0B\x04\x02\0\0\0\x04\x03\0\0\0\x04\x02\x01\0\0utt2 4 5 6 \n")
    content[position % len(content)] = value
    try:
        found = list(read_ali(zipped(tmp_path_factory.mktemp("damage"), bytes(content))))
    except DataError:
        return
    assert all(utt and numbers.ndim == 1 for utt, numbers in found)


def test_split_like_kaldis_scripts() -> None:
    assert split_evenly(list("abcdefgh"), 3) == [["a", "b", "c"], ["d", "e", "f"], ["g", "h"]]
    assert split_evenly(list("ab"), 2) == [["a"], ["b"]]
