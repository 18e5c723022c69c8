"""The rows of the paper's ablation: what their networks have, what they learn, what they refuse."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from flax.traverse_util import flatten_dict
from ml_collections import ConfigDict
from steps import creator, plain_step

from ugatit_jax import translate
from ugatit_jax.config.checks import check_config
from ugatit_jax.config.fields import get_config
from ugatit_jax.config.flags import load_experiment
from ugatit_jax.console.errors import InputError
from ugatit_jax.inference.attention_maps import DiscriminatorAttention
from ugatit_jax.inference.exporting import export_run
from ugatit_jax.inference.translator import Translator
from ugatit_jax.interop.export_weights import export_weights
from ugatit_jax.interop.import_weights import write_run
from ugatit_jax.interop.weights import Weights
from ugatit_jax.methods import build_method
from ugatit_jax.methods.method import shapes
from ugatit_jax.methods.ugatit_fields import ABLATION
from ugatit_jax.planning.chips import TPUS
from ugatit_jax.planning.search import candidates
from ugatit_jax.planning.topology import Target
from ugatit_jax.training.initial import read_initial

ROOT = Path(__file__).parents[2]
WITHOUT_G, WITHOUT_D = ("no_cam", "discriminator_cam"), ("no_cam", "generator_cam")
NOT_ADAPTIVE = ("in", "ln", "gn")
Make = Callable[[], ConfigDict]


def of_row(config: ConfigDict, *rows: str) -> ConfigDict:
    for row in rows:
        config.update_from_flattened_dict(ABLATION[row])
    return config


def names(tree: Any) -> set[str]:
    return set(flatten_dict(tree, sep="/"))


@pytest.mark.parametrize("row", ABLATION)
def test_a_row_has_the_parameters_that_it_needs_and_no_others(row: str, tiny_config: Make) -> None:
    config = tiny_config()
    config.model.light = False
    params, other = shapes(build_method(config))
    expected, spectral = names(params), names(other)
    if row in (*NOT_ADAPTIVE, "adain"):
        expected = {name for name in expected if not name.endswith("/rho")}
    if row in NOT_ADAPTIVE:
        expected = {name for name in expected if "/mlp/" not in name}
        expected |= {
            f"generators/{way}/decoder_0/norm_{i}/{parameter}"
            for way in ("a2b", "b2a")
            for i in (0, 1)
            for parameter in ("gamma", "beta")
        }
    for without, group in ((WITHOUT_G, "generators"), (WITHOUT_D, "discriminators")):
        if row in without:
            expected = {n for n in expected if not (n.startswith(group) and "/cam/" in n)}
    if row in WITHOUT_D:
        spectral = {name for name in spectral if "/cam/" not in name}
    method = build_method(of_row(config, row))
    found, moving = shapes(method)
    assert (names(found), names(moving)) == (expected, spectral)
    assert method.any_size == (row in NOT_ADAPTIVE) == (not method.split)
    assert method.looks == (() if row in WITHOUT_G else ("attention",))
    assert len(method.judges) == (0 if row in WITHOUT_D else 2)


def test_the_size_of_a_generator_that_does_not_adapt() -> None:
    method: Any = build_method(get_config("in"))
    found = jax.eval_shape(method.generator.init, jax.random.key(0), jnp.zeros((1, 256, 256, 3)))
    dense = 64 * 64 * 256 * 256 + 3 * 256 * 256
    rho_of_blocks, rho_of_upsampling = 8 * 256, 128 + 64
    learned = 2 * rho_of_blocks
    assert sum(x.size for x in jax.tree.leaves(found)) == (
        278_959_808 - dense - rho_of_blocks - rho_of_upsampling + learned
    )


@pytest.mark.parametrize(
    "rows",
    [
        ("gn", "no_cam"),
        pytest.param(("adain", "discriminator_cam"), marks=pytest.mark.thorough),
    ],
    ids=" ".join,
)
def test_a_row_learns_with_all_that_it_has(rows: tuple[str, ...], tiny_config: Make) -> None:
    config = of_row(tiny_config(), *rows)
    config.train.batch_size, config.train.weight_decay = 2, 0.0
    batch = {d: np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8) for d in "ab"}
    state = first = jax.jit(creator(config))()
    step, totals = jax.jit(plain_step(config)), []
    for _ in range(3):
        state, metrics = step(state, batch)
        assert all(np.isfinite(value) for value in metrics.values())
        totals.append(metrics["generator/identity"])
    assert totals[2] < totals[0]  # on the same pictures again and again
    assert_terms(metrics, rows[1])
    still = jax.tree.map(lambda a, b: bool((a == b).all()), first.params, state.params)
    assert [name for name, same in flatten_dict(still, sep="/").items() if same] == []


def assert_terms(metrics: dict[str, Any], row: str) -> None:
    """Assert that there are terms of class attention for those networks that have it."""
    said = [name for name in metrics if "cam" in name]
    assert any(name.startswith("generator/cam") for name in said) == (row not in WITHOUT_G)
    assert any("/cam_local_a" in name for name in said) == (row not in WITHOUT_D)


# Its penalty is the one more place that asks for the classifiers' logits.
@pytest.mark.parametrize("row", ["generator_cam"])
def test_a_row_has_the_terms_of_its_networks(row: str, tiny_config: Make) -> None:
    config = of_row(tiny_config(), row)
    config.loss.kind = "dragan"
    picture = jax.ShapeDtypeStruct((2, 32, 32, 3), jnp.uint8)
    state = jax.eval_shape(creator(config))
    after, metrics = jax.eval_shape(plain_step(config), state, {"a": picture, "b": picture})
    assert jax.tree.map(jnp.shape, after) == jax.tree.map(jnp.shape, state)
    assert_terms(metrics, row)
    assert "discriminator/penalty/local_a" in metrics


@pytest.fixture(scope="module")
def untrained(tiny_config: Make, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of networks that neither adapt nor attend, as they are at first."""
    config = of_row(tiny_config(), "gn", "no_cam")
    params, other = jax.jit(build_method(config).init)(jax.random.key(0))
    folder = tmp_path_factory.mktemp("untrained") / "run"
    write_run(folder, Weights(config, 0, params, other, None))
    return folder


