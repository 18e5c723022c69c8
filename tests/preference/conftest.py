"""A study of four pictures and three methods, and a real server that asks about it."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from ugatit_jax.preference.choices import Choices
from ugatit_jax.preference.contestants import find_contestants
from ugatit_jax.preference.server import Server
from ugatit_jax.preference.study import Study, open_study

METHODS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}
PICTURES = ["a.png", "b.png", "c.png", "x/d.png"]
Serve = Callable[..., AbstractContextManager[Server]]


@pytest.fixture(scope="session")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of inputs, and of each method's translations, which are all of its own colour."""
    root = tmp_path_factory.mktemp("material")
    said = PngImagePlugin.PngInfo()
    for folder, colour in {"inputs": (128, 128, 128), **METHODS}.items():
        said.add_text("Software", f"made by {folder}")
        for i, name in enumerate(PICTURES):
            path = root / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            size = (40, 30) if folder == "inputs" else (24, 24)
            shade = np.array(colour, np.uint8) // 2 + 10 * i
            Image.new("RGB", size, tuple(map(int, shade))).save(path, pnginfo=said)
    return root


@pytest.fixture(scope="session")
def serve(material: Path) -> Serve:
    """Ask about the material, in a thread, at a port that is free; choices go to a folder."""

    @contextlib.contextmanager
    def served(out: Path, target: str = "") -> Iterator[Server]:
        paths = [material / name for name in METHODS]
        found = find_contestants(paths, material / "inputs", out, "a2b", None)
        study = Study("colours", target, found.inputs.names, *found.checksums())
        open_study(out, study)
        with Server("127.0.0.1", 0) as server:
            server.ask(study, found, Choices(out))
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            try:
                yield server
            finally:
                server.shutdown()
                thread.join()

    return served
