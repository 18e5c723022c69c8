"""DRIT's fields in a config, with the values of its authors' implementation, and DRIT++'s."""

from typing import Any

FIELDS: dict[str, Any] = {
    # Channels after the first convolution, of encoders and discriminators.
    "model.base_width": 64,
    # Residual blocks of a domain's own, of content encoders and of generators; one more is shared.
    "model.residual_blocks": 3,
    # Size of the attribute vector, which holds the manner of a picture.
    "model.style_size": 8,
    # Convolutions of stride 2 of a discriminator, at each of so many scales.
    "model.discriminator_layers": 4,
    "model.discriminator_scales": 3,
    # Convolutions of stride 2 of the content discriminator. 3 take 212 px, 2 take 100, 1 takes 44.
    "model.content_discriminator_layers": 3,
    # First weights of convolutions: "normal", N(0, 0.02), or "uniform", U(±1/sqrt(fan_in)).
    "model.initializer": "normal",
    # Weights of the terms of the objective: cross-entropy of pictures, and of contents; L1 of a
    # picture made again of its own content and attributes, and of two pictures whose attributes
    # were exchanged and exchanged back; KL divergence of encoded attributes from N(0, 1); mean
    # square of the content; L1 of random attributes and those of the picture made with them.
    "loss.adversarial": 1.0,
    "loss.content_adversarial": 1.0,
    "loss.reconstruction": 10.0,
    "loss.cycle": 10.0,
    "loss.kl": 0.01,
    "loss.content_square": 0.01,
    "loss.latent": 10.0,
    # Mode seeking: how much alike two pictures of one content are, for how much their attributes
    # differ. 0: DRIT; 1: DRIT++.
    "loss.mode_seeking": 0.0,
    # A picture of each domain to encode and another for the discriminator of random attributes are
    # a batch of 1 here, and of 2 in their code.
    "train.batch_size": 1,
    # 1 200 epochs of cat2dog's 1 264 dogs, two to a step, the second half with a falling rate. Two
    # of three steps move the content discriminator alone.
    "train.steps": 758_400,
    "train.learning_rate": 1e-4,
    "train.weight_decay": 1e-4,
    "data.image_size": (216, 216),
    "data.load_scale": 256 / 216,
}
VARIANTS: dict[str, dict[str, Any]] = {"drit++": {"loss.mode_seeking": 1.0}}
