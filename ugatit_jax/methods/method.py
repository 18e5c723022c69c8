"""What a method is: all that the training, and whatever works with what it trained, know of one.

A method has parameters in groups, each with an optimiser of its own; players, who move groups in
the method's order, each to make a loss of its own smaller; and a translation in a direction. Every
function is pure, and all but `init` and `draw` see one device's share of the pictures: their losses
are means over pictures, so that neither sharding nor accumulation changes what is trained.

`docs/new_method.md` adds a method in forty lines. What a method does not say has a default here:
two inputs and two directions, one phase, Adam for each group, nothing drawn, nothing kept.
"""

import abc
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from jax.typing import DTypeLike
from ml_collections import ConfigDict

from ugatit_jax.methods.directions import DIRECTIONS
from ugatit_jax.methods.optimizer import adam, learning_rate

Params = dict[str, Any]  # {group: tree of parameters}
Batch = dict[str, Array]  # {input: [N, H, W, 3], float in [-1, 1]}
Terms = dict[str, Array]  # {name: scalar}

AT_BOUND = "at_bound/"  # how `watch` names a share of values that are at a bound


@dataclass(frozen=True)
class Input:
    """A stream of training pictures: of which domain, and what is made of each before it is cut.

    prepare: uint8 [h, w, 3] to the same, on the host; None: nothing.
    """

    domain: str  # 'a' or 'b'
    prepare: Callable[[np.ndarray], np.ndarray] | None = None


class Context(NamedTuple):
    """What a loss looks at beside parameters. The first three are trees of arrays [N, …]."""

    batch: Batch
    noise: Any  # what `draw` drew
    seen: Any  # what `exchange` handed out
    other: Any  # the state that moves without a gradient, as `refresh` left it
    fixed: Any  # what `fixed` returned


@dataclass(frozen=True)
class Player:
    """Who moves some groups of parameters to make a loss smaller.

    loss: `loss(params, first, context)` → (scalar, terms to log), with all groups as they are at
    this move. `first` is what `Method.first` made with the parameters of the step's start.
    through: whether the gradient also flows through `first`, into the groups that are moved; none
    of them may have been moved before in the same step.
    """

    name: str
    moves: tuple[str, ...]
    loss: Callable[[Params, Any, Context], tuple[Array, Terms]]
    through: bool = False


