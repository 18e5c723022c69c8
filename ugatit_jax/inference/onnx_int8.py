"""ONNX files of 8 bits: onnxruntime's tools measure ranges on pictures, and round to them."""

import itertools
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from ml_collections import ConfigDict
from onnxruntime import quantization

from ugatit_jax.console.errors import InputError
from ugatit_jax.data.datasets import Domain, open_dataset
from ugatit_jax.data.images import BrokenPicture, cover_resize
from ugatit_jax.data.storage import AnyPath

CALIBRATION = 32  # pictures of each domain
LAYERS = ["Conv", "ConvTranspose", "MatMul"]  # what weights and time are in


def calibration_pictures(config: ConfigDict, model: AnyPath, data: str) -> dict[str, np.ndarray]:
    """Return pictures to measure ranges on, uint8 [N, H, W, 3], of the domains 'a' and 'b'.

    Drawn from the training pictures of `data`, as `config.data.source` names it, or else of what
    `model` was trained on. Raises `InputError` where nothing says what that was, where there is no
    such data set, and for a picture that cannot be read, unless the training left such ones out.
    """
    if not (data or config.data.source):
        raise InputError(
            f"{model} does not say what it was trained on: name pictures for int8 by --data"
        )
    wanted = ConfigDict(config.data.to_dict() | ({"source": data} if data else {}))
    dataset = open_dataset(wanted)
    return {
        name: np.stack([*itertools.islice(_drawn(domain, wanted), CALIBRATION)])
        for name, domain in (("a", dataset.train_a), ("b", dataset.train_b))
    }


def _drawn(domain: Domain, data: ConfigDict) -> Iterator[np.ndarray]:
    for i in np.random.default_rng(0).permutation(len(domain)):  # neighbours are often alike
        try:
            picture = domain.load(int(i))
        except BrokenPicture:
            if not data.skip_bad:
                raise
            continue
        yield cover_resize(picture, tuple(data.image_size))


class _Reader(quantization.CalibrationDataReader):
    """Gives onnxruntime one picture after the other, each with a style where there are some."""

    def __init__(self, pictures: np.ndarray, style_size: int) -> None:
        rng, self._feeds = np.random.default_rng(0), []
        for picture in pictures:
            feed = {"pictures": picture[None]}
            if style_size:
                feed["styles"] = rng.normal(size=(1, style_size)).astype(np.float32)
            self._feeds.append(feed)

    def get_next(self) -> dict[str, np.ndarray] | None:
        """Return what the network is given next; None: that was all."""
        return self._feeds.pop() if self._feeds else None


def to_int8(model: onnx.ModelProto, pictures: np.ndarray, style_size: int = 0) -> onnx.ModelProto:
    """Return a float32 model with layers of 8 bits: weights, and what goes in and out of them.

    pictures: uint8 [N, H, W, 3], which activations' ranges are measured on. Weights have a range
    for each channel. What lies between the layers, statistics above all, stays float32's. Nodes of
    QuantizeLinear and DequantizeLinear say it, which every program of ONNX can run.
    """
    logger, level = logging.getLogger(), logging.getLogger().level
    with tempfile.TemporaryDirectory() as folder:
        given, rounded = Path(folder) / "given.onnx", Path(folder) / "rounded.onnx"
        onnx.save(model, given)  # as it changes a model that it is given as such
        try:
            logger.setLevel(logging.ERROR)  # it advises steps that change nothing here
            quantization.quantize_static(
                given,
                rounded,
                _Reader(pictures, style_size),
                per_channel=True,
                op_types_to_quantize=LAYERS,
            )
        finally:
            logger.setLevel(level)
        found = onnx.load(rounded)
    found.graph.ClearField("value_info")  # shapes of all steps, which runtimes find themselves
    onnx.checker.check_model(found, full_check=True)
    return found
