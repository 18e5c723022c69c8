"""CycleGAN's fields in a config, with the values of its authors' implementation."""

from typing import Any

FIELDS: dict[str, Any] = {
    # Channels after the first convolution, of generators and discriminators.
    "model.base_width": 64,
    # Residual blocks of a generator; 0: the authors' choice, 9 from 256 px on, 6 below.
    "model.residual_blocks": 0,
    # Convolutions of stride 2 of a discriminator; 3 see patches of 70 px.
    "model.discriminator_layers": 3,
    # First weights: "normal", N(0, 0.02); "truncated_normal", cut off at two deviations; or
    # "uniform", U(±1/sqrt(fan_in)).
    "model.initializer": "normal",
    # Weights of the terms of the objective; that of identity is a share of that of cycle.
    "loss.adversarial": 1.0,
    "loss.cycle": 10.0,
    "loss.identity": 0.5,
    # Earlier translations of each domain that are kept for its discriminator; 0: none.
    "loss.pool": 50,
    # 200 epochs of horse2zebra's 1 334 zebras, the second hundred with a falling rate.
    "train.steps": 266_800,
    "train.learning_rate": 2e-4,
    "train.weight_decay": 0.0,
}
