"""Class activation maps: an auxiliary classifier whose weights become attention."""

from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp
from jax import Array


class ClassAttention(nn.Module):
    """The auxiliary classifier (eta in the paper) and the attention that its weights give.

    Two linear classifiers read the global average and the global maximum of the features. Their
    weights re-weight the feature maps; a 1×1 convolution merges both readings.
    """

    conv: Callable[..., nn.Module]
    activation: Callable[[Array], Array]
    spectral_norm: bool = False

    @nn.compact
    def __call__(self, x: Array) -> tuple[Array, Array, Array]:
        """Attend to x [N, H, W, C].

        Returns:
          the attended features [N, H, W, C]; the CAM logits [N, 2], from average and maximum, in
          float32 at least; the heat map [N, H, W], the sum over the attended features.
        """
        channels = x.shape[-1]
        # The logits are small sums that a loss of weight 1000 looks at: never in bfloat16.
        wide = jnp.promote_types(x.dtype, jnp.float32)
        logits, weighted = [], []
        for name, pool in (("gap_fc", jnp.mean), ("gmp_fc", jnp.max)):
            classify = self.conv(
                1, 1, spectral_norm=self.spectral_norm, dtype=wide, use_bias=False, name=name
            )
            pooled = pool(x.astype(wide), axis=(1, 2), keepdims=True)
            logits.append(classify(pooled)[:, 0, 0])
            # The weight on the map is the raw one, also where the logit's is spectrally normalised.
            weight = classify.variables["params"]["kernel"][0, 0, :, 0]
            weighted.append(x * weight.astype(x.dtype))
        x = self.conv(channels, 1, use_bias=True, name="conv1x1")(jnp.concatenate(weighted, -1))
        x = self.activation(x)
        return x, jnp.concatenate(logits, -1), x.astype(wide).sum(-1)
