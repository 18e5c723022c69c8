"""What the compiler is told."""

import logging
import os

import jax
import jax.numpy as jnp
import pytest

from ugatit_jax.devices import runtime
from ugatit_jax.devices.runtime import (
    FORWARD_ON_CPU,
    _knows_forward_options,
    compiled_dir,
    forward_options,
    set_up_jax,
)
from ugatit_jax.models.convolution import convolve


def test_products_of_a_translation_are_not_ynnpacks() -> None:
    x = jnp.ones((256, 256))
    options = forward_options(jax.devices()[0])
    compiled = [
        jax.jit(jnp.matmul, compiler_options=told).lower(x, x).compile().as_text() or ""
        for told in ({}, options)
    ]
    assert ["ynn_fusion" in program for program in compiled] == [True, False]
    assert all("dot(" in program for program in compiled)


def test_kernels_of_a_translation_do_not_all_wait_in_memory() -> None:
    def translate(x: jax.Array, kernels: list[jax.Array]) -> jax.Array:
        for kernel in kernels:
            x = convolve(x, kernel, 1)
        return x

    shapes = [jax.ShapeDtypeStruct((3, 3, 128, 128), jnp.float32)] * 6
    x = jax.ShapeDtypeStruct((1, 36, 36, 128), jnp.float32)
    lowered = jax.jit(translate).lower(x, shapes)
    taken = [
        lowered.compile(compiler_options=told).memory_analysis().temp_size_in_bytes
        for told in ({}, forward_options(jax.devices()[0]))
    ]
    assert taken[1] < 0.6 * taken[0]


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


def test_an_xla_that_does_not_know_the_options_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    _knows_forward_options.cache_clear()
    monkeypatch.setattr(runtime, "FORWARD_ON_CPU", {"xla_cpu_of_another_year": "YES"})
    assert forward_options(jax.devices("cpu")[0]) == {}
    monkeypatch.undo()
    _knows_forward_options.cache_clear()
    assert forward_options(jax.devices("cpu")[0]) == FORWARD_ON_CPU


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="Linux's")
def test_what_was_compiled_for_one_core_is_not_found_with_two() -> None:
    cores = os.sched_getaffinity(0)
    if len(cores) < 2:
        pytest.skip("there is one core")
    of_all = compiled_dir()
    os.sched_setaffinity(0, {min(cores)})
    try:
        assert compiled_dir() != of_all
    finally:
        os.sched_setaffinity(0, cores)
    assert compiled_dir() == of_all
