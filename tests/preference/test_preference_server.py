"""A real server, asked by urllib as browsers would ask it, and as others might."""

import http.client
import io
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image
from processes import ROOT
from readme import commands

from ugatit_jax.preference.choices import Choices
from ugatit_jax.preference.server import Server
from ugatit_jax.preference.study import read_study

METHODS = ["blue", "green", "red"]


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=20) as answer:
        return answer.read()


def study_of(url: str, person: str) -> dict[str, Any]:
    return json.loads(get(f"{url}study?person={quote(person)}"))


def choose(url: str, **said: Any) -> dict[str, Any]:
    body = json.dumps({"person": "kl", "picture": 0, "place": 1, "seconds": 1.25} | said)
    headers = {"Content-Type": "application/json", "Origin": url.rstrip("/")}
    request = urllib.request.Request(f"{url}choices", body.encode(), headers)
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)


def colour_at(url: str, person: str, i: int, place: int | str) -> str:
    """The method whose colour a picture of the page has."""
    data = get(f"{url}pictures/{i}/{place}?person={quote(person)}")
    with Image.open(io.BytesIO(data)) as image:
        assert image.format == "PNG" and image.info == {}  # a file's own words could tell
        rgb = np.asarray(image)[5, 5].tolist()
    return "grey" if len(set(rgb)) == 1 else ("red", "green", "blue")[rgb.index(max(rgb))]


def test_the_page_is_there_and_says_what_it_may_do(serve, tmp_path):
    with serve(tmp_path, "anime") as server, urllib.request.urlopen(server.url) as answer:
        page, headers = answer.read().decode(), answer.headers
    assert page.startswith("<!doctype html>") and "://" not in page
    assert headers["Content-Security-Policy"].startswith("default-src 'none';")
    assert headers["Cache-Control"] == "no-store"
    assert "Python" not in headers["Server"]


def test_choices_are_recorded_as_they_were_shown(serve, tmp_path):
    with serve(tmp_path) as server:
        asked = study_of(server.url, "KL")
        assert sorted(asked["order"]) == [0, 1, 2, 3]
        assert (asked["places"], asked["chosen"]) == (3, {})
        for i in asked["order"]:
            assert colour_at(server.url, "KL", i, "input") == "grey"
            seen = [colour_at(server.url, "KL", i, place) for place in (1, 2, 3)]
            assert sorted(seen) == METHODS
            choose(server.url, person="KL", picture=i, place=2)
            [*_, last] = (tmp_path / "choices.jsonl").read_text().splitlines()
            said = json.loads(last)
            name = ["a.png", "b.png", "c.png", "x/d.png"][i]
            assert (said["person"], said["picture"]) == ("kl", name)
            assert (said["choice"], said["shown"], said["seconds"]) == (seen[1], seen, 1.25)
        assert study_of(server.url, "kl")["chosen"] == dict.fromkeys("0123", 2)


def test_inputs_are_cut_as_the_translations_are(serve, tmp_path):
    with serve(tmp_path) as server:
        data = get(f"{server.url}pictures/0/input")
    with Image.open(io.BytesIO(data)) as image:
        assert image.size == (24, 24)  # of 40 × 30


def test_orders_are_each_persons_own_and_all_alike_likely(serve, tmp_path):
    with serve(tmp_path):
        study = read_study(tmp_path)
    people = [f"p{i}" for i in range(600)]
    first = [tuple(study.places(person, "a.png")) for person in people]
    counts = {places: first.count(places) for places in set(first)}
    assert len(counts) == 6
    assert all(abs(count - 100) < 45 for count in counts.values())  # 5 standard deviations
    orders = {tuple(study.order(person)) for person in people}
    assert len(orders) == 24
    assert len({tuple(study.places("kl", picture)) for picture in study.pictures}) > 1


