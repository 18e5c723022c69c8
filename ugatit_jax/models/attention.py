"""Class activation maps: an auxiliary classifier whose weights become attention."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from ugatit_jax.models.convolution import precision_of
from ugatit_jax.models.layers import Initializer, spectral_sigma


class ClassAttention(nn.Module):
    """The auxiliary classifier (eta in the paper) and the attention that its weights give.

    The global average and the global maximum of the features are classified, by two classifiers
    or by one that they share. Its weights re-weight the feature maps; a 1×1 convolution merges
    both readings.
    """

    conv: Callable[..., nn.Module]
    activation: Callable[[Array], Array]
    kernel_init: Initializer
    shared: bool = False
    spectral_norm: bool = False

    @nn.compact
    def __call__(self, x: Array) -> tuple[Array, Array, Array]:
        """Attend to x [N, H, W, C].

        Returns:
          the attended features [N, H, W, C]; the CAM logits [N, 2], from average and maximum, in
          float32 at least; the heat map [N, H, W], the sum over the attended features.
        """
        names = ("fc", "fc") if self.shared else ("gap_fc", "gmp_fc")
        classifiers = {
            name: LinearClassifier(self.shared, self.spectral_norm, self.kernel_init, name=name)
            for name in dict.fromkeys(names)
        }
        # The logits are small sums that a loss of weight 1000 looks at: never in bfloat16.
        wide = jnp.promote_types(x.dtype, jnp.float32)
        logits, weighted = [], []
        pooled = (x.astype(wide).mean((1, 2)), global_maximum(x).astype(wide))
        for name, features in zip(names, pooled, strict=True):
            logit, weight = classifiers[name](features)
            logits.append(logit)
            weighted.append(x * weight.astype(x.dtype))
        attended = self.conv(x.shape[-1], 1, use_bias=True, name="conv1x1")
        x = self.activation(attended(jnp.concatenate(weighted, -1)))
        return x, jnp.stack(logits, -1), x.astype(wide).sum(-1)


@jax.custom_vjp
def global_maximum(x: Array) -> Array:
    """Return the largest value of every channel [N, C] of x [N, H, W, C].

    Its gradient goes to the first pixel that has it, by that pixel's number. JAX's own goes to all
    that equal the maximum, divided by how many they are: where XLA computes x twice, rounded in two
    ways, none does, and the gradient is not finite.
    """
    return x.max((1, 2))


def _global_maximum_forward(x: Array) -> tuple[Array, tuple[Array, Array]]:
    pixels = jnp.reshape(x, (x.shape[0], -1, x.shape[-1]))
    return global_maximum(x), (pixels.argmax(1), x[:0])


def _global_maximum_backward(residuals: tuple[Array, Array], g: Array) -> tuple[Array]:
    chosen, like = residuals
    _, height, width, channels = like.shape
    pixel = jnp.arange(height * width)[:, None]
    of_x = jnp.where(pixel == chosen[:, None], g[:, None], 0)
    return (of_x.reshape(-1, height, width, channels),)


global_maximum.defvjp(_global_maximum_forward, _global_maximum_backward)


class LinearClassifier(nn.Module):
    """One logit per feature vector, and the weight of each feature in it.

    With a bias, the weights are the kernel that the logit uses plus the bias; without, the raw
    kernel, even where the logit uses a spectrally normalised one. Parameters as those of a 1×1
    `Conv`.
    """

    use_bias: bool
    spectral_norm: bool
    kernel_init: Initializer

    @nn.compact
    def __call__(self, x: Array) -> tuple[Array, Array]:
        """Return the logits [N] and the weights [C] for x [N, C]."""
        raw = self.param("kernel", self.kernel_init, (1, 1, x.shape[-1], 1))
        kernel = raw / spectral_sigma(self, raw) if self.spectral_norm else raw
        raw, kernel = raw.reshape(-1), kernel.reshape(-1)
        logits = jnp.matmul(x, kernel, precision=precision_of(x))
        if not self.use_bias:
            return logits, raw
        bias = self.param("bias", nn.initializers.zeros, (1,))
        return logits + bias, kernel + bias
