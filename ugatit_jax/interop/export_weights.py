"""Write a run's weights as a file of the authors' PyTorch implementation.

python -m ugatit_jax.interop.export_weights RUN_DIR FILE.pt
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from ugatit_jax.checkpoint import restore_networks
from ugatit_jax.errors import InputError, exit_on_input_error
from ugatit_jax.interop import pytorch
from ugatit_jax.interop.torch_file import write_torch_file
from ugatit_jax.models import Conventions, conventions_of


def state_dicts(config: ConfigDict, networks: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return {PyTorch's name of a network: its state_dict}."""
    found = {}
    for direction, name in pytorch.GENERATORS.items():
        params = networks["generators"][direction]
        found[name] = pytorch.export_generator(params, config.model.residual_blocks)
    for (domain, scale), name in pytorch.DISCRIMINATORS.items():
        params, spectral = (networks[x][domain][scale] for x in ("discriminators", "spectral"))
        layers = config.model[f"{scale}_layers"]
        found[name] = pytorch.export_discriminator(params, spectral, layers)
    return found
