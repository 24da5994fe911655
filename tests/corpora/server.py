"""A server of files on this machine, that can be told how to misbehave."""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Site:
    """What is served, by path, and how; ``requests`` holds (path, Range header) of each request."""

    address: str
    files: dict[str, bytes] = field(default_factory=dict)
    breaks_after: list[int] = field(default_factory=list)
    """For the next responses: bytes of the body after which the connection ends."""
    announces: int | None = None
    """A Content-Length that is not the body's."""
    knows_ranges: bool = True
    checks_validators: bool = True
    sends_length: bool = True
    status: int = 200
    redirect: str = ""
    etag: str = '"1"'
    requests: list[tuple[str, str | None]] = field(default_factory=list)


@contextlib.contextmanager
def serving() -> Iterator[Site]:
    site = Site("")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.requests.append((self.path, self.headers["Range"]))
            self.close_connection = True
            if site.redirect:
                self._head(302, {"Location": site.redirect})
                return
            if site.status != 200 or self.path not in site.files:
                self._head(site.status if site.status != 200 else 404, {"Content-Length": "0"})
                return
            body, start, status = site.files[self.path], 0, 200
            headers = {"ETag": site.etag}
            same = not site.checks_validators or self.headers["If-Range"] == site.etag
            if (wanted := self.headers["Range"]) and site.knows_ranges and same:
                start, status = int(wanted.removeprefix("bytes=").rstrip("-")), 206
                headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
            rest = body[start:]
            if site.sends_length:
                headers["Content-Length"] = str(len(rest) if site.announces is None else site.announces)
            self._head(status, headers)
            self.wfile.write(rest[: site.breaks_after.pop(0)] if site.breaks_after else rest)

        def _head(self, status: int, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            pass  # a client that was killed

    server = Server(("127.0.0.1", 0), Handler)
    site.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