def test_two_people_choose_at_once(serve, tmp_path):
    failed = []

    def work(person):
        try:
            asked = study_of(server.url, person)
            for i in asked["order"]:
                choose(server.url, person=person, picture=i, place=1 + i % 3)
        except Exception as error:
            failed.append(error)

    with serve(tmp_path) as server:
        threads = [threading.Thread(target=work, args=[name]) for name in ("Ann", "Zoë", "李")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for name in ("ann", "zoë", "李"):
            chosen = study_of(server.url, name)["chosen"]
            assert chosen == {str(i): 1 + i % 3 for i in range(4)}
    assert failed == []
    choices = Choices(tmp_path)
    assert len(choices.all()) == 12 and not choices.skipped
    study = read_study(tmp_path)
    for choice in choices.all():
        places = study.places(choice.person, choice.picture)
        assert choice.shown == places
        assert choice.choice == places[study.pictures.index(choice.picture) % 3]


def test_a_person_comes_back_and_chooses_again(serve, tmp_path):
    with serve(tmp_path) as server:
        choose(server.url, person=" Ann  B ", picture=2, place=1)
        choose(server.url, person="ann b", picture=2, place=3)
    with serve(tmp_path) as server:
        assert study_of(server.url, "ANN B")["chosen"] == {"2": 3}
        assert study_of(server.url, "ann")["chosen"] == {}


def test_no_choice_is_lost_when_the_program_is_killed(material, tmp_path):
    out = tmp_path / "out"
    command = [sys.executable, "-m", "ugatit_jax.prefer", *(str(material / x) for x in METHODS)]
    command += [f"--inputs={material / 'inputs'}", f"--out={out}", "--port=0"]

    def start():
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        return process, process.stdout.readline().split()[0]

    process, url = start()
    try:
        for i in (3, 1):
            choose(url, picture=i, place=2)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=20)
        with (out / "choices.jsonl").open("a") as file:
            file.write('{"person": "kl", "picture": "a.p')  # what a crash leaves
        process, url = start()
        assert study_of(url, "kl")["chosen"] == {"1": 2, "3": 2}
        choose(url, picture=0, place=1)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == 0
    assert stdout.splitlines()[-1] == f"{out / 'choices.jsonl'}: 3 choices of 1 people"
    said = f"{out / 'choices.jsonl'}: line 3 is no whole choice and is skipped"
    assert said in stderr.splitlines()
    report = [sys.executable, "-m", "ugatit_jax.prefer", "--report", str(out)]
    told = subprocess.run(report, cwd=ROOT, capture_output=True, text=True, check=True)
    assert told.stderr.splitlines() == [said]
    assert "3 choices of 1 person, of whom 0 saw all 4 pictures" in told.stdout


@pytest.mark.slow
def test_as_the_readme_says(material, tmp_path):
    golden = ROOT / "tests" / "golden" / "format_1" / "run"
    for source, name in ((golden, "runs/mine"), (material / "red", "others")):
        shutil.copytree(source, tmp_path / name)
    shutil.copytree(material / "inputs", tmp_path / "photos")
    page = commands("docs/evaluation.md")
    ask, report = (
        ["-m", "ugatit_jax", *shlex.split(x)[1:]] for x in page if x.startswith("ugatit prefer")
    )
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, *ask, "--port=0"], cwd=tmp_path, env=env, stdout=subprocess.PIPE, text=True
    )
    try:
        url = process.stdout.readline().split()[0]
        assert study_of(url, "kl") | {"order": []} == {
            "target": "anime",
            "places": 2,
            "order": [],
            "chosen": {},
        }
        choose(url)
    finally:
        process.kill()
        process.communicate(timeout=20)
    told = subprocess.run(
        [sys.executable, *report], cwd=tmp_path, env=env, capture_output=True, text=True, check=True
    )
    assert "1 choice of 1 person" in told.stdout and "| mine " in told.stdout


def status_of(server: Server, request: bytes) -> int:
    """The status of an answer to bytes as they are, which no client would tidy up."""
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=20) as connection:
        connection.sendall(request)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        body = answer.read()
        assert str(Path(__file__).parents[2]).encode() not in body
        is_page = answer.headers.get_content_type() == "text/html"
        secret = (b"/tmp", b"a.png", *(f'"{name}"'.encode() for name in METHODS))
        assert is_page or not any(word in body for word in secret)
        return answer.status


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/", 200),
        ("/study?person=kl", 200),
        ("/study", 400),
        ("/study?person=", 400),
        ("/study?person=%00", 400),
        ("/study?person=" + 41 * "x", 400),
        ("/study?person=%ff%fe", 200),
        ("/pictures/0/input", 200),
        ("/pictures/0/1?person=kl", 200),
        ("/pictures/0/1", 400),
        ("/pictures/0/4?person=kl", 404),
        ("/pictures/0/0?person=kl", 404),
        ("/pictures/4/input", 404),
        ("/pictures/-1/input", 404),
        ("/pictures/٣/input", 404),
        ("/pictures/0/red", 404),
        ("/pictures/0/../../study.json", 404),
        ("/../../../../etc/passwd", 404),
        ("/pictures/0/%2e%2e%2f%2e%2e%2fetc%2fpasswd", 404),
        ("/pictures//etc/passwd", 404),
        ("//etc/passwd", 404),
        ("/choices.jsonl", 404),
        ("/study.json", 404),
        ("/choices", 404),
        ("http://[", 400),
    ],
)
def test_nothing_is_shown_but_the_page_and_its_pictures(server, path, status):
    host = f"127.0.0.1:{server.server_port}"
    request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    assert status_of(server, request.encode()) == status


