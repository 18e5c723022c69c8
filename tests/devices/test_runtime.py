"""What the compiler is told."""

import logging

import jax
import jax.numpy as jnp
import pytest

from ugatit_jax.devices.runtime import forward_options, set_up_jax


def test_products_of_a_translation_are_not_ynnpacks() -> None:
    x = jnp.ones((256, 256))
    options = forward_options(jax.devices()[0])
    compiled = [
        jax.jit(jnp.matmul, compiler_options=told).lower(x, x).compile().as_text() or ""
        for told in ({}, options)
    ]
    assert ["ynn_fusion" in program for program in compiled] == [True, False]
    assert all("dot(" in program for program in compiled)


def test_a_plugin_that_does_not_start_is_a_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "/nowhere")
    set_up_jax()
    try:
        raise RuntimeError("Unable to load cuPTI. Is it installed?")
    except RuntimeError:
        logging.getLogger("jax._src.xla_bridge").exception("%s cannot start", "xla_cuda13")
    assert caplog.messages == ["xla_cuda13 cannot start: Unable to load cuPTI. Is it installed?"]
    assert "Traceback" not in caplog.text
