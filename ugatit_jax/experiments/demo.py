"""The demo: OpenMoji to Twemoji and back, at 64 px, in minutes on two CPU cores.

    ./launch/demo.sh

2026-11-30, x86-64 server: a step takes some 130 ms of CPU time of a quiet one, 90 ms on two cores.
Three seeds, KID×100 by EfficientNet-Lite0's features 2.7 to 2.8 and 2.1 to 2.2 (untranslated: 7.0),
L1 to the true counterparts 0.114 and 0.156 (0.148), SSIM 0.414 to 0.419 and 0.343 (0.339), ΔE 11.6
and 15.3 (14.6). After 4 000 steps KID×100 is 2.5 to 2.7 and 1.9 to 2.0.
"""

from ml_collections import ConfigDict

from ugatit_jax.config import fields

# Networks that two cores train in minutes.
SMALL = {
    "ugatit": {
        "model.light": True,
        "model.base_width": 24,
        "model.residual_blocks": 1,
        "model.local_layers": 4,
        "model.global_layers": 6,
        "model.initializer": "uniform",
        "train.learning_rate": 4e-4,
    },
    "cyclegan": {"model.base_width": 24, "model.residual_blocks": 3},
    "unit": {"model.base_width": 16, "model.residual_blocks": 2, "model.discriminator_scales": 2},
    "munit": {"model.base_width": 16, "model.residual_blocks": 2, "model.discriminator_scales": 2},
    "drit": {
        "model.base_width": 16,
        "model.residual_blocks": 1,
        "model.discriminator_layers": 3,
        "model.content_discriminator_layers": 1,
    },
    "aggan": {
        "model.base_width": 24,
        "model.attention_width": 16,
        "model.discriminator_width": 24,
        "model.residual_blocks": 3,
        "train.learning_rate": 2e-4,
        "train.attention_steps": 900,
    },
    "cartoongan": {
        "model.base_width": 24,
        "model.discriminator_width": 16,
        "model.residual_blocks": 3,
        "train.batch_size": 1,
        "train.learning_rate": 2e-4,
        "train.content_steps": 400,
    },
}


def get_config(variant: str = "") -> ConfigDict:
    """A small network on the data set that comes with the project; `variant`: maybe a method."""
    config = fields.get_config(variant or "ours")
    config.update_from_flattened_dict(SMALL.get(config.method, {}))
    config.data.source = "emoji"
    config.data.image_size = (64, 64)
    config.train.steps = 3_000
    config.log_every = 20
    config.samples.every = 250
    config.eval.every = 1_000
    config.eval.pictures = 100
    config.checkpoint.every = 1_000
    return config
