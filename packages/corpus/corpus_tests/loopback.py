"""A server on 127.0.0.1 that stands in for the SHD site, with the faults that a site can have."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Site(ThreadingHTTPServer):
    """Serves `files` by name; `asked` lists the names asked for, `ranges` the first bytes."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.ranges: list[int] = []
        self.can_continue = True
        self.cut: list[int] = []  # bytes that the next answers end after

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/mirror"


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        site = self.server
        name = self.path.removeprefix("/mirror/")
        site.asked.append(name)
        body = site.files.get(name)
        if body is None:
            return self.send_error(404)
        first = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        site.ranges.append(first)
        is_range = "Range" in self.headers and site.can_continue
        if is_range and first >= len(body):
            return self.send_error(416)
        body = body[first:] if is_range else body
        self.send_response(206 if is_range else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: site.cut.pop(0)] if site.cut else body)
        return None

    def log_message(self, *_):
        pass


@contextmanager
def serve() -> Iterator[Site]:
    with Site() as site:
        thread = threading.Thread(target=site.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield site
        finally:
            site.shutdown()
            thread.join()
