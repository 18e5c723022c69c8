"""What tests that compile for TPUs need."""

import importlib.util
from collections.abc import Iterator

import jax
import pytest
from jax.experimental.compilation_cache.compilation_cache import reset_cache


@pytest.fixture
def world_of_libtpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No flags that only CPUs' XLA knows, nor a cache of what cannot be loaded here."""
    if importlib.util.find_spec("libtpu") is None:
        pytest.skip("libtpu is not installed")
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    before = jax.config.jax_enable_compilation_cache
    jax.config.update("jax_enable_compilation_cache", False)
    reset_cache()  # it looks at the setting once
    yield
    jax.config.update("jax_enable_compilation_cache", before)
    reset_cache()
