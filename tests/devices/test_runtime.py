"""What the compiler is told."""

import logging

import jax
import jax.numpy as jnp
import pytest

from ugatit_jax.devices import runtime
from ugatit_jax.devices.runtime import (
    PRODUCTS_BY_EIGEN,
    _can_choose_products,
    forward_options,
    set_up_jax,
)


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


def test_an_xla_that_does_not_know_the_option_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    _can_choose_products.cache_clear()
    monkeypatch.setattr(runtime, "PRODUCTS_BY_EIGEN", {"xla_cpu_of_another_year": "YES"})
    assert forward_options(jax.devices("cpu")[0]) == {}
    monkeypatch.undo()
    _can_choose_products.cache_clear()
    assert forward_options(jax.devices("cpu")[0]) == PRODUCTS_BY_EIGEN
