"""What a step costs, without a clock: its products by hand, and how often it is compiled."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import pytest
from jax import monitoring
from ml_collections import ConfigDict
from steps import creator, plain_step

from ugatit_jax.models import Generator
from ugatit_jax.planning.flops import count_traced, find_products
from ugatit_jax.training import loop

MakeConfig = Callable[[], ConfigDict]


class Layer(NamedTuple):
    """A convolution, or a dense layer as one of a pixel; all sides are squares'."""

    kernel: int
    inputs: int
    outputs: int
    side: int  # of the result, px

    @property
    def flops(self) -> int:
        return 2 * self.weights * self.side**2

    @property
    def weights(self) -> int:
        return self.kernel**2 * self.inputs * self.outputs


# Tables 4 to 6 of the paper at 32 px, with width 4, a residual block on each side, a local
# discriminator of 3 layers and a global one of 4.
GENERATOR = [
    Layer(7, 3, 4, 32),
    Layer(3, 4, 8, 16),
    Layer(3, 8, 16, 8),
    *[Layer(3, 16, 16, 8)] * 2,  # encoder
    Layer(1, 32, 16, 8),  # attention
    *[Layer(1, 16, 16, 1)] * 4,  # two hidden layers, gamma, beta
    *[Layer(3, 16, 16, 8)] * 2,  # decoder
    Layer(3, 16, 8, 16),
    Layer(3, 8, 4, 32),
    Layer(7, 4, 3, 32),
]
LOCAL = [Layer(4, 3, 4, 16), Layer(4, 4, 8, 15), Layer(1, 16, 8, 15), Layer(4, 8, 1, 14)]
GLOBAL = [
    Layer(4, 3, 4, 16),
    Layer(4, 4, 8, 8),
    Layer(4, 8, 16, 7),
    Layer(1, 32, 16, 7),
    Layer(4, 16, 1, 6),
]
DOMAINS = WAYS = 2


def flops(layers: list[Layer]) -> int:
    return sum(layer.flops for layer in layers)


def of_generators(pictures: int) -> int:
    # A generator sees both domains' pictures, and the other one's fakes for the cycle. Each pass
    # has a forward, a gradient of the kernels and one of the inputs, but for the first layer where
    # that is of pictures from files.
    passes = 3 * pictures * 3 * flops(GENERATOR)
    return WAYS * (passes - 2 * pictures * GENERATOR[0].flops)


def of_discriminators(pictures: int) -> int:
    # For its own move real and fake pictures, none of which needs a gradient; for the generators'
    # move fakes, and no gradients of kernels.
    own = 2 * (3 * (flops(LOCAL) + flops(GLOBAL)) - LOCAL[0].flops - GLOBAL[0].flops)
    return DOMAINS * pictures * (own + 2 * (flops(LOCAL) + flops(GLOBAL)))


def of_spectral_norm(parts: int) -> int:
    # The attention's convolution has none. A player's move: two products for the iteration. A part
    # of the batch: u·Wv of each player, and the gradient of one.
    weights = sum(layer.weights for layer in LOCAL + GLOBAL if layer.kernel > 1)
    return DOMAINS * 2 * weights * (2 * 2 + parts * (2 + 1))


def trace(config: ConfigDict, pictures: int) -> jax.stages.Traced:
    state = jax.eval_shape(creator(config))
    shape = jax.ShapeDtypeStruct((pictures, 32, 32, 3), jnp.uint8)
    return jax.jit(plain_step(config)).trace(state, {"a": shape, "b": shape})


@pytest.mark.parametrize("parts", [1, 2])
def test_a_step_has_the_products_that_the_paper_asks_for(
    tiny_config: MakeConfig, parts: int
) -> None:
    pictures, config = 2, tiny_config()
    config.train.batch_size, config.train.accumulate = pictures, parts
    expected = of_generators(pictures) + of_discriminators(pictures) + of_spectral_norm(parts)
    if parts > 1:  # no first pass is kept: the discriminators' move has its own
        expected += WAYS * 2 * pictures * flops(GENERATOR)
    # Not in the table: the class logits, and the last products with singular vectors.
    assert count_traced(trace(config, pictures)) == pytest.approx(expected, rel=1e-4)


def test_more_residual_blocks_are_more_rounds_of_a_loop() -> None:
    x, products = jnp.zeros((1, 32, 32, 3)), {}
    for blocks in (2, 5):
        generator = Generator(base_width=4, residual_blocks=blocks, light=True)
        params = jax.eval_shape(generator.init, jax.random.key(0), x)
        products[blocks] = list(find_products(jax.make_jaxpr(generator.apply)(params, x).jaxpr))
    assert len(products[2]) == len(products[5])  # that many are compiled, but not on a CPU's mesh
    work = {blocks: sum(x.times * x.flops for x in found) for blocks, found in products.items()}
    of_block = 2 * 2 * Layer(3, 16, 16, 8).flops  # in the encoder and in the decoder
    assert work[5] - work[2] == pytest.approx(3 * of_block)


class Programs(NamedTuple):
    """Names of programs as JAX asks for them, and what it did to have them."""

    names: list[str]
    events: list[str]


@pytest.fixture
def programs() -> Iterator[Programs]:
    found = Programs([], [])

    def listen_for_times(event: str, duration: float, **about: Any) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            found.names.append(about["fun_name"])

    def listen(event: str, **about: Any) -> None:
        found.events.append(event)

    monitoring.register_event_duration_secs_listener(listen_for_times)
    monitoring.register_event_listener(listen)
    yield found
    monitoring.unregister_event_duration_listener(listen_for_times)
    monitoring.unregister_event_listener(listen)


@pytest.mark.slow  # it prepares two training steps for the compiler
def test_a_run_compiles_its_step_once_and_nothing_between_steps(
    tiny_config: MakeConfig,
    programs: Programs,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config, workdir = tiny_config(), tmp_path / "run"
    config.samples.every, config.checkpoint.every = 0, 3
    config.checkpoint.keep_every = 0
    after: dict[int, list[str]] = {}
    advance = loop.Log.advance

    def note(log: loop.Log, step: int, *args: Any, **kwargs: Any) -> None:
        advance(log, step, *args, **kwargs)
        after[step] = list(programs.names)

    monkeypatch.setattr(loop.Log, "advance", note)
    assert loop.train(config, workdir) == 4
    assert programs.names.count("jit(step)") == 1
    assert after[1] == after[2] == after[3]  # step 3 is then saved

    # A run that goes on in the same process asks for it again, and has it from the cache.
    shutil.rmtree(workdir / "checkpoints" / "4")
    programs.names.clear(), programs.events.clear()
    assert loop.train(config, workdir) == 4
    assert programs.names.count("jit(step)") == 1
    assert "/jax/compilation_cache/cache_hits" in programs.events
    assert "/jax/compilation_cache/cache_misses" not in programs.events
