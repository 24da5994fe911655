"""Archives: what is written is read back; what is damaged or dangerous is refused."""

import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import kaldiio
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from asrkd.core.archive import (
    SHARD_SIZE,
    Archive,
    ArchiveWriter,
    Array,
    index_of,
    is_pipe,
    join_indices,
    read_scp,
    write_sharded,
)
from asrkd.core.errors import DataError

MATRIX = np.arange(6, dtype=np.float32).reshape(2, 3)

finite = st.floats(-(2.0**100), 2.0**100, width=32)
matrices = hnp.arrays(np.float32, st.tuples(st.integers(0, 5), st.integers(1, 4)), elements=finite)
doubles = hnp.arrays(np.float64, st.tuples(st.integers(1, 3), st.integers(1, 4)), elements=st.floats(-1e300, 1e300))
labels = hnp.arrays(np.int32, st.integers(0, 8), elements=st.integers(-(2**31), 2**31 - 1))
utt_ids = st.text(st.characters(exclude_categories=["Z", "C"], exclude_characters="/"), min_size=1, max_size=8)


def write(ark: Path, values: dict[str, Array], **options: Any) -> Path:
    with ArchiveWriter(ark, **options) as writer:
        for utt_id, value in values.items():
            writer.write(utt_id, value)
    return index_of(ark)


@given(st.dictionaries(utt_ids, st.one_of(matrices, doubles, labels), max_size=4))
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, values: dict[str, Array]) -> None:
    archive = Archive.open(write(tmp_path_factory.mktemp("ark") / "x.ark", values))
    assert list(archive) == list(values)
    assert len(archive) == len(values)
    for utt_id, value in values.items():
        assert utt_id in archive
        assert archive[utt_id].dtype == value.dtype
        np.testing.assert_array_equal(archive[utt_id], value)


@pytest.mark.parametrize(("method", "tolerance"), [(3, 1e-4), (5, 1e-2)])
def test_compressed(tmp_path: Path, method: int, tolerance: float) -> None:
    value = np.random.default_rng(0).random((20, 4), dtype=np.float32)
    read = Archive.open(write(tmp_path / "x.ark", {"a": value}, compression=method))["a"]
    np.testing.assert_allclose(read, value, atol=tolerance)
    assert (tmp_path / "x.ark").stat().st_size < value.nbytes


def test_kaldi_tools_can_read_it(tmp_path: Path) -> None:
    write(tmp_path / "x.ark", {"a": MATRIX, "b": np.array([3, 1], np.int32)})
    read = dict(kaldiio.load_ark(str(tmp_path / "x.ark")))
    np.testing.assert_array_equal(read["a"], MATRIX)
    np.testing.assert_array_equal(read["b"], [3, 1])
    kaldiio.save_ark(str(tmp_path / "theirs.ark"), {"a": MATRIX, "b": np.array([3, 1], np.int32)})
    assert (tmp_path / "x.ark").read_bytes() == (tmp_path / "theirs.ark").read_bytes()


def test_text_archive_written_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere.ark").write_text("a  [\n  1.5 2.0\n  3.0 4.0 ]\n")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "x.scp").write_text("a\telsewhere.ark:2\n")
    monkeypatch.chdir(tmp_path)
    assert Archive.open(Path("sub/x.scp"))["a"].tolist() == [[1.5, 2.0], [3.0, 4.0]]


VECTOR = np.array([7, 8, 9], np.float32)


@pytest.mark.parametrize("value", [MATRIX, VECTOR, np.array([5, 6], np.int32), MATRIX.astype(np.float64)])
def test_archive_cut_at_any_byte_is_refused(tmp_path: Path, value: Array) -> None:
    scp = write(tmp_path / "x.ark", {"first": MATRIX, "utt": value})
    whole = (tmp_path / "x.ark").read_bytes()
    offset = int(scp.read_text().split(":")[-1])
    for size in range(offset, len(whole)):
        (tmp_path / "x.ark").write_bytes(whole[:size])
        with pytest.raises(DataError, match=r"x\.scp: utt: x\.ark:\d+ is not readable .* cut short\?") as error:
            Archive.open(scp)["utt"]
        assert "\n" not in str(error.value)
        np.testing.assert_array_equal(Archive.open(scp)["first"], MATRIX)