@pytest.fixture(scope="module")
def server(serve, tmp_path_factory):
    with serve(tmp_path_factory.mktemp("out")) as server:
        yield server
        assert server.choices.all() == []  # whatever was sent, nothing of it was a choice


GOOD = {"person": "kl", "picture": 0, "place": 1, "seconds": 1}


@pytest.mark.parametrize(
    "body",
    [
        "",
        "null",
        "[]",
        "{}",
        "{",
        "[" * 1500,
        "\xff",
        json.dumps(GOOD | {"place": 0}),
        json.dumps(GOOD | {"place": 4}),
        json.dumps(GOOD | {"place": True}),
        json.dumps(GOOD | {"place": "1"}),
        json.dumps(GOOD | {"picture": 4}),
        json.dumps(GOOD | {"picture": -1}),
        json.dumps(GOOD | {"picture": 0.0}),
        json.dumps(GOOD | {"picture": "../a.png"}),
        json.dumps(GOOD | {"person": ""}),
        json.dumps(GOOD | {"person": None}),
        json.dumps(GOOD | {"person": "a\nb\x00"}),
        json.dumps(GOOD | {"seconds": -1}),
        json.dumps(GOOD | {"seconds": float("nan")}),
        json.dumps(GOOD | {"seconds": [1]}),
        json.dumps(GOOD | {"seconds": 10**400}),
        json.dumps(GOOD | {"seconds": "1"}),
        json.dumps(GOOD | {"seconds": True}),
    ],
)
def test_what_is_no_choice_is_refused(server, body):
    assert post(server, body) == 400


def post(server: Server, body: str, path: str = "/choices", **headers: str | None) -> int:
    data = body.encode("latin-1")
    given: dict[str, str | None] = {
        "Host": f"127.0.0.1:{server.server_port}",
        "Content-Type": "application/json",
        "Content-Length": str(len(data)),
    }
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"{name}: {value}" for name, value in given.items() if value is not None]
    head = "\r\n".join([f"POST {path} HTTP/1.1", *lines])
    return status_of(server, f"{head}\r\n\r\n".encode() + data)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content_Type": "text/plain"}, 415),  # what a form of another page can send
        ({"Content_Type": None}, 415),
        ({"Origin": "http://elsewhere.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "elsewhere.example"}, 403),  # a name that somebody let lead here
        ({"Host": "elsewhere.example:80", "Origin": "http://elsewhere.example:80"}, 403),
        ({"Host": None}, 403),
        ({"Content_Length": None}, 411),
        ({"Content_Length": "-1"}, 411),
        ({"Content_Length": "1e3"}, 411),
        ({"Content_Length": "999999999"}, 413),
    ],
)
def test_strangers_are_refused(server, headers, status):
    assert post(server, json.dumps(GOOD), **headers) == status


def test_other_methods_and_places_are_refused(server):
    assert post(server, json.dumps(GOOD), "/") == 404
    for method in ("PUT", "DELETE", "OPTIONS", "TRACE", "../etc"):
        host = f"Host: 127.0.0.1:{server.server_port}"
        assert status_of(server, f"{method} /choices HTTP/1.1\r\n{host}\r\n\r\n".encode()) == 501


def test_a_choice_that_cannot_be_saved_is_told(serve, tmp_path):
    with serve(tmp_path) as server:
        (tmp_path / "choices.jsonl").mkdir()
        with pytest.raises(urllib.error.HTTPError) as failed:
            choose(server.url)
        with failed.value as answer:
            assert answer.code == 507
            assert json.load(answer) == {"error": "it could not be saved: Is a directory"}
        assert study_of(server.url, "kl")["chosen"] == {}
        os.rmdir(tmp_path / "choices.jsonl")
        choose(server.url)
        assert study_of(server.url, "kl")["chosen"] == {"0": 1}


def test_a_picture_that_is_gone_is_told_without_its_path(serve, tmp_path):
    with serve(tmp_path) as server:
        server.contestants.inputs.sources[0] = tmp_path / "gone.png"
        with pytest.raises(urllib.error.HTTPError) as failed:
            get(f"{server.url}pictures/0/input")
    with failed.value as answer:
        assert answer.code == 500
        assert json.load(answer) == {"error": "this picture cannot be read any more"}