class Method(abc.ABC):
    """A method of unpaired translation. See the module for what its functions may rely on."""

    inputs: ClassVar[Mapping[str, Input]] = {"a": Input("a"), "b": Input("b")}
    directions: ClassVar[tuple[str, ...]] = DIRECTIONS
    # Groups that translating needs: they have a moving average, and are what is exported.
    translating: ClassVar[tuple[str, ...]] = ("generators",)
    # What `translate` shows beside its pictures, as titles for people.
    looks: ClassVar[tuple[str, ...]] = ()
    # What the progress bar shows, {short name: 'PLAYER/TERM'}.
    shown: ClassVar[Mapping[str, str]] = {}
    # Terms that tell how much pictures have lost that were translated there and back: L1 distances
    # of values in [-1, 1], 'PLAYER/TERM'.
    returning: ClassVar[tuple[str, ...]] = ()
    # Fields that make its networks much smaller, for whom they do not fit.
    lighter: ClassVar[dict[str, Any]] = {}
    # Where its discriminators look, as titles; `judge` then returns such maps.
    judges: ClassVar[tuple[str, ...]] = ()
    # Of the state that moves without a gradient, what goes with trained parameters into a new
    # training that begins from them: its first keys.
    carried: ClassVar[tuple[str, ...]] = ()
    # The largest Euclidean norm of a group's gradient, {group: norm}; a longer one is shortened.
    # Not by its optimiser, which sees a share of the parameters.
    bounds: ClassVar[Mapping[str, float]] = {}
    # Size of the style vector that a translation takes; 0: it takes none.
    style_size: int = 0
    # Whether `encode_style` finds the styles of pictures.
    encodes_styles: ClassVar[bool] = False
    phases: ClassVar[tuple[str, ...]] = ("train",)
    # Whether pictures of any size can be translated, not only of the size that is trained on.
    any_size: bool = True
    # What its networks compute in: parameters that devices share are sent to the others as such.
    dtype: DTypeLike = jnp.float32

    shifts: int = 1  # of the pictures along each side, over which translations are averaged
    smallest_judged: int = 1  # px: the side of the smallest picture that `judge` takes
    image_size: tuple[int, int]  # (height, width) in px, of the training

    # --- The method in a config -------------------------------------------------------------------

    @classmethod
    def check(cls, config: ConfigDict) -> None:
        """Raise `InputError` for the first of the method's fields whose value cannot work."""
        return

    @classmethod
    def architecture(cls, config: ConfigDict) -> set[str]:
        """Return the fields whose change makes trained parameters useless: all of 'model'."""
        return {f"model.{name}" for name in config.model}

    @classmethod
    @abc.abstractmethod
    def from_config(cls, config: ConfigDict, mapped: bool = False) -> Self:
        """Return the method that a (checked) config describes.

        mapped: whether `first`, losses and `translate` run inside `jax.shard_map` over the mesh,
        where the devices hold their shares of what is `split`.
        """

    # --- Parameters, and how they move ------------------------------------------------------------

    @abc.abstractmethod
    def init(self, key: Array) -> tuple[Params, dict[str, Any]]:
        """Return the first parameters, and the state that moves without a gradient."""

    def schedules(self, train: ConfigDict) -> dict[str, optax.Schedule]:
        """Return the learning rate of each group, by the count of its moves."""
        groups = {group for player in self.all_players() for group in player.moves}
        return {group: learning_rate(train) for group in sorted(groups)}

    def optimizers(self, train: ConfigDict) -> dict[str, optax.GradientTransformation]:
        """Return the optimiser of each group."""
        return {group: adam(train, rate) for group, rate in self.schedules(train).items()}

    def phase(self, step: int) -> str:
        """Return the name of the phase that a step, from 0, belongs to; asked on the host."""
        return self.phases[0]

    @abc.abstractmethod
    def players(self, phase: str) -> tuple[Player, ...]:
        """Return who moves in every step of a phase, in their order."""

    def all_players(self) -> list[Player]:
        """Return the players of all phases."""
        return [player for phase in self.phases for player in self.players(phase)]

    def first(self, params: Params, batch: Batch, noise: Any) -> Any:
        """Return what several players need, computed once per step; a tree of arrays [N, …]."""
        return ()

    def draw(self, key: Array, batch: Batch) -> Any:
        """Return a step's random numbers, a tree of arrays [N, …].

        Of the global batch, outside the mesh: they are the same for any number of devices.
        """
        return ()

    def pooled(self, first: Any) -> Any:
        """Return what of `first` goes into a pool, a tree of arrays [N, …]; (): nothing does."""
        return ()

    def exchange(self, other: Any, pooled: Any, key: Array) -> tuple[Any, Any]:
        """Put a step's global batch of `pooled` into the pool; return (other, what players see).

        Every device computes it of the same arrays, and sees its own share of the result.
        """
        return other, pooled

    def refresh(self, player: str, params: Params, other: Any) -> Any:
        """Return the state that moves without a gradient, as a player's move begins."""
        return other

    def project(self, group: str, params: Any) -> Any:
        """Return a group's parameters after a move of theirs, brought back to where they may be."""
        return params

    def fixed(self) -> Any:
        """Return arrays that losses need and nothing moves, such as a trained network's."""
        return ()

    def describe_fixed(self) -> dict[str, dict[str, str]]:
        """Return what `fixed` holds, for a run's record, {what for: {'network', 'sha256', …}}.

        A run whose losses look at other networks than they did is another run.
        """
        return {}

    @property
    def split(self) -> dict[tuple[str, ...], int]:
        """Return the parameters whose rows lie over the mesh's axis 'model', and their rows.

        {(group, key, …, key): rows}: the path of a leaf. So do its moments and its average.
        """
        return {}

    def watch(self, params: Params) -> dict[str, float]:
        """Return scalars to log of (translating) parameters on the host.

        AT_BOUND + NAME: the share of parameters with bounds that are at one of them.
        """
        return {}

    @property
    def undecided(self) -> dict[str, float]:
        """What discriminators' terms are, 'PLAYER/TERM', where these cannot tell true from false.

        Only of terms whose judgements each cost as much or more, by themselves, where wrong.
        """
        return {}

    # --- Translating ------------------------------------------------------------------------------

    def select(self, groups: Params, direction: str) -> Any:
        """Return what of the translating groups a direction needs: its weights, a tree."""
        return groups["generators"][direction]

    @abc.abstractmethod
    def translate(
        self, weights: Any, pictures: Array, direction: str, styles: Array | None = None
    ) -> tuple[Array, dict[str, Array]]:
        """Translate pictures [N, H, W, 3] in [-1, 1], each in its style [N, style_size] if any.

        Returns pictures of the same shape, and what can be looked at, {one of `looks`: [N, h, w]}.
        """

    def encode_style(self, weights: Any, pictures: Array, direction: str) -> Array:
        """Return the styles [N, style_size] of pictures [N, H, W, 3] in [-1, 1].

        They are pictures of the direction's target domain, and `weights` those of the direction:
        in its style, `translate` makes a picture look like one of them.
        """
        raise NotImplementedError(f"{type(self).__name__} encodes no styles")

    def judge(self, params: Params, other: Any, pictures: Array, domain: str) -> dict[str, Array]:
        """Return where a domain's discriminators look, {one of `judges`: [N, h, w]}."""
        return {}


def shapes(method: Method) -> tuple[Params, dict[str, Any]]:
    """Return what `init` returns, as `jax.ShapeDtypeStruct`s."""
    return jax.eval_shape(method.init, jax.random.key(0))


def weight_shapes(method: Method, direction: str) -> Any:
    """Return the weights of a direction as `jax.ShapeDtypeStruct`s."""
    params, _ = shapes(method)
    return method.select({group: params[group] for group in method.translating}, direction)
