"""DRIT (Lee et al., ECCV 2018) and DRIT++ (IJCV 2020), with the settings of their authors' code.

A picture is content, which both domains have in common, and attributes, which are its domain's.
Encoders take it apart; generators make pictures of the content of one and the attributes of
another, or of attributes from N(0, 1).

    min_{E, G} max_{D, D^c}  L_domain + L^content + 10 L^cc + 10 L_self + 0.01 L_KL + 10 L_latent
                             + 0.01 mean(content²) + L_ms (DRIT++ alone)

docs/methods.md says where code and paper differ; the order of moves is the code's. Two of three
steps move the content discriminator alone. In the third all discriminators move; then encoders and
generators, on pictures of encoded attributes; then the encoders of content and the generators, on
new ones of random attributes, which discriminators of their own judge.
"""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.typing import DTypeLike
from ml_collections import ConfigDict

from ugatit_jax.methods import drit_checks, losses
from ugatit_jax.methods.directions import OTHER
from ugatit_jax.methods.drit_networks import DOMAINS, Networks, Pair, sample
from ugatit_jax.methods.interleaving import deinterleave, interleave
from ugatit_jax.methods.losses import cross_entropy, weighted_sum
from ugatit_jax.methods.method import Batch, Context, Input, Method, Params, Player, Terms
from ugatit_jax.methods.optimizer import learning_rate
from ugatit_jax.models.disentanglement import Gaussian

PERIOD = 3  # steps, of which the last moves everything
CONTENT_RATE = 1 / 2.5  # the content discriminator's learning rate, for 1 of the others


class Draws(NamedTuple):
    """Numbers from N(0, 1) for one pass: the noise of both kinds of encoders, and two styles.

    No pass takes all of them, and what none takes is never computed. content: [N, H / 4, W / 4, C].
    attributes: [N, S]. styles: [N, S] each, for both domains.
    """

    content: Pair
    attributes: Pair
    styles: tuple[Array, Array]


class FirstPass(NamedTuple):
    """What is made of a step's pictures by encoding them: pictures [N, H, W, 3] of each domain."""

    content: Pair  # with its noise
    attributes: dict[str, Gaussian]
    fake: Pair  # of the domain's attributes and the other one's content
    again: Pair  # of its own content


