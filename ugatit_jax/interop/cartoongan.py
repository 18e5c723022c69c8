"""Names and layouts of the CartoonGAN authors' generators, as passed on for PyTorch, and ours.

The authors released generators of four painters' styles, for Torch; `Hayao_net_G_float.pth` and the
others are these, one state_dict each. They take and return colours as blue, green and red. There is
no discriminator among them.
"""

from pathlib import Path
from typing import Any

import jax
import numpy as np

from ugatit_jax.config.checks import build_trained
from ugatit_jax.config.fields import get_config
from ugatit_jax.console.errors import InputError, in_a_line
from ugatit_jax.interop.state_dict import (
    Layout,
    StateDict,
    import_network,
    is_state_dict,
    outputs,
    with_biases,
)
from ugatit_jax.interop.weights import Weights
from ugatit_jax.methods.method import Params, shapes

BLOCKS = 8
TRANSPOSED = {f"deconv0{i}_1.weight": Layout.TRANSPOSED_KERNEL for i in (1, 2)}


def is_one(content: Any) -> bool:
    """Tell a generator of CartoonGAN by what is in its file."""
    return is_state_dict(content) and {"conv01_1.weight", "in13_1.shift"} <= content.keys()


def read_file(source: Path, state_dict: StateDict, image_size: int | None) -> Weights:
    """Return what a file holds, with a new discriminator.

    image_size: that pictures are translated at, in px; default: 256. Raises `InputError` if it does
    not fit.
    """
    config = get_config("cartoongan")
    if image_size is not None:
        config.data.image_size = (image_size, image_size)
    try:
        config.model.base_width = outputs(state_dict, "conv01_1.weight")
        config.model.residual_blocks = BLOCKS
        # Not all that a training needs: to translate takes no network that compares contents.
        method, (expected, _) = build_trained(config, source, shapes)
        generator = import_network(
            state_dict, generator_names(), expected["generators"]["a2b"], layouts=TRANSPOSED
        )
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"{source} does not fit: {in_a_line(error)}") from None
    generator = jax.tree.map(lambda x: np.asarray(x, np.float32), generator)
    params, other = jax.jit(method.init)(jax.random.key(config.seed))
    params = dict(params) | {"generators": {"a2b": _red_first(generator)}}
    return Weights(config, 0, params, other, moments=None)


def _red_first(generator: Params) -> Params:
    """Return a generator of red, green and blue for one of blue, green and red."""
    first, last = generator["first"], generator["to_rgb"]
    return generator | {
        "first": first | {"kernel": first["kernel"][:, :, ::-1]},
        "to_rgb": {name: x[..., ::-1] for name, x in last.items()},
    }


def generator_names() -> dict[str, str]:
    """Return {PyTorch's name: ours, 'layer/…/kernel'} of a generator."""
    layers = {"conv01_1": "first", "deconv03_1": "to_rgb"}
    norms = {"in01_1": "first_norm"}
    for i in (0, 1):
        layers |= {f"conv0{i + 2}_1": f"down_{i}", f"conv0{i + 2}_2": f"flat_{i}"}
        layers |= {f"deconv0{i + 1}_1": f"up_{i}", f"deconv0{i + 1}_2": f"up_flat_{i}"}
        norms |= {f"in0{i + 2}_1": f"down_norm_{i}", f"in{i + 12}_1": f"up_norm_{i}"}
    for i in range(BLOCKS):
        for j in (0, 1):
            layers[f"conv{i + 4:02}_{j + 1}"] = f"block_{i}/conv_{j}"
            norms[f"in{i + 4:02}_{j + 1}"] = f"block_{i}/norm_{j}"
    learned = {
        f"{theirs}.{p}": f"{ours}/{q}"
        for theirs, ours in norms.items()
        for p, q in (("scale", "gamma"), ("shift", "beta"))
    }
    return with_biases(layers) | learned
