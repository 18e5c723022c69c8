"""What the authors' PyTorch implementation was recorded to do, in our names and layouts.

The files are in tests/golden: pt_light.npz (width 4, batch 2) and pt_full.npz (width 3, batch 1),
both 96 px and 2 residual blocks; three training steps each, recorded in float32, losses also
in float64.
"""

import dataclasses
import json
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from ugatit_jax.config import fields
from ugatit_jax.interop import pytorch
from ugatit_jax.interop.pytorch import DISCRIMINATORS, GENERATORS
from ugatit_jax.methods.ugatit import UGATIT

DATA = Path(__file__).parent / "golden"
LAYERS = {"local": 5, "global": 7}


def nhwc(x: np.ndarray) -> np.ndarray:
    return x.transpose(0, 2, 3, 1)


class Golden:
    """One recorded case; arrays in `dtype`."""

    def __init__(self, case: str, dtype: type = np.float32):
        with np.load(DATA / f"pt_{case}.npz") as arrays:
            self.arrays = dict(arrays)
        self.dtype = dtype
        self.blocks = 2

    def state_dict(self, prefix: str) -> dict[str, np.ndarray]:
        names = [name for name in self.arrays if name.startswith(prefix)]
        return {name.removeprefix(prefix): self.arrays[name].astype(self.dtype) for name in names}

    @cached_property
    def config(self) -> ConfigDict:
        theirs = json.loads(str(self.arrays["config_json"]))
        config = fields.get_config("light" if theirs["light"] else "")
        config.dtype = "float32"
        config.model.base_width = theirs["ch"]
        config.model.residual_blocks = theirs["n_blocks"]
        config.data.image_size = (theirs["img_size"],) * 2
        config.train.steps = 1_000_000
        return config

    def generators(self, when: str) -> dict[str, Any]:
        """Parameters when 'init', 'after1' or 'after3'."""
        return {
            direction: pytorch.import_generator(self.state_dict(f"{when}/{name}/"), self.blocks)
            for direction, name in GENERATORS.items()
        }

    def discriminators(self, when: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """Parameters and singular vectors."""
        params: dict[str, Any] = {"a": {}, "b": {}}
        spectral: dict[str, Any] = {"a": {}, "b": {}}
        for (domain, scale), name in DISCRIMINATORS.items():
            both = pytorch.import_discriminator(self.state_dict(f"{when}/{name}/"), LAYERS[scale])
            params[domain][scale], spectral[domain][scale] = both
        return params, spectral

    @cached_property
    def method(self) -> UGATIT:
        """Its networks compute in `dtype`."""
        method = UGATIT.from_config(self.config)
        nets = {scale: net.clone(dtype=self.dtype) for scale, net in method.discriminators.items()}
        generator = method.generator.clone(dtype=self.dtype)
        return dataclasses.replace(method, generator=generator, discriminators=nets)

    def params(self, when: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """Parameters of all networks, and what moves without a gradient, as a method has them."""
        discriminators, spectral = self.discriminators(when)
        generators = self.generators(when)
        return {"generators": generators, "discriminators": discriminators}, {"spectral": spectral}

    def batch(self, step: int) -> dict[str, np.ndarray]:
        """The pictures of a step: 8-bit levels / 127.5 - 1, as rounded to float32 in recording."""
        pictures = {d: self.arrays[f"input/step{step}/real_{d.upper()}"] for d in "ab"}
        return {d: nhwc(x).astype(self.dtype) for d, x in pictures.items()}

    def losses(self, step: int) -> dict[str, float]:
        """Their names: G_recon_loss_A, …; recorded in float64 if dtype is."""
        prefix = f"loss{'64' if self.dtype == np.float64 else ''}/step{step}/"
        return {name: float(value) for name, value in self.state_dict(prefix).items()}

    def gradient(self, network: str, name: str) -> tuple[np.ndarray, bool]:
        """A gradient of step 1: whole, or (True) 256 entries spread over the flattened one."""
        whole = f"grad/{network}/{name}"
        if whole in self.arrays:
            return self.arrays[whole], False
        return self.arrays[f"gradsamp/{network}/{name}"], True
