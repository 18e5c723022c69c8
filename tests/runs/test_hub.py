"""Models of a hub, by huggingface_hub itself, from a stand-in for its server."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ugatit_jax.console.errors import InputError
from ugatit_jax.runs.hub import fetch
from ugatit_jax.runs.trained import TRAINED

pytest.importorskip("huggingface_hub")
ROOT = Path(__file__).parents[2]
COMMIT = "0" * 40
STRANGE = {"evil.py": b"raise SystemExit('run')", "weights.pkl": b"cos\nsystem\n"}


class Hub(BaseHTTPRequestHandler):
    """Answers as the hub does for the model somebody/emoji, which has files that no export has."""

    files = {path.name: path.read_bytes() for path in (TRAINED / "emoji").iterdir()} | STRANGE

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, body: bool) -> None:
        if self.path.startswith("/api/models/somebody/emoji/tree/"):
            tree = [
                {"type": "file", "path": name, "size": len(content), "oid": COMMIT}
                for name, content in self.files.items()
            ]
            return self.send(json.dumps(tree).encode(), {}, body)
        if self.path.startswith("/api/models/somebody/emoji"):
            siblings = [{"rfilename": name} for name in self.files]
            about = {"id": "somebody/emoji", "sha": COMMIT, "siblings": siblings}
            about |= {"private": False, "tags": [], "downloads": 0, "likes": 0}
            return self.send(json.dumps(about).encode(), {}, body)
        name = self.path.rpartition("/")[2]
        if self.path.startswith("/somebody/emoji/resolve/") and name in self.files:
            content = self.files[name]
            etag = f'"{hashlib.sha256(content).hexdigest()}"'
            return self.send(content, {"ETag": etag, "X-Repo-Commit": COMMIT}, body)
        self.send_response(404)
        self.send_header("X-Error-Code", "RepoNotFound")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def send(self, content: bytes, headers: dict[str, str], body: bool) -> None:
        self.send_response(200)
        for name, value in (headers | {"Content-Length": str(len(content))}).items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever).start()
        address = f"http://127.0.0.1:{server.server_port}"
        home = {"HF_HOME": str(tmp_path_factory.mktemp("hub")), "PYTHONPATH": str(ROOT)}
        yield os.environ | home | {"HF_ENDPOINT": address, "HF_HUB_DISABLE_XET": "1"}
        server.shutdown()


def translate(environment: dict[str, str], folder: Path, model: str) -> tuple[int, str]:
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(picture).save(folder / "picture.png")
    command = [sys.executable, "-m", "ugatit_jax.translate", model, "picture.png", "--out=out"]
    ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    return ended.returncode, ended.stderr


def test_a_model_of_the_hub_translates_and_brings_no_code(
    environment: dict[str, str], tmp_path: Path
) -> None:
    status, error = translate(environment, tmp_path, "hf://somebody/emoji")
    assert status == 0, error
    assert (tmp_path / "out" / "picture.png").exists()
    there = {path.name for path in Path(environment["HF_HOME"]).rglob("*")}
    assert "a2b.safetensors" in there and not there & STRANGE.keys()
    # Once it is here, it needs no hub.
    shutil.rmtree(tmp_path / "out")
    offline = environment | {"HF_ENDPOINT": "http://127.0.0.1:9"}
    status, error = translate(offline, tmp_path, "hf://somebody/emoji")
    assert status == 0, error


def test_what_there_is_not_is_told(environment: dict[str, str], tmp_path: Path) -> None:
    status, error = translate(environment, tmp_path, "hf://somebody/else")
    assert status == 2 and "the hub has no such model" in error.splitlines()[-1]
    offline = environment | {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path / "new")}
    status, error = translate(offline, tmp_path, "hf://somebody/emoji")
    assert status == 2 and "the hub cannot be reached" in error.splitlines()[-1]
    for address in ("hf://emoji", "hf://a/b/c", "hf:///x"):
        with pytest.raises(InputError, match="is none of hf://OWNER/NAME"):
            fetch(address)
