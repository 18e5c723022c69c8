"""An exported folder: the generators of one checkpoint, and nothing else of the run.

export.json               what it is: formats, step, which weights, checksums, how to load it
config.json               the run's config
a2b.safetensors           the parameters of a direction: {'encoder_0/conv_0/kernel': …}
b2a.safetensors
generator.stablehlo       the network without its weights, for JAX alone; or a2b.stablehlo and
                          b2a.stablehlo, where the directions have different ones
style.stablehlo           what tells a picture's style, of a method that can; or a2b_style.stablehlo
                          and b2a_style.stablehlo

`inference.exporting` writes it; `checkpoints.restore_weights` takes it in the place of a run
directory.
"""

from typing import Any

from ugatit_jax.console.errors import InputError, in_a_line
from ugatit_jax.data.json_file import read_object
from ugatit_jax.data.storage import AnyPath

FORMAT = 1  # of the exported folder; a newer program may write a higher one
DESCRIPTION = "export.json"
CONFIG = "config.json"
# The program that directions share, and the ending of the name of one that they do not.
PROGRAMS = {"translate": ("generator.stablehlo", ""), "encode_style": ("style.stablehlo", "_style")}
DTYPES = ("float32", "bfloat16")  # that its weights may have


def weights_file(direction: str) -> str:
    """Return the name of the file that holds a direction's parameters."""
    return f"{direction}.safetensors"


def program_file(direction: str, kind: str = "translate") -> str:
    """Return the name of the file of a direction's program of a kind, where it has its own."""
    return f"{direction}{PROGRAMS[kind][1]}.stablehlo"


def is_exported(folder: AnyPath) -> bool:
    """Tell an exported folder from a run directory."""
    return (folder / DESCRIPTION).is_file()


def read_description(path: AnyPath, reads: int) -> dict[str, Any]:
    """Read run.json or export.json, whose format may be up to `reads`.

    Raises `InputError` for a higher one, or if the file is damaged.
    """
    try:
        description = read_object(path)
        written = description["format"]
        if type(written) is not int:
            raise ValueError(f"format is {written!r} and no whole number")
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"cannot read {path}: {in_a_line(repr(error))}; restore the file"
        ) from None
    if written > reads:
        raise InputError(
            f"{path.parent} was written by a newer ugatit_jax (format {written}, this one reads up "
            f"to {reads}): update the program"
        )
    return description