@given(position=st.integers(0, 40), byte=st.integers(0, 255))
def test_a_changed_byte_is_read_or_refused_but_never_crashes(
    tmp_path_factory: pytest.TempPathFactory, position: int, byte: int
) -> None:
    ark = tmp_path_factory.mktemp("ark") / "x.ark"
    scp = write(ark, {"a": MATRIX})
    content = bytearray(ark.read_bytes())
    content[position % len(content)] = byte
    ark.write_bytes(content)
    try:
        value = Archive.open(scp)["a"]
    except DataError:
        return
    assert np.isfinite(value).all()


def test_ids(tmp_path: Path) -> None:
    writer = ArchiveWriter(tmp_path / "x.ark")
    with pytest.raises(DataError, match="'a b' can't be an utterance id"), writer:
        writer.write("a b", MATRIX)
    writer = ArchiveWriter(tmp_path / "x.ark")
    writer.write("a", MATRIX)
    with pytest.raises(DataError, match="a is written twice"), writer:
        writer.write("a", MATRIX)
    assert list(tmp_path.iterdir()) == []


def test_an_id_in_two_archives_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "x.1.ark", {"a": MATRIX})
    write(tmp_path / "x.2.ark", {"a": MATRIX})
    with pytest.raises(DataError, match="utterance a is in two archives"):
        join_indices(tmp_path / "x.scp", [tmp_path / "x.1.ark", tmp_path / "x.2.ark"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a x.ark:2\na x.ark:9\n", r"x\.scp:2: a is there twice"),
        ("a\n", r"x\.scp:1: expected `id value`, found 'a'"),
        ("a x.ark:2\n\nb x.ark:3\n", r"x\.scp:2: expected"),
        ("a cat x.ark |\n", r"x\.scp:1: a is a command \('cat x.ark \|'\)"),
        ("a | cat x.ark\n", "is a command"),
        ("a\tcat x.ark|\t\n", "is a command"),
    ],
)
def test_malformed_index(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "x.scp").write_text(text)
    with pytest.raises(DataError, match=message):
        read_scp(tmp_path / "x.scp")


def test_unknown_utterance_and_missing_archive(tmp_path: Path) -> None:
    archive = Archive.open(write(tmp_path / "x.ark", {"a": MATRIX}))
    with pytest.raises(DataError, match="utterance b is not in it"):
        archive["b"]
    (tmp_path / "x.ark").unlink()
    with pytest.raises(DataError, match=r"its archive x\.ark:2 is missing"):
        archive["a"]
    with pytest.raises(DataError, match="missing"):
        Archive.open(tmp_path / "none.scp")


class Payload:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch sentinel",)


@pytest.mark.parametrize(
    "entry",
    [
        "touch sentinel |",
        "| touch sentinel",
        "touch sentinel|",
        "touch sentinel |:3",
        "touch sentinel |[0:1]",
        "x.ark:2",
    ],
)
def test_nothing_in_an_archive_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.ark").write_bytes(b"a PKL" + pickle.dumps(Payload()))
    (tmp_path / "x.scp").write_text(f"a {entry}\n")
    with pytest.raises(DataError):
        Archive.open(tmp_path / "x.scp")["a"]
    assert not (tmp_path / "sentinel").exists()


def test_commands_run_only_where_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    kaldiio.save_mat(str(tmp_path / "value"), MATRIX)
    (tmp_path / "x.scp").write_text("a cat value |\nb false |\n")
    archive = Archive.open(tmp_path / "x.scp", allow_pipes=True)
    np.testing.assert_array_equal(archive["a"], MATRIX)
    with pytest.raises(DataError, match="b: false"):
        archive["b"]
    assert is_pipe(" cat x | ")
    assert not is_pipe("a|b")


