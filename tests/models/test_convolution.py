"""Every form of a convolution gives the same as XLA's own: values, gradients, and theirs."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ugatit_jax.models import REMAT, Generator, convolution, winograd
from ugatit_jax.models.convolution import Form
from ugatit_jax.planning.flops import count_traced

Shape = tuple[int, ...]


def plain(stride: int) -> Form:
    return functools.partial(convolution.convolve_plainly, stride=stride)


def convolved(stride: int) -> Form:
    return functools.partial(convolution.convolve, stride=stride)


TILES_4 = functools.partial(winograd.convolve_tiles, tile=4)
TILES_3 = functools.partial(winograd.convolve_tiles, tile=3)
PATCHES = functools.partial(functools.partial, convolution.convolve_patches)
# Sides that tiles and blocks do not fill, single rows, few and many channels.
CASES: list[tuple[str, Form, Form, Shape, Shape]] = [
    ("patches", PATCHES(stride=1), plain(1), (2, 11, 14, 3), (4, 4, 3, 5)),
    ("patches, stride 2", PATCHES(stride=2), plain(2), (2, 11, 14, 3), (4, 4, 3, 5)),
    ("tiles of 4", TILES_4, plain(1), (2, 11, 14, 5), (3, 3, 5, 6)),
    ("tiles of 3", TILES_3, plain(1), (2, 11, 15, 5), (4, 4, 5, 6)),
    ("by two, odd", convolution.convolve_by_two, plain(2), (2, 11, 14, 5), (4, 4, 5, 6)),
    ("by two, of 3", convolution.convolve_by_two, plain(2), (2, 10, 13, 5), (3, 3, 5, 6)),
    ("blocks, widening", convolution.convolve_blocks, plain(1), (2, 18, 22, 3), (7, 7, 3, 6)),
    ("blocks, narrowing", convolution.convolve_blocks, plain(1), (2, 18, 22, 6), (7, 7, 6, 3)),
    (
        "doubled",
        winograd.convolve_doubled,
        convolution.double_plainly,
        (2, 5, 4, 5),
        (3, 3, 5, 3),
    ),
    (
        "doubled row",
        winograd.convolve_doubled,
        convolution.double_plainly,
        (2, 1, 4, 5),
        (3, 3, 5, 3),
    ),
    (
        "chosen, doubled",
        convolution.upsample_and_convolve,
        convolution.double_plainly,
        (1, 4, 6, 8),
        (3, 3, 8, 4),
    ),
    ("chosen, residual", convolved(1), plain(1), (1, 18, 22, 32), (3, 3, 32, 32)),
    ("chosen, odd 7×7", convolved(1), plain(1), (1, 19, 22, 3), (7, 7, 3, 8)),
    ("chosen, to_rgb", convolved(1), plain(1), (1, 22, 26, 8), (7, 7, 8, 3)),
    ("chosen, judge", convolved(2), plain(2), (1, 34, 36, 3), (4, 4, 3, 8)),
    ("chosen, judge, small", convolved(2), plain(2), (1, 10, 10, 8), (4, 4, 8, 8)),
    ("chosen, judge, stride 1", convolved(1), plain(1), (1, 18, 18, 8), (4, 4, 8, 8)),
    ("chosen, logit", convolved(1), plain(1), (1, 8, 8, 8), (4, 4, 8, 1)),
    ("chosen, down", convolved(2), plain(2), (1, 34, 34, 4), (3, 3, 4, 8)),
]


def arguments(x_shape: Shape, kernel_shape: Shape) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=x_shape), rng.normal(size=kernel_shape)


def results(form: Form, x: jax.Array, kernel: jax.Array, penalty: bool) -> list[jax.Array]:
    """The convolution, its gradients, and those of a gradient's length, as penalties need them."""

    def total(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return jnp.sin(form(x, kernel)).sum()

    def length(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return jnp.square(jax.grad(total)(x, kernel)).sum()

    found = [form(x, kernel), *jax.grad(total, (0, 1))(x, kernel)]
    return found + list(jax.grad(length, (0, 1))(x, kernel)) if penalty else found


@pytest.mark.parametrize(
    ("form", "expected", "x_shape", "kernel_shape"),
    [case[1:] for case in CASES],
    ids=[case[0] for case in CASES],
)
def test_a_form_gives_the_same_and_so_do_its_derivatives(
    form: Form, expected: Form, x_shape: Shape, kernel_shape: Shape
) -> None:
    x, kernel = arguments(x_shape, kernel_shape)
    with jax.enable_x64(True):
        compute = jax.jit(results, static_argnums=(0, 3))
        exact = compute(expected, jnp.asarray(x), jnp.asarray(kernel), True)
        for ours, theirs in zip(
            compute(form, jnp.asarray(x), jnp.asarray(kernel), True), exact, strict=True
        ):
            assert ours.shape == theirs.shape
            np.testing.assert_allclose(ours, theirs, atol=1e-10 * np.abs(theirs).max())
    for dtype, tolerance in ((jnp.float32, 1e-5), (jnp.bfloat16, 0.05)):
        rounded = [jnp.asarray(array, dtype) for array in (x, kernel)]
        value = jax.jit(form)(*rounded)
        assert value.dtype == dtype
        same = jax.jit(expected)(*(array.astype(jnp.float32) for array in rounded))
        difference = np.abs(value.astype(jnp.float32) - same).max()
        assert difference < tolerance * np.abs(same).max(), dtype


@pytest.mark.parametrize("tile, taps", [(4, 3), (3, 4), (2, 3)])
def test_transforms_are_those_of_a_correlation(tile: int, taps: int) -> None:
    t = winograd.transforms(tile, taps)
    rng = np.random.default_rng(0)
    x, kernel = rng.normal(size=tile + taps - 1), rng.normal(size=taps)
    ours = t.out @ ((t.kernel @ kernel) * (t.data @ x))
    np.testing.assert_allclose(ours, np.correlate(x, kernel, "valid"), atol=1e-12)


@pytest.mark.parametrize(
    ("stride", "kernel_shape"), [(1, (3, 3, 8, 8)), (2, (4, 4, 8, 8)), (1, (7, 7, 3, 8))]
)
def test_float32_is_not_rounded_on_any_device(stride: int, kernel_shape: Shape) -> None:
    """On a TPU float32 operands are rounded to bfloat16 unless the program says otherwise."""
    x = jax.ShapeDtypeStruct((1, 18, 18, kernel_shape[2]), jnp.float32)
    kernel = jax.ShapeDtypeStruct(kernel_shape, jnp.float32)
    exported = jax.export.export(
        jax.jit(jax.grad(lambda x, k: convolved(stride)(x, k).sum(), (0, 1))), platforms=["tpu"]
    )(x, kernel)
    text = exported.mlir_module()
    products = [line for line in text.splitlines() if "stablehlo.convolution" in line]
    assert len(products) == 2 and all("precision HIGHEST" in line for line in products)


CHOSEN: list[tuple[Form, Form, Shape, Shape]] = [
    (convolved(1), plain(1), (2, 34, 34, 64), (3, 3, 64, 64)),
    (convolved(1), plain(1), (2, 18, 18, 64), (4, 4, 64, 64)),
    (convolved(2), plain(2), (2, 34, 34, 32), (4, 4, 32, 64)),
    (convolved(1), plain(1), (2, 38, 38, 32), (7, 7, 32, 3)),
    (convolved(1), plain(1), (2, 38, 38, 3), (7, 7, 3, 32)),
    (
        convolution.upsample_and_convolve,
        convolution.double_plainly,
        (2, 16, 16, 64),
        (3, 3, 64, 32),
    ),
]
of_chosen = pytest.mark.parametrize(("form", "expected", "x_shape", "kernel_shape"), CHOSEN)


def shapes(*all_of_them: Shape) -> list[jax.ShapeDtypeStruct]:
    return [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in all_of_them]


@of_chosen
def test_bfloat16_is_as_exact_as_plainly(
    form: Form, expected: Form, x_shape: Shape, kernel_shape: Shape
) -> None:
    rounded = [jnp.asarray(a, jnp.bfloat16) for a in arguments(x_shape, kernel_shape)]
    exact = jax.jit(expected)(*(a.astype(jnp.float32) for a in rounded))

    def error(form: Form) -> jax.Array:
        return jnp.linalg.norm(jax.jit(form)(*rounded).astype(jnp.float32) - exact)

    assert error(form) < 1.1 * error(expected)


@of_chosen
def test_rematerialisation_keeps_the_convolution_and_nothing_else(
    form: Form, expected: Form, x_shape: Shape, kernel_shape: Shape
) -> None:
    def kept(form: Form) -> list[Shape]:
        network = jax.checkpoint(lambda x, k: jnp.sin(form(x, k)), policy=REMAT["convolutions"])
        pull_back = jax.eval_shape(
            lambda x, k: jax.vjp(network, x, k)[1], *shapes(x_shape, kernel_shape)
        )
        return sorted(x.shape for x in jax.tree.leaves(pull_back))

    assert kept(form) == kept(expected)
    assert len(kept(form)) == 3  # x, the kernel, and what the convolution returned


@of_chosen
def test_the_forms_of_a_cpu_are_not_in_the_count_of_flops(
    form: Form, expected: Form, x_shape: Shape, kernel_shape: Shape
) -> None:
    def flops(form: Form) -> float:
        gradient = jax.grad(lambda x, k: jnp.square(form(x, k)).sum(), (0, 1))
        return count_traced(jax.jit(gradient).trace(*shapes(x_shape, kernel_shape)))

    assert flops(form) == flops(expected)


@of_chosen
def test_a_program_for_any_number_of_pictures_can_be_exported(
    form: Form, expected: Form, x_shape: Shape, kernel_shape: Shape
) -> None:
    batch = jax.export.symbolic_shape("batch")
    program = jax.export.export(jax.jit(form), platforms=("cpu", "cuda", "tpu"))(
        *shapes((*batch, *x_shape[1:]), kernel_shape)
    )
    x, kernel = (a.astype(np.float32) for a in arguments((3, *x_shape[1:]), kernel_shape))
    theirs = jax.jit(expected)(x, kernel)
    np.testing.assert_allclose(program.call(x, kernel), theirs, atol=1e-5 * np.abs(theirs).max())


def test_a_float32_generator_rounds_nothing_on_a_tpu() -> None:
    generator = Generator(base_width=4, residual_blocks=1, light=True)
    x = jax.ShapeDtypeStruct((1, 16, 16, 3), jnp.float32)
    params = jax.eval_shape(generator.init, jax.random.key(0), x)
    text = jax.export.export(jax.jit(generator.apply), platforms=["tpu"])(params, x).mlir_module()
    products = re.findall(r"stablehlo\.(?:convolution|dot_general).*", text)
    assert len(products) > 10 and all("HIGHEST" in line for line in products)
