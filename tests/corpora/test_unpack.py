"""Archives, sound and hostile: nothing but plain files, nothing outside the folder, nothing of a broken one."""

import gzip
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from asrkd.core.errors import DataError
from asrkd.corpora.unpack import unpack
from tests.corpora.archives import Member, member, packed


@pytest.fixture
def unpacked(tmp_path: Path) -> Callable[[bytes], Path]:
    """``unpacked(bytes)`` writes and unpacks an archive into inner/target; returns that folder."""

    def make(content: bytes) -> Path:
        (tmp_path / "part.tar.gz").write_bytes(content)
        unpack(tmp_path / "part.tar.gz", tmp_path / "inner" / "target")
        return tmp_path / "inner" / "target"

    return make


def test_plain_files_and_folders_are_unpacked(unpacked: Callable[[bytes], Path], tmp_path: Path) -> None:
    (tmp_path / "inner" / "target").mkdir(parents=True)
    (tmp_path / "inner" / "target" / "old").write_text("from a killed run")
    folder = member("a/b", kind=tarfile.DIRTYPE)
    target = unpacked(packed(folder, member("a/b/c.flac", b"sound"), member("./d.txt")))
    assert sorted(str(path.relative_to(target)) for path in target.rglob("*")) == ["a", "a/b", "a/b/c.flac", "d.txt"]
    assert (target / "a/b/c.flac").read_bytes() == b"sound"
    assert not (target / "a/b/c.flac").stat().st_mode & 0o4000


@pytest.mark.parametrize(
    ("hostile", "message"),
    [
        (member("../out"), "leads out of the folder"),
        (member("a/../../out"), "leads out of the folder"),
        (member("/tmp/out"), "leads out of the folder"),
        (member("a\\..\\out"), "leads out of the folder"),
        (member("a\nb"), "leads out of the folder"),
        (member("link", kind=tarfile.SYMTYPE, link="/etc/passwd"), "is a link or a device"),
        (member("link", kind=tarfile.SYMTYPE, link="first"), "is a link or a device"),
        (member("link", kind=tarfile.LNKTYPE, link="first"), "is a link or a device"),
        (member("pipe", kind=tarfile.FIFOTYPE), "is a link or a device"),
        (member("disk", kind=tarfile.BLKTYPE), "is a link or a device"),
        (member("first"), "is there twice"),
        (member("zeros", bytes(40_000_000)), "far more than an archive of"),
    ],
)
def test_hostile_members_are_refused(
    unpacked: Callable[[bytes], Path], tmp_path: Path, hostile: Member, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        unpacked(packed(member("first"), hostile))
    outside = {path for path in tmp_path.rglob("*") if path.is_file() and "target" not in path.parts}
    assert outside == {tmp_path / "part.tar.gz"}


def test_a_link_and_a_file_through_it_stay_inside(unpacked: Callable[[bytes], Path], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is a link"):
        unpacked(packed(member("up", kind=tarfile.SYMTYPE, link=".."), member("up/out")))
    assert not (tmp_path / "inner" / "out").exists()


@pytest.mark.parametrize("damaged", [b"", b"<html>", gzip.compress(b"no tar" * 1000)])
def test_what_is_no_archive_is_refused(unpacked: Callable[[bytes], Path], damaged: bytes) -> None:
    with pytest.raises(DataError, match=r"part\.tar\.gz: not readable as a tar\.gz archive"):
        unpacked(damaged)


def test_an_archive_cut_short_is_refused(unpacked: Callable[[bytes], Path]) -> None:
    whole = packed(member("a", bytes(range(256)) * 1000), member("b"))
    with pytest.raises(DataError, match="cut short"):
        unpacked(whole[: len(whole) // 2])
