"""Where the discriminators look: their heat maps of translated pictures."""

from collections.abc import Sequence
from typing import Any, Self

import jax
import numpy as np

from ugatit_jax.console.errors import InputError
from ugatit_jax.data import images
from ugatit_jax.data.storage import AnyPath, open_path
from ugatit_jax.devices.sharding import make_mesh, map_in_batches, over_data, replicated
from ugatit_jax.inference.mapped import BATCH
from ugatit_jax.methods import build_method
from ugatit_jax.methods.method import Method, Params
from ugatit_jax.runs.checkpoints import restore_judges
from ugatit_jax.runs.steps import Step


class DiscriminatorAttention:
    """The discriminators of a domain, ready to tell where they look.

    U-GAT-IT's have an auxiliary classifier that tells real pictures of the domain from translated
    ones (paper, eta of the discriminator); a heat map is the sum of the features as it weighs them.
    """

    def __init__(self, method: Method, domain: str, params: Params, other: Any) -> None:
        """`params` holds the groups that `Method.judge` looks at, `other` what moves beside them.

        Raises `InputError` for a method whose discriminators have nothing to show.
        """
        if not method.judges:
            raise InputError("these discriminators have no attention to show")
        self.domain, self._method = domain, method
        self._mesh = make_mesh(jax.local_devices())
        place = replicated(self._mesh)
        self._variables = jax.device_put((params, other), place)

        def apply(variables: Any, batch: jax.Array) -> dict[str, jax.Array]:
            params, other = variables
            return method.judge(params, other, images.to_float(batch), domain)

        self._apply = jax.jit(
            apply, in_shardings=(place, over_data(self._mesh)), out_shardings=place
        )

    @classmethod
    def load(cls, run_dir: str | AnyPath, domain: str, step: Step = None) -> Self:
        """Read the discriminators of a run directory, and no optimiser state.

        domain: of the pictures that they judge, 'b' for those translated a2b. step: of the
        checkpoint; None: the newest. Raises `InputError` if there is no such checkpoint.
        """
        if domain not in ("a", "b"):
            raise InputError(f"no domain {domain!r}: say a or b")
        config, params, other = restore_judges(open_path(run_dir), step)
        return cls(build_method(config), domain, params, other)

    def __call__(self, pictures: np.ndarray | Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """Tell where the discriminators look in pictures of one size.

        pictures: uint8 [N, H, W, 3], or N of [H, W, 3]; one size is compiled once for a single
        picture and once for any number of them. Returns {one of `Method.judges`: float32 [N, h, w]}
        of any range; U-GAT-IT's 'local discriminator' and 'global discriminator' are about 1/8 and
        1/32 of the pictures' size with the paper's 5 and 7 layers. Raises `InputError` for pictures
        of other shapes, and for those smaller than the networks take.
        """
        shapes = {(picture.dtype.name, picture.shape) for picture in pictures}
        smallest = self._method.smallest_judged
        match [*shapes]:
            case [("uint8", (height, width, 3))] if min(height, width) >= smallest:
                pass
            case _:
                found = ", ".join(f"{dtype} {list(shape)}" for dtype, shape in sorted(shapes))
                raise InputError(
                    f"the discriminators cannot judge pictures of {found or 'no shape'}: give "
                    f"uint8 [N, H, W, 3] of {smallest} px or more"
                )
        batch_size = 1 if len(pictures) == 1 else BATCH
        maps = list(map_in_batches(self._apply, self._variables, pictures, batch_size, self._mesh))
        return {name: np.stack([x[name] for x in maps]) for name in self._method.judges}
