"""A server of files that behaves as it is told, and tells what it was asked."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


@dataclass
class Mirror:
    """Serves files; the next answers to a path may be others.

    answers: by path, statuses to give first (503, 404…), or numbers of bytes after which to break
    off ("break 1000"), or "page" for one of HTML; then the file. ranges: whether parts are served.
    """

    address: str
    files: dict[str, bytes] = field(default_factory=dict)
    answers: dict[str, list[int | str]] = field(default_factory=dict)
    ranges: bool = True
    etag: str = '"1"'
    asked: list[tuple[str, str | None]] = field(default_factory=list)

    def url(self, name: str) -> str:
        return f"{self.address}/{name}"


def _handler(mirror: list[Mirror]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            told, name = mirror[0], self.path.lstrip("/")
            told.asked.append((name, self.headers.get("Range")))
            answers = told.answers.get(name, [])
            answer = answers.pop(0) if answers else None
            if isinstance(answer, int) or name not in told.files:
                self._status(answer if isinstance(answer, int) else 404)
                return
            if answer == "page":
                self._send(200, b"<html>sign in</html>", "text/html; charset=utf-8")
                return
            data, status, more = told.files[name], 200, {}
            asked = self.headers.get("Range")
            if asked and told.ranges and self.headers.get("If-Range") == told.etag:
                start = int(asked.removeprefix("bytes=").rstrip("-"))
                status, more = 206, {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"}
                data = data[start:]
            cut = int(answer.split()[1]) if isinstance(answer, str) else len(data)
            self._send(status, data, "application/zip", cut, more)

        def _status(self, status: int) -> None:
            self._send(status, b"", "text/plain", more={"Retry-After": "0"})

        def _send(
            self,
            status: int,
            data: bytes,
            kind: str,
            cut: int | None = None,
            more: dict[str, str] | None = None,
        ) -> None:
            self.send_response(status)
            headers = {"Content-Type": kind, "Content-Length": str(len(data))}
            for key, value in (headers | {"ETag": mirror[0].etag} | (more or {})).items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(data[:cut])
            if cut is not None and cut < len(data):
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@contextlib.contextmanager
def serving() -> Iterator[Mirror]:
    mirror: list[Mirror] = []
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(mirror)) as server:
        mirror.append(Mirror(f"http://127.0.0.1:{server.server_port}"))
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield mirror[0]
        finally:
            server.shutdown()
            thread.join()
