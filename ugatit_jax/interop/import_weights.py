"""Make a run directory of the weights of one of the authors' own implementations.

    python -m ugatit_jax.interop.import_weights SOURCE RUN_DIR

SOURCE is U-GAT-IT's PyTorch ….pt, or TensorFlow 1's ….model-N (with .index and .data-… beside each
other; either will do, too); or one of CycleGAN's PyTorch files, …_net_G_A.pth, with the others
beside it; or UNIT's or MUNIT's gen_….pt, maybe with dis_….pt beside it; or DRIT's 00999.pth; or a
generator of CartoonGAN, Hayao_net_G_float.pth. Which it is, and the size of the networks, is told
by names and shapes.
"""

import functools
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import ConfigDict

from ugatit_jax.config import fields as default
from ugatit_jax.config.checks import check_config
from ugatit_jax.console.errors import (
    InputError,
    Parser,
    exit_on_input_error,
    in_a_line,
    printable,
)
from ugatit_jax.console.extras import require
from ugatit_jax.console.numbers import whole_number
from ugatit_jax.data.storage import AnyPath, folder_argument, path_argument
from ugatit_jax.data.torch_file import read_torch_file
from ugatit_jax.devices.runtime import set_up_jax
from ugatit_jax.interop import cartoongan, cyclegan, drit, munit, pytorch, tensorflow
from ugatit_jax.interop.state_dict import is_state_dict
from ugatit_jax.interop.weights import Weights
from ugatit_jax.methods import build_method
from ugatit_jax.methods.method import Params
from ugatit_jax.methods.state import TrainState, create_state
from ugatit_jax.methods.ugatit import SCALES
from ugatit_jax.runs.checkpoints import open_checkpoints, save
from ugatit_jax.runs.directory import record_start

Shape = tuple[int, ...]
ADAM = {"mu": "/Adam", "nu": "/Adam_1"}  # ours, and TensorFlow's suffix of a variable
POWER = re.compile(r"beta[12]_power(_1)?")  # they follow from the step


def read_weights(source: Path, image_size: int | None = None) -> Weights:
    """Read a file of any of these implementations.

    `image_size` in px is for light generators, whose weights do not tell; default: 256. Raises
    `InputError`, with the name of the first tensor that does not fit.
    """
    if cyclegan.FILE.search(source.name):
        return cyclegan.read_files(source, image_size)
    prefix = Path(re.sub(r"\.(index|data-\d+-of-\d+)$", "", str(source)))
    try:
        if Path(f"{prefix}.index").is_file():
            return _read_tensorflow(prefix, image_size)
        return _read_pytorch(source, image_size)
    except KeyError as error:
        missing = in_a_line(error.args[0])
        raise InputError(f"{source} holds no U-GAT-IT: there is no {missing} in it") from None
    except InputError:
        raise
    except ValueError as error:  # of the shapes of its first kernels
        raise InputError(f"{source} holds no U-GAT-IT: {in_a_line(error)}") from None


def make_state(weights: Weights) -> TrainState:
    """Return the state to train on from, with Adam's moments where the file has them."""
    optimizers = build_method(weights.config).optimizers(weights.config.train)
    step = jnp.asarray(weights.step, jnp.int32)

    def optimizer_state(group: str) -> optax.OptState:
        decay, adam, schedule = optimizers[group].init(weights.params[group])
        if weights.moments is not None:  # without, Adam starts anew
            mu, nu = (weights.moments[name][group] for name in ("mu", "nu"))
            adam = adam._replace(count=step, mu=mu, nu=nu)
        return decay, adam, schedule._replace(count=step)

    of_groups = {group: optimizer_state(group) for group in weights.params}
    return TrainState(step, weights.params, of_groups, weights.other, ema=None)


def write_run(run_dir: AnyPath, weights: Weights) -> None:
    """Write a run directory. Raises `InputError` if something is there already."""
    if run_dir.exists() and (not run_dir.is_dir() or any(run_dir.iterdir())):
        raise InputError(f"{run_dir} is there already and not empty: take another RUN_DIR")
    config, state = weights.config, jax.device_put(make_state(weights))
    run_dir.mkdir(parents=True, exist_ok=True)
    with open_checkpoints(run_dir, config.checkpoint) as checkpoints:
        save(checkpoints, build_method(config), state)
    record_start(run_dir, config, None, weights.step)


def _first_state(config: ConfigDict) -> TrainState:
    return create_state(build_method(config), config.train, config.seed)


