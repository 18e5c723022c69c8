"""U-GAT-IT (Kim et al., ICLR 2020; section 2 of the paper).

    min_G max_D  lambda_1 L_gan + lambda_2 L_cycle + lambda_3 L_identity + lambda_4 L_cam

The discriminators of both domains move first, then both generators, on the same batch.
"""

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple, Self, cast

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike
from ml_collections import ConfigDict

from ugatit_jax.methods import losses, rho, ugatit_checks, ugatit_fields
from ugatit_jax.methods.interleaving import deinterleave, interleave
from ugatit_jax.methods.losses import weighted_sum
from ugatit_jax.methods.method import Batch, Context, Method, Params, Player, Terms
from ugatit_jax.models import (
    INITIALIZERS,
    Discriminator,
    Finish,
    Generator,
    Judgement,
    Translation,
    compute_dtype,
    minimum_size,
    power_iteration,
    rematerialized,
    translate,
)

SCALES = ("local", "global")


class FirstPass(NamedTuple):
    """Both generators on both domains."""

    fake_a: Translation
    fake_b: Translation
    identity_a: Translation
    identity_b: Translation


@dataclass(frozen=True)
class UGATIT(Method):
    """The networks, without parameters, and the weights of the objective's terms.

    Groups: 'generators' {'a2b', 'b2a'}; 'discriminators' {'a', 'b'}: {'local', 'global'}, 'a' of
    those that judge domain A. Beside them moves 'spectral', the discriminators' singular vectors.
    """

    generator: Generator
    discriminators: dict[str, Discriminator]
    weights: ConfigDict  # the config's section `loss`
    image_size: tuple[int, int]
    finish: Finish  # of translations, when it translates

    carried = ("spectral",)
    returning = ("generator/cycle/a", "generator/cycle/b")
    shown = MappingProxyType(
        {
            "D": "discriminator/adversarial",
            "G": "generator/adversarial",
            "cycle": "generator/cycle",
            "identity": "generator/identity",
            "cam": "generator/cam",
        }
    )

    # --- The method in a config -------------------------------------------------------------------

    @classmethod
    def check(cls, config: ConfigDict) -> None:
        """Raise `InputError` for the first field whose value cannot work."""
        ugatit_checks.check(config)

    @classmethod
    def architecture(cls, config: ConfigDict) -> set[str]:
        """Return the fields that decide the shapes and the meaning of the parameters."""
        return ugatit_checks.architecture(config.model)

    @classmethod
    def from_config(cls, config: ConfigDict, mapped: bool = False) -> Self:
        """Return the method that a (checked) config describes; see `Method`."""
        model, remat = config.model, config.train.remat
        common: dict[str, Any] = {
            "base_width": model.base_width,
            "conventions": ugatit_checks.conventions_of(model),
            "kernel_init": INITIALIZERS[model.initializer],
            "dtype": compute_dtype(config.dtype),
        }
        generator = rematerialized(Generator, remat)(
            residual_blocks=model.residual_blocks,
            light=model.light,
            mlp_pool=model.mlp_pool,
            skip=model.skip,
            split_over="model" if mapped else None,
            **common,
        )
        discriminators = {
            scale: rematerialized(Discriminator, remat)(layers=model[f"{scale}_layers"], **common)
            for scale in SCALES
        }
        height, width = config.data.image_size
        return cls(
            generator,
            discriminators,
            config.loss,
            (height, width),
            Finish(model.shifts, model.flatten, model.soft_threshold),
        )

    @property
    def any_size(self) -> bool:  # type: ignore[override]
        """The first dense layer of full generators follows the size; light ones take any.

        Unless it sees more than one mean: where these lie is then part of what it learned.
        """
        return self.generator.any_size

    @property
    def lighter(self) -> dict[str, Any]:  # type: ignore[override]
        """Light generators, where there is a first dense layer to do without."""
        return ugatit_fields.VARIANTS["light"] if self.generator.full else {}

    @property
    def shifts(self) -> int:  # type: ignore[override]
        """The field `model.shifts`."""
        return self.finish.shifts

    @property
    def looks(self) -> tuple[str, ...]:  # type: ignore[override]
        """The heat map of generators with class attention."""
        return ("attention",) if self.generator.conventions.generator_attends else ()

    @property
    def judges(self) -> tuple[str, ...]:  # type: ignore[override]
        """The heat maps of discriminators with class attention."""
        attend = self.generator.conventions.discriminator_attends
        return tuple(f"{scale} discriminator" for scale in SCALES) if attend else ()

    @property
    def smallest_judged(self) -> int:  # type: ignore[override]
        """The side in px of the smallest picture that both discriminators take."""
        return minimum_size(max(network.layers for network in self.discriminators.values()))

    @property
    def dtype(self) -> DTypeLike:  # type: ignore[override]
        """What the networks compute in."""
        return self.generator.dtype

    # --- Parameters, and how they move ------------------------------------------------------------

    def init(self, key: Array) -> tuple[Params, dict[str, Any]]:
        """Draw all networks' parameters and singular vectors."""
        picture = jnp.zeros((1, *self.image_size, 3))
        keys = iter(jax.random.split(key, 6))
        generators = {
            way: self.generator.init(next(keys), picture)["params"] for way in self.directions
        }
        variables = {
            domain: {s: self.discriminators[s].init(next(keys), picture) for s in SCALES}
            for domain in ("a", "b")
        }
        discriminators, spectral = (
            {
                domain: {scale: both[scale].get(collection, {}) for scale in SCALES}
                for domain, both in variables.items()
            }
            for collection in ("params", "spectral")
        )
        params = {"generators": generators, "discriminators": discriminators}
        # Random vectors say nothing of the kernels yet: one iteration makes sigma an estimate.
        return params, self.refresh("", params, {"spectral": spectral})

    def players(self, phase: str) -> tuple[Player, ...]:
        """Return the discriminators, then the generators."""
        return (
            Player("discriminator", ("discriminators",), self.discriminator_loss),
            Player("generator", ("generators",), self.generator_loss, through=True),
        )

    def refresh(self, player: str, params: Params, other: Any) -> Any:
        """Do one power iteration of every spectrally normalised layer."""
        discriminators, spectral = params["discriminators"], other["spectral"]
        return {
            "spectral": {
                d: {s: power_iteration(discriminators[d][s], spectral[d][s]) for s in SCALES}
                for d in spectral
            }
        }

    def project(self, group: str, params: Any) -> Any:
        """Clip every rho to [0, 1]."""
        return rho.clip(params) if group == "generators" else params

    @property
    def split(self) -> dict[tuple[str, ...], int]:
        """The first dense layer of full generators, which has 96 % of their weights."""
        if not self.generator.full:
            return {}
        height, width = self.image_size
        rows = height // 4 * (width // 4) * 4 * self.generator.base_width
        return {("generators", way, "mlp", "fc_0", "kernel"): rows for way in self.directions}

    # --- The objective ----------------------------------------------------------------------------

    def first(self, params: Params, batch: Batch, noise: Any) -> FirstPass:
        """Translate both domains with both generators, each one's two batches in one call.

        Both players need the translations, and the second one needs their gradient. Computed in
        each of them, they make a step's FLOPs 14 % more: XLA does not see that they are the same.
        """
        real_a, real_b, generators = batch["a"], batch["b"], params["generators"]
        fake_b, identity_b = deinterleave(
            self.generate(generators["a2b"], interleave(real_a, real_b))
        )
        fake_a, identity_a = deinterleave(
            self.generate(generators["b2a"], interleave(real_b, real_a))
        )
        return FirstPass(fake_a, fake_b, identity_a, identity_b)

    def draw(self, key: Array, batch: Batch) -> Any:
        """Draw what `losses.penalty_pictures` needs, by domain; nothing without a penalty."""
        if losses.KINDS[self.weights.kind].penalty is None:
            return {}
        noise = {}
        for i, domain in enumerate(("a", "b")):
            of_alpha, of_epsilon = jax.random.split(jax.random.fold_in(key, i))
            pictures = batch[domain]
            one_each = (len(pictures), 1, 1, 1)
            noise[domain] = {
                "alpha": jax.random.uniform(of_alpha, one_each),
                "epsilon": jax.random.uniform(of_epsilon, pictures.shape),
                "deviation": jnp.broadcast_to(pictures.std(), one_each),
            }
        return noise

    def discriminator_loss(
        self, params: Params, first: FirstPass, context: Context
    ) -> tuple[Array, Terms]:
        """Return lambda_1 times the adversarial term as discriminators see it, and its parts."""
        kind, spectral = losses.KINDS[self.weights.kind], context.other["spectral"]
        discriminators = params["discriminators"]
        fakes = {"a": first.fake_a.image, "b": first.fake_b.image}
        parts: Terms = {}
        penalties: Terms = {}
        for domain, real_pictures in context.batch.items():
            pictures = interleave(real_pictures, fakes[domain])
            real, fake = deinterleave(self.judge_scales(discriminators, spectral, pictures, domain))
            of_real = adversarial_terms(kind.discriminator, real, 1)
            of_fake = adversarial_terms(kind.discriminator, fake, 0)
            for name in of_real:
                parts[f"{name}_{domain}"] = of_real[name] + of_fake[name]
            if kind.penalty is None:
                continue
            pictures = losses.penalty_pictures(
                real_pictures, fakes[domain], **context.noise[domain], near_real=kind.near_real
            )
            terms = self.penalty_terms(discriminators, spectral, kind.penalty, pictures, domain)
            penalties |= {f"{name}_{domain}": term for name, term in terms.items()}
        by_term = {"adversarial": parts} | ({"penalty": penalties} if penalties else {})
        adversarial = self.weights.adversarial
        penalty = adversarial * self.weights.penalty
        return weighted_sum(by_term, {"adversarial": adversarial, "penalty": penalty})

    def generator_loss(
        self, params: Params, first: FirstPass, context: Context
    ) -> tuple[Array, Terms]:
        """Return lambda_1 L_gan + lambda_2 L_cycle + lambda_3 L_identity + lambda_4 L_cam.

        And the four terms, with their parts, by name.
        """
        generators, batch = params["generators"], context.batch
        cycle_a = self.generate(generators["b2a"], first.fake_b.image).image
        cycle_b = self.generate(generators["a2b"], first.fake_a.image).image
        kind = losses.KINDS[self.weights.kind]
        adversarial = {}
        for domain, fake in (("a", first.fake_a), ("b", first.fake_b)):
            judgements = self.judge_scales(
                params["discriminators"], context.other["spectral"], fake.image, domain
            )
            for name, term in adversarial_terms(kind.generator, judgements, 1).items():
                adversarial[f"{name}_{domain}"] = term
        parts = {
            "adversarial": adversarial,
            "cycle": {
                "a": losses.cycle(cycle_a, batch["a"]),
                "b": losses.cycle(cycle_b, batch["b"]),
            },
            "identity": {
                "a": losses.identity(first.identity_a.image, batch["a"]),
                "b": losses.identity(first.identity_b.image, batch["b"]),
            },
        } | cam_terms(first)
        return weighted_sum(parts, {term: self.weights[term] for term in parts})

    def penalty_terms(
        self,
        discriminators: Any,
        spectral: Any,
        penalty: Callable[[Array], Array],
        pictures: Array,
        domain: str,
    ) -> Terms:
        """Return the gradient penalty of patch and CAM logits at some pictures, by scale."""

        def total(pictures: Array, scale: str, head: str) -> Array:
            judgement = self.judge_at(scale, discriminators, spectral, pictures, domain)
            return getattr(judgement, head).sum()

        terms = {}
        for scale in SCALES:
            of_attention = {f"cam_{scale}": "cam_logits"} if self.judges else {}
            for name, head in ({scale: "logits"} | of_attention).items():
                gradient = jax.grad(total)(pictures, scale, head)
                square = jnp.square(gradient).sum((1, 2, 3))
                terms[name] = penalty(jnp.sqrt(jnp.maximum(square, 1e-24)))  # differentiable at 0
        return terms

    # --- The networks at work ---------------------------------------------------------------------

    def generate(self, params: Any, pictures: Array) -> Translation:
        """Translate pictures [N, H, W, 3] with one generator's parameters."""
        return cast(Translation, self.generator.apply({"params": params}, pictures))

    def judge_scales(
        self, discriminators: Any, spectral: Any, pictures: Array, domain: str
    ) -> dict[str, Judgement]:
        """Return what a domain's local and global discriminator say of pictures [N, H, W, 3]."""
        return {s: self.judge_at(s, discriminators, spectral, pictures, domain) for s in SCALES}

    def judge_at(
        self, scale: str, discriminators: Any, spectral: Any, pictures: Array, domain: str
    ) -> Judgement:
        """Return what a domain's discriminator of one scale says of pictures [N, H, W, 3]."""
        variables = {
            "params": discriminators[domain][scale],
            "spectral": spectral[domain][scale],
        }
        return cast(Judgement, self.discriminators[scale].apply(variables, pictures))

    def translate(
        self, weights: Any, pictures: Array, direction: str, styles: Array | None = None
    ) -> tuple[Array, dict[str, Array]]:
        """Translate, and show where the generator looked."""
        result = translate(self.generator, weights, pictures, self.finish)
        return result.image, {} if result.heatmap is None else {"attention": result.heatmap}

    def judge(self, params: Params, other: Any, pictures: Array, domain: str) -> dict[str, Array]:
        """Return where both discriminators look."""
        judgements = self.judge_scales(
            params["discriminators"], other["spectral"], pictures, domain
        )
        maps = {f"{s} discriminator": cast(Array, judgements[s].heatmap) for s in SCALES}
        return {name: maps[name] for name in self.judges}

    def watch(self, params: Params) -> dict[str, float]:
        """Return mean, min and max of every rho, and the share of their values at a bound."""
        return rho.describe(params["generators"])

    @property
    def undecided(self) -> dict[str, float]:
        """Of all discriminators' patches and class attention; a critic's loss tells nothing."""
        loss = losses.UNDECIDED.get(losses.KINDS[self.weights.kind].discriminator)
        if loss is None:
            return {}
        heads = ("", "cam_") if self.judges else ("",)
        names = [f"{head}{scale}_{d}" for head in heads for scale in SCALES for d in ("a", "b")]
        return {f"discriminator/adversarial/{name}": loss for name in names}


def adversarial_terms(
    loss: Callable[[Array, float], Array], judgements: dict[str, Judgement], target: float
) -> Terms:
    """Return the losses of patch logits and (if any) CAM logits, by scale; target 1 is "real"."""
    terms = {}
    for scale, judgement in judgements.items():
        terms[scale] = loss(judgement.logits, target)
        if judgement.cam_logits is not None:
            terms[f"cam_{scale}"] = loss(judgement.cam_logits, target)
    return terms


def cam_terms(first: FirstPass) -> dict[str, Terms]:
    """Return L_cam of both generators, {'cam': by direction}; nothing of those without a CAM."""
    terms = {}
    for way, of_source, of_target in (
        ("a2b", first.fake_b.cam_logits, first.identity_b.cam_logits),
        ("b2a", first.fake_a.cam_logits, first.identity_a.cam_logits),
    ):
        if of_source is not None and of_target is not None:
            terms[way] = losses.cam(of_source, of_target)
    return {"cam": terms} if terms else {}