@dataclass(frozen=True)
class DRIT(Method):
    """The networks, without parameters, and the weights of the objective's terms.

    Groups: 'content_encoders' and 'generators' {'a', 'b', 'shared'}; 'attribute_encoders' {'a',
    'b'}; 'discriminators' {'a', 'b'}, for each domain {'encoded', 'random'}, by the attributes of
    the translations that it judges; 'content_discriminator'.
    """

    networks: Networks
    weights: ConfigDict  # the config's section `loss`
    image_size: tuple[int, int]
    style_size: int

    # The latter two are what is real to the discriminators of random attributes.
    inputs = MappingProxyType(
        {"a": Input("a"), "b": Input("b"), "random_a": Input("a"), "random_b": Input("b")}
    )
    translating = ("content_encoders", "attribute_encoders", "generators")
    phases = ("content", "all")
    bounds = MappingProxyType({"content_discriminator": 5.0})
    encodes_styles = True
    returning = ("generator/cycle/a", "generator/cycle/b")
    shown = MappingProxyType(
        {
            "Dc": "content_discriminator/total",
            "D": "discriminator/total",
            "G": "generator/adversarial",
            "cycle": "generator/cycle",
            "latent": "random/latent",
        }
    )

    # --- The method in a config -------------------------------------------------------------------

    @classmethod
    def check(cls, config: ConfigDict) -> None:
        """Raise `InputError` for the first field whose value cannot work."""
        drit_checks.check(config)

    @classmethod
    def architecture(cls, config: ConfigDict) -> set[str]:
        """Return the fields that parameters depend on."""
        return {f"model.{name}" for name in config.model} - {"model.initializer"}

    @classmethod
    def from_config(cls, config: ConfigDict, mapped: bool = False) -> Self:
        """Return the method that a (checked) config describes; see `Method`."""
        height, width = config.data.image_size
        networks = Networks.from_config(config)
        return cls(networks, config.loss, (height, width), config.model.style_size)

    @property
    def dtype(self) -> DTypeLike:  # type: ignore[override]
        """What the networks compute in."""
        return self.networks.decoder.dtype

    # --- Parameters, and how they move ------------------------------------------------------------

    def init(self, key: Array) -> tuple[Params, dict[str, Any]]:
        """Draw all networks' parameters; nothing moves beside them."""
        return self.networks.init(key, self.image_size), {}

    def phase(self, step: int) -> str:
        """Return 'all' for every third step, 'content' for the two before it."""
        return "all" if step % PERIOD == PERIOD - 1 else "content"

    def players(self, phase: str) -> tuple[Player, ...]:
        """Return the discriminators of a phase, and then who tries to please them."""
        judge = ("content_discriminator",)
        content = Player("content_discriminator", judge, self.content_discriminator_loss)
        if phase == "content":
            return (content,)
        random = ("content_encoders", "generators")
        encoded = (*random, "attribute_encoders")
        return (
            Player("discriminator", ("discriminators",), self.discriminator_loss),
            content,
            Player("generator", encoded, self.generator_loss, through=True),
            Player("random", random, self.random_loss),
        )

    def schedules(self, train: ConfigDict) -> dict[str, optax.Schedule]:
        """Return the rate of each group: that of the step in which a move of its is made."""
        rate = learning_rate(train)

        def in_third_steps(moves: int) -> optax.Schedule:
            return lambda count: rate(count // moves * PERIOD + PERIOD - 1)

        return {
            "content_encoders": in_third_steps(2),
            "generators": in_third_steps(2),
            "attribute_encoders": in_third_steps(1),
            "discriminators": in_third_steps(1),
            "content_discriminator": lambda count: CONTENT_RATE * rate(count),
        }

    def draw(self, key: Array, batch: Batch) -> dict[str, Draws]:
        """Draw for the first pass, for the way back, and for the pass of random attributes."""
        count = len(batch["a"])
        content = self.networks.content_shape(count, self.image_size)

        def normal(key: Array, *shape: int) -> tuple[Array, Array]:
            first, second = jax.random.normal(key, (2, *shape))
            return first, second

        def draws(key: Array) -> Draws:
            of_content, of_attributes, of_styles = jax.random.split(key, 3)
            return Draws(
                dict(zip(DOMAINS, normal(of_content, *content), strict=True)),
                dict(zip(DOMAINS, normal(of_attributes, count, self.style_size), strict=True)),
                normal(of_styles, count, self.style_size),
            )

        passes = ("first", "back", "random")
        return {name: draws(jax.random.fold_in(key, i)) for i, name in enumerate(passes)}

    def first(self, params: Params, batch: Batch, noise: Any) -> FirstPass:
        """Encode both domains, and make pictures of both contents with each one's attributes."""
        pictures, draws = {d: batch[d] for d in DOMAINS}, noise["first"]
        content = self.networks.encode_contents(params["content_encoders"], pictures, draws.content)
        attributes = self.encode_both(params, pictures)
        fake, again = {}, {}
        for domain, other in OTHER.items():
            style = sample(attributes[domain], draws.attributes[domain])
            contents = interleave(content[other], content[domain])
            pictures_of_both = self.generate(params, domain, contents, interleave(style, style))
            fake[domain], again[domain] = deinterleave(pictures_of_both)
        return FirstPass(content, attributes, fake, again)

    # --- Losses -----------------------------------------------------------------------------------

    def discriminator_loss(
        self, params: Params, first: FirstPass, context: Context
    ) -> tuple[Array, Terms]:
        """Return L_domain as the discriminators see it, and its parts."""
        batch, styles = context.batch, self.styles(context.noise["first"])
        parts: dict[str, Terms] = {"encoded": {}, "random": {}}
        for domain, other in OTHER.items():
            networks = params["discriminators"][domain]
            random = self.generate_each(params, domain, first.content[other], styles)
            parts["encoded"][domain] = self.tell_apart(
                networks["encoded"], batch[domain], [first.fake[domain]]
            )
            parts["random"][domain] = self.tell_apart(
                networks["random"], batch[f"random_{domain}"], random
            )
        return weighted_sum(parts, dict.fromkeys(parts, self.weights.adversarial))

    @property
    def undecided(self) -> dict[str, float]:
        """Of both domains' discriminators, over their scales and sets of fakes."""
        loss = losses.UNDECIDED[cross_entropy] * self.networks.discriminator.scales
        sets = {"encoded": 1, "random": 2 if self.weights.mode_seeking else 1}
        return {
            f"discriminator/{name}/{domain}": count * loss
            for name, count in sets.items()
            for domain in DOMAINS
        }

    def content_discriminator_loss(
        self, params: Params, first: FirstPass, context: Context
    ) -> tuple[Array, Terms]:
        """Return L^content as its discriminator sees it, to which domain B is 1, and its parts."""
        network = params["content_discriminator"]
        parts = {
            domain: cross_entropy(self.networks.judge_content(network, content), target)
            for (domain, content), target in zip(first.content.items(), (0, 1), strict=True)
        }
        weights = {"adversarial": self.weights.content_adversarial}
        return weighted_sum({"adversarial": parts}, weights)

    def generator_loss(
        self, params: Params, first: FirstPass, context: Context
    ) -> tuple[Array, Terms]:
        """Return the terms of pictures with encoded attributes, and their sum."""
        batch, draws = context.batch, context.noise["back"]
        content = self.networks.encode_contents(
            params["content_encoders"], first.fake, draws.content
        )
        attributes = self.encode_both(params, first.fake)
        of_domains: list[Terms] = []
        for domain, other in OTHER.items():
            style = sample(attributes[domain], draws.attributes[domain])
            back = self.generate(params, domain, content[other], style)
            network = params["discriminators"][domain]["encoded"]
            judged = self.networks.judge_content(
                params["content_discriminator"], first.content[domain]
            )
            of_domains.append(
                {
                    "adversarial": self.please(network, [first.fake[domain]]),
                    "content_adversarial": cross_entropy(judged, 0.5),
                    "cycle": losses.cycle(back, batch[domain]),
                    "reconstruction": losses.identity(first.again[domain], batch[domain]),
                    "kl": losses.kl_divergence(*first.attributes[domain]),
                    "content_square": losses.kl_of_means(first.content[domain]),
                }
            )
        return self.total(of_domains)

    def random_loss(
        self, params: Params, first: FirstPass, context: Context
    ) -> tuple[Array, Terms]:
        """Return the terms of pictures with random attributes, and their sum.

        They are made anew: encoders and generators have moved since `first`.
        """
        draws, pictures = context.noise["random"], {d: context.batch[d] for d in DOMAINS}
        styles = self.styles(draws)
        content = self.networks.encode_contents(params["content_encoders"], pictures, draws.content)
        of_domains: list[Terms] = []
        for domain, other in OTHER.items():
            fakes = self.generate_each(params, domain, content[other], styles)
            found = self.networks.encode_attributes(params["attribute_encoders"][domain], fakes[0])
            terms = {
                "adversarial": self.please(params["discriminators"][domain]["random"], fakes),
                "latent": jnp.abs(found.mean - styles[0]).mean(),
            }
            if self.weights.mode_seeking:
                terms["mode_seeking"] = losses.mode_seeking(*fakes, *styles)
            of_domains.append(terms)
        return self.total(of_domains)

    def total(self, of_domains: list[Terms]) -> tuple[Array, Terms]:
        """Return the weighted sum of both domains' terms, and the terms."""
        of_a, of_b = of_domains
        parts = {name: {"a": of_a[name], "b": of_b[name]} for name in of_a}
        return weighted_sum(parts, {name: self.weights[name] for name in parts})

    def tell_apart(self, network: Any, real: Array, fakes: list[Array]) -> Array:
        """Return a discriminator's loss: of the real pictures anew for each set of fakes."""
        terms = []
        for of_real, *of_fakes in self.networks.judge(network, real, *fakes):
            for of_fake in of_fakes:
                terms.append(cross_entropy(of_real, 1) + cross_entropy(of_fake, 0))
        return jnp.stack(terms).sum()

    def please(self, network: Any, fakes: list[Array]) -> Array:
        """Return what a discriminator costs the generators: over its scales and sets of fakes."""
        judged = self.networks.judge(network, *fakes)
        return jnp.stack([cross_entropy(x, 1) for of_scale in judged for x in of_scale]).sum()

    # --- Pictures and what they are made of -------------------------------------------------------

    def styles(self, draws: Draws) -> list[Array]:
        """Return the random attributes of a pass: two sets, where modes are sought, or one."""
        return [*draws.styles] if self.weights.mode_seeking else [draws.styles[0]]

    def encode_both(self, params: Params, pictures: Pair) -> dict[str, Gaussian]:
        """Return what the attributes of each domain's pictures may be."""
        encoders = params["attribute_encoders"]
        return {d: self.networks.encode_attributes(encoders[d], pictures[d]) for d in DOMAINS}

    def generate(self, params: Params, domain: str, content: Array, styles: Array) -> Array:
        """Make pictures [N, H, W, 3] of a domain, of contents and attributes [N, S]."""
        generators = params["generators"]
        return self.networks.generate(generators[domain], generators["shared"], content, styles)

    def generate_each(
        self, params: Params, domain: str, content: Array, styles: list[Array]
    ) -> list[Array]:
        """Make a set of pictures of a domain for each set of attributes, of the same contents."""
        contents = interleave(*[content] * len(styles))
        pictures = self.generate(params, domain, contents, interleave(*styles))
        return [*deinterleave(pictures, len(styles))]

    # --- Translating ------------------------------------------------------------------------------

    def select(self, groups: Params, direction: str) -> Any:
        """Return the source's content encoder, the target's generator and attribute encoder."""
        source, target = direction[0], direction[-1]
        contents, generators = groups["content_encoders"], groups["generators"]
        return {
            "content_encoder": {"own": contents[source], "shared": contents["shared"]},
            "generator": {"own": generators[target], "shared": generators["shared"]},
            "attribute_encoder": groups["attribute_encoders"][target],
        }

    def translate(
        self, weights: Any, pictures: Array, direction: str, styles: Array | None = None
    ) -> tuple[Array, dict[str, Array]]:
        """Translate, each picture with its attributes; there is nothing else to look at."""
        assert styles is not None  # `style_size` is not 0
        encoder, generator = weights["content_encoder"], weights["generator"]
        content = self.networks.encode_content(encoder["own"], encoder["shared"], pictures)
        made = self.networks.generate(generator["own"], generator["shared"], content, styles)
        return made, {}

    def encode_style(self, weights: Any, pictures: Array, direction: str) -> Array:
        """Return the likeliest attributes [N, S] of pictures of the direction's target domain."""
        return self.networks.encode_attributes(weights["attribute_encoder"], pictures).mean