def test_attention_that_is_not_there_is_told(
    untrained: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [str(untrained), str(pictures / "testA"), f"--out={tmp_path / 'out'}", "--attention"]
    with pytest.raises(SystemExit):
        translate.main(command)
    said = capsys.readouterr().err.strip().splitlines()
    assert said == ["error: these generators have no attention to show: leave out --attention"]
    with pytest.raises(InputError, match="these discriminators have no attention to show"):
        DiscriminatorAttention.load(untrained, "b")


def test_what_the_authors_networks_do_not_have_is_told(
    untrained: Path, tiny_config: Make, tmp_path: Path
) -> None:
    with pytest.raises(InputError) as error:
        export_weights(untrained, tmp_path / "x.pt")
    assert str(error.value) == (
        f"{untrained} has config.model.decoder_norm = gn; the authors' PyTorch implementation "
        "knows adalin only"
    )
    config = of_row(tiny_config(), "gn")
    config.init_from = str(untrained)
    with pytest.raises(InputError, match=r"cam/.* is absent there .*config.model.cam was 'none'"):
        read_initial(config, build_method(config))


def test_an_export_translates_without_attention(untrained: Path, tmp_path: Path) -> None:
    export_run(untrained, tmp_path / "export")
    program = jax.export.deserialize((tmp_path / "export" / "generator.stablehlo").read_bytes())
    weights = safetensors.numpy.load_file(tmp_path / "export" / "a2b.safetensors")
    assert not [name for name in weights if "cam" in name or "mlp" in name]
    pictures = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), np.uint8)
    expected = np.asarray(jax.jit(program.call)(weights, pictures)).astype(int)
    found = Translator.load(untrained).details(pictures[0])
    assert expected.std() > 1 and found.looks == {}
    np.testing.assert_allclose(found.picture, expected[0], atol=1)


def test_a_plan_offers_light_generators_where_they_are_lighter() -> None:
    target = Target("v5e:2x2", 1, [None] * 4, TPUS["v5e"])
    for variant, offered in (("", True), ("adain", True), ("in", False), ("light", False)):
        config = get_config(variant)
        config.train.batch_size = 4
        found = list(candidates(config, target, state_fits=True))
        assert any("model.light" in changes for changes in found) == offered, variant


@pytest.mark.parametrize("row", ABLATION)
def test_the_config_of_a_row_differs_in_that_row_alone(row: str) -> None:
    first = load_experiment(f"{ROOT / 'configs' / 'ablation.py'}").to_dict()
    config = load_experiment(f"{ROOT / 'configs' / 'ablation.py'}:{row}").to_dict()
    for field, value in ABLATION[row].items():
        section, _, name = field.partition(".")
        assert config[section][name] == value
        first[section][name] = value
    assert config == first and config["loss"]["cam"] == 1000


def test_what_the_mlp_sees_has_to_fit_the_map() -> None:
    config = get_config("light")
    config.model.mlp_pool = 8
    method: Any = check_config(config, 1)
    assert method.generator.mlp_pool == 8 and not method.any_size and not method.split
    found, _ = shapes(method)
    assert found["generators"]["a2b"]["mlp"]["fc_0"]["kernel"].shape == (8 * 8 * 256, 256)
    config.model.mlp_pool = 3
    with pytest.raises(InputError, match=r"mlp_pool is 3, which does not divide .* 64 and 64: "):
        check_config(config, 1)
    config.model.mlp_pool, config.model.light = 8, False
    with pytest.raises(InputError, match=r"full generators see the whole map; say --config.model."):
        check_config(config, 1)
