"""The server of the page: it shows pictures by number, and keeps what is chosen.

GET  /                              the page
GET  /study?person=NAME             what this person is asked, and has chosen so far
GET  /pictures/I/input              picture I of the study
GET  /pictures/I/PLACE?person=NAME  what stands at that place of this person's page, from 1 on
POST /choices                       {"person": NAME, "picture": I, "place": PLACE, "seconds": S}

Nothing else is answered. No name of a method, of a file or of a folder leaves it.
"""

import datetime
import errno
import importlib.resources
import ipaddress
import json
import re
import socket
import sys
import unicodedata
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from ugatit_jax.console.errors import InputError
from ugatit_jax.preference.choices import MOST_SECONDS, Choice, Choices
from ugatit_jax.preference.contestants import Contestants
from ugatit_jax.preference.study import Study

LONGEST_NAME = 40  # characters
LONGEST_BODY = 2048  # bytes
PICTURE = re.compile(r"/pictures/([0-9]{1,6})/(input|[1-9])")
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; img-src 'self' data:; connect-src 'self'; "
    "style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Refused(Exception):
    """A request that is not answered, and why."""

    def __init__(self, status: HTTPStatus, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Answer(NamedTuple):
    """The body of an answer."""

    kind: str
    body: bytes

    @classmethod
    def json(cls, content: Any) -> "Answer":
        """Return an answer that programs read."""
        return cls("application/json", json.dumps(content).encode())


def check_person(name: str) -> str:
    """Return a name without regard to case and spaces, so that who comes back is known.

    Raises `Refused` for what is no name.
    """
    name = " ".join(unicodedata.normalize("NFC", name).casefold().split())
    if not 0 < len(name) <= LONGEST_NAME or not name.isprintable():
        raise Refused(HTTPStatus.BAD_REQUEST, f"a name has 1 to {LONGEST_NAME} letters")
    return name


class Server(ThreadingHTTPServer):
    """Serves a study; every client in a thread of its own."""

    daemon_threads = True

    def __init__(self, host: str, port: int) -> None:
        """Take the port; 0: any. Raises `InputError` where that cannot be."""
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            super().__init__((host, port), Handler)
        except (OSError, OverflowError) as error:
            if getattr(error, "errno", None) == errno.EADDRINUSE:
                reason = f"port {port} is taken: say another --port, or 0 for any that is free"
            else:
                why = getattr(error, "strerror", None) or error
                reason = f"cannot listen at {host}, port {port} ({why}): say another --host, --port"
            raise InputError(reason) from None

    def server_bind(self) -> None:
        """Take the port without asking a name server what this machine is called."""
        # As http.server's does, but for its look-up, which can take seconds.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    @property
    def is_local(self) -> bool:
        """Tell whether other machines cannot reach it."""
        return ipaddress.ip_address(str(self.server_address[0])).is_loopback

    @property
    def url(self) -> str:
        """The page's address."""
        host = str(self.server_address[0])
        return f"http://{f'[{host}]' if ':' in host else host}:{self.server_port}/"

    def ask(self, study: Study, contestants: Contestants, choices: Choices) -> None:
        """Say what is asked, before `serve_forever` answers requests."""
        page = importlib.resources.files("ugatit_jax.preference") / "page.html"
        self.page = page.read_bytes()
        self.study, self.contestants, self.choices = study, contestants, choices

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print what went wrong, but for clients that hang up."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """Answers the requests of one client."""

    server: Server
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "ugatit_jax", ""
    timeout = 60  # s, for a client that says nothing

    def log_message(self, format: str, *args: Any) -> None:
        """Keep no record of who asked for what."""

    def do_GET(self) -> None:
        """Answer with the page, what a person is asked, or a picture."""
        self._answer(self._get)

    def do_POST(self) -> None:
        """Take a choice."""
        self._answer(self._post)

    def _answer(self, find: Callable[[], Answer]) -> None:
        status = HTTPStatus.OK
        try:
            self._check_caller()
            answer = find()
        except Refused as refused:
            status, answer = refused.status, Answer.json({"error": str(refused)})
        except InputError:  # a picture that could be read before; the line names its path
            status = HTTPStatus.INTERNAL_SERVER_ERROR
            answer = Answer.json({"error": "this picture cannot be read any more"})
        if status != HTTPStatus.OK:  # what the client still has to say is not read
            self.close_connection = True
        self.send_response(status)
        self.send_header("Content-Type", answer.kind)
        self.send_header("Content-Length", str(len(answer.body)))
        for name, value in HEADERS.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(answer.body)

    def _check_caller(self) -> None:
        """Refuse other pages: one whose name leads here by now, and one that sends a form here."""
        host, origin = self.headers.get("Host", ""), self.headers.get("Origin")
        name = host.removesuffix(f":{self.server.server_port}")
        ours = {"127.0.0.1", "localhost", "[::1]", str(self.server.server_address[0])}
        if self.server.is_local and name not in ours:
            raise Refused(HTTPStatus.FORBIDDEN, "this page is asked for by its own address alone")
        if origin is not None and origin != f"http://{host}":
            raise Refused(HTTPStatus.FORBIDDEN, "another page may not ask for this")

    def _get(self) -> Answer:
        try:
            url = urlsplit(self.path)
        except ValueError:
            raise Refused(HTTPStatus.BAD_REQUEST, "no address") from None
        self._query = parse_qs(url.query)
        if url.path == "/":
            return Answer("text/html; charset=utf-8", self.server.page)
        if url.path == "/study":
            return self._study(self._person())
        if found := PICTURE.fullmatch(url.path):
            return self._picture(int(found[1]), found[2])
        raise Refused(HTTPStatus.NOT_FOUND, "there is nothing here")

    def _person(self) -> str:
        return check_person(self._query.get("person", [""])[0])

    def _study(self, person: str) -> Answer:
        study, choices = self.server.study, self.server.choices.of(person)
        chosen = {}
        for i, name in enumerate(study.pictures):
            if name in choices and choices[name].choice in study.methods:
                chosen[i] = study.places(person, name).index(choices[name].choice) + 1
        return Answer.json(
            {
                "target": study.target,
                "places": len(study.methods),
                "order": study.order(person),
                "chosen": chosen,
            }
        )

    def _picture(self, i: int, place: str) -> Answer:
        study, contestants = self.server.study, self.server.contestants
        if i >= len(study.pictures):
            raise Refused(HTTPStatus.NOT_FOUND, "there is no such picture")
        if place == "input":
            return Answer("image/png", contestants.show_input(i))
        methods = study.places(self._person(), study.pictures[i])
        if int(place) > len(methods):
            raise Refused(HTTPStatus.NOT_FOUND, "there is no such picture")
        return Answer("image/png", contestants.show(methods[int(place) - 1], i))

    def _post(self) -> Answer:
        if self.path != "/choices":
            raise Refused(HTTPStatus.NOT_FOUND, "there is nothing here")
        choice = self._read_choice()
        try:
            self.server.choices.add(choice)
        except OSError as error:
            reason = f"it could not be saved: {error.strerror}"
            raise Refused(HTTPStatus.INSUFFICIENT_STORAGE, reason) from None
        return Answer.json({"chosen": len(self.server.choices.of(choice.person))})

    def _read_choice(self) -> Choice:
        if self.headers.get_content_type() != "application/json":
            raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "a choice is JSON")
        length = self.headers.get("Content-Length", "")
        if not re.fullmatch("[0-9]{1,9}", length):
            raise Refused(HTTPStatus.LENGTH_REQUIRED, "how long is it?")
        if int(length) > LONGEST_BODY:
            raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "this is more than a choice")
        study = self.server.study
        try:
            said = json.loads(self.rfile.read(int(length)))
            person, i, place, seconds = (said[x] for x in ("person", "picture", "place", "seconds"))
            if any(type(x) is not int for x in (i, place)) or type(person) is not str:
                raise TypeError
            if type(seconds) not in (int, float):
                raise TypeError
            is_there = 0 <= i < len(study.pictures) and 1 <= place <= len(study.methods)
            if not is_there or not 0 <= seconds < MOST_SECONDS:
                raise ValueError
        except (ValueError, KeyError, TypeError, RecursionError):
            raise Refused(HTTPStatus.BAD_REQUEST, "this is no choice") from None
        person, picture = check_person(person), study.pictures[i]
        shown = study.places(person, picture)
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        seconds = round(float(seconds), 2)
        return Choice(person, picture, shown[place - 1], shown, seconds, now)
