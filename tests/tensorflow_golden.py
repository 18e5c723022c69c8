"""What the authors' TensorFlow implementation was recorded to do, in our names and layouts.

The files are in tests/golden: tf_light.npz and tf_full.npz (width 3, 96 px), tf_light_nosn.npz
(width 2, 48 px, no spectral normalisation); 4 residual blocks, batch 1, float32. Each has AdaLIN's
smoothing (our rho_margin of 0.1) on, 'smooth', and off, 'nosmooth'.
"""

import dataclasses
import json
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict
from ml_collections import ConfigDict

from ugatit_jax.config import fields
from ugatit_jax.interop import tensorflow as interop
from ugatit_jax.interop.tensorflow import DISCRIMINATORS, GENERATORS
from ugatit_jax.methods.ugatit import UGATIT

DATA = Path(__file__).parent / "golden"
CASES = ("light", "full", "light_nosn")


class Golden:
    """One recorded case; arrays in `dtype`."""

    def __init__(self, case: str, smoothing: str = "smooth", dtype: type = np.float32):
        with np.load(DATA / f"tf_{case}.npz") as arrays:
            self.arrays = dict(arrays)
        self.smoothing = smoothing
        self.dtype = dtype
        self.theirs = json.loads(str(self.arrays["config_json"]))
        self.layers = {"local": self.theirs["n_dis"] - 1, "global": self.theirs["n_dis"] + 1}

    @cached_property
    def config(self) -> ConfigDict:
        config = fields.get_config("light,tensorflow" if self.theirs["light"] else "tensorflow")
        config.dtype = "float32"
        config.model.base_width = self.theirs["ch"]
        config.model.local_layers = self.layers["local"]
        config.model.global_layers = self.layers["global"]
        config.model.spectral_norm = self.theirs["sn"]
        config.data.image_size = (self.theirs["img_size"],) * 2
        if self.smoothing == "nosmooth":
            config.model.rho_margin = 0.0
        return config

    def variables(self, prefix: str) -> dict[str, np.ndarray]:
        names = [name for name in self.arrays if name.startswith(prefix)]
        return {name.removeprefix(prefix): self.arrays[name].astype(self.dtype) for name in names}

    def recorded(self, prefix: str) -> dict[str, np.ndarray]:
        """Arrays of 'PREFIX/smooth/…' or 'PREFIX/nosmooth/…'."""
        return self.variables(f"{prefix}/{self.smoothing}/")

    def generators(self, when: str = "var") -> dict[str, Any]:
        """Parameters at first ('var') or 'afterG'."""
        return {
            direction: interop.import_generator(self.variables(f"{when}/{name}/"), 4)
            for direction, name in GENERATORS.items()
        }

    def discriminators(self, when: str = "var") -> tuple[dict[str, Any], dict[str, Any]]:
        """Parameters and singular vectors at first ('var') or 'afterD'."""
        params: dict[str, Any] = {"a": {}, "b": {}}
        spectral: dict[str, Any] = {"a": {}, "b": {}}
        for (domain, scale), name in DISCRIMINATORS.items():
            variables, layers = self.variables(f"{when}/{name}/"), self.layers[scale]
            spectral_norm = self.theirs["sn"]
            params[domain][scale] = interop.import_discriminator(variables, layers, spectral_norm)
            spectral[domain][scale] = (
                interop.import_spectral(variables, layers) if spectral_norm else {}
            )
        return params, spectral

    @cached_property
    def method(self) -> UGATIT:
        """Its networks compute in `dtype`."""
        method = UGATIT.from_config(self.config)
        nets = {scale: net.clone(dtype=self.dtype) for scale, net in method.discriminators.items()}
        generator = method.generator.clone(dtype=self.dtype)
        return dataclasses.replace(method, generator=generator, discriminators=nets)

    def params(self, when: str = "var") -> tuple[dict[str, Any], dict[str, Any]]:
        """Parameters of all networks, and what moves without a gradient, as a method has them."""
        discriminators, spectral = self.discriminators(when)
        generators = self.generators(when)
        return {"generators": generators, "discriminators": discriminators}, {"spectral": spectral}

    def names(self) -> dict[str, tuple[Any, ...]]:
        """{their full name: ('a2b' or ('a', 'local'), our name)}, of the trained variables."""
        names: dict[str, tuple[Any, ...]] = {}
        for direction, network in GENERATORS.items():
            for theirs, ours in interop.generator_names(4).items():
                names[f"{network}/{theirs}"] = (direction, ours)
        for key, network in DISCRIMINATORS.items():
            layers = self.layers[key[1]]
            for theirs, ours in interop.discriminator_names(layers, self.theirs["sn"]).items():
                if not ours.endswith("/u"):
                    names[f"{network}/{theirs}"] = (key, ours)
        return names

    def in_their_names(self, generators: Any, discriminators: Any) -> dict[str, np.ndarray]:
        """Return {their full name: our value, flat}."""
        flat = {
            key: flatten_dict(
                generators[key] if isinstance(key, str) else discriminators[key[0]][key[1]], sep="/"
            )
            for key in (*GENERATORS, *DISCRIMINATORS)
        }
        return {
            theirs: np.asarray(flat[key][ours]).reshape(-1)
            for theirs, (key, ours) in self.names().items()
        }

    @property
    def batch(self) -> dict[str, np.ndarray]:
        return {d: self.arrays[f"input/real_{d.upper()}"].astype(self.dtype) for d in "ab"}

    def noise(self, kind: str) -> dict[str, dict[str, np.ndarray]]:
        """The uniform numbers of a kind's gradient penalty; empty for one without."""
        recorded = self.variables(f"rnd/{kind}/")
        return recorded and {
            d: {
                "alpha": recorded[f"alpha_{d.upper()}"],
                "epsilon": recorded.get(f"eps_{d.upper()}", np.zeros_like(self.batch[d])),
                "deviation": self.batch[d].std(keepdims=True),
            }
            for d in "ab"
        }