def _read_pytorch(source: Path, image_size: int | None) -> Weights:
    networks = read_torch_file(source)
    if cartoongan.is_one(networks):
        return cartoongan.read_file(source, networks, image_size)
    if munit.is_one(networks):
        return munit.read_files(source, networks, image_size)
    if drit.is_one(networks):
        return drit.read_file(source, networks, image_size)
    if not isinstance(networks, dict) or not all(map(is_state_dict, networks.values())):
        raise InputError(f"{source} holds no U-GAT-IT: six state_dicts in a dictionary")
    config = _make_config("pytorch", pytorch.config_fields(networks), image_size)
    blocks = config.model.residual_blocks
    layers = {scale: config.model[f"{scale}_layers"] for scale in SCALES}

    expected = jax.eval_shape(lambda: pytorch.export_networks(_first_state(config), config))
    _check_shapes(source, _shapes(networks), _shapes(expected))

    networks = jax.tree.map(lambda x: x.astype(np.float32), networks)
    generators = {
        direction: pytorch.import_generator(networks[name], blocks)
        for direction, name in pytorch.GENERATORS.items()
    }
    both = {
        key: pytorch.import_discriminator(networks[name], layers[key[1]])
        for key, name in pytorch.DISCRIMINATORS.items()
    }
    discriminators, vectors = (
        {d: {scale: both[d, scale][i] for scale in SCALES} for d in ("a", "b")} for i in range(2)
    )
    number = re.search(r"_params_(\d+)$", source.stem)
    step = int(number[1]) if number else 0
    params = {"generators": generators, "discriminators": discriminators}
    return Weights(config, step, params, {"spectral": vectors}, moments=None)


def _read_tensorflow(prefix: Path, image_size: int | None) -> Weights:
    require("train", "reading files of TensorFlow's")
    from ugatit_jax.data.host_tensorflow import tf  # only needed for its own files

    for file in prefix.parent.iterdir():
        if file.name.startswith(f"{prefix.name}.data-") and not file.is_file():  # a pipe, maybe
            raise InputError(f"cannot read {file}: it is no regular file")
    try:
        reader = tf.train.load_checkpoint(str(prefix))
        found = {k: tuple(v) for k, v in reader.get_variable_to_shape_map().items()}
    except Exception as error:  # of TensorFlow's many kinds
        raise InputError(f"cannot read {prefix}: {in_a_line(error)}") from None
    config = _make_config(
        "tensorflow", tensorflow.config_fields(found, prefix.absolute().parent.name), image_size
    )
    blocks, spectral_norm = config.model.residual_blocks, config.model.spectral_norm
    layers = {scale: config.model[f"{scale}_layers"] for scale in SCALES}

    state = jax.eval_shape(functools.partial(_first_state, config))
    expected: dict[str, Shape] = {}
    for direction, name in tensorflow.GENERATORS.items():
        names = tensorflow.generator_names(blocks)
        shapes = tensorflow.expected_shapes(state.params["generators"][direction], {}, names)
        expected |= {f"{name}/{theirs}": shape for theirs, shape in shapes.items()}
    for (d, scale), name in tensorflow.DISCRIMINATORS.items():
        names = tensorflow.discriminator_names(layers[scale], spectral_norm)
        shapes = tensorflow.expected_shapes(
            state.params["discriminators"][d][scale], state.other["spectral"][d][scale], names
        )
        expected |= {f"{name}/{theirs}": shape for theirs, shape in shapes.items()}
    trained = [name for name in expected if not name.endswith("/u")]
    has_moments = f"{trained[0]}/Adam" in found
    if has_moments:
        expected |= {f"{name}{m}": expected[name] for name in trained for m in ADAM.values()}
    found = {name: shape for name, shape in found.items() if not POWER.fullmatch(name)}
    _check_shapes(prefix, found, expected)
    try:
        variables = {name: reader.get_tensor(name) for name in found}
    except Exception as error:  # of TensorFlow's many kinds, where what is in a file was changed
        raise InputError(f"cannot read {prefix}: {in_a_line(error)}") from None

    def below(network: str, slot: str = "") -> dict[str, np.ndarray]:
        start = f"{network}/"
        return {
            name.removeprefix(start).removesuffix(slot): value
            for name, value in variables.items()
            if name.startswith(start) and name.endswith(slot)
        }

    def trees(slot: str = "") -> Params:
        generators = {
            direction: tensorflow.import_generator(below(name, slot), blocks)
            for direction, name in tensorflow.GENERATORS.items()
        }
        discriminators: dict[str, Any] = {"a": {}, "b": {}}
        for (d, scale), name in tensorflow.DISCRIMINATORS.items():
            discriminators[d][scale] = tensorflow.import_discriminator(
                below(name, slot), layers[scale], spectral_norm
            )
        return {"generators": generators, "discriminators": discriminators}

    vectors: dict[str, Any] = {"a": {}, "b": {}}
    for (d, scale), name in tensorflow.DISCRIMINATORS.items():
        vectors[d][scale] = (
            tensorflow.import_spectral(below(name), layers[scale]) if spectral_norm else {}
        )
    moments = {name: trees(slot) for name, slot in ADAM.items()} if has_moments else None
    # It counts the step that comes next.
    number = re.search(r"-(\d+)$", prefix.name)
    step = max(int(number[1]) - 1, 0) if number else 0
    return Weights(config, step, trees(), {"spectral": vectors}, moments)


