"""Any pictures in, one row of features each out; and weights that cannot be had."""

import io
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from processes import free_port

from ugatit_jax.console.errors import InputError
from ugatit_jax.metrics import efficientnet, features
from ugatit_jax.metrics.features import FeatureExtractor, open_extractor


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(features, "INCEPTION_URL", "http://localhost:9/inception.pth")
    return features.INCEPTION_URL


@pytest.fixture(scope="module")
def extractor(tmp_path_factory: pytest.TempPathFactory) -> FeatureExtractor:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features, "BATCH", 5)  # to be rounded up to the 8 devices
        return open_extractor("auto", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    """One more than a batch holds, of different sizes."""
    rng = np.random.default_rng(0)
    shapes = [(rng.integers(20, 400), rng.integers(20, 400), 3) for _ in range(9)]
    return [rng.integers(0, 256, shape, dtype=np.uint8) for shape in shapes]


def test_without_inceptions_file_the_features_are_efficientnets(
    extractor: FeatureExtractor,
) -> None:
    assert (extractor.name, extractor.dimension) == ("efficientnet-lite0", 1280)
    assert extractor.sha256.startswith("57934424")
    assert "224 × 224 px" in extractor.preprocessing


def test_any_number_of_pictures_gets_the_features_that_the_network_gives_each(
    extractor: FeatureExtractor, pictures: list[np.ndarray]
) -> None:
    found = extractor(iter(pictures))
    assert found.shape == (9, 1280)
    assert found.dtype == np.float32

    network = jax.jit(efficientnet.EfficientNetLite0().apply)
    params = jax.device_get(extractor._params)
    for i in (0, 7, 8):
        alone = network({"params": params}, efficientnet.preprocess(pictures[i])[None])
        np.testing.assert_allclose(found[i], alone[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(extractor(pictures[:1]), found[:1], rtol=1e-4, atol=1e-5)


def test_no_pictures_have_no_features(extractor: FeatureExtractor) -> None:
    found = extractor([])
    assert found.shape == (0, 1280)
    assert found.dtype == np.float32


@pytest.mark.parametrize(
    "picture", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)]
)
def test_what_is_no_picture_is_refused(extractor: FeatureExtractor, picture: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"picture 1 .* uint8 \[h, w, 3\]"):
        extractor([np.zeros((4, 4, 3), np.uint8), picture])


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_shown_in_a_terminal_where_there_is_a_description(
    extractor: FeatureExtractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    extractor(iter([]), 0)
    assert sys.stderr.getvalue() == ""
    extractor(iter([]), 0, "Features of A")
    assert "Features of A" in sys.stderr.getvalue()


@pytest.mark.slow
def test_every_process_gets_all_features(
    extractor: FeatureExtractor, pictures: list[np.ndarray], tmp_path: Path
) -> None:
    expected = extractor(pictures[:3])
    np.savez(tmp_path / "pictures.npz", *pictures[:3])
    program = """
import sys
import jax
import numpy as np
port, process, folder = sys.argv[1:]
jax.config.update("jax_num_cpu_devices", 1)
jax.distributed.initialize(f"localhost:{port}", num_processes=2, process_id=int(process))
from ugatit_jax.metrics import features
features.BATCH = 2
with np.load(f"{folder}/pictures.npz") as file:
    pictures = list(file.values())
found = features.open_extractor("efficientnet-lite0")(pictures)
np.save(f"{folder}/{process}.npy", found)
"""
    command = [sys.executable, "-c", program, str(free_port())]
    pair = [
        subprocess.Popen([*command, str(i), str(tmp_path)], cwd=Path(__file__).parents[2])
        for i in range(2)
    ]
    try:
        assert [process.wait(timeout=120) for process in pair] == [0, 0]
    finally:
        for process in pair:
            process.kill()
    for i in range(2):
        np.testing.assert_allclose(np.load(tmp_path / f"{i}.npy"), expected, rtol=1e-4, atol=1e-5)


def test_a_path_must_exist(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no features 'inceptoin': name efficientnet-lite0"):
        open_extractor("inceptoin", str(tmp_path))


@pytest.mark.parametrize("name", ["auto", "inception", "path"])
def test_a_file_with_another_checksum_is_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / features.INCEPTION_FILE
    path.write_bytes(b"damaged")
    with pytest.raises(InputError) as caught:
        open_extractor(str(path) if name == "path" else name, str(tmp_path))
    assert str(caught.value).startswith(f"{path} is damaged or another file: its SHA-256 begins")
    assert "41f0c27c, not 6726825d; replace it by https://" in str(caught.value)


def test_offline_the_error_says_what_to_do(nowhere: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        open_extractor("inception", str(tmp_path))
    message = str(caught.value)
    assert message.startswith(f"cannot download {nowhere} (no connection):")
    assert f"copy that file to {tmp_path / features.INCEPTION_FILE}" in message
    assert "efficientnet-lite0" in message
    assert "\n" not in message
    assert not list(tmp_path.iterdir())
