"""Downloads that break off, go on, are lied to, or can't begin: whole files or none, and one line that says why."""

import gzip
import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from asrkd.core.errors import AsrkdError, ConfigError, DataError
from asrkd.corpora import fetch as module
from asrkd.corpora.fetch import fetch
from tests.corpora.server import Site, serving

BODY = bytes(range(256)) * 8192  # 2 MiB: several blocks
MD5 = "md5:" + hashlib.md5(BODY).hexdigest()


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as site:
        site.files["/file"] = BODY
        yield site


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_WAITS", (0.0, 0.0, 0.0))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


def whole(folder: Path) -> bool:
    """Whether the file is there, right, and alone."""
    return [path.name for path in folder.iterdir()] == ["file"] and (folder / "file").read_bytes() == BODY


def test_a_file_comes_whole(site: Site, tmp_path: Path) -> None:
    fetch(f"{site.address}/file", tmp_path / "file", len(BODY), MD5)
    assert whole(tmp_path)
    assert site.requests == [("/file", None)]


@pytest.mark.parametrize("num_bytes", [len(BODY), None])
def test_a_broken_connection_is_taken_up_where_it_ended(site: Site, tmp_path: Path, num_bytes: int | None) -> None:
    site.breaks_after = [1_000_000, 500_000]
    fetch(f"{site.address}/file", tmp_path / "file", num_bytes, MD5)
    assert whole(tmp_path)
    assert [wanted for _, wanted in site.requests] == [None, "bytes=1000000-", "bytes=1500000-"]


def test_another_run_goes_on_where_one_gave_up(site: Site, tmp_path: Path) -> None:
    site.breaks_after = [1_000_000, 0, 0, 0]
    with pytest.raises(AsrkdError, match=r"at 1000000 of 2097152 bytes; the same command goes on from there"):
        fetch(f"{site.address}/file", tmp_path / "file", len(BODY), MD5)
    assert not (tmp_path / "file").exists()
    fetch(f"{site.address}/file", tmp_path / "file", len(BODY), MD5)
    assert whole(tmp_path)
    assert site.requests[-1] == ("/file", "bytes=1000000-")


def left_over(site: Site, folder: Path, size: int = 1_000_000) -> None:
    """What a run leaves behind when it is cut off after ``size`` bytes."""
    site.breaks_after = [size, 0, 0, 0]
    with pytest.raises(AsrkdError):
        fetch(f"{site.address}/file", folder / "file", None, MD5)
    site.requests.clear()


@pytest.mark.parametrize("change", [{"knows_ranges": False}, {"etag": '"2"'}])
def test_a_server_that_sends_all_again_is_taken_from_the_beginning(
    site: Site, tmp_path: Path, change: dict[str, object]
) -> None:
    left_over(site, tmp_path)
    for name, value in change.items():
        setattr(site, name, value)
    fetch(f"{site.address}/file", tmp_path / "file", len(BODY), MD5)
    assert whole(tmp_path)
    assert site.requests == [("/file", "bytes=1000000-")]


def test_another_file_under_the_old_name_is_not_joined_to_the_old_one(site: Site, tmp_path: Path) -> None:
    left_over(site, tmp_path)
    site.checks_validators = False  # sends the rest of a file of another length, whatever was asked
    site.files["/file"] = new = BODY[::-1] + b"more"
    fetch(f"{site.address}/file", tmp_path / "file", len(new), "md5:" + hashlib.md5(new).hexdigest())
    assert (tmp_path / "file").read_bytes() == new


