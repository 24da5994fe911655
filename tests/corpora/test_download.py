"""`asrkd download` against a server on this machine: what comes to stand, what is skipped, what is refused."""

import fcntl
import gzip
import hashlib
import os
import shutil
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path

import pytest

from asrkd.cli import main
from asrkd.core.errors import AsrkdError, ConfigError, DataError
from asrkd.corpora import download as module
from asrkd.corpora import fetch, openslr
from asrkd.corpora.download import download
from asrkd.corpora.openslr import RESOURCES, Resource, resources
from tests.corpora.archives import member, packed
from tests.corpora.server import Site, serving

PART = packed(
    member("LibriSpeech/README.TXT", b"about"),
    member("LibriSpeech/tiny/1/2/1-2-0000.flac", b"sound"),
    member("LibriSpeech/tiny/1/2/1-2.trans.txt", b"1-2-0000 WORDS\n"),
)
TINY = Resource("12/tiny.tar.gz", len(PART), "md5:" + hashlib.md5(PART).hexdigest())
MODEL = gzip.compress(b"\\data\\\n", mtime=0)
LM = Resource("11/lm.arpa.gz", len(MODEL))


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr(fetch, "_WAITS", (0.0, 0.0, 0.0))
    monkeypatch.setattr(openslr, "RESOURCES", {"tiny": TINY, "lm.arpa.gz": LM})
    with serving() as site:
        site.files = {"/12/tiny.tar.gz": PART, "/11/lm.arpa.gz": MODEL}
        yield site


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


STANDING = ["LibriSpeech/README.TXT", "LibriSpeech/tiny/1/2/1-2-0000.flac", "LibriSpeech/tiny/1/2/1-2.trans.txt"]


def test_parts_are_unpacked_and_files_kept(site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "new" / "corpora"
    assert main(["download", "tiny", "lm.arpa.gz", str(folder), "--mirror", site.address + "/"]) == 0
    assert names(folder) == [*STANDING, "lm.arpa.gz"]
    error = capsys.readouterr().err
    assert f"{folder}/LibriSpeech/tiny done" in error
    assert "lm.arpa.gz: no checksum is known of it; checked: length, gzip" in error
    assert "tiny.tar.gz: no checksum" not in error
    site.requests.clear()
    assert main(["download", "tiny", "lm.arpa.gz", str(folder), "--mirror", site.address]) == 0
    assert f"{folder}/LibriSpeech/tiny stands, skipped" in capsys.readouterr().err
    assert not site.requests


def test_archives_are_kept_on_demand(site: Site, tmp_path: Path) -> None:
    assert main(["download", "--keep-archives", "tiny", str(tmp_path), "--mirror", site.address]) == 0
    assert names(tmp_path) == [*STANDING, "tiny.tar.gz"]


def test_an_archive_that_was_carried_here_is_unpacked(site: Site, tmp_path: Path) -> None:
    (tmp_path / "tiny.tar.gz").write_bytes(PART)
    assert download([TINY], tmp_path, site.address) == [tmp_path / "LibriSpeech" / "tiny"]
    assert names(tmp_path) == STANDING
    assert not site.requests


def test_a_damaged_file_that_was_carried_here_is_refused(site: Site, tmp_path: Path) -> None:
    (tmp_path / "tiny.tar.gz").write_bytes(PART[:-1] + b"x")
    (tmp_path / "lm.arpa.gz").write_bytes(MODEL[:-1])
    with pytest.raises(DataError, match=r"tiny\.tar\.gz: its MD5 is .*: remove it and run again"):
        download([TINY], tmp_path, site.address)
    with pytest.raises(DataError, match=r"lm\.arpa\.gz: 26 bytes, 27 expected: remove it and run again"):
        download([LM], tmp_path, site.address)
    assert not (tmp_path / "LibriSpeech").exists()


def test_a_run_killed_at_any_step_is_finished_by_the_next(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    replace = os.replace
    steps = 0
    while True:
        folder, left = tmp_path / str(steps), steps

        def dying(source: Path, target: Path) -> None:
            nonlocal left
            if left == 0:
                raise Killed
            left -= 1
            replace(source, target)

        with monkeypatch.context() as patched:
            patched.setattr(os, "replace", dying)
            try:
                download([TINY], folder, site.address)
            except Killed:
                assert not (folder / "LibriSpeech" / "tiny").exists()
            else:
                break
        download([TINY], folder, site.address)
        assert names(folder) == STANDING
        steps += 1
    assert steps == 4  # the note of the download, the archive, the README, the part


def test_what_a_run_killed_at_its_very_end_left_is_cleared(site: Site, tmp_path: Path) -> None:
    download([TINY], tmp_path, site.address)
    (tmp_path / "tiny.tar.gz").write_bytes(PART)
    (tmp_path / "tiny.partial" / "LibriSpeech").mkdir(parents=True)
    download([TINY], tmp_path, site.address)
    assert names(tmp_path) == STANDING
    assert not (tmp_path / "tiny.partial").exists()


def test_another_archive_under_the_name_is_refused(site: Site, tmp_path: Path) -> None:
    other = packed(member("LibriSpeech/other/1/2/1-2-0000.flac"))
    site.files["/12/tiny.tar.gz"] = other
    wanted = Resource(TINY.path, len(other), "md5:" + hashlib.md5(other).hexdigest())
    with pytest.raises(DataError, match=r"holds no LibriSpeech/tiny: is it another archive"):
        download([wanted], tmp_path, site.address)
    assert not (tmp_path / "LibriSpeech").exists()


def test_a_full_disk_is_foreseen(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9))
    wanted = [RESOURCES["train-clean-100"], RESOURCES["dev-clean"]]
    with pytest.raises(AsrkdError, match=r"1\.0 GB are free, about 13\.4 GB are needed for train-clean-100, dev-clean"):
        download(wanted, tmp_path, site.address)
    assert not site.requests
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(3 * len(PART)))
    download([TINY], tmp_path, site.address)


