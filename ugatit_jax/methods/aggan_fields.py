"""AGGAN's fields in a config, with the values of its authors' implementation."""

from typing import Any

FIELDS: dict[str, Any] = {
    # Channels after the first convolution of the generators, the attention networks and the
    # discriminators.
    "model.base_width": 32,
    "model.attention_width": 32,
    "model.discriminator_width": 64,
    # Residual blocks of a generator.
    "model.residual_blocks": 9,
    # Convolutions of stride 2 of a discriminator; 3 see patches of 70 px.
    "model.discriminator_layers": 3,
    # First weights: "truncated_normal", N(0, 0.02) cut off at two deviations; "normal"; or
    # "uniform", U(±1/sqrt(fan_in)).
    "model.initializer": "truncated_normal",
    # Weights of the terms of the objective.
    "loss.adversarial": 1.0,
    "loss.cycle": 10.0,
    # Earlier translations of each domain that are kept, with their masks, for its discriminator; 0:
    # none.
    "loss.pool": 50,
    # Where a mask is less than this, discriminators see nothing, once attention is learned.
    "loss.mask_threshold": 0.1,
    # Steps in which attention is learned; in those that follow it is as it is, and masks what the
    # discriminators see. 30 epochs of horse2zebra's 1 334 zebras.
    "train.attention_steps": 40_020,
    # And 100 epochs in all.
    "train.steps": 133_400,
    "train.weight_decay": 0.0,
}
