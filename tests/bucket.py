"""A stand-in for Google Cloud Storage on this machine: the part of its JSON API that clients use.

https://cloud.google.com/storage/docs/json_api: objects with generations and preconditions, listed
by prefix and delimiter in pages, read in ranges, written in one or several requests, and deleted.
It speaks HTTP to real clients, and says 501 to what it does not know.
"""

import contextlib
import itertools
import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

PAGE = 10  # objects per answer, few enough that clients have to ask again
OBJECT = re.compile(
    r"(?:/download)?/storage/v1/b/([^/]+)/o/([^/]+)(?:/rewriteTo/b/([^/]+)/o/([^/]+))?"
)
OBJECTS = re.compile(r"(?:/upload)?/storage/v1/b/([^/]+)/o")
BUCKET = re.compile(r"/storage/v1/b/([^/]+)")


@dataclass
class Store:
    """What all buckets hold: {(bucket, name): (generation, content)}."""

    buckets: set[str]
    read_only: set[str] = field(default_factory=set)
    objects: dict[tuple[str, str], tuple[int, bytes]] = field(default_factory=dict)
    uploads: dict[str, tuple[str, str, bytes]] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1_700_000_000_000_001))

    def put(self, bucket: str, name: str, content: bytes) -> None:
        """Write an object, or replace it."""
        self.objects[bucket, name] = next(self.numbers), content

    def names(self, bucket: str) -> list[str]:
        """Return the names of a bucket's objects, in the order of their listing."""
        return sorted(name for where, name in self.objects if where == bucket)


class Server(ThreadingHTTPServer):
    """Serves every client in a thread of its own."""

    def handle_error(self, *_: Any) -> None:
        """Say nothing when a client hangs up; tests see what is missing."""


