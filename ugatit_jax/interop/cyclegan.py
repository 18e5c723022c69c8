"""Names and layouts of the CycleGAN authors' PyTorch implementation, and ours.

Each of its networks has a file of its own, `…_net_G_A.pth` and so on, which holds one state_dict;
released generators are called `latest_net_G.pth`. Where one does not fit, functions raise
`ValueError` with the first tensor that does not, in words that follow "FILE does not fit: ".
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from ugatit_jax.config.checks import LARGEST_NETWORK, check_config
from ugatit_jax.config.fields import get_config
from ugatit_jax.console.errors import InputError, in_a_line
from ugatit_jax.data.torch_file import read_torch_file
from ugatit_jax.interop.state_dict import (
    Layout,
    Layouts,
    StateDict,
    count,
    export_network,
    import_network,
    is_state_dict,
    with_biases,
)
from ugatit_jax.interop.weights import Weights
from ugatit_jax.methods import build_method
from ugatit_jax.models.patch_discriminator import PatchDiscriminator, minimum_size
from ugatit_jax.models.resnet import ResnetGenerator

GENERATORS = {"a2b": "G_A", "b2a": "G_B"}
# Theirs are called after the generator that they judge, ours after the domain.
DISCRIMINATORS = {"b": "D_A", "a": "D_B"}
# Of instance norms, in files from before PyTorch 0.4, and never used. Others' are refused, for
# batch norms have weights, too.
STATISTICS = re.compile(r".*\.(running_mean|running_var|num_batches_tracked)")


FILE = re.compile(r"_net_(G|G_A|G_B|D_A|D_B)\.pth$")


def read_files(source: Path, image_size: int | None = None) -> Weights:
    """Read …_net_G_A.pth and …_net_G_B.pth, and …_net_D_A.pth and …_net_D_B.pth if they are there.

    source: any of these. image_size: that pictures are translated at, in px; default: 256. Without
    the discriminators' files, these begin anew. Raises `InputError` for a file that is missing or
    does not fit.
    """
    prefix = FILE.sub("", source.name)
    files = {
        name: source.with_name(f"{prefix}_net_{name}.pth")
        for name in (*GENERATORS.values(), *DISCRIMINATORS.values())
    }
    missing = [name for name in GENERATORS.values() if not files[name].is_file()]
    if missing:
        raise InputError(
            f"there is no {files[missing[0]]}: a run translates both ways, and takes "
            f"{prefix}_net_G_A.pth and {prefix}_net_G_B.pth in one folder"
        )
    judges = DISCRIMINATORS if all(files[x].is_file() for x in DISCRIMINATORS.values()) else {}
    states = {name: _read(files[name]) for name in (*GENERATORS.values(), *judges.values())}
    generators = {
        way: _fit(files[name], import_generator, states[name]) for way, name in GENERATORS.items()
    }
    discriminators = {
        d: _fit(files[name], import_discriminator, states[name]) for d, name in judges.items()
    }
    config = get_config("cyclegan")
    fields = generator_fields(states["G_A"])
    config.model.base_width = fields["base_width"]
    config.model.residual_blocks = fields["residual_blocks"]
    if judges:
        config.model.discriminator_layers = discriminator_fields(states["D_A"])["layers"]
    if image_size is not None:
        config.data.image_size = (image_size, image_size)
    check_config(config, device_count=1)
    fresh, other = jax.jit(build_method(config).init)(jax.random.key(config.seed))
    params = {"generators": generators, "discriminators": discriminators or fresh["discriminators"]}
    for group, tree in fresh.items():
        for (path, ours), theirs in zip(
            jax.tree_util.tree_flatten_with_path(tree)[0],
            jax.tree.leaves(params[group]),
            strict=True,
        ):
            if ours.shape != theirs.shape:
                raise InputError(
                    f"{source} and the files beside it do not fit each other: "
                    f"{group}{jax.tree_util.keystr(path)} has shape {theirs.shape}, expected "
                    f"{ours.shape}"
                )
    return Weights(config, 0, params, other, moments=None)


def _read(file: Path) -> StateDict:
    state_dict = read_torch_file(file)
    if not is_state_dict(state_dict):
        raise InputError(f"{file} holds no CycleGAN: a state_dict")
    return state_dict


def _fit(file: Path, reading: Callable[[StateDict], Any], state_dict: StateDict) -> Any:
    try:
        params = reading(state_dict)
    except ValueError as error:
        raise InputError(f"{file} does not fit: {in_a_line(error)}") from None
    return jax.tree.map(lambda x: np.asarray(x, np.float32), params)


def generator_names(residual_blocks: int) -> dict[str, str]:
    """Return {PyTorch's name: ours, 'layer/…/kernel'} for a generator."""
    layers = {f"model.{1 + 3 * i}": f"down_{i}" for i in range(3)}
    for i in range(residual_blocks):
        for j, position in enumerate((1, 5)):
            layers[f"model.{10 + i}.conv_block.{position}"] = f"block_{i}/conv_{j}"
    end = 10 + residual_blocks
    layers |= {f"model.{end}": "up_0", f"model.{end + 3}": "up_1", f"model.{end + 7}": "to_rgb"}
    return with_biases(layers)


def discriminator_names(layers: int) -> dict[str, str]:
    """Return {PyTorch's name: ours} for a discriminator with so many strided layers."""
    last = 3 * layers + 2
    positions = (0, *range(2, last, 3))  # no norm comes after the first
    names = {f"model.{position}": f"conv_{i}" for i, position in enumerate(positions)}
    return with_biases(names | {f"model.{last}": "logit"})


def generator_fields(state_dict: StateDict) -> dict[str, Any]:
    """Return the `base_width` and `residual_blocks` that names and shapes of a generator tell."""
    return {
        "base_width": _width(state_dict, "model.1.weight"),
        "residual_blocks": _count(r"model\.\d+\.conv_block\.1\.weight", state_dict),
    }


def discriminator_fields(state_dict: StateDict) -> dict[str, Any]:
    """Return the `base_width` and `layers` that names and shapes of a discriminator tell."""
    return {
        "base_width": _width(state_dict, "model.0.weight"),
        "layers": max(_count(r"model\.\d+\.weight", state_dict) - 2, 0),
    }


def import_generator(state_dict: StateDict) -> dict[str, Any]:
    """Return the parameters of our generator with the values of a PyTorch state_dict."""
    fields = generator_fields(state_dict)
    names = generator_names(fields["residual_blocks"])
    return _import(state_dict, names, ResnetGenerator(**fields), side=8)


def import_discriminator(state_dict: StateDict) -> dict[str, Any]:
    """Return the parameters of our discriminator with the values of a PyTorch state_dict."""
    fields = discriminator_fields(state_dict)
    names = discriminator_names(fields["layers"])
    side = minimum_size(fields["layers"])
    return _import(state_dict, names, PatchDiscriminator(**fields), side)


def export_generator(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the state_dict of a PyTorch generator: `import_generator` backwards."""
    return _export(params, generator_names(sum(name.startswith("block_") for name in params)))


def export_discriminator(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the state_dict of a PyTorch discriminator: `import_discriminator` backwards."""
    return _export(
        params, discriminator_names(sum(name.startswith("conv_") for name in params) - 1)
    )


def _width(state_dict: StateDict, first: str) -> int:
    """Return the number of outputs of the first convolution."""
    if first not in state_dict:
        raise ValueError(f"it has no {first}")
    shape = np.shape(state_dict[first])
    if len(shape) != 4 or shape[0] == 0:
        raise ValueError(f"{first} has shape {shape}, expected a convolution's")
    return shape[0]


def _count(pattern: str, state_dict: StateDict) -> int:
    found = count(pattern, state_dict)
    if found > LARGEST_NETWORK:
        raise ValueError(
            f"it has {found:,} layers of one kind, and {LARGEST_NETWORK:,} is the most"
        )
    return found


def _import(
    state_dict: StateDict, names: Mapping[str, str], network: nn.Module, side: int
) -> dict[str, Any]:
    """Rename and transpose the tensors if they are those of `network`, at pictures of side² px."""
    picture = jax.ShapeDtypeStruct((1, side, side, 3), np.float32)
    expected = jax.eval_shape(network.init, jax.random.key(0), picture)["params"]
    return import_network(state_dict, names, expected, _layouts(names), STATISTICS)


def _export(params: Any, names: Mapping[str, str]) -> dict[str, Any]:
    return export_network(params, names, _layouts(names))


def _layouts(names: Mapping[str, str]) -> Layouts:
    return {
        theirs: Layout.TRANSPOSED_KERNEL
        for theirs, ours in names.items()
        if re.fullmatch(r"up_\d/kernel", ours)
    }
