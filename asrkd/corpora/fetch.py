"""One file over http: resumed where it broke off, and under its name only when length and checksum are right.

What has come so far lies in ``NAME.partial``, and beside it in ``NAME.partial.json`` what it is a part of: address,
length, and the server's validator (ETag or date of change). Another run asks for the rest on condition that the file
is still that one (RFC 9110: Range, If-Range), and begins again where the server sends all of it or another.
"""

import gzip
import hashlib
import http.client
import os
import socket
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import Message
from pathlib import Path
from typing import IO, Any, NoReturn

from tqdm import tqdm

from asrkd.core.audio import Seconds
from asrkd.core.errors import AsrkdError, ConfigError, DataError
from asrkd.core.files import read_json, write_json
from asrkd.core.messages import say

_BLOCK = 1 << 18
_TIMEOUT: Seconds = 60.0
_WAITS: tuple[Seconds, ...] = (1.0, 4.0, 15.0)
"""Before each new try in a row that brings nothing."""


class _BrokenError(Exception):
    """The connection ended before the file did; what has come is kept."""


class _ChangedError(_BrokenError):
    """What has come is no part of what the server has now."""


def check_address(address: str) -> None:
    """ConfigError for an address that is not http or https, or has no host."""
    parts = urllib.parse.urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(f"{address}: not an address to download from: it should begin with https:// or http://")


def fetch(address: str, path: Path, num_bytes: int | None, checksum: str) -> None:
    """Download ``address`` to ``path``, going on from what an earlier try left.

    ``num_bytes`` is the length, None where it is not known; ``checksum`` is ``md5:HEX``, ``sha256:HEX`` or empty.
    Raises AsrkdError where the server can't be reached or does not have the file, and DataError where what it sends
    is not the file: of another length or checksum, or broken inside a gzip.
    """
    check_address(address)
    partial = path.with_name(path.name + ".partial")
    was_resumed = partial.is_file() and partial.stat().st_size > 0
    _transfer_all(address, partial, num_bytes)
    if (damage := damage_of(partial, path.name, num_bytes, checksum)) and was_resumed:
        say(f"download: {path.name}: {damage}: downloading it again from its beginning")
        _forget(partial)
        _transfer_all(address, partial, num_bytes)
        damage = damage_of(partial, path.name, num_bytes, checksum)
    if damage:
        _forget(partial)
        raise DataError(f"{address}: {damage}: is the mirror in order? Try another (--mirror)")
    with open(partial, "rb+") as file:
        os.fsync(file.fileno())
    os.replace(partial, path)
    _forget(partial)


def damage_of(path: Path, name: str, num_bytes: int | None, checksum: str) -> str:
    """What shows that a file is not the one meant; empty when nothing does.

    Without a checksum a gzip is read through, to its own.
    """
    size = path.stat().st_size
    if num_bytes is not None and size != num_bytes:
        return f"{size} bytes, {num_bytes} expected"
    if checksum:
        algorithm, _, expected = checksum.partition(":")
        found = _digest(path, algorithm, name)
        return "" if found == expected else f"its {algorithm.upper()} is {found}, {expected} expected"
    if name.endswith(".gz"):
        try:
            with gzip.open(path) as file:
                while file.read(_BLOCK):
                    pass
        except (OSError, EOFError, zlib.error) as error:
            return f"not a whole gzip file ({error})"
    return "" if size else "holds nothing"


def _digest(path: Path, algorithm: str, name: str) -> str:
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with open(path, "rb") as file, progress(f"{name}: checksum", path.stat().st_size) as bar:
        while block := file.read(_BLOCK):
            digest.update(block)
            bar.update(len(block))
    return digest.hexdigest()


def progress(description: str, total: int | None, initial: int = 0) -> "tqdm[NoReturn]":
    """A bar over bytes, drawn on terminals only."""
    return tqdm(total=total, initial=initial, desc=description, disable=None, leave=False, unit="B", unit_scale=True)


def _transfer_all(address: str, partial: Path, num_bytes: int | None) -> None:
    """Bring ``partial`` to its full length, over as many connections as bring anything."""
    waits = iter(_WAITS)
    while True:
        before = partial.stat().st_size if partial.is_file() else 0
        try:
            _transfer(address, partial, num_bytes)
            return
        except _BrokenError as error:
            if isinstance(error, _ChangedError):
                _forget(partial)
            now = partial.stat().st_size if partial.is_file() else 0
            if now > before:
                waits = iter(_WAITS)
            wait = next(waits, None)
            if wait is None:
                raise AsrkdError(f"{address}: {error}; the same command goes on from there") from None
            time.sleep(wait)


def _transfer(address: str, partial: Path, num_bytes: int | None) -> None:
    """One connection. Raises _BrokenError where it ends early."""
    note = _note(partial, address)
    have = partial.stat().st_size if note else 0
    if have and have == note.get("length"):
        return
    headers = {"User-Agent": "asrkd", "Accept-Encoding": "identity"}
    if have:
        headers |= {"Range": f"bytes={have}-", "If-Range": note["validator"]}
    with _response(address, headers) as response:
        length = _announced(response, have)
        if response.status != http.client.PARTIAL_CONTENT or length is None or length != note.get("length"):
            if response.status == http.client.PARTIAL_CONTENT:
                raise _ChangedError("the file has changed on the server")
            have = 0
        if num_bytes is not None and length is not None and length != num_bytes:
            raise DataError(f"{address}: the server has {length} bytes, {num_bytes} expected: is the mirror in order?")
        if not have:
            partial.unlink(missing_ok=True)
            _write_note(partial, address, length, response.headers)
        _receive(response, partial, have, length)