class Failure(Exception):
    """An HTTP status instead of an answer."""


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    protocol_version = "HTTP/1.1"
    store: Store

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):
            return self._answer
        raise AttributeError(name)

    def _answer(self) -> None:
        url = urlsplit(self.path)
        self.query = dict(parse_qsl(url.query, keep_blank_values=True))
        self.body = self._read_body()
        status, headers, content = 200, {"Content-Type": "application/json"}, b""
        with self.store.lock:
            self.store.requests.append(f"{self.command} {self.path}")
            try:
                status, more, content = self._route(url.path)
                headers |= more
            except Failure as failure:
                status = failure.args[0]
                if status != 304:  # which has no content
                    said = {"code": status, "message": "the stand-in says so"}
                    content = json.dumps({"error": said}).encode()
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(content))}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def _read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            chunks = []
            while size := int(self.rfile.readline(), 16):
                chunks.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(chunks)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _route(self, path: str) -> tuple[int, dict[str, str], bytes]:
        if match := OBJECT.fullmatch(path):
            bucket, name, to_bucket, to_name = (x and unquote(x) for x in match.groups())
            self._check_bucket(bucket)
            if to_name:
                copied = self._found(bucket, name)[1]
                return self._json(
                    {"done": True, "resource": self._write(to_bucket, to_name, copied)}
                )
            if self.command == "DELETE":
                self._found(bucket, name)
                del self.store.objects[bucket, name]
                return 204, {}, b""
            if self.command == "GET":
                return self._read(bucket, name)
        elif match := OBJECTS.fullmatch(path):
            self._check_bucket(match[1])
            return self._upload(match[1]) if path.startswith("/upload") else self._list(match[1])
        elif match := BUCKET.fullmatch(path):
            self._check_bucket(match[1])
            return self._json({"kind": "storage#bucket", "name": match[1]})
        raise Failure(501)

    def _check_bucket(self, bucket: str) -> None:
        if bucket not in self.store.buckets:
            raise Failure(404)

    def _found(self, bucket: str, name: str) -> tuple[int, bytes]:
        generation, content = self.store.objects.get((bucket, name), (0, b""))
        if self.query.get("ifGenerationMatch") not in (None, str(generation)):
            raise Failure(412)
        if not generation:
            raise Failure(404)
        if self.query.get("ifGenerationNotMatch") == str(generation):
            raise Failure(304)
        return generation, content

    def _read(self, bucket: str, name: str) -> tuple[int, dict[str, str], bytes]:
        generation, content = self._found(bucket, name)
        if self.query.get("alt") != "media":
            return self._json(self._resource(bucket, name))
        headers = {
            "Content-Type": "application/octet-stream",
            "X-Goog-Generation": str(generation),
        }
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if asked is None:
            return 200, headers, content
        first, last = (int(x) if x else None for x in asked.groups())
        if first is None:
            first, last = max(0, len(content) - (last or 0)), None
        if first >= len(content):
            raise Failure(416)
        last = min(len(content) - 1 if last is None else last, len(content) - 1)
        headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
        return 206, headers, content[first : last + 1]

    def _list(self, bucket: str) -> tuple[int, dict[str, str], bytes]:
        prefix, delimiter = self.query.get("prefix", ""), self.query.get("delimiter")
        start, end = self.query.get("startOffset", ""), self.query.get("endOffset")
        found: dict[str, bool] = {}  # {name or prefix: whether it is a prefix}, in order
        for name in self.store.names(bucket):
            if not name.startswith(prefix) or name < start or (end and name >= end):
                continue
            head, rest, _ = (
                name[len(prefix) :].partition(delimiter) if delimiter else (name, "", "")
            )
            found[prefix + head + rest if rest else name] = bool(rest)
        after = self.query.get("pageToken", "")
        left = [name for name in found if name > after]
        page = left[: min(PAGE, int(self.query.get("maxResults", PAGE)))]
        answer: dict[str, Any] = {
            "kind": "storage#objects",
            "prefixes": [name for name in page if found[name]],
            "items": [self._resource(bucket, name) for name in page if not found[name]],
        }
        if len(left) > len(page):
            answer["nextPageToken"] = page[-1]
        return self._json(answer)

    def _upload(self, bucket: str) -> tuple[int, dict[str, str], bytes]:
        kind, name = self.query.get("uploadType"), self.query.get("name", "")
        if session := self.query.get("upload_id"):
            return self._continue(session)
        if kind == "resumable":
            session = str(next(self.store.numbers))
            self.store.uploads[session] = bucket, name, b""
            host = f"http://{self.headers['Host']}/upload/storage/v1/b/{bucket}/o"
            return 200, {"Location": f"{host}?uploadType=resumable&upload_id={session}"}, b""
        content = self.body
        if kind == "multipart":
            boundary = re.search(r"boundary=['\"]?([^'\";]+)", self.headers["Content-Type"])
            assert boundary is not None
            _, about, content, _ = content.split(b"--" + boundary[1].encode())
            name = json.loads(about.partition(b"\n\n")[2] or about.partition(b"\r\n\r\n")[2])[
                "name"
            ]
            content = re.split(rb"\r?\n\r?\n", content, maxsplit=1)[1]
            content = content.removesuffix(b"\n").removesuffix(b"\r")
        return self._json(self._write(bucket, name, content))

    def _continue(self, session: str) -> tuple[int, dict[str, str], bytes]:
        bucket, name, content = self.store.uploads[session]
        content += self.body
        self.store.uploads[session] = bucket, name, content
        if self.headers["Content-Range"].endswith("/*"):
            return 308, {"Range": f"bytes=0-{len(content) - 1}"}, b""
        return self._json(self._write(bucket, name, content))

    def _write(self, bucket: str, name: str, content: bytes) -> dict[str, Any]:
        generation = self.store.objects.get((bucket, name), (0, b""))[0]
        if self.query.get("ifGenerationMatch") not in (None, str(generation)):
            raise Failure(412)
        if bucket in self.store.read_only:
            raise Failure(403)
        self.store.put(bucket, name, content)
        return self._resource(bucket, name)

    def _resource(self, bucket: str, name: str) -> dict[str, Any]:
        generation, content = self.store.objects[bucket, name]
        return {
            "kind": "storage#object",
            "bucket": bucket,
            "name": name,
            "size": str(len(content)),
            "generation": str(generation),
            "metageneration": "1",
            "timeCreated": "2026-01-01T00:00:00.000Z",
            "updated": "2026-01-01T00:00:00.000Z",
        }

    def _json(self, answer: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
        return 200, {}, json.dumps(answer).encode()


@contextlib.contextmanager
def serve(*buckets: str) -> Iterator[tuple[Store, str]]:
    """Serve empty buckets; yields what they hold, and the address for clients."""
    store = Store({*buckets})
    server = Server(("localhost", 0), type("Handler", (Handler,), {"store": store}))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield store, f"http://localhost:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
