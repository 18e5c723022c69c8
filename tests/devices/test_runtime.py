"""What the compiler is told."""

import jax
import jax.numpy as jnp

from ugatit_jax.devices.runtime import forward_options


def test_products_of_a_translation_are_not_ynnpacks() -> None:
    x = jnp.ones((256, 256))
    options = forward_options(jax.devices()[0])
    compiled = [
        jax.jit(jnp.matmul, compiler_options=told).lower(x, x).compile().as_text() or ""
        for told in ({}, options)
    ]
    assert ["ynn_fusion" in program for program in compiled] == [True, False]
    assert all("dot(" in program for program in compiled)