def test_a_damaged_beginning_is_fetched_again(site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    left_over(site, tmp_path)
    (tmp_path / "file.partial").write_bytes(bytes(1_000_000))
    fetch(f"{site.address}/file", tmp_path / "file", len(BODY), MD5)
    assert whole(tmp_path)
    assert "downloading it again from its beginning" in capsys.readouterr().err


@pytest.mark.parametrize("note", ["", "{", "[]", '{"address": "elsewhere", "length": 2097152, "validator": "x"}'])
def test_what_is_of_unknown_origin_is_not_gone_on_with(site: Site, tmp_path: Path, note: str) -> None:
    (tmp_path / "file.partial").write_bytes(bytes(1000))
    (tmp_path / "file.partial.json").write_text(note)
    fetch(f"{site.address}/file", tmp_path / "file", len(BODY), MD5)
    assert whole(tmp_path)
    assert site.requests == [("/file", None)]


def refused(site: Site, folder: Path, num_bytes: int | None = len(BODY), checksum: str = MD5) -> str:
    """The error of a download that must fail, leaving nothing under the file's name."""
    with pytest.raises(AsrkdError) as raised:
        fetch(f"{site.address}/file", folder / "file", num_bytes, checksum)
    assert not (folder / "file").exists()
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize("announced", [len(BODY) - 1, len(BODY) + 1])
def test_a_length_that_is_not_the_files_is_refused_at_once(site: Site, tmp_path: Path, announced: int) -> None:
    site.announces = announced
    assert f"the server has {announced} bytes, {len(BODY)} expected" in refused(site, tmp_path)


def test_a_server_that_promises_more_than_it_sends_is_not_believed(site: Site, tmp_path: Path) -> None:
    site.announces, site.knows_ranges = len(BODY) + 1000, False
    assert f"at {len(BODY)} of {len(BODY) + 1000} bytes" in refused(site, tmp_path, None, "")


def test_a_server_that_promises_less_than_it_has_is_found_out(site: Site, tmp_path: Path) -> None:
    site.announces = len(BODY) - 1000
    assert "its MD5 is" in refused(site, tmp_path, None)


def test_a_file_without_an_announced_length_is_measured(site: Site, tmp_path: Path) -> None:
    site.sends_length = False
    fetch(f"{site.address}/file", tmp_path / "file", len(BODY), MD5)
    assert whole(tmp_path)
    (tmp_path / "file").unlink()
    site.files["/file"] = BODY[:-1]
    assert "2097151 bytes, 2097152 expected: is the mirror in order?" in refused(site, tmp_path)


def test_a_wrong_checksum_leaves_nothing_behind(site: Site, tmp_path: Path) -> None:
    site.files["/file"] = BODY[:-1] + b"x"
    assert f"{MD5.removeprefix('md5:')} expected" in refused(site, tmp_path)
    assert not list(tmp_path.iterdir())
    assert "its SHA256 is" in refused(site, tmp_path, checksum="sha256:" + "0" * 64)


def test_a_gzip_without_a_checksum_is_read_through(site: Site, tmp_path: Path) -> None:
    packed = gzip.compress(BODY)
    site.files["/x.gz"] = packed
    fetch(f"{site.address}/x.gz", tmp_path / "x.gz", None, "")
    (tmp_path / "x.gz").unlink()
    for damaged in (packed[:-5], packed[:200] + b"?" + packed[201:], b"<html>"):
        site.files["/x.gz"] = damaged
        with pytest.raises(DataError, match="not a whole gzip file"):
            fetch(f"{site.address}/x.gz", tmp_path / "x.gz", None, "")
        assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (404, r"404 Not Found: does this mirror have it\?"),
        (403, "403 Forbidden"),
        (407, "the proxy asks for a password"),
    ],
)
def test_refusals_are_told_at_once(site: Site, tmp_path: Path, status: int, message: str) -> None:
    site.status = status
    with pytest.raises(AsrkdError, match=message):
        fetch(f"{site.address}/file", tmp_path / "file", None, "")
    assert len(site.requests) == 1


def test_a_server_in_trouble_is_asked_again(site: Site, tmp_path: Path) -> None:
    site.status = 503
    assert "503 Service Unavailable" in refused(site, tmp_path)
    assert len(site.requests) == 4


def test_no_connection_and_no_name_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as site:
        address = site.address
    with pytest.raises(AsrkdError, match=r"no connection to 127\.0\.0\.1 .*is there a network\?"):
        fetch(f"{address}/file", tmp_path / "file", None, "")
    with pytest.raises(AsrkdError, match=r"no address is known for nowhere\.invalid: is there a network, or"):
        fetch("http://nowhere.invalid/file", tmp_path / "file", None, "")
    monkeypatch.setenv("http_proxy", "http://user:secret@nowhere.invalid:3128")
    with pytest.raises(AsrkdError, match=r"no address is known for the proxy nowhere\.invalid") as raised:
        fetch("http://example.org/file", tmp_path / "file", None, "")
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("address", ["ftp://host/file", "file:///etc/passwd", "/etc/passwd", "https://", "data:,x"])
def test_other_addresses_are_refused(tmp_path: Path, address: str) -> None:
    with pytest.raises(ConfigError, match="not an address to download from"):
        fetch(address, tmp_path / "file", None, "")


@pytest.mark.parametrize("target", ["ftp://127.0.0.1/file", "file:///etc/passwd"])
def test_redirects_elsewhere_are_not_followed(site: Site, tmp_path: Path, target: str) -> None:
    site.redirect = target
    with pytest.raises(AsrkdError, match=r"redirected to|302"):
        fetch(f"{site.address}/file", tmp_path / "file", None, "")


def test_a_redirect_is_followed(site: Site, tmp_path: Path) -> None:
    with serving() as front:
        front.redirect = f"{site.address}/file"
        fetch(f"{front.address}/anything", tmp_path / "file", len(BODY), MD5)
    assert whole(tmp_path)


SLOWLY = """
import sys, time
from pathlib import Path
from asrkd.corpora import fetch
fetch._BLOCK = 65536
write = fetch.progress
class Slow:
    def __enter__(self): return self
    def __exit__(self, *_): pass
    def update(self, _): time.sleep(0.02)
fetch.progress = lambda *_: Slow()
fetch.fetch(sys.argv[1], Path(sys.argv[2]), None, sys.argv[3])
"""


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_killed_run_is_gone_on_with(site: Site, tmp_path: Path) -> None:
    partial = tmp_path / "file.partial"
    run = [sys.executable, "-c", SLOWLY, f"{site.address}/file", str(tmp_path / "file"), MD5]
    with subprocess.Popen(run, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}) as process:
        wait_for(lambda: partial.exists() and partial.stat().st_size > 100_000)
        process.send_signal(signal.SIGKILL)
    size = partial.stat().st_size
    assert 0 < size < len(BODY)
    assert not (tmp_path / "file").exists()
    fetch(f"{site.address}/file", tmp_path / "file", len(BODY), MD5)
    assert whole(tmp_path)
    assert site.requests[-1] == ("/file", f"bytes={size}-")