def test_a_disk_that_fills_up_is_one_line(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "unpack", full)
    with pytest.raises(AsrkdError, match="the disk is full; with more room the same command goes on"):
        download([TINY], tmp_path, site.address)


def test_two_at_once_are_kept_apart(site: Site, tmp_path: Path) -> None:
    descriptor = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with pytest.raises(AsrkdError, match="another process is downloading into it"):
            download([TINY], tmp_path, site.address)
    finally:
        os.close(descriptor)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["dev-claen", "DIR"], "nothing to download is called 'dev-claen'; did you mean 'dev-clean'?"),
        (["dev-clean", "DIR", "--mirror", "ftp://mirror"], "ftp://mirror: not an address to download from"),
        (["dev-clean", "DIR", "--mirror", "http://nowhere.invalid"], "no address is known for nowhere.invalid"),
    ],
)
def test_mistakes_are_one_line(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.delenv("http_proxy", raising=False)
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**12))
    assert main(["download", *(str(tmp_path) if word == "DIR" else word for word in arguments)]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if "error:" in line] == lines[-1:]
    assert message in lines[-1]
    assert not (tmp_path / "LibriSpeech").exists()


def test_names_and_sums_are_well_formed() -> None:
    assert [resource.name for resource in resources(["dev-clean", "3-gram.arpa.gz", "dev-clean"])] == [
        "dev-clean",
        "3-gram.arpa.gz",
    ]
    with pytest.raises(ConfigError):
        resources(["../etc"])
    for name, resource in RESOURCES.items():
        algorithm, _, digest = resource.checksum.partition(":")
        assert len(digest) == {"md5": 32, "sha256": 64, "": 0}[algorithm], name
        assert resource.checksum.startswith("md5:") or not resource.is_part
        assert resource.path.partition("/")[0] in ("11", "12", "31")