def _make_config(preset: str, fields: dict[str, Any], image_size: int | None) -> ConfigDict:
    config = default.get_config(preset)
    if image_size is not None:
        fields = {"data.image_size": (image_size, image_size)} | fields
    config.update_from_flattened_dict(fields)
    check_config(config, device_count=1)
    return config


def _shapes(networks: Mapping[str, Mapping[str, Any]]) -> dict[str, Shape]:
    return {
        f"{n}/{k}": tuple(x.shape) for n, tensors in networks.items() for k, x in tensors.items()
    }


def _check_shapes(source: Path, found: Mapping[str, Shape], expected: Mapping[str, Shape]) -> None:
    for name, shape in expected.items():
        if name not in found:
            raise InputError(f"{source} does not fit: it has no {name}, expected of shape {shape}")
        if found[name] != shape:
            raise InputError(
                f"{source} does not fit: {name} has shape {found[name]}, expected {shape}"
            )
    if more := sorted(found.keys() - expected.keys(), key=str):
        raise InputError(
            f"{source} does not fit: {printable(more[0])}, of shape {found[more[0]]}, is no part"
        )


def _describe(weights: Weights) -> str:
    model = weights.config.model
    if weights.config.method in ("unit", "munit"):
        return (
            f"{weights.config.method.upper()}, width {model.base_width}, {model.residual_blocks} "
            f"residual blocks, discriminators of {model.discriminator_layers} layers at "
            f"{model.discriminator_scales} scales"
        )
    if weights.config.method == "drit":
        return (
            f"DRIT, width {model.base_width}, {model.residual_blocks} residual blocks, attributes "
            f"of {model.style_size} numbers, discriminators of {model.discriminator_layers} layers "
            f"at {model.discriminator_scales} scales"
        )
    if weights.config.method == "cartoongan":
        return f"CartoonGAN, width {model.base_width}, with a new discriminator"
    if weights.config.method == "cyclegan":
        return (
            f"CycleGAN, width {model.base_width}, {model.residual_blocks} residual blocks, "
            f"discriminators of {model.discriminator_layers} layers"
        )
    return (
        f"{'light' if model.light else 'full'}, "
        f"{'TensorFlow' if model.shared_cam else 'PyTorch'}'s conventions, "
        f"width {model.base_width}, {model.residual_blocks} residual blocks, discriminators of "
        f"{model.local_layers} and {model.global_layers} layers, "
        f"{'with' if weights.moments else 'without'} Adam's moments"
    )


def make_parser() -> Parser:
    """Return the parser of the command line."""
    parser = Parser(
        prog="ugatit import-weights",
        description="Make a run directory of weights that the authors' own programs wrote.",
        examples=(
            "ugatit import-weights UGATIT.model-1000000 runs/authors",
            "ugatit import-weights latest_net_G_A.pth runs/cyclegan --image-size=256",
        ),
    )
    parser.add_argument(
        "source",
        type=folder_argument,
        metavar="SOURCE",
        help="….pt of U-GAT-IT's PyTorch or ….model-N of its TensorFlow implementation; "
        "…_net_G_A.pth of CycleGAN's, beside its other three files; gen_….pt of UNIT's or MUNIT's; "
        "00999.pth of DRIT's; …_net_G_float.pth of CartoonGAN's",
    )
    parser.add_argument("run_dir", type=path_argument, metavar="RUN_DIR", help="a new folder")
    parser.add_argument(
        "--image-size",
        type=whole_number(16),
        metavar="PX",
        help="side of the pictures, for networks that take any; default: 256",
    )
    return parser


@exit_on_input_error
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    args = make_parser().parse_args(argv)
    set_up_jax()
    weights = read_weights(args.source, args.image_size)
    write_run(args.run_dir, weights)
    print(f"{args.run_dir}: step {weights.step}; {_describe(weights)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