def _receive(response: http.client.HTTPResponse, partial: Path, have: int, length: int | None) -> None:
    """Append the body to ``partial``. Raises _BrokenError where it ends before ``length``."""
    name = partial.name.removesuffix(".partial")
    cause = ""
    with open(partial, "ab") as file, progress(name, length, have) as bar:
        while True:
            try:
                block = response.read(_BLOCK)
            except http.client.IncompleteRead as error:
                block, cause = error.partial, "the connection broke"
            except (OSError, http.client.HTTPException) as error:
                block, cause = b"", f"the connection broke ({error})"
            file.write(block)
            have += len(block)
            bar.update(len(block))
            if not block or cause:
                break
    if cause or (length is not None and have < length):
        raise _BrokenError(f"{cause or 'the server ended'} at {have} of {length or 'an unknown number of'} bytes")


def _announced(response: http.client.HTTPResponse, have: int) -> int | None:
    """Length of the whole file by the response's headers; None where they are silent, or begin elsewhere."""
    try:
        if response.status != http.client.PARTIAL_CONTENT:
            return int(response.headers["Content-Length"])
        bounds, _, total = response.headers["Content-Range"].removeprefix("bytes ").partition("/")
        return int(total) if int(bounds.partition("-")[0]) == have else None
    except (ValueError, TypeError, AttributeError):
        return None


def _note(partial: Path, address: str) -> dict[str, Any]:
    """What ``partial`` is known to be a part of; nothing where it can't be gone on with."""
    path = _note_path(partial)
    if not (partial.is_file() and path.is_file()):
        return {}
    try:
        note = read_json(path)
    except DataError:
        return {}
    keys = {"address": str, "length": int, "validator": str}
    if not isinstance(note, dict) or not all(isinstance(note.get(key), kind) for key, kind in keys.items()):
        return {}
    return note if note["address"] == address and 0 < partial.stat().st_size <= note["length"] else {}


def _write_note(partial: Path, address: str, length: int | None, headers: Message) -> None:
    tag = headers.get("ETag", "")
    validator = tag if tag.startswith('"') else headers.get("Last-Modified", "")  # a weak ETag can't be asked for
    if length is None or not validator:
        _note_path(partial).unlink(missing_ok=True)
    else:
        write_json(_note_path(partial), {"address": address, "length": length, "validator": validator})


def _note_path(partial: Path) -> Path:
    return partial.with_name(partial.name + ".json")


def _forget(partial: Path) -> None:
    partial.unlink(missing_ok=True)
    _note_path(partial).unlink(missing_ok=True)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to http and https alone, and never from https to http."""

    def redirect_request(  # noqa: PLR0917 (as it is called)
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        scheme = urllib.parse.urlsplit(newurl).scheme
        if scheme not in ("http", "https") or (req.type == "https" and scheme != "https"):
            raise AsrkdError(f"{req.full_url}: redirected to {newurl}: not followed, since it is not https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


@contextmanager
def _response(address: str, headers: dict[str, str]) -> Iterator[http.client.HTTPResponse]:
    """The server's answer, 200 or 206. Raises _BrokenError for what may pass, AsrkdError for what won't by itself."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        _Redirects(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    try:
        response = opener.open(urllib.request.Request(address, headers=headers), timeout=_TIMEOUT)  # noqa: S310
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise _ChangedError("the file has changed on the server") from None
        if error.code in (408, 429) or error.code >= 500:
            raise _BrokenError(f"the server answers {error.code} {error.reason}") from None
        cause = {404: "does this mirror have it?", 407: "the proxy asks for a password"}.get(
            error.code, "is it public?"
        )
        raise AsrkdError(f"{address}: the server answers {error.code} {error.reason}: {cause}") from None
    except ConnectionResetError as error:
        raise _BrokenError(f"the connection broke ({error})") from None
    except (OSError, http.client.HTTPException) as error:
        raise AsrkdError(f"{address}: {_unreachable(address, error)}") from None
    with response:
        yield response


def _unreachable(address: str, error: Exception) -> str:
    """Why no connection came about, and what to look at."""
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    parts = urllib.parse.urlsplit(address)
    proxy = urllib.parse.urlsplit(urllib.request.getproxies().get(parts.scheme, ""))
    if urllib.request.proxy_bypass(parts.netloc):
        proxy = urllib.parse.urlsplit("")
    host = f"the proxy {proxy.hostname}" if proxy.hostname else str(parts.hostname)
    if isinstance(cause, socket.gaierror):
        hint = "" if proxy.hostname else ", or is there a proxy to name (https_proxy)"
        return f"no address is known for {host}: is there a network{hint}?"
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"the certificate of {host} is not accepted ({cause.verify_message})"
    if isinstance(cause, TimeoutError):
        return f"no answer from {host} in {_TIMEOUT:.0f} s: is there a network, or a firewall before it?"
    return f"no connection to {host} ({cause}): is there a network?"
