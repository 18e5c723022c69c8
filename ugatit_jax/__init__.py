"""U-GAT-IT (Kim et al., ICLR 2020): unpaired image-to-image translation in JAX and Flax."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ugatit_jax.inference.translator import Translator

__all__ = ["Translator"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # Not above: every module of the package would load Flax and Orbax with it.
    if name == "Translator":
        from ugatit_jax.inference.translator import Translator

        return Translator
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