def test_folder_may_be_moved(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    write(tmp_path / "old" / "x.ark", {"a": MATRIX})
    (tmp_path / "old").rename(tmp_path / "new: [1]")
    np.testing.assert_array_equal(Archive.open(tmp_path / "new: [1]" / "x.scp")["a"], MATRIX)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_not_finite_is_named_with_its_frame(tmp_path: Path, bad: float) -> None:
    value = np.zeros((5, 2), np.float32)
    value[3, 1] = bad
    with pytest.raises(DataError, match="a: NaN or infinity at frame 3"):
        Archive.open(write(tmp_path / "x.ark", {"a": value}))["a"]


MANY = [f"utt-{number:03d}" for number in range(2 * SHARD_SIZE + 7)]


def compute(utt_id: str) -> Array:
    return np.full((2, 2), int(utt_id[4:]), np.float32)


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_bytes_do_not_depend_on_jobs(tmp_path: Path) -> None:
    for jobs in (1, 3):
        (tmp_path / str(jobs)).mkdir()
        write_sharded(tmp_path / str(jobs), "x", MANY, compute, jobs=jobs)
    assert content(tmp_path / "1") == content(tmp_path / "3")
    archive = Archive.open(tmp_path / "3" / "x.scp")
    assert list(archive) == MANY
    assert archive["utt-042"][0, 0] == 42


def test_a_killed_run_goes_on_and_gives_the_same_bytes(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir()
    killed.mkdir()
    write_sharded(whole, "x", MANY, compute)
    script = f"""
import os, signal, sys
from pathlib import Path
import numpy as np
from asrkd.core.archive import write_sharded
def compute(utt_id):
    if utt_id == {MANY[SHARD_SIZE + 3]!r}:
        os.kill(os.getpid(), signal.SIGKILL)
    return np.full((2, 2), int(utt_id[4:]), np.float32)
write_sharded(Path({str(killed)!r}), "x", {MANY!r}, compute)
"""
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -signal.SIGKILL
    assert (killed / "x.1.ark").exists()
    assert not (killed / "x.2.ark").exists()
    computed = []

    def count(utt_id: str) -> Array:
        computed.append(utt_id)
        return compute(utt_id)

    write_sharded(killed, "x", MANY, count)
    assert computed == MANY[SHARD_SIZE:]
    assert content(killed) == content(whole)


@pytest.mark.parametrize(
    ("place", "cause"),
    [
        ("x.ark:999999", "is not readable (its offset is beyond the end)"),
        ("x.ark:99999999999999999999", "is missing"),
        ("x.ark:" + "9" * 5000, "is not readable"),
        ("x.ark:0", "is not readable (no matrix or vector begins there)"),
        ("passwd", "passwd is not readable (no matrix or vector begins there): another file, or cut short?"),
        ("x" * 5000, "is not readable"),
    ],
)
def test_places_where_nothing_is(tmp_path: Path, place: str, cause: str) -> None:
    scp = write(tmp_path / "x.ark", {"a": MATRIX})
    (tmp_path / "passwd").write_text("root:secret\n")
    scp.write_text(f"a {place}\n")
    with pytest.raises(DataError) as error:
        Archive.open(scp)["a"]
    assert str(error.value).startswith(f"{scp}: a: ")
    assert cause in str(error.value)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    ("place", "cause"),
    [
        ("..", "its archive .* is no file with an archive"),
        ("/dev/zero", "its archive /dev/zero is no file with an archive"),
        ("x" * 5000, "is missing: relative paths"),
        ("x.ark:" + "9" * 5000, "is missing: relative paths"),
        ("a\0b", "is missing: relative paths"),
    ],
)
def test_places_that_can_not_be_kept(tmp_path: Path, place: str, cause: str) -> None:
    scp = write(tmp_path / "x.ark", {"a": MATRIX})
    scp.write_text(f"a {place}\n")
    with pytest.raises(DataError, match=rf"x\.scp: a: .*{cause}"):
        Archive.open(scp).place("a")
